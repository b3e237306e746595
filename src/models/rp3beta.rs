//! A random walk of three steps, from a user over items and users to items,
//! with popular items held back.
//!
//! It is computed on the host, whatever the device.

use crate::data::interactions::Interactions;
use crate::footprint::{FEWER_NEIGHBORS, Footprint, Workload};
use crate::linalg::Sparse;
use crate::linalg::sparse::Sums;
use crate::model::{FitContext, Fitted, ModelData, ModelSpec, Recommender};
use crate::models::item_weights::{Column, ItemWeights, keep_largest};
use crate::models::{ModelEntry, params};
use crate::tensors::NamedTensors;
use anyhow::{Result, ensure};
use burn::tensor::Device;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub const ENTRY: ModelEntry = ModelEntry {
    name: "rp3beta",
    summary: "a random walk user-item-user-item, divided by the popularity of where it ends",
    citation: "Paudel, Christoffel, Newell, Bernstein: Updatable, Accurate, Diverse, and Scalable \
               Recommendations for Interactive Applications, TiiS 2017",
    params: &[
        (
            "alpha",
            "power of the transition probabilities: below 1, long histories and popular items \
             weigh more",
        ),
        (
            "beta",
            "power of the popularity by which scores are divided; 0 is P3alpha",
        ),
        (
            "neighbors",
            "items that the walk may reach from an item, and from which it may come",
        ),
    ],
    gradient: false,
    defaults: params::defaults::<Rp3Beta>,
    build: |table| {
        let spec: Rp3Beta = params::parse(table)?;
        ensure!(
            spec.alpha.is_finite() && spec.alpha >= 0.0 && spec.beta.is_finite(),
            "alpha = {} must be 0 or more, and beta = {} a number",
            spec.alpha,
            spec.beta
        );
        ensure!(spec.neighbors > 0, "neighbors = 0 must be at least 1");
        Ok(Box::new(spec))
    },
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Rp3Beta {
    alpha: f64,
    beta: f64,
    neighbors: usize,
}

impl Default for Rp3Beta {
    fn default() -> Self {
        Self {
            alpha: 1.0,
            beta: 0.6,
            neighbors: 100,
        }
    }
}

impl Rp3Beta {
    /// The walk from item `i` over users `v` to item `j`, with `d` interactions
    /// each:
    ///
    /// ```text
    /// W_ij = sum over v of (1 / d_i)^alpha (1 / d_v)^alpha / d_j^beta
    /// ```
    ///
    /// The first step, from the user to an item of the history, has the same
    /// probability for all of them and does not change a ranking. As in the
    /// implementation of Ferrari Dacrema et al. (Are We Really Making Much
    /// Progress?, RecSys 2019), the largest entries of each row are kept, and
    /// of those the largest of each column; there is no diagonal.
    fn weights(&self, train: &Interactions) -> ItemWeights {
        let num_items = train.num_items;
        let users = Sparse::from_interactions(train, false);
        let items = users.transposed(num_items);
        let power = |degree: usize, exponent: f64| (degree as f64).powf(-exponent);
        let degrees: Vec<usize> = (0..users.num_rows()).map(|v| users.row_len(v)).collect();
        let steps = users.map(|v, _, _| power(degrees[v], self.alpha) as f32);
        let rows: Vec<Column> = (0..num_items)
            .into_par_iter()
            .map_init(
                || Sums::new(num_items),
                |sums, i| {
                    sums.add_product(items.row(i), &steps);
                    let start = power(items.row_len(i), self.alpha);
                    let reached = sums.drain().filter(|(j, _)| *j as usize != i);
                    let weigh = |(j, sum): (u32, f64)| {
                        let held_back = power(items.row_len(j as usize), self.beta);
                        (j, (start * sum * held_back) as f32)
                    };
                    let mut row: Column = reached.map(weigh).collect();
                    keep_largest(&mut row, self.neighbors, |weight| weight);
                    row.shrink_to_fit();
                    row
                },
            )
            .collect();
        let mut columns: Vec<Column> = vec![Vec::new(); num_items];
        for (i, row) in (0u32..).zip(rows) {
            for (j, weight) in row {
                columns[j as usize].push((i, weight));
            }
        }
        for column in &mut columns {
            keep_largest(column, self.neighbors, |weight| weight);
        }
        ItemWeights::from_columns(&columns)
    }
}

impl ModelSpec for Rp3Beta {
    fn footprint(&self, work: &Workload<'_>) -> Footprint {
        let working = work.threads as u64 * work.items() * 17;
        work.item_weights(
            work.neighbor_entries(self.neighbors),
            working,
            FEWER_NEIGHBORS,
        )
    }

    fn fit(&self, context: FitContext<'_>) -> Result<Fitted> {
        Ok(self.weights(context.data.train).fitted())
    }

    fn load(
        &self,
        weights: &NamedTensors,
        data: ModelData<'_>,
        _device: &Device,
    ) -> Result<Box<dyn Recommender>> {
        ItemWeights::loaded(weights, data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Users {0, 1}, {0, 1, 2}, {0}.
    fn train() -> Interactions {
        Interactions {
            offsets: vec![0, 2, 5, 6],
            items: vec![0, 1, 2, 1, 0, 0],
            num_items: 4,
            ..Interactions::default()
        }
    }

    fn near(a: f32, b: f64) {
        assert!((f64::from(a) - b).abs() < 1e-6, "{a} {b}");
    }

    #[test]
    fn weights_are_the_probabilities_of_the_walk() {
        let spec = Rp3Beta {
            alpha: 1.0,
            beta: 0.0,
            neighbors: 9,
        };
        let model = spec.weights(&train());
        near(model.weight(0, 1), (0.5 + 1.0 / 3.0) / 3.0);
        near(model.weight(1, 0), (0.5 + 1.0 / 3.0) / 2.0);
        near(model.weight(2, 0), 1.0 / 3.0);
        near(model.weight(0, 0), 0.0);
        let spec = Rp3Beta {
            alpha: 0.5,
            beta: 2.0,
            neighbors: 9,
        };
        let model = spec.weights(&train());
        near(
            model.weight(0, 1),
            (0.5f64.sqrt() + (1f64 / 3.0).sqrt()) / 3f64.sqrt() / 4.0,
        );
    }

    #[test]
    fn rows_and_columns_keep_their_largest() {
        let spec = Rp3Beta {
            alpha: 1.0,
            beta: 0.0,
            neighbors: 1,
        };
        let model = spec.weights(&train());
        // Row 0 keeps item 1; rows 1 and 2 keep item 0, whose column keeps 1.
        near(model.weight(0, 1), (0.5 + 1.0 / 3.0) / 3.0);
        near(model.weight(1, 0), (0.5 + 1.0 / 3.0) / 2.0);
        near(model.weight(2, 0), 0.0);
        near(model.weight(0, 2), 0.0);
    }
}

//! EASE: each item is predicted from all other items of a history by a ridge
//! regression, which has a closed form.
//!
//! It is computed on the host, whatever the device.

mod dense;
mod local;

use crate::event::{Event, Observer};
use crate::footprint::{Footprint, Workload};
use crate::linalg::{Sparse, Symmetric, ensure_fits};
use crate::model::{FitContext, Fitted, ModelData, ModelSpec, Recommender};
use crate::models::item_weights::ItemWeights;
use crate::models::{ModelEntry, params};
use crate::tensors::NamedTensors;
use anyhow::{Context, Result, ensure};
use burn::tensor::Device;
use dense::Dense;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// What to change where a dense matrix does not fit.
const FEWER_CANDIDATES: &str = "set model.candidates to solve each item on a few hundred others, or \
                                model.top_weights to keep less";

pub const ENTRY: ModelEntry = ModelEntry {
    name: "ease",
    summary: "a ridge regression of each item on all others, in closed form",
    citation: "Steck: Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019",
    params: &[
        (
            "regularization",
            "added to the diagonal of the Gram matrix (lambda)",
        ),
        (
            "candidates",
            "solve each item on so many of its most similar items (cosine) instead of on all: \
             for catalogs whose square does not fit into memory; 0 takes all",
        ),
        (
            "top_weights",
            "keep the largest weights (by magnitude) into each item; 0 keeps all",
        ),
    ],
    gradient: false,
    defaults: params::defaults::<Ease>,
    build: |table| {
        let spec: Ease = params::parse(table)?;
        ensure!(
            spec.regularization.is_finite() && spec.regularization > 0.0,
            "regularization = {} must be above 0",
            spec.regularization
        );
        Ok(Box::new(spec))
    },
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Ease {
    regularization: f64,
    candidates: usize,
    top_weights: usize,
}

impl Default for Ease {
    fn default() -> Self {
        Self {
            regularization: 250.0,
            candidates: 0,
            top_weights: 0,
        }
    }
}

impl Ease {
    /// Whether the model keeps a weight for each pair of items.
    fn is_dense(&self) -> bool {
        self.candidates == 0 && self.top_weights == 0
    }

    /// The matrix, and either its copy on the way to disk or what is kept.
    fn ensure_fits(&self, num_items: usize) -> Result<()> {
        let matrix = Symmetric::bytes(num_items);
        let rest = match self.top_weights {
            0 => matrix,
            top => (num_items * top.min(num_items)) as u64 * 16,
        };
        ensure_fits(
            matrix + rest,
            &format!("a dense model of {num_items} items"),
            FEWER_CANDIDATES,
        )
    }

    fn invert(
        &self,
        users: &Sparse,
        items: &Sparse,
        observer: &mut dyn Observer,
    ) -> Result<Symmetric> {
        let num_items = items.num_rows();
        self.ensure_fits(num_items)?;
        let mut matrix = Symmetric::gram(users, items, self.regularization as f32);
        let mut quarter = 0;
        matrix
            .invert_negated(|done, of| {
                // Smaller ones take no time that anybody would notice.
                if of >= 32 && 4 * done / of > quarter {
                    quarter = 4 * done / of;
                    let text = format!("inverting: {}% of {num_items} items", 25 * quarter);
                    observer.on(&Event::Stage(text));
                }
            })
            .context("the Gram matrix has no inverse in float32: raise model.regularization")?;
        Ok(matrix)
    }
}

impl ModelSpec for Ease {
    fn footprint(&self, work: &Workload<'_>) -> Footprint {
        let items = work.items();
        if self.candidates > 0 {
            let system = (self.candidates * self.candidates) as u64 * 8;
            let working = 16 * work.gram_entries() + work.threads as u64 * system;
            return work.item_weights(
                work.neighbor_entries(self.candidates),
                working,
                FEWER_CANDIDATES,
            );
        }
        let matrix = Symmetric::bytes(work.train.num_items);
        let kept = match self.top_weights {
            0 => matrix,
            top => items * (top as u64).min(items) * 8,
        };
        Footprint {
            parameters: kept,
            // Weights for the file, or what is left of the matrix while rows
            // are cut out of it.
            fitting: 2 * work.sparse()
                + if self.top_weights > 0 {
                    matrix + kept
                } else {
                    matrix
                },
            ranking: work.threads as u64 * items * 4 + work.tile(),
            on_device: 0,
            instead: FEWER_CANDIDATES,
        }
    }

    fn fit(&self, context: FitContext<'_>) -> Result<Fitted> {
        let train = context.data.train;
        let begun = Instant::now();
        let users = Sparse::from_interactions(train, false);
        let items = users.transposed(train.num_items);
        let model: Box<dyn Recommender> = if self.candidates > 0 {
            let columns = local::columns(&users, &items, self)?;
            Box::new(ItemWeights::from_columns(&columns))
        } else {
            let dense = Dense::new(self.invert(&users, &items, context.observer)?);
            match self.top_weights {
                0 => Box::new(dense),
                top => Box::new(dense.pruned(top)),
            }
        };
        context.observer.on(&Event::Stage(format!(
            "solved {} items in {:.3} s",
            train.num_items,
            begun.elapsed().as_secs_f64()
        )));
        Ok(Fitted::at_once(model))
    }

    fn load(
        &self,
        weights: &NamedTensors,
        data: ModelData<'_>,
        _device: &Device,
    ) -> Result<Box<dyn Recommender>> {
        if !self.is_dense() {
            return ItemWeights::loaded(weights, data);
        }
        let num_items = data.train.num_items;
        self.ensure_fits(num_items)?;
        Ok(Box::new(Dense::from_tensors(weights, num_items)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::interactions::Interactions;
    use crate::event::Silent;
    use crate::linalg::Cholesky;
    use crate::model::Query;
    use crate::seed::Seed;
    use crate::training::{MemorySink, TrainingConfig};

    const ITEMS: usize = 300;

    fn train() -> Interactions {
        let mut rng = Seed(8).stream("test");
        let mut train = Interactions {
            offsets: vec![0],
            num_items: ITEMS,
            ..Interactions::default()
        };
        for _ in 0..200 {
            let start = rng.below(ITEMS as u32);
            for _ in 0..12 {
                train.items.push((start + rng.below(40)) % ITEMS as u32);
            }
            train.offsets.push(train.items.len());
        }
        train
    }

    /// `B_ij = -P_ij / P_jj` in float64, row-major.
    fn reference(train: &Interactions, regularization: f64) -> Vec<f64> {
        let users = Sparse::from_interactions(train, false);
        let mut gram = vec![0.0; ITEMS * ITEMS];
        for u in 0..users.num_rows() {
            for &i in users.columns_of(u) {
                for &j in users.columns_of(u) {
                    gram[i as usize * ITEMS + j as usize] += 1.0;
                }
            }
        }
        for i in 0..ITEMS {
            gram[i * ITEMS + i] += regularization;
        }
        let factor = Cholesky::new(gram, ITEMS).unwrap();
        let mut weights = vec![0.0; ITEMS * ITEMS];
        for j in 0..ITEMS {
            let mut column = vec![0.0; ITEMS];
            column[j] = 1.0;
            factor.solve(&mut column);
            for i in (0..ITEMS).filter(|i| *i != j) {
                weights[i * ITEMS + j] = -column[i] / column[j];
            }
        }
        weights
    }

    fn fit(spec: &Ease, train: &Interactions) -> Box<dyn Recommender> {
        let context = FitContext {
            data: ModelData {
                train,
                user_features: None,
                item_features: None,
            },
            training: &TrainingConfig::default(),
            device: &Device::flex(),
            seed: Seed(0),
            observer: &mut Silent,
            validate: None,
            checkpoints: &mut MemorySink::default(),
        };
        spec.fit(context).unwrap().model
    }

    fn assert_scores(model: &dyn Recommender, weights: &[f64]) {
        let histories: [&[u32]; 3] = [&[7, 299, 7, 40], &[], &[128]];
        let queries = histories.map(|history| Query {
            history,
            ..Query::default()
        });
        let mut scores = vec![f32::NAN; 3 * ITEMS];
        model.score(&queries, &mut scores).unwrap();
        for (query, row) in queries.iter().zip(scores.chunks(ITEMS)) {
            let mut history = query.history.to_vec();
            history.sort_unstable();
            history.dedup();
            let pairs = model.score_pairs(&[*query; ITEMS], &(0..ITEMS as u32).collect::<Vec<_>>());
            for (j, (score, pair)) in row.iter().zip(pairs.unwrap()).enumerate() {
                let exact: f64 = history
                    .iter()
                    .map(|&i| weights[i as usize * ITEMS + j])
                    .sum();
                assert!(
                    (f64::from(*score) - exact).abs() < 2e-6,
                    "{j} {score} {exact}"
                );
                assert!((f64::from(pair) - exact).abs() < 2e-6, "{j} {pair} {exact}");
            }
        }
    }

    #[test]
    fn weights_are_those_of_the_closed_form() {
        let train = train();
        let spec = Ease {
            regularization: 3.0,
            ..Ease::default()
        };
        assert_scores(&*fit(&spec, &train), &reference(&train, 3.0));
    }

    #[test]
    fn with_all_items_as_candidates_the_solution_is_the_same() {
        let mut train = train();
        // Somebody with all items, so that each item shares a user with each.
        train.items.extend(0..ITEMS as u32);
        train.offsets.push(train.items.len());
        let spec = Ease {
            regularization: 3.0,
            candidates: ITEMS,
            ..Ease::default()
        };
        assert_scores(&*fit(&spec, &train), &reference(&train, 3.0));
    }

    /// One candidate: `b = G_ij / (G_ii + regularization)`.
    #[test]
    fn weights_come_from_the_candidates_only() {
        let train = Interactions {
            offsets: vec![0, 2, 4, 6],
            items: vec![0, 1, 0, 1, 0, 2],
            num_items: ITEMS,
            ..Interactions::default()
        };
        let spec = Ease {
            regularization: 3.0,
            candidates: 1,
            ..Ease::default()
        };
        let mut weights = vec![0.0; ITEMS * ITEMS];
        weights[ITEMS] = 2.0 / (2.0 + 3.0); // from 1 into 0
        weights[1] = 2.0 / (3.0 + 3.0); // from 0 into 1
        weights[2] = 1.0 / (3.0 + 3.0);
        let model = fit(&spec, &train);
        for history in [[0], [1]] {
            let query = Query {
                history: &history,
                ..Query::default()
            };
            let mut row = vec![f32::NAN; ITEMS];
            model.score(&[query], &mut row).unwrap();
            let expected = &weights[history[0] as usize * ITEMS..][..ITEMS];
            for (score, exact) in row.iter().zip(expected) {
                assert!((f64::from(*score) - exact).abs() < 1e-6, "{row:?}");
            }
        }
    }

    #[test]
    fn the_largest_weights_are_kept() {
        let train = train();
        let spec = Ease {
            regularization: 3.0,
            top_weights: 5,
            ..Ease::default()
        };
        let mut weights = reference(&train, 3.0);
        for j in 0..ITEMS {
            let mut order: Vec<usize> = (0..ITEMS).collect();
            let size = |i: &usize| weights[i * ITEMS + j].abs();
            order.sort_by(|a, b| size(b).total_cmp(&size(a)));
            for i in &order[5..] {
                weights[i * ITEMS + j] = 0.0;
            }
        }
        assert_scores(&*fit(&spec, &train), &weights);
    }

    #[test]
    fn a_regularization_of_zero_is_an_error() {
        let table: toml::Table = "regularization = 0".parse().unwrap();
        assert!((ENTRY.build)(table).is_err());
    }
}

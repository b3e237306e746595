//! Item-based nearest neighbors: an item is recommended for its similarity to
//! the items of the history.
//!
//! It is computed on the host, whatever the device.

use crate::data::interactions::Interactions;
use crate::footprint::{FEWER_NEIGHBORS, Footprint, Workload};
use crate::linalg::Sparse;
use crate::linalg::sparse::Sums;
use crate::model::{FitContext, Fitted, ModelData, ModelSpec, Recommender};
use crate::models::item_weights::{Column, ItemWeights};
use crate::models::similarity::{self, Measure, Similarity, Space};
use crate::models::{ModelEntry, params};
use crate::tensors::NamedTensors;
use anyhow::{Result, ensure};
use burn::tensor::Device;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub const ENTRY: ModelEntry = ModelEntry {
    name: "item_knn",
    summary: "items most similar (over users) to those of the history",
    citation: "Deshpande, Karypis: Item-Based Top-N Recommendation Algorithms, TOIS 2004; \
               Aiolli: Efficient Top-N Recommendation for Very Large Scale Binary Rated \
               Datasets, RecSys 2013",
    params: &[
        ("neighbors", "similar items that are kept of each item"),
        similarity::SIMILARITY,
        similarity::SHRINKAGE,
        (
            "weighted",
            "compare weights (ratings, counts) instead of whether there was an interaction",
        ),
        similarity::BM25_K1,
        similarity::BM25_B,
    ],
    gradient: false,
    defaults: params::defaults::<ItemKnn>,
    build: |table| {
        let spec: ItemKnn = params::parse(table)?;
        ensure!(spec.neighbors > 0, "neighbors = 0 must be at least 1");
        spec.measure().check()?;
        Ok(Box::new(spec))
    },
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ItemKnn {
    neighbors: usize,
    similarity: Similarity,
    shrinkage: f64,
    weighted: bool,
    bm25_k1: f64,
    bm25_b: f64,
}

impl Default for ItemKnn {
    fn default() -> Self {
        Self {
            neighbors: 100,
            similarity: Similarity::Cosine,
            shrinkage: 0.0,
            weighted: false,
            bm25_k1: similarity::K1,
            bm25_b: similarity::B,
        }
    }
}

impl ItemKnn {
    fn measure(&self) -> Measure {
        Measure {
            similarity: self.similarity,
            shrinkage: self.shrinkage,
            k1: self.bm25_k1,
            b: self.bm25_b,
        }
    }

    /// `score(u, j)` = sum of `sim(i, j)` over the distinct items `i` of the
    /// history that are among the nearest neighbors of `j`, as in RecBole's
    /// `ItemKNN`, where `W` keeps the largest entries of each column and scores
    /// are `R W`. Ties go to the lower item index.
    fn weights(&self, train: &Interactions) -> Result<ItemWeights> {
        ensure!(
            !self.weighted || train.weights.is_some(),
            "weighted = true needs a rating or weight column, which this data does not have: \
             set weighted = false"
        );
        let users = Sparse::from_interactions(train, self.weighted);
        let items = users.transposed(train.num_items);
        let space = Space::new(items, train.num_users(), self.measure());
        let users = space.rows.transposed(train.num_users());
        let columns: Vec<Column> = (0..train.num_items)
            .into_par_iter()
            .map_init(
                || Sums::new(train.num_items),
                |sums, j| {
                    sums.add_product(space.rows.row(j), &users);
                    let column = sums.drain().filter(|(i, _)| *i as usize != j);
                    space.nearest(space.size_of(j), column, self.neighbors)
                },
            )
            .collect();
        Ok(ItemWeights::from_columns(&columns))
    }
}

impl ModelSpec for ItemKnn {
    fn footprint(&self, work: &Workload<'_>) -> Footprint {
        let working = work.threads as u64 * work.items() * 17;
        work.item_weights(
            work.neighbor_entries(self.neighbors),
            working,
            FEWER_NEIGHBORS,
        )
    }

    fn fit(&self, context: FitContext<'_>) -> Result<Fitted> {
        Ok(self.weights(context.data.train)?.fitted())
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
    use crate::model::Query;

    /// Users {0, 1}, {0, 1}, {0, 2}: sim(0, 1) = 2 / sqrt(3 * 2),
    /// sim(0, 2) = 1 / sqrt(3), sim(1, 2) = 0.
    fn train() -> Interactions {
        Interactions {
            offsets: vec![0, 2, 4, 6],
            items: vec![0, 1, 1, 0, 0, 2],
            weights: Some(vec![1.0, 2.0, 1.0, 1.0, 3.0, 1.0]),
            num_items: 4,
            ..Interactions::default()
        }
    }

    fn scores(spec: &ItemKnn, history: &[u32]) -> Vec<f32> {
        let model = spec.weights(&train()).unwrap();
        let query = Query {
            history,
            ..Query::default()
        };
        let mut row = vec![f32::NAN; 4];
        model.score(&[query], &mut row).unwrap();
        let pairs = model.score_pairs(&[query; 4], &[0, 1, 2, 3]).unwrap();
        assert_eq!(row, pairs);
        row
    }

    fn near(a: &[f32], b: &[f64]) {
        for (x, y) in a.iter().zip(b) {
            assert!((f64::from(*x) - y).abs() < 1e-5, "{a:?} is not {b:?}");
        }
    }

    #[test]
    fn scores_sum_the_cosines_to_the_history() {
        let (s01, s02) = (2.0 / 6f64.sqrt(), 1.0 / 3f64.sqrt());
        near(&scores(&ItemKnn::default(), &[0]), &[0.0, s01, s02, 0.0]);
        near(
            &scores(&ItemKnn::default(), &[2, 1, 2]),
            &[s01 + s02, 0.0, 0.0, 0.0],
        );
        near(&scores(&ItemKnn::default(), &[]), &[0.0; 4]);
    }

    #[test]
    fn an_item_keeps_its_nearest_neighbors_only() {
        let spec = ItemKnn {
            neighbors: 1,
            ..ItemKnn::default()
        };
        // Item 0 keeps item 1, so a history of item 2 says nothing of it.
        near(&scores(&spec, &[2]), &[0.0; 4]);
        near(&scores(&spec, &[0])[2..3], &[1.0 / 3f64.sqrt()]);
    }

    #[test]
    fn shrinkage_and_weights_change_the_cosine() {
        let shrunk = ItemKnn {
            shrinkage: 1.0,
            ..ItemKnn::default()
        };
        near(&scores(&shrunk, &[0])[1..2], &[2.0 / (6f64.sqrt() + 1.0)]);
        let weighted = ItemKnn {
            weighted: true,
            ..ItemKnn::default()
        };
        // Item 0 is (1, 1, 3), item 1 is (2, 1, 0).
        near(
            &scores(&weighted, &[0])[1..2],
            &[3.0 / (11f64 * 5.0).sqrt()],
        );
    }

    #[test]
    fn weights_that_are_not_there_are_an_error() {
        let spec = ItemKnn {
            weighted: true,
            ..ItemKnn::default()
        };
        let train = Interactions {
            weights: None,
            ..train()
        };
        let error = spec.weights(&train).unwrap_err().to_string();
        assert!(error.contains("weighted = false"), "{error}");
    }

    #[test]
    fn the_phi_coefficient_is_the_correlation() {
        let pearson = ItemKnn {
            similarity: Similarity::Pearson,
            ..ItemKnn::default()
        };
        // Item 0 is (1, 1, 1): it does not vary. Items 1 and 2 are opposites.
        near(&scores(&pearson, &[0, 1, 2]), &[0.0; 4]);
        let mut train = train();
        train.items = vec![0, 1, 0, 1, 2, 3];
        let model = pearson.weights(&train).unwrap();
        assert!((model.weight(0, 1) - 1.0).abs() < 1e-5);
        assert!((model.weight(2, 3) - 1.0).abs() < 1e-5);
        assert_eq!(model.weight(0, 2), 0.0);
    }
}

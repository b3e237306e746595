//! Item-based nearest neighbors: an item is recommended for its similarity to
//! the items of the history.

mod neighbors;

use crate::model::{
    FitContext, Fitted, ModelData, ModelSpec, Query, Recommender, ScoreForm, SparseRow,
};
use crate::models::{ModelEntry, params};
use crate::tensors::NamedTensors;
use crate::training::TrainingSummary;
use anyhow::{Result, ensure};
use burn::tensor::Device;
use neighbors::Neighbors;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub const ENTRY: ModelEntry = ModelEntry {
    name: "item_knn",
    summary: "items most similar (cosine over users) to those of the history",
    citation: "Deshpande, Karypis: Item-Based Top-N Recommendation Algorithms, TOIS 2004; \
               Aiolli: Efficient Top-N Recommendation for Very Large Scale Binary Rated \
               Datasets, RecSys 2013",
    params: &[
        ("neighbors", "similar items that are kept of each item"),
        (
            "shrinkage",
            "added to the denominator of the cosine: large values trust similarities \
             over few users less",
        ),
        (
            "weighted",
            "take the cosine over weights (ratings, counts) instead of whether there was \
             an interaction",
        ),
    ],
    gradient: false,
    defaults: params::defaults::<ItemKnn>,
    build: |table| {
        let spec: ItemKnn = params::parse(table)?;
        ensure!(spec.neighbors > 0, "neighbors = 0 must be at least 1");
        ensure!(
            spec.shrinkage.is_finite() && spec.shrinkage >= 0.0,
            "shrinkage = {} must be 0 or more",
            spec.shrinkage
        );
        Ok(Box::new(spec))
    },
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ItemKnn {
    neighbors: usize,
    shrinkage: f64,
    weighted: bool,
}

impl Default for ItemKnn {
    fn default() -> Self {
        Self {
            neighbors: 100,
            shrinkage: 0.0,
            weighted: false,
        }
    }
}

/// `score(u, j)` = sum of `sim(i, j)` over the distinct items `i` of the
/// history that are among the nearest neighbors of `j`.
struct Fit {
    neighbors: Neighbors,
}

impl ModelSpec for ItemKnn {
    fn fit(&self, context: FitContext<'_>) -> Result<Fitted> {
        let neighbors = Neighbors::of(context.data.train, self)?;
        Ok(Fitted {
            model: Box::new(Fit { neighbors }),
            summary: TrainingSummary::default(),
        })
    }

    fn load(
        &self,
        weights: &NamedTensors,
        data: ModelData<'_>,
        _device: &Device,
    ) -> Result<Box<dyn Recommender>> {
        let neighbors = Neighbors::from_tensors(weights, data.train.num_items)?;
        Ok(Box::new(Fit { neighbors }))
    }
}

impl Fit {
    /// The history's distinct items in the order of their index, so that a
    /// sum does not depend on the order of the history.
    fn distinct(&self, query: &Query<'_>) -> Result<Vec<u32>> {
        let mut items = query.history.to_vec();
        items.sort_unstable();
        items.dedup();
        let num_items = self.num_items();
        ensure!(
            items.last().is_none_or(|&i| (i as usize) < num_items),
            "a history holds an item outside the catalog of {num_items} items"
        );
        Ok(items)
    }
}

impl Recommender for Fit {
    fn num_items(&self) -> usize {
        self.neighbors.num_items()
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<()> {
        let rows = scores.par_chunks_mut(self.num_items().max(1));
        queries.par_iter().zip(rows).try_for_each(|(query, row)| {
            row.fill(0.0);
            for item in self.distinct(query)? {
                let (similar, similarities) = self.neighbors.row(item);
                for (&j, &similarity) in similar.iter().zip(similarities) {
                    row[j as usize] += similarity;
                }
            }
            Ok(())
        })
    }

    fn score_pairs(&self, queries: &[Query<'_>], items: &[u32]) -> Result<Vec<f32>> {
        let pairs = queries.par_iter().zip(items);
        pairs
            .map(|(query, &item)| {
                let history = self.distinct(query)?;
                Ok(history.iter().fold(0.0, |sum, &i| {
                    sum + self.neighbors.similarity(i, item).unwrap_or(0.0)
                }))
            })
            .collect()
    }

    fn score_form(&self) -> Result<ScoreForm> {
        Ok(ScoreForm::Sparse)
    }

    fn sparse_scores(&self, query: &Query<'_>, row: &mut SparseRow) -> Result<()> {
        for item in self.distinct(query)? {
            let (similar, similarities) = self.neighbors.row(item);
            for (&j, &similarity) in similar.iter().zip(similarities) {
                row.add(j, similarity);
            }
        }
        Ok(())
    }

    fn weights(&self) -> Result<NamedTensors> {
        Ok(self.neighbors.to_tensors())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::interactions::Interactions;

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

    fn fit(spec: &ItemKnn, train: &Interactions) -> Fit {
        let neighbors = Neighbors::of(train, spec).unwrap();
        Fit { neighbors }
    }

    fn scores(spec: &ItemKnn, history: &[u32]) -> Vec<f32> {
        let model = fit(spec, &train());
        let query = Query {
            user: None,
            history,
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
        let error = Neighbors::of(&train, &spec).err().unwrap().to_string();
        assert!(error.contains("weighted = false"), "{error}");
    }

    #[test]
    fn an_item_outside_the_catalog_is_an_error() {
        let query = Query {
            user: None,
            history: &[4],
        };
        let model = fit(&ItemKnn::default(), &train());
        assert!(model.score(&[query], &mut [0.0; 4]).is_err());
    }
}

//! User-based nearest neighbors: an item is recommended because similar users
//! had it.
//!
//! It is computed on the host, whatever the device.

use crate::data::interactions::Interactions;
use crate::footprint::{Footprint, LESS_DATA, Workload};
use crate::linalg::Sparse;
use crate::linalg::sparse::Sums;
use crate::model::{
    FitContext, Fitted, ModelData, ModelSpec, Query, Recommender, ScoreForm, SparseRow,
};
use crate::models::item_weights::Column;
use crate::models::similarity::{self, Measure, Similarity, Space};
use crate::models::{ModelEntry, params};
use crate::tensors::NamedTensors;
use anyhow::{Result, ensure};
use burn::tensor::Device;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub const ENTRY: ModelEntry = ModelEntry {
    name: "user_knn",
    summary: "items of the users whose histories are most similar",
    citation: "Herlocker, Konstan, Borchers, Riedl: An Algorithmic Framework for Performing \
               Collaborative Filtering, SIGIR 1999; Aiolli: Efficient Top-N Recommendation for \
               Very Large Scale Binary Rated Datasets, RecSys 2013",
    params: &[
        ("neighbors", "similar users whose items count"),
        similarity::SIMILARITY,
        similarity::SHRINKAGE,
        similarity::BM25_K1,
        similarity::BM25_B,
    ],
    gradient: false,
    defaults: params::defaults::<UserKnn>,
    build: |table| {
        let spec: UserKnn = params::parse(table)?;
        ensure!(spec.neighbors > 0, "neighbors = 0 must be at least 1");
        spec.measure().check()?;
        Ok(Box::new(spec))
    },
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct UserKnn {
    neighbors: usize,
    similarity: Similarity,
    shrinkage: f64,
    bm25_k1: f64,
    bm25_b: f64,
}

impl Default for UserKnn {
    fn default() -> Self {
        Self {
            neighbors: 100,
            similarity: Similarity::Cosine,
            shrinkage: 0.0,
            bm25_k1: similarity::K1,
            bm25_b: similarity::B,
        }
    }
}

impl UserKnn {
    fn measure(&self) -> Measure {
        Measure {
            similarity: self.similarity,
            shrinkage: self.shrinkage,
            k1: self.bm25_k1,
            b: self.bm25_b,
        }
    }

    /// Nothing is computed ahead but weights: the model is the training data.
    fn model(&self, train: &Interactions) -> Fit {
        let users = Sparse::from_interactions(train, false);
        let space = Space::new(users, train.num_items, self.measure());
        Fit {
            by_item: space.rows.transposed(train.num_items),
            space,
            neighbors: self.neighbors,
        }
    }
}

/// `score(u, j)` = sum of `sim(u, v)` over those of the nearest neighbors `v`
/// of `u` that have `j`. The history of the query is compared, whoever it is
/// of; a known user is no neighbor of its own.
struct Fit {
    space: Space,
    /// Items x users.
    by_item: Sparse,
    neighbors: usize,
}

impl ModelSpec for UserKnn {
    fn footprint(&self, work: &Workload<'_>) -> Footprint {
        Footprint {
            parameters: 2 * work.sparse(),
            fitting: work.sparse(),
            ranking: work.threads as u64 * (work.users() + work.items()) * 9 + work.tile(),
            on_device: 0,
            instead: LESS_DATA,
        }
    }

    fn fit(&self, context: FitContext<'_>) -> Result<Fitted> {
        Ok(Fitted::at_once(Box::new(self.model(context.data.train))))
    }

    fn load(
        &self,
        weights: &NamedTensors,
        data: ModelData<'_>,
        _device: &Device,
    ) -> Result<Box<dyn Recommender>> {
        let model = self.model(data.train);
        ensure!(
            weights.i64(SIZES)? == model.sizes(),
            "the model belongs to other training data: `{SIZES}` are {:?}, not {:?}",
            weights.i64(SIZES)?,
            model.sizes()
        );
        Ok(Box::new(model))
    }
}

/// Users, items and distinct pairs of the training data.
const SIZES: &str = "sizes";

impl Fit {
    fn sizes(&self) -> [i64; 3] {
        let (users, items) = (self.space.rows.num_rows(), self.by_item.num_rows());
        [users as i64, items as i64, self.by_item.len() as i64]
    }

    /// Users and similarities.
    fn nearest(&self, query: &Query<'_>, sums: &mut Sums) -> Result<Column> {
        let history = query.distinct_items(self.num_items())?;
        let length = history.len() as f64;
        let weigh = |item: &u32| self.space.weigh(*item, 1.0, length);
        let weights: Vec<f32> = history.iter().map(weigh).collect();
        let entries = history.iter().copied().zip(weights.iter().copied());
        sums.add_product(entries, &self.by_item);
        let own = query.user.map(|user| user.0);
        let others = sums.drain().filter(|(user, _)| Some(*user) != own);
        let size = self.space.size(&weights);
        Ok(self.space.nearest(size, others, self.neighbors))
    }

    fn sums(&self) -> Sums {
        Sums::new(self.space.rows.num_rows())
    }
}

impl Recommender for Fit {
    fn num_items(&self) -> usize {
        self.by_item.num_rows()
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<()> {
        let rows = scores.par_chunks_mut(self.num_items().max(1));
        queries
            .par_iter()
            .zip(rows)
            .map_init(
                || self.sums(),
                |sums, (query, row)| {
                    row.fill(0.0);
                    for (user, similarity) in self.nearest(query, sums)? {
                        for &item in self.space.rows.columns_of(user as usize) {
                            row[item as usize] += similarity;
                        }
                    }
                    Ok(())
                },
            )
            .collect()
    }

    fn score_form(&self) -> Result<ScoreForm> {
        Ok(ScoreForm::Sparse)
    }

    fn sparse_scores(&self, query: &Query<'_>, row: &mut SparseRow) -> Result<()> {
        for (user, similarity) in self.nearest(query, &mut self.sums())? {
            for &item in self.space.rows.columns_of(user as usize) {
                row.add(item, similarity);
            }
        }
        Ok(())
    }

    fn weights(&self) -> Result<NamedTensors> {
        let mut named = NamedTensors::default();
        named.insert_i64(SIZES, self.sizes().to_vec());
        Ok(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::UserIdx;

    /// Users {0, 1}, {0, 1, 2}, {0, 3}, {3, 4}.
    fn train() -> Interactions {
        Interactions {
            offsets: vec![0, 2, 5, 7, 9],
            items: vec![0, 1, 2, 0, 1, 0, 3, 3, 4],
            num_items: 5,
            ..Interactions::default()
        }
    }

    fn scores(spec: &UserKnn, query: Query<'_>) -> Vec<f32> {
        let mut row = vec![f32::NAN; 5];
        spec.model(&train()).score(&[query], &mut row).unwrap();
        row
    }

    fn near(a: &[f32], b: &[f64]) {
        for (x, y) in a.iter().zip(b) {
            assert!((f64::from(*x) - y).abs() < 1e-5, "{a:?} is not {b:?}");
        }
    }

    #[test]
    fn scores_sum_the_similarities_of_the_users_who_have_an_item() {
        let query = Query {
            history: &[1, 0, 1],
            ..Query::default()
        };
        let (s0, s1, s2) = (1.0, 2.0 / 6f64.sqrt(), 0.5);
        let all = [s0 + s1 + s2, s0 + s1, s1, s2, 0.0];
        near(&scores(&UserKnn::default(), query), &all);
        let two = UserKnn {
            neighbors: 2,
            ..UserKnn::default()
        };
        near(&scores(&two, query), &[s0 + s1, s0 + s1, s1, 0.0, 0.0]);
    }

    #[test]
    fn a_known_user_is_no_neighbor_of_its_own() {
        let query = Query {
            user: Some(UserIdx(0)),
            history: &[1, 0],
            ..Query::default()
        };
        let (s1, s2) = (2.0 / 6f64.sqrt(), 0.5);
        near(
            &scores(&UserKnn::default(), query),
            &[s1 + s2, s1, s1, s2, 0.0],
        );
    }

    #[test]
    fn rare_items_count_more_under_tf_idf() {
        let spec = UserKnn {
            similarity: Similarity::TfIdf,
            ..UserKnn::default()
        };
        let query = Query {
            history: &[0, 4],
            ..Query::default()
        };
        // Item 0 is with three of four users, so that it counts nothing.
        let (three, four) = ((4f64 / 3.0).ln(), 2f64.ln());
        let similarity = four / three.hypot(four);
        near(
            &scores(&spec, query),
            &[0.0, 0.0, 0.0, similarity, similarity],
        );
    }
}

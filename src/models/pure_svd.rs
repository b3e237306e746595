//! PureSVD: histories folded into the leading singular vectors of the matrix
//! of interactions.
//!
//! It is computed on the host, whatever the device.

use crate::footprint::{Footprint, SMALLER_EMBEDDINGS, Workload};
use crate::linalg::{Sparse, svd};
use crate::model::{
    FitContext, Fitted, ItemVectors, ModelData, ModelSpec, Query, QueryVectors, Recommender,
    ScoreForm,
};
use crate::models::{ModelEntry, params};
use crate::tensors::NamedTensors;
use anyhow::{Result, ensure};
use burn::tensor::Device;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub const ENTRY: ModelEntry = ModelEntry {
    name: "pure_svd",
    summary: "histories projected onto the leading singular vectors of the interactions",
    citation: "Cremonesi, Koren, Turrin: Performance of Recommender Algorithms on Top-N \
               Recommendation Tasks, RecSys 2010",
    params: &[("embedding_dim", "singular vectors")],
    gradient: false,
    defaults: params::defaults::<PureSvd>,
    build: |table| {
        let spec: PureSvd = params::parse(table)?;
        ensure!(
            spec.embedding_dim > 0,
            "embedding_dim = 0 must be at least 1"
        );
        Ok(Box::new(spec))
    },
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PureSvd {
    embedding_dim: usize,
}

impl Default for PureSvd {
    fn default() -> Self {
        Self { embedding_dim: 64 }
    }
}

/// `score(u, j) = (r_u Q)_. q_j` with the right singular vectors `Q` of the
/// matrix of users and items, which holds 1 where there was an interaction.
/// The user's vector comes from the history alone.
struct Fit {
    num_items: usize,
    dim: usize,
    /// `num_items x dim`
    vectors: Vec<f32>,
}

const VECTORS: &str = "item_vectors";

impl ModelSpec for PureSvd {
    fn footprint(&self, work: &Workload<'_>) -> Footprint {
        let dim = (self.embedding_dim as u64).min(work.items());
        work.singular(dim, 4 * dim * work.items(), SMALLER_EMBEDDINGS)
    }

    fn fit(&self, context: FitContext<'_>) -> Result<Fitted> {
        let num_items = context.data.train.num_items;
        let users = Sparse::from_interactions(context.data.train, false);
        let items = users.transposed(num_items);
        let mut rng = context.seed.stream("init");
        let found = svd::leading(&users, &items, self.embedding_dim, &mut rng);
        let model = Fit {
            num_items,
            dim: found.vectors.columns(),
            vectors: found.vectors.values(),
        };
        Ok(Fitted::at_once(Box::new(model)))
    }

    fn load(
        &self,
        weights: &NamedTensors,
        data: ModelData<'_>,
        _device: &Device,
    ) -> Result<Box<dyn Recommender>> {
        let num_items = data.train.num_items;
        let (dim, vectors) = singular_vectors(weights, VECTORS, num_items)?;
        Ok(Box::new(Fit {
            num_items,
            dim,
            vectors,
        }))
    }
}

/// The singular vectors of the items as they were saved, and how many were
/// found: fewer than asked for where there are not as many.
///
/// # Errors
/// A tensor that is missing or of another catalog.
pub(super) fn singular_vectors(
    weights: &NamedTensors,
    name: &str,
    num_items: usize,
) -> Result<(usize, Vec<f32>)> {
    let shape = weights.tensors.get(name).map(|t| &t.shape[..]);
    let dim = match shape {
        Some([rows, dim]) if *rows == num_items => *dim,
        other => anyhow::bail!("tensor `{name}` of {num_items} items has the shape {other:?}"),
    };
    let vectors = weights.f32(name, &[num_items, dim])?;
    Ok((dim, vectors.to_vec()))
}

impl Fit {
    fn row(&self, item: u32) -> &[f32] {
        &self.vectors[item as usize * self.dim..][..self.dim]
    }

    fn user_vector(&self, query: &Query<'_>) -> Result<Vec<f32>> {
        let mut sum = vec![0.0; self.dim];
        for item in query.distinct_items(self.num_items)? {
            for (sum, value) in sum.iter_mut().zip(self.row(item)) {
                *sum += value;
            }
        }
        Ok(sum)
    }
}

impl Recommender for Fit {
    fn num_items(&self) -> usize {
        self.num_items
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<()> {
        let rows = scores.par_chunks_mut(self.num_items.max(1));
        queries.par_iter().zip(rows).try_for_each(|(query, row)| {
            let user = self.user_vector(query)?;
            for (score, item) in row.iter_mut().zip(self.vectors.chunks_exact(self.dim)) {
                *score = user.iter().zip(item).map(|(a, b)| a * b).sum();
            }
            Ok(())
        })
    }

    fn score_pairs(&self, queries: &[Query<'_>], items: &[u32]) -> Result<Vec<f32>> {
        let pairs = queries.par_iter().zip(items);
        pairs
            .map(|(query, &item)| {
                let user = self.user_vector(query)?;
                Ok(user.iter().zip(self.row(item)).map(|(a, b)| a * b).sum())
            })
            .collect()
    }

    fn score_form(&self) -> Result<ScoreForm> {
        Ok(ScoreForm::InnerProducts(ItemVectors {
            dim: self.dim,
            vectors: self.vectors.clone(),
            biases: None,
        }))
    }

    fn query_vectors(&self, queries: &[Query<'_>]) -> Result<QueryVectors> {
        let vectors = queries.par_iter().map(|query| self.user_vector(query));
        let vectors: Vec<Vec<f32>> = vectors.collect::<Result<_>>()?;
        Ok(QueryVectors {
            vectors: vectors.concat(),
            offsets: vec![0.0; queries.len()],
        })
    }

    fn weights(&self) -> Result<NamedTensors> {
        let mut named = NamedTensors::default();
        let shape = [self.num_items, self.dim];
        named.insert_f32(VECTORS, &shape, self.vectors.clone());
        Ok(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::interactions::Interactions;
    use crate::event::Silent;
    use crate::kernels::eigen::eigen;
    use crate::seed::Seed;
    use crate::training::{MemorySink, TrainingConfig};

    /// Against `r Q Q'` with the eigenvectors of `R' R` in float64.
    #[test]
    fn scores_are_the_projection_of_the_history() {
        let train = Interactions {
            offsets: vec![0, 3, 5, 8, 9, 11],
            items: vec![0, 1, 2, 0, 1, 1, 2, 3, 4, 3, 4],
            num_items: 5,
            ..Interactions::default()
        };
        let context = FitContext {
            data: ModelData {
                train: &train,
                user_features: None,
                item_features: None,
            },
            training: &TrainingConfig::default(),
            device: &Device::flex(),
            seed: Seed(3),
            observer: &mut Silent,
            validate: None,
            checkpoints: &mut MemorySink::default(),
        };
        let spec = PureSvd { embedding_dim: 2 };
        let model = spec.fit(context).unwrap().model;
        let mut gram = vec![0.0; 25];
        for user in train.offsets.windows(2) {
            for &i in &train.items[user[0]..user[1]] {
                for &j in &train.items[user[0]..user[1]] {
                    gram[i as usize * 5 + j as usize] += 1.0;
                }
            }
        }
        let exact = eigen(gram, 5);
        let query = Query {
            history: &[3, 0, 3],
            ..Query::default()
        };
        let mut row = [f32::NAN; 5];
        model.score(&[query], &mut row).unwrap();
        for (j, score) in row.iter().enumerate() {
            let part = |k: usize| {
                let q = &exact.vectors[k * 5..][..5];
                (q[0] + q[3]) * q[j]
            };
            let expected = part(0) + part(1);
            assert!((f64::from(*score) - expected).abs() < 1e-4, "{j}: {row:?}");
        }
    }
}

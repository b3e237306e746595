//! Predictions of ratings.

use super::TABLES;
use crate::kernels::simd::{self, Isa, Job, Lane, dot, flat};
use crate::kernels::svdpp::{Factors, Rated, add_implicit};
use crate::kernels::table::Table;
use crate::model::{ItemVectors, Query, QueryVectors, Recommender, ScoreForm};
use crate::models::pairwise::Scale;
use crate::tensors::NamedTensors;
use anyhow::Result;
use rayon::prelude::*;

/// The fitted model.
pub struct SvdPp {
    pub factors: Factors,
    /// The training items of each user.
    pub rated: Rated,
    scale: Scale,
    dim: usize,
}

/// A query's vector and bias, before the scale of the data.
struct Whole {
    vector: Vec<Lane>,
    bias: f32,
}

impl SvdPp {
    pub fn new(factors: Factors, rated: Rated, scale: Scale, dim: usize) -> Self {
        Self {
            factors,
            rated,
            scale,
            dim,
        }
    }

    fn whole(&self, query: &Query<'_>) -> Result<Whole> {
        let items = &self.factors.items;
        let mut vector = vec![Lane::ZERO; items.per_row()];
        let history;
        let (rated, bias) = match query.user {
            Some(user) => {
                vector.copy_from_slice(self.factors.users.row(user.0));
                let bias = self.factors.user_biases[user.0 as usize];
                (self.rated.of(user.0), bias)
            }
            None => {
                history = query.distinct_items(self.num_items())?;
                (&history[..], 0.0)
            }
        };
        simd::run(Implicit {
            table: &self.factors.implicit,
            rated,
            to: &mut vector,
        });
        Ok(Whole { vector, bias })
    }

    fn predict(&self, whole: &Whole, items: &[u32]) -> Vec<f32> {
        simd::run(Predict {
            factors: &self.factors,
            scale: self.scale,
            whole,
            items,
        })
    }
}

struct Implicit<'a> {
    table: &'a Table,
    rated: &'a [u32],
    to: &'a mut [Lane],
}

impl Job for Implicit<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        add_implicit::<S>(self.table, self.rated, self.to);
    }
}

struct Predict<'a> {
    factors: &'a Factors,
    scale: Scale,
    whole: &'a Whole,
    items: &'a [u32],
}

impl Job for Predict<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn call<S: Isa>(self) -> Vec<f32> {
        let one = |&item: &u32| {
            let product = dot::<S>(&self.whole.vector, self.factors.items.row(item));
            let bias = self.whole.bias + self.factors.item_biases[item as usize];
            self.scale.mean + self.scale.deviation * (product + bias)
        };
        self.items.iter().map(one).collect()
    }
}

impl Recommender for SvdPp {
    fn num_items(&self) -> usize {
        self.factors.item_biases.len()
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<()> {
        let all: Vec<u32> = (0..self.num_items() as u32).collect();
        let rows = scores.par_chunks_mut(self.num_items().max(1));
        queries.par_iter().zip(rows).try_for_each(|(query, row)| {
            row.copy_from_slice(&self.predict(&self.whole(query)?, &all));
            Ok(())
        })
    }

    /// Ratings are clipped to the range of the training data.
    fn score_pairs(&self, queries: &[Query<'_>], items: &[u32]) -> Result<Vec<f32>> {
        let mut predictions = Vec::with_capacity(items.len());
        let mut rest = items;
        for run in queries.chunk_by(|a, b| a.is_same(b)) {
            let (of_run, later) = rest.split_at(run.len());
            predictions.extend(self.predict(&self.whole(&run[0])?, of_run));
            rest = later;
        }
        for rating in &mut predictions {
            *rating = rating.clamp(self.scale.lowest, self.scale.highest);
        }
        Ok(predictions)
    }

    fn predicts_ratings(&self) -> bool {
        true
    }

    fn score_form(&self) -> Result<ScoreForm> {
        let deviation = self.scale.deviation;
        let biases = self.factors.item_biases.iter();
        Ok(ScoreForm::InnerProducts(ItemVectors {
            dim: self.dim,
            vectors: self.factors.items.take(0, self.dim),
            biases: Some(biases.map(|b| deviation * b).collect()),
        }))
    }

    fn query_vectors(&self, queries: &[Query<'_>]) -> Result<QueryVectors> {
        let wholes: Vec<Whole> = queries
            .par_iter()
            .map(|query| self.whole(query))
            .collect::<Result<_>>()?;
        let Scale {
            mean, deviation, ..
        } = self.scale;
        let numbers = wholes.iter().flat_map(|w| &flat(&w.vector)[..self.dim]);
        Ok(QueryVectors {
            vectors: numbers.map(|x| deviation * x).collect(),
            offsets: wholes.iter().map(|w| mean + deviation * w.bias).collect(),
        })
    }

    fn weights(&self) -> Result<NamedTensors> {
        let mut weights = NamedTensors::default();
        let Factors {
            users,
            items,
            implicit,
            user_biases,
            item_biases,
        } = &self.factors;
        for (name, table) in TABLES.into_iter().zip([users, items, implicit]) {
            let values = table.take(0, self.dim);
            weights.insert_f32(name, &[values.len() / self.dim, self.dim], values);
        }
        for (name, biases) in [("user_bias", user_biases), ("item_bias", item_biases)] {
            weights.insert_f32(name, &[biases.len(), 1], biases.clone());
        }
        self.scale.store(&mut weights);
        Ok(weights)
    }
}

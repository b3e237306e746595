//! The contracts between models and everything around them.

use crate::data::features::FeatureTable;
use crate::data::interactions::Interactions;
use crate::event::Observer;
use crate::ids::UserIdx;
use crate::seed::Seed;
use crate::tensors::NamedTensors;
use crate::training::{CheckpointSink, TrainingConfig, TrainingSummary};
use anyhow::Result;
use burn::tensor::Device;
use std::collections::BTreeMap;

/// Somebody to recommend to: a known user, a new one with a history, or both.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Present when the user had training interactions.
    pub user: Option<UserIdx>,
    /// Dense item indices in time order, the latest last.
    pub history: &'a [u32],
}

impl Query<'_> {
    /// Whether both are the very same query (one history in memory), as in a
    /// run of pairs of one user.
    pub fn is_same(&self, other: &Query<'_>) -> bool {
        self.user == other.user && std::ptr::eq(self.history, other.history)
    }
}

/// Something that scores items for queries: every fitted model.
pub trait Recommender: Send + Sync {
    /// The catalog size: the width of a score row.
    fn num_items(&self) -> usize;

    /// Scores the whole catalog for each query; `scores` is row-major,
    /// `queries.len() x num_items`. Higher is better, all finite.
    ///
    /// # Errors
    /// A query that the model cannot serve, with what to use instead.
    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<()>;

    /// Scores the given `(query, item)` pairs only. Pairs of one query stand
    /// next to each other; without an implementation of its own, a model
    /// scores the whole catalog once for each such run.
    ///
    /// # Errors
    /// As [`Self::score`].
    fn score_pairs(&self, queries: &[Query<'_>], items: &[u32]) -> Result<Vec<f32>> {
        let mut row = vec![0.0; self.num_items()];
        let mut scored: Option<&Query<'_>> = None;
        let mut pairs = Vec::with_capacity(items.len());
        for (query, &item) in queries.iter().zip(items) {
            if !scored.is_some_and(|last| last.is_same(query)) {
                self.score(std::slice::from_ref(query), &mut row)?;
                scored = Some(query);
            }
            pairs.push(row[item as usize]);
        }
        Ok(pairs)
    }

    /// Whether scores are ratings on the scale of the data, so that RMSE and
    /// MAE mean something.
    fn predicts_ratings(&self) -> bool {
        false
    }

    /// `Err` says why a query without a known user cannot be served, and what
    /// to use instead.
    fn serves_new_users(&self) -> Result<()> {
        Ok(())
    }

    /// User and item vectors where the score is their inner product (plus an
    /// item bias): what nearest-neighbor indexes and exports work on.
    fn factors(&self) -> Option<Factors> {
        None
    }

    /// All that [`ModelSpec::load`] needs to make this model again.
    fn weights(&self) -> Result<NamedTensors>;
}

/// `score(u, i) = user_vectors[u] . item_vectors[i] + item_biases[i]`, up to
/// a term that depends on the user alone.
#[derive(Clone, Debug)]
pub struct Factors {
    pub dim: usize,
    /// `num_users x dim`
    pub user_vectors: Vec<f32>,
    /// `num_items x dim`
    pub item_vectors: Vec<f32>,
    pub item_biases: Option<Vec<f32>>,
}

/// What a model may know of the data, at training and when it is loaded.
#[derive(Clone, Copy)]
pub struct ModelData<'a> {
    pub train: &'a Interactions,
    pub user_features: Option<&'a FeatureTable>,
    pub item_features: Option<&'a FeatureTable>,
}

/// Computes validation metrics of a model as it stands, by metric name.
pub type Validate<'a> = dyn FnMut(&dyn Recommender) -> Result<BTreeMap<String, f64>> + 'a;

/// What is around a model while it is fitted.
pub struct FitContext<'a> {
    pub data: ModelData<'a>,
    pub training: &'a TrainingConfig,
    pub device: &'a Device,
    pub seed: Seed,
    pub observer: &'a mut dyn Observer,
    /// Absent when there is no validation part.
    pub validate: Option<&'a mut Validate<'a>>,
    /// Where checkpoints go and come from.
    pub checkpoints: &'a mut dyn CheckpointSink,
}

/// A fitted model, with its best weights in place.
pub struct Fitted {
    pub model: Box<dyn Recommender>,
    pub summary: TrainingSummary,
}

/// A model by name with its parameters, not yet fitted.
pub trait ModelSpec: Send + Sync {
    /// Trains from scratch, or goes on from the checkpoint in
    /// `context.checkpoints`.
    ///
    /// # Errors
    /// Data that the model cannot use, NaN losses, a failing checkpoint.
    fn fit(&self, context: FitContext<'_>) -> Result<Fitted>;

    /// Makes the fitted model again from its weights.
    ///
    /// # Errors
    /// Weights that do not belong to this model and data.
    fn load(
        &self,
        weights: &NamedTensors,
        data: ModelData<'_>,
        device: &Device,
    ) -> Result<Box<dyn Recommender>>;
}

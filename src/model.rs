//! The contracts between models and everything around them.

use crate::data::features::FeatureTable;
use crate::data::interactions::Interactions;
use crate::data::times::TimesView;
use crate::event::Observer;
use crate::footprint::{Footprint, Workload};
use crate::ids::UserIdx;
use crate::kernels::top_k::{List, Masks};
use crate::seed::Seed;
use crate::tensors::NamedTensors;
use crate::training::{CheckpointSink, TrainingConfig, TrainingSummary};
use anyhow::{Result, bail, ensure};
use burn::tensor::Device;
use std::collections::BTreeMap;

/// Somebody to recommend to: a known user, a new one with a history, or both.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<'a> {
    /// Present when the user had training interactions.
    pub user: Option<UserIdx>,
    /// Dense item indices in time order, the latest last.
    pub history: &'a [u32],
    /// Unix seconds of each of them, where they are known.
    pub times: Option<TimesView<'a>>,
    /// Unix seconds of the request, where they are known. For models that say
    /// so: others would see how far the future is.
    pub at: Option<i64>,
    /// Whose features count: also a user without training interactions has
    /// some. Absent for a history without a user.
    pub profile: Option<UserIdx>,
}

impl Query<'_> {
    /// Whether both are the very same query (one history in memory), as in a
    /// run of pairs of one user.
    pub fn is_same(&self, other: &Query<'_>) -> bool {
        self.user == other.user && std::ptr::eq(self.history, other.history)
    }

    /// The history's distinct items in the order of their index, so that what
    /// is summed over them does not depend on the order of the history.
    ///
    /// # Errors
    /// An item outside the catalog.
    pub fn distinct_items(&self, num_items: usize) -> Result<Vec<u32>> {
        let items = distinct(self.history);
        ensure!(
            items.last().is_none_or(|&i| (i as usize) < num_items),
            "a history holds an item outside the catalog of {num_items} items"
        );
        Ok(items)
    }
}

/// Distinct items, ascending.
pub fn distinct(history: &[u32]) -> Vec<u32> {
    let mut items = history.to_vec();
    items.sort_unstable();
    items.dedup();
    items
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

    /// Whether scores are log-odds of a click, so that log loss means
    /// something.
    fn predicts_clicks(&self) -> bool {
        false
    }

    /// Whether scores depend on [`Query::at`].
    fn knows_request_time(&self) -> bool {
        false
    }

    /// `Err` says why a query without a known user cannot be served, and what
    /// to use instead.
    fn serves_new_users(&self) -> Result<()> {
        Ok(())
    }

    /// How scores come about, where ranking can gain from knowing it.
    ///
    /// # Errors
    /// A device that fails.
    fn score_form(&self) -> Result<ScoreForm> {
        Ok(ScoreForm::Rows)
    }

    /// The queries' side of [`ScoreForm::InnerProducts`].
    ///
    /// # Errors
    /// As [`Self::score`].
    fn query_vectors(&self, _: &[Query<'_>]) -> Result<QueryVectors> {
        bail!("the scores of this model are not inner products")
    }

    /// The scores of a query under [`ScoreForm::Sparse`]; `row` is all zero.
    ///
    /// # Errors
    /// As [`Self::score`].
    fn sparse_scores(&self, _: &Query<'_>, _: &mut SparseRow) -> Result<()> {
        bail!("the scores of this model are not sparse")
    }

    /// The lists of [`ScoreForm::OnDevice`]: for each query the `k` best items
    /// that the masks leave.
    ///
    /// # Errors
    /// As [`Self::score`].
    fn pick_best(&self, _: &[Query<'_>], _: Masks<'_>, _: usize) -> Result<Vec<List>> {
        bail!("the scores of this model are not on a device that ranks")
    }

    /// All that [`ModelSpec::load`] needs to make this model again.
    fn weights(&self) -> Result<NamedTensors>;
}

/// How a model's scores come about.
#[derive(Clone, Debug)]
pub enum ScoreForm {
    /// Row by row, from [`Recommender::score`].
    Rows,
    /// `score(q, i) = query_vectors[q] . item_vectors[i] + item_biases[i] +
    /// query_offsets[q]`: what nearest-neighbor indexes and exports work on,
    /// too.
    InnerProducts(ItemVectors),
    /// Most are zero; [`Recommender::sparse_scores`] gives the others.
    Sparse,
    /// The same row for every query.
    Shared(Vec<f32>),
    /// On a GPU that chooses the best of them, too ([`Recommender::pick_best`]).
    OnDevice,
}

/// The items' side of [`ScoreForm::InnerProducts`].
#[derive(Clone, Debug)]
pub struct ItemVectors {
    pub dim: usize,
    /// `num_items x dim`
    pub vectors: Vec<f32>,
    pub biases: Option<Vec<f32>>,
}

/// The queries' side of [`ScoreForm::InnerProducts`].
#[derive(Clone, Debug)]
pub struct QueryVectors {
    /// `queries x dim`
    pub vectors: Vec<f32>,
    /// One for each query.
    pub offsets: Vec<f32>,
}

/// A row of scores that are zero where nothing was added, and the items where
/// something was. Used over and over, so that a row costs what it holds and
/// not what the catalog holds.
#[derive(Clone, Debug)]
pub struct SparseRow {
    scores: Vec<f32>,
    present: Vec<bool>,
    items: Vec<u32>,
}

impl SparseRow {
    pub fn new(num_items: usize) -> Self {
        Self {
            scores: vec![0.0; num_items],
            present: vec![false; num_items],
            items: Vec::new(),
        }
    }

    pub fn add(&mut self, item: u32, amount: f32) {
        let place = item as usize;
        self.scores[place] += amount;
        if !self.present[place] {
            self.present[place] = true;
            self.items.push(item);
        }
    }

    /// Items that something was added to, and their scores, in no order.
    pub fn entries(&self) -> impl Iterator<Item = (u32, f32)> + '_ {
        let score = |&item: &u32| (item, self.scores[item as usize]);
        self.items.iter().map(score)
    }

    pub fn contains(&self, item: u32) -> bool {
        self.present[item as usize]
    }

    /// Back to all zero.
    pub fn clear(&mut self) {
        for item in self.items.drain(..) {
            self.scores[item as usize] = 0.0;
            self.present[item as usize] = false;
        }
    }
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

impl Fitted {
    /// A model that took no epochs.
    pub fn at_once(model: Box<dyn Recommender>) -> Self {
        Self {
            model,
            summary: TrainingSummary::default(),
        }
    }
}

/// A model by name with its parameters, not yet fitted.
pub trait ModelSpec: Send + Sync {
    /// What the model will take of memory, known before any of it is made.
    fn footprint(&self, work: &Workload<'_>) -> Footprint;

    /// Trains from scratch, or goes on from the checkpoint in
    /// `context.checkpoints`.
    ///
    /// # Errors
    /// Data that the model cannot use, NaN losses, a failing checkpoint.
    fn fit(&self, context: FitContext<'_>) -> Result<Fitted>;

    /// Keys of `[training]` that change nothing for this model with these
    /// parameters, where it is trained in epochs.
    fn unused_training_keys(&self) -> Vec<String> {
        Vec::new()
    }

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

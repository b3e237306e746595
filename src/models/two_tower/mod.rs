//! Two towers: an MLP over what is known of a user and one over what is known
//! of an item; the score is the inner product of what comes out.
//!
//! Yi et al., "Sampling-bias-corrected neural modeling for large corpus item
//! recommendations", RecSys 2019: in-batch softmax (eq. 4) over scores with a
//! temperature, less the log-probability of an item to be in the batch (eq. 5),
//! both sides normalized (section 5). There a stream is estimated to tell that
//! probability; here the training interactions are at hand and are counted
//! (their share, of which all items take the same multiple in a batch). Other
//! positives of a user are no negatives, and rewards are all 1.
//!
//! A user is the mean of learned vectors of the history, and features; there is
//! no user id, so that somebody new is served like anybody else. While it is
//! learned, the history is all interactions of the user but the one that is to
//! be found, the latest where there are too many. An item is its id and
//! features; one without training interactions has the embedding of an unknown
//! id, which `id_dropout` trains, and its own features.

mod recommender;
mod task;
#[cfg(test)]
mod tests;
mod towers;

use super::ModelEntry;
use super::autoencoder::Init;
use super::features::{Embedder, Start, check, params, side::Side, user_counts};
use super::pairwise::{Examples, InBatch, ensure_params_fit};
use crate::footprint::{Footprint, SMALLER_EMBEDDINGS, Workload};
use crate::model::{FitContext, Fitted, ModelData, ModelSpec, Recommender};
use crate::params::load_all;
use crate::sampling::{NegativeSampler, NegativeSampling};
use crate::seed::Seed;
use crate::tape::Updates;
use crate::tensors::NamedTensors;
use crate::training;
use anyhow::{Result, ensure};
use burn::tensor::Device;
use recommender::TwoTower;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use task::Task;
use towers::Towers;

pub const ENTRY: ModelEntry = ModelEntry {
    name: "two_tower",
    summary: "two-tower retrieval over history and features: in-batch softmax with logQ correction; serves new users and items",
    citation: "Yi et al., Sampling-bias-corrected neural modeling for large corpus item recommendations, RecSys 2019",
    params: &[
        params::EMBEDDING_DIM,
        ("output_dim", "width of what comes out of a tower"),
        ("hidden", "widths of the hidden layers of each tower"),
        params::DROPOUT,
        (
            "history_length",
            "latest items of a user that make the history",
        ),
        ("features", "whether features are fields"),
        (
            "id_dropout",
            "probability of training an item without its id",
        ),
        ("normalize", "whether vectors have length 1"),
        ("temperature", "divides scores before the softmax"),
        (
            "logq_correction",
            "corrects in-batch negatives for their popularity",
        ),
        params::REGULARIZATION,
        params::INIT_DEVIATION,
    ],
    gradient: true,
    defaults: super::params::defaults::<Params>,
    build: |table| {
        let params: Params = super::params::parse(table)?;
        params.validate()?;
        Ok(Box::new(params))
    },
};

/// Parameters of `two_tower`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    pub embedding_dim: usize,
    pub output_dim: usize,
    pub hidden: Vec<usize>,
    pub dropout: f64,
    pub history_length: usize,
    pub features: bool,
    pub id_dropout: f64,
    pub normalize: bool,
    pub temperature: f64,
    pub logq_correction: bool,
    pub regularization: f64,
    pub init_deviation: f64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            embedding_dim: 64,
            output_dim: 64,
            hidden: vec![128],
            dropout: 0.0,
            history_length: 100,
            features: true,
            id_dropout: 0.0,
            normalize: true,
            temperature: 0.1,
            logq_correction: true,
            regularization: 0.0,
            init_deviation: 0.05,
        }
    }
}

impl Params {
    fn validate(&self) -> Result<()> {
        check(&self.hidden, self.dropout)?;
        let widths = [
            ("embedding_dim", self.embedding_dim),
            ("output_dim", self.output_dim),
            ("history_length", self.history_length),
        ];
        for (key, value) in widths {
            ensure!(value > 0, "`{key}` must be at least 1");
        }
        ensure!(
            (0.0..1.0).contains(&self.id_dropout),
            "`id_dropout` must lie in [0, 1)"
        );
        for (key, value) in [
            ("temperature", self.temperature),
            ("init_deviation", self.init_deviation),
        ] {
            ensure!(value > 0.0, "`{key}` must be above 0");
        }
        ensure!(
            self.regularization >= 0.0,
            "`regularization` must not be negative"
        );
        Ok(())
    }

    /// To be trained, or without a seed all zero, to be loaded.
    fn towers(&self, data: ModelData<'_>, seed: Option<Seed>, device: &Device) -> Towers {
        let train = data.train;
        let features = |table| if self.features { table } else { None };
        let users = Side::new(false, features(data.user_features), &user_counts(train));
        let counts = train.item_counts();
        let items = Side::new(true, features(data.item_features), &counts);
        let in_histories: Vec<bool> = counts.iter().map(|&count| count > 0).collect();
        let start = Start {
            seed,
            deviation: self.init_deviation,
            hides_ids: self.id_dropout > 0.0,
            device,
        };
        Towers::new(
            self,
            Embedder::new("user", users, self.embedding_dim, start),
            Embedder::new("item", items, self.embedding_dim, start),
            start.table("history_embedding", &in_histories, self.embedding_dim),
            Init { seed, device },
        )
    }
}

impl ModelSpec for Params {
    /// Of the tables of items, which users are pooled from, too; those of
    /// feature columns are small beside them.
    fn footprint(&self, work: &Workload<'_>) -> Footprint {
        let (dim, batch) = (self.embedding_dim as u64, work.training.batch_size as u64);
        let wide = self.hidden.iter().sum::<usize>() + self.output_dim;
        let rows = (self.history_length as u64 + 4) * dim + 2 * wide as u64;
        // Forward and backward of rows and scores.
        let step = 4 * 4 * batch * (rows + batch);
        let mut footprint = work.trained(2 * work.items() * dim, step, SMALLER_EMBEDDINGS);
        footprint.fitting += 2 * work.sparse();
        footprint
    }

    fn fit(&self, context: FitContext<'_>) -> Result<Fitted> {
        let (train, config) = (context.data.train, context.training);
        ensure!(
            config.updates != Updates::Hogwild,
            "`training.updates = \"hogwild\"` is for model `mf`; use `rows`"
        );
        ensure!(
            !config.normalize_ratings,
            "`training.normalize_ratings` is for models of ratings"
        );
        let towers = self.towers(context.data, Some(context.seed), context.device);
        ensure_params_fit(towers.params(), context.device)?;
        let log = Arc::new(train.sorted_by_item());
        let sampler = NegativeSampler::new(log.clone(), NegativeSampling::Uniform, 0.0)?;
        let mut task = Task {
            examples: Examples::new(log, Some(sampler), 1),
            model: TwoTower::new(towers, train.num_items, context.device),
            in_batch: InBatch::new(train, self.logq_correction),
            params: self,
            train,
            config,
            seed: context.seed,
            epoch: 0,
        };
        let summary = training::fit(&mut task, context)?;
        Ok(Fitted {
            model: Box::new(task.model),
            summary,
        })
    }

    fn load(
        &self,
        weights: &NamedTensors,
        data: ModelData<'_>,
        device: &Device,
    ) -> Result<Box<dyn Recommender>> {
        let mut towers = self.towers(data, None, device);
        ensure_params_fit(towers.params(), device)?;
        load_all(towers.params_mut(), weights)?;
        let items = data.train.num_items;
        Ok(Box::new(TwoTower::new(towers, items, device)))
    }
}

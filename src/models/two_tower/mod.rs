//! Two towers: an MLP over what is known of a user and one over what is known
//! of an item; the score is the inner product of what comes out.
//!
//! Yi et al., "Sampling-bias-corrected neural modeling for large corpus item
//! recommendations", RecSys 2019: in-batch softmax (eq. 4) over scores with a
//! temperature, less the log-probability of an item to be in the batch (eq. 5),
//! both sides normalized (section 5). There a stream is estimated to tell that
//! probability; here the training interactions are at hand and are counted
//! (their share, of which all items take the same multiple in a batch). Other
//! positives of a user are no negatives, and rewards are all 1. Other losses
//! are those of [`crate::losses`], over sampled negatives or over the whole
//! catalog, which then goes through its tower in every step.
//!
//! A user is the mean of learned vectors of the history, and features; there is
//! no user id, so that somebody new is served like anybody else. While it is
//! learned, the history is all interactions of the user but the one that is to
//! be found, the latest where there are too many. An item is its id and
//! features; one without training interactions has the embedding of an unknown
//! id, which `id_dropout` trains, and its own features.

mod params;
mod recommender;
mod task;
#[cfg(test)]
mod tests;
mod towers;

use super::ModelEntry;
use super::autoencoder::Init;
use super::embeddings;
use super::features::{Embedder, Start, params as shared, side::Side, user_counts};
use super::pairwise::{Examples, InBatch, ensure_params_fit};
use crate::data::interactions::Interactions;
use crate::device;
use crate::footprint::{Footprint, SMALLER_EMBEDDINGS, Workload};
use crate::losses::Loss;
use crate::model::{FitContext, Fitted, ModelData, ModelSpec, Recommender};
use crate::params::load_all;
use crate::sampling::{NegativeSampler, NegativeSampling};
use crate::seed::Seed;
use crate::tensors::NamedTensors;
use crate::training::{self, TrainingConfig};
use anyhow::Result;
use burn::tensor::Device;
use params::Params;
use recommender::TwoTower;
use std::sync::Arc;
use task::Task;
use towers::Towers;

pub const ENTRY: ModelEntry = ModelEntry {
    name: "two_tower",
    summary: "two-tower retrieval over history and features: in-batch softmax with logQ correction, or other losses; serves new users and items",
    citation: "Yi et al., Sampling-bias-corrected neural modeling for large corpus item recommendations, RecSys 2019",
    params: &[
        shared::EMBEDDING_DIM,
        ("output_dim", "width of what comes out of a tower"),
        ("hidden", "widths of the hidden layers of each tower"),
        shared::DROPOUT,
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
        (
            "loss",
            "in_batch_softmax, or with sampled negatives bpr, bce, softmax, ccl (cosine contrastive \
             loss), or full_softmax (the catalog)",
        ),
        (
            "temperature",
            "divides scores before the loss, unless that is ccl",
        ),
        (
            "logq_correction",
            "corrects negatives of in_batch_softmax, and those that softmax draws by popularity, for \
             their popularity",
        ),
        (
            "margin",
            "ccl: cosines of negatives below it are as good as any",
        ),
        ("negative_weight", "ccl: weight of the negatives' mean"),
        shared::REGULARIZATION,
        shared::INIT_DEVIATION,
        embeddings::L1,
        embeddings::MAX_NORM,
        embeddings::NOISE,
        embeddings::DROPOUT,
    ],
    gradient: true,
    defaults: params::defaults,
    build: |table| Ok(Box::new(Params::parse(table)?)),
};

impl Params {
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

/// What the loss draws negatives by; none for the whole catalog, where users
/// with every item do no harm.
fn sampler(
    loss: Loss,
    log: &Arc<Interactions>,
    config: &TrainingConfig,
) -> Result<Option<NegativeSampler>> {
    let (sampling, alpha) = match loss {
        Loss::FullSoftmax => return Ok(None),
        // It is asked for positives alone.
        Loss::InBatchSoftmax => (NegativeSampling::Uniform, 0.0),
        _ => (config.negative_sampling, config.popularity_alpha),
    };
    NegativeSampler::new(log.clone(), sampling, alpha).map(Some)
}

impl ModelSpec for Params {
    fn unused_training_keys(&self) -> Vec<String> {
        self.objective().unused_training_keys()
    }

    /// Of the tables of items, which users are pooled from, too; those of
    /// feature columns are small beside them.
    fn footprint(&self, work: &Workload<'_>) -> Footprint {
        let (dim, batch) = (self.embedding_dim as u64, work.training.batch_size as u64);
        let wide = (self.hidden.iter().sum::<usize>() + self.output_dim) as u64;
        let item = 4 * dim + wide;
        let pair = self.history_length as u64 * dim + wide + item;
        let others = match self.loss {
            Loss::InBatchSoftmax => batch * batch,
            Loss::FullSoftmax => work.items() * (batch + item),
            _ => batch * work.training.negatives as u64 * item,
        };
        // Forward and backward of rows and scores.
        let step = 4 * 4 * (batch * pair + others);
        let mut footprint = work.trained(2 * work.items() * dim, step, SMALLER_EMBEDDINGS);
        footprint.fitting += 2 * work.sparse();
        footprint
    }

    fn fit(&self, context: FitContext<'_>) -> Result<Fitted> {
        let (train, config) = (context.data.train, context.training);
        self.check_training(config)?;
        if self.loss == Loss::FullSoftmax {
            let (batch, items) = (config.batch_size, train.num_items);
            let what = format!("the scores of `training.batch_size = {batch}` users");
            device::ensure_fits(context.device, &what, 4 * batch * items)?;
        }
        let mut towers = self.towers(context.data, Some(context.seed), context.device);
        ensure_params_fit(towers.params(), context.device)?;
        towers.keep_within(self.embeddings.max_norm);
        let log = Arc::new(train.sorted_by_item());
        let sampler = sampler(self.loss, &log, config)?;
        let by_popularity = config.negative_sampling == NegativeSampling::Popularity;
        let corrected = self.loss == Loss::Softmax && self.logq_correction && by_popularity;
        let expected = |sampler: &NegativeSampler| sampler.log_expected(config.negatives);
        let mut task = Task {
            log_expected: sampler.as_ref().filter(|_| corrected).map(expected),
            examples: Examples::new(log, sampler, config.negatives),
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

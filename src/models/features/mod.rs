//! What models of features share: a user and an item are fields, each with an
//! embedding; what differs is how a score comes of those ([`Head`]).
//!
//! Fields are the user's and the item's id and the columns of
//! `[data.user_features]` and `[data.item_features]`, less text: categories,
//! numbers (standardized over train, times an embedding), lists (the mean of
//! their members' embeddings). They learn clicks from labels (`log_loss`), or
//! preferences from interactions against sampled negatives.
//!
//! What regularizes embeddings takes the weight that a field has beside its
//! embedding with them.
//!
//! An item that training never saw is served by its features, beside the
//! embedding of an unknown id, which is learned where `id_dropout` takes ids
//! away. Otherwise it starts at zero, as does that of any category that is
//! nobody's in train; what then moves it are items without interactions that
//! are drawn as negatives. A user is served by history and features, as
//! [`recommender`] says.

mod embedder;
mod mlp;
mod network;
mod recommender;
pub mod side;
mod task;
#[cfg(test)]
pub mod tests;

pub use embedder::{Embedder, Start};
pub use mlp::{Mlp, check};
pub use network::{Head, Network, Split};

use super::autoencoder::Init;
use super::embeddings::Embeddings;
use super::pairwise::{Examples, ensure_params_fit};
use crate::data::interactions::Interactions;
use crate::device;
use crate::footprint::{Footprint, SMALLER_EMBEDDINGS, Workload};
use crate::model::{FitContext, Fitted, ModelData, ModelSpec, Recommender};
use crate::params::load_all;
use crate::sampling::NegativeSampler;
use crate::seed::{Rng, Seed};
use crate::tensors::NamedTensors;
use crate::training::{self, TrainingConfig};
use anyhow::{Context, Result, ensure};
use burn::tensor::Device;
use recommender::FeatureRecommender;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use side::Side;
use std::ops::Range;
use std::sync::Arc;
use task::FeatureTask;

/// What a model of features minimizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Log loss of clicks, against labels.
    #[serde(rename = "log_loss")]
    Clicks,
    /// Binary cross-entropy, positives against sampled negatives.
    #[default]
    Bce,
    /// Bayesian personalized ranking.
    Bpr,
    /// Softmax cross-entropy over the positive and sampled negatives.
    Softmax,
    /// Softmax cross-entropy over the whole catalog, for models whose scores
    /// of it are a product of matrices.
    FullSoftmax,
}

impl Loss {
    /// Whether `negatives` are drawn for it.
    fn samples_negatives(self) -> bool {
        matches!(self, Self::Bce | Self::Bpr | Self::Softmax)
    }

    /// Whether some of the target may be moved to other items.
    fn smooths(self) -> bool {
        matches!(self, Self::Bce | Self::Softmax | Self::FullSoftmax)
    }
}

/// Parameters that all models of features have.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Common {
    pub embedding_dim: usize,
    pub loss: Loss,
    pub features: bool,
    pub id_dropout: f64,
    pub regularization: f64,
    pub init_deviation: f64,
    /// Keys beside these, which other models share.
    #[serde(skip)]
    pub embeddings: Embeddings,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            embedding_dim: 16,
            loss: Loss::Bce,
            features: true,
            id_dropout: 0.0,
            regularization: 0.0,
            init_deviation: 0.05,
            embeddings: Embeddings::default(),
        }
    }
}

/// A model's own parameters, and the common ones beside them.
pub fn defaults<T: Default + Serialize>() -> toml::Table {
    let mut all = super::params::defaults::<T>();
    all.extend(super::params::defaults::<Common>());
    all.extend(super::params::defaults::<Embeddings>());
    all
}

/// Undoes what [`defaults`] does.
///
/// # Errors
/// As [`super::params::parse`], and for `loss = "ccl"`.
pub fn parse<T>(mut table: toml::Table) -> Result<(Common, T)>
where
    T: Default + Serialize + DeserializeOwned,
{
    let loss = table.get("loss").and_then(toml::Value::as_str);
    ensure!(
        loss != Some("ccl"),
        "`loss = \"ccl\"` is one of cosines, and sums over pairs of fields are none: use bce, bpr or \
         softmax, or model `two_tower`, which has features and cosines"
    );
    let all = defaults::<T>();
    let embeddings: Embeddings = super::params::take(&mut table, &all)?;
    let common: Common = super::params::take(&mut table, &all)?;
    let common = Common {
        embeddings,
        ..common
    };
    Ok((common, super::params::parse(table)?))
}

/// Their descriptions, for the tables of the models.
pub mod params {
    pub const EMBEDDING_DIM: (&str, &str) = ("embedding_dim", "width of a field's embedding");
    pub const LOSS: (&str, &str) = (
        "loss",
        "log_loss (clicks, by labels), or with sampled negatives bce, bpr, softmax",
    );
    pub const LOSS_OF_CATALOGS: (&str, &str) = (
        "loss",
        "log_loss (clicks, by labels), or with sampled negatives bce, bpr, softmax, or full_softmax \
         (the catalog)",
    );
    pub const FEATURES: (&str, &str) = ("features", "whether features are fields, beside the ids");
    pub const ID_DROPOUT: (&str, &str) = (
        "id_dropout",
        "probability of training an example without the user's id, and without the item's",
    );
    pub const REGULARIZATION: (&str, &str) = (
        "regularization",
        "L2 on the embeddings of a batch, per example",
    );
    pub const INIT_DEVIATION: (&str, &str) = (
        "init_deviation",
        "deviation of the normal that embeddings start from",
    );
    pub const HIDDEN: (&str, &str) = ("hidden", "widths of the MLP's layers");
    pub const DROPOUT: (&str, &str) = (
        "dropout",
        "probability of dropping an output of an MLP layer",
    );
}

impl Common {
    fn validate(&self) -> Result<()> {
        ensure!(self.embedding_dim > 0, "`embedding_dim` must be at least 1");
        ensure!(
            self.regularization >= 0.0,
            "`regularization` must not be negative"
        );
        ensure!(
            self.init_deviation > 0.0,
            "`init_deviation` must be above 0"
        );
        ensure!(
            (0.0..1.0).contains(&self.id_dropout),
            "`id_dropout` must lie in [0, 1)"
        );
        self.embeddings.check()
    }
}

/// A way from fields to a score, by its parameters.
pub trait HeadSpec: Send + Sync {
    /// Whether each field has a weight of its own beside its embedding, in the
    /// first column.
    const LINEAR: bool;

    /// Whether its [`Head::split`] gives something.
    const SPLITS: bool = false;

    /// For so many fields with embeddings of width `dim`.
    fn head(&self, fields: usize, dim: usize, init: Init<'_>) -> Box<dyn Head>;
}

/// A model of features, not yet fitted.
pub struct Spec<H> {
    common: Common,
    head: H,
}

impl<H: HeadSpec + 'static> Spec<H> {
    /// # Errors
    /// Names the parameter that is out of its range.
    pub fn boxed(common: Common, head: H) -> Result<Box<dyn ModelSpec>> {
        common.validate()?;
        ensure!(
            H::SPLITS || common.loss != Loss::FullSoftmax,
            "`loss = \"full_softmax\"` would take every user of a batch with every item through all \
             layers, far more than memory holds: use softmax with more `training.negatives`, or model \
             `fm` or `two_tower`"
        );
        Ok(Box::new(Self { common, head }))
    }

    /// To be trained, or without a seed all zero, to be loaded.
    fn network(&self, data: ModelData<'_>, seed: Option<Seed>, device: &Device) -> Network {
        let (common, train) = (&self.common, data.train);
        let dim = common.embedding_dim;
        let width = dim + usize::from(H::LINEAR);
        let start = Start {
            seed,
            deviation: common.init_deviation,
            hides_ids: common.id_dropout > 0.0,
            device,
        };
        let users = data.user_features.filter(|_| common.features);
        let items = data.item_features.filter(|_| common.features);
        let users = Side::new(true, users, &user_counts(train));
        let items = Side::new(true, items, &train.item_counts());
        let fields = users.fields() + items.fields();
        Network::new(
            Embedder::new("user", users, width, start),
            Embedder::new("item", items, width, start),
            self.head.head(fields, dim, Init { seed, device }),
            (common.regularization, common.embeddings),
            device,
        )
    }
}

/// Where a step draws which examples come without an id.
pub fn id_stream(
    seed: Seed,
    examples: &Examples,
    batch_size: usize,
    epoch: usize,
    places: &Range<usize>,
) -> Rng {
    let steps = examples.len().div_ceil(batch_size);
    let step = epoch * steps + places.start / batch_size;
    seed.indexed("id_dropout", step as u64)
}

/// Training interactions of each user.
pub fn user_counts(train: &Interactions) -> Vec<u32> {
    let ends = train.offsets.windows(2);
    ends.map(|ends| (ends[1] - ends[0]) as u32).collect()
}

/// # Errors
/// A setting of `[training]` that does not apply.
fn check_training(loss: Loss, config: &TrainingConfig) -> Result<()> {
    ensure!(
        !config.normalize_ratings,
        "`training.normalize_ratings` is for models of ratings"
    );
    ensure!(
        config.label_smoothing == 0.0 || loss.smooths(),
        "`training.label_smoothing` is for losses bce, softmax and full_softmax"
    );
    Ok(())
}

/// Fields of an example, where a bound on its memory is asked for: ids and
/// what usual data tell about them.
const FIELDS: u64 = 16;

/// Rows of a field's width that forward and backward keep for each field.
const ROWS: u64 = 8;

impl<H: HeadSpec + 'static> ModelSpec for Spec<H> {
    /// Of the tables of ids; those of feature columns are small beside them.
    fn footprint(&self, work: &Workload<'_>) -> Footprint {
        let width = (self.common.embedding_dim + usize::from(H::LINEAR)) as u64;
        let (batch, loss) = (work.training.batch_size as u64, self.common.loss);
        let examples = match loss {
            Loss::FullSoftmax => batch + work.items(),
            _ if loss.samples_negatives() => batch * (1 + work.training.negatives as u64),
            _ => batch,
        };
        let scores = match loss {
            // Of a batch, their softmax, and the gradients of both.
            Loss::FullSoftmax => 4 * 4 * batch * work.items(),
            _ => 0,
        };
        let step = examples * FIELDS * width * 4 * ROWS + scores;
        let floats = (work.users() + work.items()) * width;
        let mut footprint = work.trained(floats, step, SMALLER_EMBEDDINGS);
        footprint.fitting += 2 * work.sparse();
        footprint
    }

    fn unused_training_keys(&self) -> Vec<String> {
        let mut unused = vec!["normalize_ratings"];
        let loss = self.common.loss;
        if !loss.samples_negatives() {
            unused.extend(["negatives", "negative_sampling", "popularity_alpha"]);
        }
        if !loss.smooths() {
            unused.push("label_smoothing");
        }
        unused.into_iter().map(String::from).collect()
    }

    fn fit(&self, context: FitContext<'_>) -> Result<Fitted> {
        let (config, loss) = (context.training, self.common.loss);
        check_training(loss, config)?;
        let train = context.data.train;
        let mut network = self.network(context.data, Some(context.seed), context.device);
        ensure_params_fit(network.params(), context.device)?;
        network.keep_within(self.common.embeddings.max_norm);
        let log = Arc::new(train.sorted_by_item());
        if loss == Loss::Clicks {
            train
                .labels()
                .context("`loss = \"log_loss\"` learns clicks")?;
        }
        if loss == Loss::FullSoftmax {
            let (batch, items) = (config.batch_size, train.num_items);
            let what = format!("the scores of `training.batch_size = {batch}` users");
            device::ensure_fits(context.device, &what, 4 * batch * items)?;
        }
        let sampler = if loss.samples_negatives() {
            let (sampling, alpha) = (config.negative_sampling, config.popularity_alpha);
            Some(NegativeSampler::new(log.clone(), sampling, alpha)?)
        } else {
            None
        };
        let mut task = FeatureTask {
            examples: Examples::new(log.clone(), sampler, config.negatives),
            recommender: FeatureRecommender::new(network, loss, log.clone(), context.device),
            loss,
            config,
            id_dropout: self.common.id_dropout,
            seed: context.seed,
            epoch: 0,
        };
        let summary = training::fit(&mut task, context)?;
        Ok(Fitted {
            model: Box::new(task.recommender),
            summary,
        })
    }

    fn load(
        &self,
        weights: &NamedTensors,
        data: ModelData<'_>,
        device: &Device,
    ) -> Result<Box<dyn Recommender>> {
        let mut network = self.network(data, None, device);
        ensure_params_fit(network.params(), device)?;
        load_all(network.params_mut(), weights)?;
        let train = Arc::new(data.train.sorted_by_item());
        let loss = self.common.loss;
        Ok(Box::new(FeatureRecommender::new(
            network, loss, train, device,
        )))
    }
}

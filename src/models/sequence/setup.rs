//! The parameters that all models of sequences have.

use super::{Body, Spec};
use crate::kernels::catalog::Goal;
use crate::kernels::layers::Layout;
use crate::kernels::simd::WIDTH;
use crate::model::ModelSpec;
use crate::models::params::{self, Parameter};
use crate::tape::Updates;
use crate::training::TrainingConfig;
use anyhow::{Result, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What a place of a sequence is trained to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SequenceLoss {
    /// Softmax over the whole catalog.
    CrossEntropy,
    /// Softmax over the item and sampled negatives.
    SampledSoftmax,
    /// Binary cross-entropy of the item and sampled negatives.
    Bce,
    /// BCE with a calibrated positive (Petrov & Macdonald, RecSys 2023).
    Gbce,
}

/// Who shares sampled negatives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NegativesFor {
    Position,
    Sequence,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Setup {
    pub embedding_dim: usize,
    pub max_length: usize,
    pub window_stride: usize,
    pub dropout: f64,
    pub loss: SequenceLoss,
    pub calibration: f64,
    pub negatives_for: NegativesFor,
    pub logq_correction: bool,
    pub cosine: bool,
    pub temperature: f64,
    pub init_deviation: f64,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            embedding_dim: 64,
            max_length: 200,
            window_stride: 0,
            dropout: 0.1,
            loss: SequenceLoss::CrossEntropy,
            calibration: CALIBRATION,
            negatives_for: NegativesFor::Position,
            logq_correction: false,
            cosine: false,
            temperature: TEMPERATURE,
            init_deviation: 0.02,
        }
    }
}

/// Of gSASRec on ml-1m.
const CALIBRATION: f64 = 0.75;

/// Of HSTU on ml-1m.
const TEMPERATURE: f64 = 0.05;

const SHARED: [Parameter; 11] = [
    (
        "embedding_dim",
        "width of the item embeddings and of all hidden rows, a multiple of 16",
    ),
    (
        "max_length",
        "items of a history that count: the newest ones",
    ),
    (
        "window_stride",
        "train on windows of each history, this many items apart; 0 trains on the newest window alone",
    ),
    ("dropout", "probability of dropping a number of a layer"),
    (
        "loss",
        "cross_entropy (over the whole catalog), sampled_softmax, bce, gbce (`training.negatives` each; \
         scores of both are moved by a constant to start at the odds that they will have)",
    ),
    (
        "calibration",
        "gbce: from 0 (the scores of bce) to 1 (calibrated probabilities)",
    ),
    (
        "negatives_for",
        "position: draws negatives for each place; sequence: once for all places of a sequence, which \
         is much faster",
    ),
    (
        "logq_correction",
        "sampled_softmax: subtract the log of how often an item is expected among the negatives, so \
         that the loss estimates the full softmax",
    ),
    (
        "cosine",
        "scores are cosines of the hidden row and the item's embedding, as HSTU was published",
    ),
    ("temperature", "divides cosines"),
    (
        "init_deviation",
        "deviation of the normal that embeddings start from",
    ),
];

/// A model's own parameters, then the shared ones; `N` is how many there are.
pub const fn with_shared<const N: usize>(own: &[Parameter]) -> [Parameter; N] {
    params::joined(own, &SHARED)
}

/// The defaults of a model's own parameters and of the shared ones.
pub fn defaults<P: Default + Serialize>() -> toml::Table {
    let mut table = params::defaults::<P>();
    table.extend(params::defaults::<Setup>());
    table
}

/// Builds a model of sequences from its `[model]` table: checks its own
/// parameters by `check`, and makes its body by `body`.
///
/// # Errors
/// A parameter that there is not, or whose value is not valid.
pub fn build<P>(
    mut table: toml::Table,
    check: fn(&P, &Setup) -> Result<()>,
    body: fn(&P, &Setup, &mut Layout) -> Box<dyn Body>,
) -> Result<Box<dyn ModelSpec>>
where
    P: Default + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let setup: Setup = params::take(&mut table, &defaults::<P>())?;
    let own: P = params::parse(table)?;
    setup.validate()?;
    check(&own, &setup)?;
    Ok(Box::new(Spec {
        setup,
        body: Box::new(move |setup, layout| body(&own, setup, layout)),
    }))
}

impl Setup {
    fn validate(&self) -> Result<()> {
        ensure!(
            self.embedding_dim > 0 && self.embedding_dim.is_multiple_of(WIDTH),
            "`embedding_dim = {}` must be a multiple of {WIDTH}",
            self.embedding_dim
        );
        ensure!(self.max_length > 1, "`max_length` must be at least 2");
        ensure!(
            self.window_stride <= self.max_length,
            "`window_stride` must not be above `max_length`, or items between windows are never learned"
        );
        ensure!(
            (0.0..1.0).contains(&self.dropout),
            "`dropout` must lie in [0, 1)"
        );
        ensure!(
            self.init_deviation > 0.0,
            "`init_deviation` must be above 0"
        );
        ensure!(
            (0.0..=1.0).contains(&self.calibration),
            "`calibration` must lie in [0, 1]"
        );
        let (loss, own) = (self.loss, SequenceLoss::Gbce);
        ensure!(
            loss == own || self.calibration == CALIBRATION,
            "`calibration` is for `loss = \"gbce\"`"
        );
        ensure!(
            loss == SequenceLoss::SampledSoftmax || !self.logq_correction,
            "`logq_correction` is for `loss = \"sampled_softmax\"`"
        );
        ensure!(
            self.temperature > 0.0 && self.temperature.is_finite(),
            "`temperature` must be above 0"
        );
        ensure!(
            self.cosine || self.temperature == TEMPERATURE,
            "`temperature` is for `cosine = true`"
        );
        ensure!(
            loss != SequenceLoss::CrossEntropy || self.negatives_for == NegativesFor::Position,
            "`negatives_for` is for losses with negatives"
        );
        Ok(())
    }

    /// # Errors
    /// Settings of `[training]` that these models do not know.
    pub fn check(&self, config: &TrainingConfig) -> Result<()> {
        ensure!(
            config.label_smoothing == 0.0,
            "`training.label_smoothing` is not for models of sequences"
        );
        ensure!(
            !config.normalize_ratings,
            "`training.normalize_ratings` is for models of ratings"
        );
        ensure!(
            config.updates != Updates::Hogwild,
            "`training.updates = \"hogwild\"` is for model `mf`; use `rows` or `dense`"
        );
        Ok(())
    }

    /// See [`crate::model::ModelSpec::unused_training_keys`].
    pub fn unused_training_keys(&self) -> Vec<String> {
        let mut unused = vec!["label_smoothing", "normalize_ratings"];
        if self.loss == SequenceLoss::CrossEntropy {
            unused.extend(["negatives", "negative_sampling", "popularity_alpha"]);
        }
        unused.into_iter().map(String::from).collect()
    }

    /// What sampled rows are judged by; `None` for the whole catalog.
    pub fn goal(&self, negatives: usize, num_items: usize) -> Option<Goal> {
        match self.loss {
            SequenceLoss::CrossEntropy => None,
            SequenceLoss::SampledSoftmax => Some(Goal::Softmax),
            SequenceLoss::Bce => Some(bce(1.0, negatives)),
            SequenceLoss::Gbce => {
                // Equations 11 and 13: alpha is the share of the catalog that
                // is sampled.
                let alpha = negatives as f64 / (num_items.max(2) - 1) as f64;
                let t = self.calibration;
                let beta = alpha * (t * (1.0 - 1.0 / alpha) + 1.0 / alpha);
                Some(bce(beta, negatives))
            }
        }
    }
}

/// The binary cross-entropy of a positive that counts `beta` times beside its
/// negatives. Scores start at the odds that they will have on average, which
/// changes no order of items: embeddings would have to grow alike to bring all
/// scores down to them, and histories of embeddings that are alike cannot be
/// told apart. With one negative and beta 1 the offset is 0.
fn bce(beta: f64, negatives: usize) -> Goal {
    Goal::Bce {
        positive: beta as f32,
        offset: (beta / negatives.max(1) as f64).ln() as f32,
    }
}

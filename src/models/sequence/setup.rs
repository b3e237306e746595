//! The parameters that all models of sequences have.

use super::{Body, Spec};
use crate::kernels::catalog::Goal;
use crate::kernels::layers::Layout;
use crate::kernels::simd::WIDTH;
use crate::model::ModelSpec;
use crate::models::embeddings::{self, Embeddings};
use crate::models::pairwise::{MARGIN, NEGATIVE_WEIGHT, check_ccl};
use crate::models::params::{self, Parameter};
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
    /// Bayesian personalized ranking, against sampled negatives.
    Bpr,
    /// Cosine contrastive loss (Mao et al., CIKM 2021), against sampled
    /// negatives.
    Ccl,
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
    pub margin: f64,
    pub negative_weight: f64,
    pub regularization: f64,
    pub init_deviation: f64,
    /// Keys beside these, which other models share.
    #[serde(skip)]
    pub embeddings: Embeddings,
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
            margin: MARGIN,
            negative_weight: NEGATIVE_WEIGHT,
            regularization: 0.0,
            init_deviation: 0.02,
            embeddings: Embeddings::default(),
        }
    }
}

/// Of gSASRec on ml-1m.
const CALIBRATION: f64 = 0.75;

/// Of HSTU on ml-1m.
const TEMPERATURE: f64 = 0.05;

const SHARED: [Parameter; 18] = [
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
        "cross_entropy (over the whole catalog), or with `training.negatives` each sampled_softmax, bce \
         and gbce (scores of both are moved by a constant to start at the odds that they will have), bpr, \
         ccl (cosine contrastive loss)",
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
    ("temperature", "divides cosines, unless the loss is ccl"),
    (
        "margin",
        "ccl: cosines of negatives below it are as good as any",
    ),
    ("negative_weight", "ccl: weight of the negatives' mean"),
    (
        "regularization",
        "L2 on the item embeddings of a step, those read, predicted and drawn, per prediction",
    ),
    (
        "init_deviation",
        "deviation of the normal that embeddings start from",
    ),
    (
        "l1",
        "L1 on the item embeddings of a step, as `regularization`",
    ),
    embeddings::MAX_NORM,
    (
        "embedding_noise",
        "deviation of the normal noise on the embeddings of histories in training",
    ),
    (
        "embedding_dropout",
        "probability of dropping a number of the embeddings of histories in training",
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
    table.extend(params::defaults::<Embeddings>());
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
    let all = defaults::<P>();
    let embeddings: Embeddings = params::take(&mut table, &all)?;
    let setup: Setup = params::take(&mut table, &all)?;
    let setup = Setup {
        embeddings,
        ..setup
    };
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
        ensure!(
            self.regularization >= 0.0 && self.regularization.is_finite(),
            "`regularization` must not be negative"
        );
        self.embeddings.check()?;
        self.validate_loss()
    }

    /// Whether keys go with the loss.
    fn validate_loss(&self) -> Result<()> {
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
        let is_ccl = loss == SequenceLoss::Ccl;
        ensure!(
            (self.cosine && !is_ccl) || self.temperature == TEMPERATURE,
            "`temperature` is for `cosine = true` and a loss other than ccl, whose margin is one of \
             cosines"
        );
        ensure!(
            loss != SequenceLoss::CrossEntropy || self.negatives_for == NegativesFor::Position,
            "`negatives_for` is for losses with negatives"
        );
        check_ccl(
            is_ccl,
            ("cosine", self.cosine),
            (self.margin, self.negative_weight),
        )
    }

    /// How long hidden rows are made where scores are cosines.
    pub fn length(&self) -> f32 {
        if self.loss == SequenceLoss::Ccl {
            1.0
        } else {
            (1.0 / self.temperature) as f32
        }
    }

    /// Whether some of a target may be moved to other items. A calibrated
    /// positive has a target of its own already.
    fn smooths(&self) -> bool {
        matches!(
            self.loss,
            SequenceLoss::CrossEntropy | SequenceLoss::SampledSoftmax | SequenceLoss::Bce
        )
    }

    /// # Errors
    /// Settings of `[training]` that these models do not know.
    pub fn check(&self, config: &TrainingConfig) -> Result<()> {
        ensure!(
            config.label_smoothing == 0.0 || self.smooths(),
            "`training.label_smoothing` is for losses cross_entropy, sampled_softmax and bce"
        );
        ensure!(
            !config.normalize_ratings,
            "`training.normalize_ratings` is for models of ratings"
        );
        Ok(())
    }

    /// See [`crate::model::ModelSpec::unused_training_keys`].
    pub fn unused_training_keys(&self) -> Vec<String> {
        let mut unused = vec!["normalize_ratings"];
        if !self.smooths() {
            unused.push("label_smoothing");
        }
        if self.loss == SequenceLoss::CrossEntropy {
            unused.extend(["negatives", "negative_sampling", "popularity_alpha"]);
        }
        unused.into_iter().map(String::from).collect()
    }

    /// What sampled rows are judged by; `None` for the whole catalog.
    pub fn goal(&self, config: &TrainingConfig, num_items: usize) -> Option<Goal> {
        let (negatives, smoothing) = (config.negatives, config.label_smoothing as f32);
        match self.loss {
            SequenceLoss::CrossEntropy => None,
            SequenceLoss::SampledSoftmax => Some(Goal::Softmax { smoothing }),
            SequenceLoss::Bce => Some(bce(1.0, negatives, smoothing)),
            SequenceLoss::Gbce => {
                // Equations 11 and 13: alpha is the share of the catalog that
                // is sampled.
                let alpha = negatives as f64 / (num_items.max(2) - 1) as f64;
                let t = self.calibration;
                let beta = alpha * (t * (1.0 - 1.0 / alpha) + 1.0 / alpha);
                Some(bce(beta, negatives, 0.0))
            }
            SequenceLoss::Bpr => Some(Goal::Bpr),
            SequenceLoss::Ccl => Some(Goal::Ccl {
                margin: self.margin as f32,
                negative_weight: self.negative_weight as f32,
            }),
        }
    }
}

/// The binary cross-entropy of a positive that counts `beta` times beside its
/// negatives. Scores start at the odds that they will have on average, which
/// changes no order of items: embeddings would have to grow alike to bring all
/// scores down to them, and histories of embeddings that are alike cannot be
/// told apart. With one negative and beta 1 the offset is 0.
fn bce(beta: f64, negatives: usize, smoothing: f32) -> Goal {
    Goal::Bce {
        positive: beta as f32,
        offset: (beta / negatives.max(1) as f64).ln() as f32,
        smoothing,
    }
}

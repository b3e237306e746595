//! The parameters of `two_tower`.

use crate::losses::Loss;
use crate::models::embeddings::Embeddings;
use crate::models::features::check;
use crate::models::pairwise::{self, Objective, check_ccl};
use crate::models::params;
use crate::sampling::NegativeSampling;
use crate::training::TrainingConfig;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

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
    pub loss: Loss,
    pub temperature: f64,
    pub logq_correction: bool,
    pub margin: f64,
    pub negative_weight: f64,
    pub regularization: f64,
    pub init_deviation: f64,
    /// Keys beside these, which other models share.
    #[serde(skip)]
    pub embeddings: Embeddings,
}

/// The default of `temperature`.
const TEMPERATURE: f64 = 0.1;

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
            loss: Loss::InBatchSoftmax,
            temperature: TEMPERATURE,
            logq_correction: true,
            margin: pairwise::MARGIN,
            negative_weight: pairwise::NEGATIVE_WEIGHT,
            regularization: 0.0,
            init_deviation: 0.05,
            embeddings: Embeddings::default(),
        }
    }
}

/// The defaults of all parameters.
pub fn defaults() -> toml::Table {
    let mut all = params::defaults::<Params>();
    all.extend(params::defaults::<Embeddings>());
    all
}

impl Params {
    /// From the `[model]` table.
    ///
    /// # Errors
    /// A parameter that there is not, that does not apply, or whose value is
    /// out of range.
    pub fn parse(mut table: toml::Table) -> Result<Self> {
        let embeddings: Embeddings = params::take(&mut table, &defaults())?;
        let own: Self = params::parse(table)?;
        let params = Self { embeddings, ..own };
        params.validate()?;
        Ok(params)
    }

    fn validate(&self) -> Result<()> {
        check(&self.hidden, self.dropout)?;
        self.embeddings.check()?;
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
        self.validate_loss()
    }

    fn validate_loss(&self) -> Result<()> {
        ensure!(
            self.loss != Loss::Mse,
            "two towers have no loss mse: use in_batch_softmax, bpr, bce, softmax, full_softmax or \
             ccl; models `mf`, `neumf` and `svdpp` learn ratings"
        );
        ensure!(
            self.loss != Loss::Ccl || self.temperature == TEMPERATURE,
            "`temperature` is not for `loss = \"ccl\"`, whose margin is one of cosines: leave it out"
        );
        ensure!(
            self.logq_correction || matches!(self.loss, Loss::InBatchSoftmax | Loss::Softmax),
            "`logq_correction` is for losses in_batch_softmax and softmax: leave it out"
        );
        check_ccl(
            self.loss == Loss::Ccl,
            ("normalize", self.normalize),
            (self.margin, self.negative_weight),
        )
    }

    /// Of scores that are divided by the temperature.
    pub fn objective(&self) -> Objective {
        Objective {
            loss: self.loss,
            temperature: 1.0,
            hardest_negative: false,
            margin: self.margin,
            negative_weight: self.negative_weight,
            logq_correction: self.logq_correction,
        }
    }

    /// # Errors
    /// A setting of `[training]` that does not apply.
    pub fn check_training(&self, config: &TrainingConfig) -> Result<()> {
        ensure!(
            !config.normalize_ratings,
            "`training.normalize_ratings` is for models of ratings"
        );
        ensure!(
            config.label_smoothing == 0.0 || !matches!(self.loss, Loss::Bpr | Loss::Ccl),
            "`training.label_smoothing` is for losses bce and softmax, in_batch_softmax and \
             full_softmax"
        );
        ensure!(
            self.logq_correction
                || self.loss != Loss::Softmax
                || config.negative_sampling == NegativeSampling::Popularity,
            "`logq_correction` changes nothing for `loss = \"softmax\"` with uniform negatives: leave \
             it out, or set `training.negative_sampling = \"popularity\"`"
        );
        Ok(())
    }
}

//! `[training]`

use crate::optim::{OptimizerConfig, OptimizerKind, Schedule, ScheduleConfig};
use crate::sampling::NegativeSampling;
use crate::tape::Updates;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// How models are trained that are trained in epochs. In a file of the user, a
/// key that does not apply is an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingConfig {
    /// Passes over the training interactions, at most.
    pub epochs: usize,
    /// Positives in a step.
    pub batch_size: usize,
    pub learning_rate: f64,
    pub optimizer: OptimizerKind,
    /// Of `sgd`.
    pub momentum: f64,
    /// Of `adam` and `adamw`.
    pub beta1: f64,
    /// Of `adam` and `adamw`.
    pub beta2: f64,
    /// Keeps divisions finite in `adam`, `adamw` and `adagrad`.
    pub epsilon: f64,
    pub weight_decay: f64,
    /// Largest global norm of a step's gradients; 0 does not clip.
    pub gradient_clip: f64,
    /// `rows`: a step updates only the embedding rows of its batch. `dense`:
    /// all rows, which is the optimizer as published and slower on large
    /// catalogs. `hogwild`: each example updates its rows at once, without
    /// waiting for other threads, so that runs do not repeat; for `mf` on the
    /// CPU.
    pub updates: Updates,
    pub schedule: Schedule,
    /// Steps over which the learning rate rises from zero.
    pub warmup_steps: u64,
    /// Of the `step` schedule: epochs between two decays.
    pub decay_epochs: usize,
    /// Of the `step` schedule.
    pub decay_factor: f64,
    /// Negatives for each positive, for losses that sample.
    pub negatives: usize,
    pub negative_sampling: NegativeSampling,
    /// Exponent of the counts in `negative_sampling = "popularity"`.
    pub popularity_alpha: f64,
    /// Share of the target that is moved from the positive to the negatives
    /// (`bce`), or spread over all classes (softmax).
    pub label_smoothing: f64,
    /// Train rating models on `(rating - mean) / deviation`; predictions come
    /// back on the scale of the data.
    pub normalize_ratings: bool,
    /// Epochs between two validations; 0 never validates.
    pub validate_every: usize,
    /// What decides which epoch is the best one.
    pub validation_metric: String,
    /// Validations without improvement after which training stops; 0 trains
    /// all epochs.
    pub patience: usize,
    /// Seconds between two checkpoints, taken at ends of epochs; 0 takes one
    /// after every epoch.
    pub checkpoint_seconds: u64,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            epochs: 100,
            batch_size: 2048,
            learning_rate: 1e-3,
            optimizer: OptimizerKind::Adam,
            momentum: 0.9,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            gradient_clip: 0.0,
            updates: Updates::Rows,
            schedule: Schedule::Constant,
            warmup_steps: 0,
            decay_epochs: 10,
            decay_factor: 0.5,
            negatives: 1,
            negative_sampling: NegativeSampling::Uniform,
            popularity_alpha: 0.75,
            label_smoothing: 0.0,
            normalize_ratings: false,
            validate_every: 1,
            validation_metric: "ndcg@10".into(),
            patience: 10,
            checkpoint_seconds: 10,
        }
    }
}

impl TrainingConfig {
    /// The names of all keys but these.
    ///
    /// # Panics
    /// When the defaults are not a table: this type is at fault.
    pub fn keys_but(used: &[&str]) -> Vec<String> {
        let all = toml::Table::try_from(Self::default()).expect("the defaults form a table");
        let keys = all.into_iter().map(|(key, _)| key);
        keys.filter(|key| !used.contains(&key.as_str())).collect()
    }

    /// # Errors
    /// Names the key and the range that it must lie in.
    pub fn validate(&self) -> Result<()> {
        ensure!(self.epochs > 0, "`training.epochs` must be at least 1");
        ensure!(
            self.batch_size > 0,
            "`training.batch_size` must be at least 1"
        );
        ensure!(
            self.negatives > 0,
            "`training.negatives` must be at least 1"
        );
        ensure!(
            self.decay_epochs > 0,
            "`training.decay_epochs` must be at least 1"
        );
        if self.updates == Updates::Hogwild {
            self.validate_hogwild()?;
        }
        let positive = [
            ("learning_rate", self.learning_rate),
            ("epsilon", self.epsilon),
            ("decay_factor", self.decay_factor),
        ];
        for (key, value) in positive {
            ensure!(
                value > 0.0 && value.is_finite(),
                "`training.{key}` must be above 0, not {value}"
            );
        }
        let not_negative = [
            ("weight_decay", self.weight_decay),
            ("gradient_clip", self.gradient_clip),
            ("popularity_alpha", self.popularity_alpha),
        ];
        for (key, value) in not_negative {
            ensure!(
                value >= 0.0 && value.is_finite(),
                "`training.{key}` must not be negative, but is {value}"
            );
        }
        let shares = [
            ("momentum", self.momentum),
            ("beta1", self.beta1),
            ("beta2", self.beta2),
            ("label_smoothing", self.label_smoothing),
        ];
        for (key, value) in shares {
            ensure!(
                (0.0..1.0).contains(&value),
                "`training.{key}` must lie in [0, 1), but is {value}"
            );
        }
        Ok(())
    }

    fn validate_hogwild(&self) -> Result<()> {
        let stateless = self.optimizer == OptimizerKind::Sgd && self.momentum == 0.0;
        ensure!(
            stateless || self.optimizer == OptimizerKind::Adagrad,
            "`training.updates = \"hogwild\"` steps after each example, which suits \
             `optimizer = \"adagrad\"`, or `\"sgd\"` with `momentum = 0`"
        );
        ensure!(
            self.gradient_clip == 0.0,
            "`training.gradient_clip` needs whole batches: leave it out, or use `updates = \"rows\"`"
        );
        Ok(())
    }

    pub fn optimizer_config(&self) -> OptimizerConfig {
        OptimizerConfig {
            kind: self.optimizer,
            weight_decay: self.weight_decay,
            momentum: self.momentum,
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.epsilon,
            gradient_clip: self.gradient_clip,
        }
    }

    pub fn schedule_config(&self, steps_per_epoch: usize) -> ScheduleConfig {
        ScheduleConfig {
            kind: self.schedule,
            learning_rate: self.learning_rate,
            warmup_steps: self.warmup_steps,
            decay_epochs: self.decay_epochs,
            decay_factor: self.decay_factor,
            epochs: self.epochs,
            steps_per_epoch,
        }
    }
}

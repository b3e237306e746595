//! The one loop that fits gradient models.

use crate::event::EpochRecord;
use crate::tensors::NamedTensors;
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// `[training]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingConfig {}

/// How a training went; `Default` for models that need none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingSummary {
    pub epochs: usize,
    pub best_epoch: usize,
    pub records: Vec<EpochRecord>,
    /// Whether it was asked to stop before its end.
    pub interrupted: bool,
    pub stopped_early: bool,
}

/// Keeps a training's state across a crash.
pub trait CheckpointSink {
    /// The last checkpoint, to go on from.
    ///
    /// # Errors
    /// A checkpoint that cannot be read.
    fn last(&mut self) -> Result<Option<NamedTensors>>;

    /// Replaces the last checkpoint, atomically.
    ///
    /// # Errors
    /// A disk that is full or not writable.
    fn save_last(&mut self, state: &NamedTensors) -> Result<()>;

    /// Replaces the best weights, atomically.
    ///
    /// # Errors
    /// As [`Self::save_last`].
    fn save_best(&mut self, weights: &NamedTensors) -> Result<()>;

    /// The best weights so far.
    ///
    /// # Errors
    /// As [`Self::last`].
    fn best(&mut self) -> Result<Option<NamedTensors>>;

    /// Appends to the metrics history (`metrics.jsonl`).
    ///
    /// # Errors
    /// As [`Self::save_last`].
    fn append(&mut self, record: &EpochRecord) -> Result<()>;
}

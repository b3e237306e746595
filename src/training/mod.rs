//! The one loop that fits gradient models, and what survives a crash of it.

mod config;
mod fit;
mod state;

pub use config::TrainingConfig;
pub use fit::{READ_EVERY, fit};

use crate::event::EpochRecord;
use crate::kernels::update::Hyper;
use crate::model::Recommender;
use crate::optim::Optimizer;
use crate::params::Param;
use crate::seed::Seed;
use crate::tape::Tape;
use crate::tensors::{NamedTensors, Stream};
use anyhow::Result;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;

/// A network together with the examples it learns from.
pub trait Trainable {
    fn params(&self) -> Vec<&Param>;

    fn params_mut(&mut self) -> Vec<&mut Param>;

    /// Examples in an epoch.
    fn num_examples(&self) -> usize;

    /// Orders the examples of an epoch. A pure function of seed and epoch, so
    /// that a resumed run sees what an uninterrupted one would have seen.
    fn begin_epoch(&mut self, seed: Seed, epoch: usize);

    /// Mean loss over the examples at these places in the epoch's order.
    ///
    /// # Errors
    /// A device that fails.
    fn loss(&mut self, tape: &mut Tape, places: Range<usize>) -> Result<Tensor<1>>;

    /// Takes weights and optimizer state over into kernels that compute loss,
    /// gradient and update at once; `false` where there are none for this
    /// model, these settings or this device, and the loop goes by
    /// [`Self::loss`]. From then on, [`Self::params`] and the optimizer are
    /// out of date until [`Self::write_back`].
    ///
    /// # Errors
    /// A device that fails.
    fn fuse(&mut self, _: &Optimizer) -> Result<bool> {
        Ok(false)
    }

    /// Whether what [`Self::fuse`] has made steps after each example
    /// (`updates = "hogwild"`).
    fn steps_by_example(&self) -> bool {
        false
    }

    /// One step of those kernels.
    ///
    /// # Errors
    /// A device that fails.
    fn fused_step(&mut self, _: Range<usize>, _: FusedStep) -> Result<StepLoss> {
        unreachable!("only called when `fuse` has said that there are kernels")
    }

    /// Brings parameters and optimizer up to date with the kernels.
    ///
    /// # Errors
    /// A device that fails.
    fn write_back(&mut self, _: &mut Optimizer) -> Result<()> {
        Ok(())
    }

    /// The model with the weights that it has now.
    fn recommender(&self) -> &dyn Recommender;
}

/// What a fused step must know of the training.
#[derive(Clone, Copy, Debug)]
pub struct FusedStep {
    /// Counts from 1 over the whole training.
    pub number: u64,
    pub hyper: Hyper,
}

/// The mean loss of a step, where it is.
#[derive(Clone)]
pub enum StepLoss {
    Host(f32),
    /// Still on its way; reading it waits for the device.
    Device(Box<Tensor<1>>),
    /// The loss of this number among those that a kernel keeps.
    Late(Arc<dyn LateLosses>, u64),
}

/// Losses that stay with a kernel until somebody asks for them.
pub trait LateLosses: Send + Sync {
    /// Waits for the device.
    ///
    /// # Errors
    /// A device that fails.
    fn read(&self, number: u64) -> Result<f32>;
}

/// How a training went; `Default` for models that need none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingSummary {
    /// Epochs that were trained.
    pub epochs: usize,
    /// The epoch whose weights were kept, 1-based; 0 without training.
    pub best_epoch: usize,
    /// The validation metric at that epoch.
    pub best_value: Option<f64>,
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

    /// Replaces the last checkpoint, atomically. It holds the weights, the
    /// best weights so far, the optimizer's state and the progress.
    ///
    /// # Errors
    /// A disk that is full or not writable.
    fn save_last(&mut self, state: Stream) -> Result<()>;

    /// Adds an epoch to the history (`metrics.jsonl`), in place of what the
    /// history has from that epoch on: a resumed run trains again what came
    /// after its checkpoint.
    ///
    /// # Errors
    /// As [`Self::save_last`].
    fn append(&mut self, record: &EpochRecord) -> Result<()>;
}

/// Keeps the checkpoint in memory: for callers without a run directory.
#[derive(Clone, Debug, Default)]
pub struct MemorySink {
    pub last: Option<NamedTensors>,
    pub records: Vec<EpochRecord>,
}

impl CheckpointSink for MemorySink {
    fn last(&mut self) -> Result<Option<NamedTensors>> {
        Ok(self.last.clone())
    }

    fn save_last(&mut self, state: Stream) -> Result<()> {
        self.last = Some(state.into_named()?);
        Ok(())
    }

    fn append(&mut self, record: &EpochRecord) -> Result<()> {
        self.records.retain(|r| r.epoch < record.epoch);
        self.records.push(record.clone());
        Ok(())
    }
}

/// Keeps nothing: for trainings that are not worth going on with.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCheckpoints;

impl CheckpointSink for NoCheckpoints {
    fn last(&mut self) -> Result<Option<NamedTensors>> {
        Ok(None)
    }

    fn save_last(&mut self, _: Stream) -> Result<()> {
        Ok(())
    }

    fn append(&mut self, _: &EpochRecord) -> Result<()> {
        Ok(())
    }
}

//! What happens during long work, for whoever draws it.
//!
//! The library emits events; only `cli` turns them into bars and lines.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A named stage of work began, e.g. `reading ratings.dat`.
    Stage(String),
    /// Something the person should know that is not an error.
    Warning(String),
    /// What the training will take; once, when it is known.
    Forecast(Forecast),
    EpochStarted {
        epoch: usize,
        epochs: usize,
        steps: usize,
        interactions: usize,
    },
    /// `loss` is the mean since the last event of this kind; it is only
    /// present when it was read back from the device.
    Step {
        epoch: usize,
        step: usize,
        steps: usize,
        interactions: usize,
        loss: Option<f64>,
    },
    EpochFinished(EpochRecord),
    EarlyStop {
        epoch: usize,
        best_epoch: usize,
        metric: String,
        best: f64,
    },
    /// Scored users out of all users to score.
    Evaluated {
        done: usize,
        total: usize,
    },
}

/// What a training will take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Forecast {
    pub parameter_bytes: u64,
    /// Of the process on the host, with the data, at its largest.
    pub peak_bytes: u64,
    /// On the device, 0 where that is the host.
    pub device_bytes: u64,
    /// Measured over the first steps; absent for models without epochs.
    pub epoch_seconds: Option<f64>,
    /// Epochs at most.
    pub epochs: usize,
}

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// 1-based.
    pub epoch: usize,
    /// Mean training loss of the epoch.
    pub loss: f64,
    pub learning_rate: f64,
    pub seconds: f64,
    pub interactions_per_second: f64,
    /// Empty in epochs without validation.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub validation: BTreeMap<String, f64>,
    /// Whether this epoch is the best so far.
    #[serde(default)]
    pub best: bool,
}

/// Receives events, and may ask the work to stop.
pub trait Observer {
    fn on(&mut self, event: &Event);

    /// Polled after each step; `true` finishes the step, saves and stops.
    fn stop_requested(&self) -> bool {
        false
    }
}

/// Ignores everything.
pub struct Silent;

impl Observer for Silent {
    fn on(&mut self, _: &Event) {}
}

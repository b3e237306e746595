//! Where a training stands: what a checkpoint holds beside the weights.

use crate::optim::Optimizer;
use crate::params::Param;
use crate::tensors::{NamedTensors, Stream};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The place in the training, and the best of it.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The epoch to go on in, from 0.
    pub epoch: usize,
    /// The step of that epoch to go on with, from 0.
    pub step: usize,
    /// Sum of the losses of that epoch's steps, weighted by examples.
    pub loss_sum: f64,
    pub best: Option<Best>,
    /// Validations since the best one.
    pub without_improvement: usize,
    /// Nothing is left to train.
    pub finished: bool,
    pub stopped_early: bool,
}

/// The best weights so far.
#[derive(Clone, Debug)]
pub struct Best {
    /// 1-based.
    pub epoch: usize,
    pub value: f64,
    pub weights: Arc<NamedTensors>,
}

/// [`Progress`] as it is written. Floats go as bits: a decimal that is off by
/// one unit in the last place would make a resumed run another run.
#[derive(Serialize, Deserialize)]
struct Written {
    epoch: usize,
    step: usize,
    loss_sum: u64,
    best_epoch: usize,
    best_value: u64,
    without_improvement: usize,
    finished: bool,
    stopped_early: bool,
}

const WEIGHTS: &str = "weights/";
const BEST: &str = "best/";
const PROGRESS: &str = "progress";

/// All that is needed to go on as if nothing had happened, on its way to disk:
/// nothing is copied before its turn comes.
pub fn store(params: &[&Param], optimizer: &Optimizer, progress: &Progress) -> Result<Stream> {
    let mut state = Stream::default();
    for param in params {
        param.stream(&mut state, WEIGHTS);
    }
    optimizer.store(&mut state);
    if let Some(best) = &progress.best {
        state.add_named(BEST, &best.weights);
    }
    let written = Written {
        epoch: progress.epoch,
        step: progress.step,
        loss_sum: progress.loss_sum.to_bits(),
        best_epoch: progress.best.as_ref().map_or(0, |b| b.epoch),
        best_value: progress.best.as_ref().map_or(0, |b| b.value.to_bits()),
        without_improvement: progress.without_improvement,
        finished: progress.finished,
        stopped_early: progress.stopped_early,
    };
    let written = serde_json::to_string(&written).context("cannot describe the progress")?;
    state.metadata.insert(PROGRESS.into(), written);
    Ok(state)
}

/// Puts weights and optimizer back to where [`store`] found them.
pub fn load(
    state: &NamedTensors,
    params: Vec<&mut Param>,
    optimizer: &mut Optimizer,
) -> Result<Progress> {
    let text = state
        .metadata
        .get(PROGRESS)
        .context("the checkpoint does not say how far it is")?;
    let written: Written = serde_json::from_str(text).context("the checkpoint's progress")?;
    let mut loaded: Vec<&Param> = Vec::with_capacity(params.len());
    for param in params {
        param.load(state, WEIGHTS)?;
        loaded.push(param);
    }
    optimizer.load(state, &loaded)?;
    let best = (written.best_epoch > 0).then(|| {
        let mut weights = NamedTensors::default();
        for (name, tensor) in &state.tensors {
            if let Some(name) = name.strip_prefix(BEST) {
                weights.tensors.insert(name.to_string(), tensor.clone());
            }
        }
        Best {
            epoch: written.best_epoch,
            value: f64::from_bits(written.best_value),
            weights: Arc::new(weights),
        }
    });
    Ok(Progress {
        epoch: written.epoch,
        step: written.step,
        loss_sum: f64::from_bits(written.loss_sum),
        best,
        without_improvement: written.without_improvement,
        finished: written.finished,
        stopped_early: written.stopped_early,
    })
}

/// The weights alone.
pub fn weights(params: &[&Param]) -> Result<NamedTensors> {
    let mut weights = NamedTensors::default();
    for param in params {
        param.store(&mut weights, "")?;
    }
    Ok(weights)
}

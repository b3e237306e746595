//! Training `mf` by the kernels of [`crate::kernels::mf::gpu`].

use super::fused::{SideParams, columns_of};
use crate::kernels::mf::Settings;
use crate::kernels::mf::gpu::{DeviceFactors, HostSide, KEPT_LOSSES, Shape};
use crate::losses::Loss;
use crate::models::pairwise::{Examples, Fuse, FusedPairs};
use crate::optim::Optimizer;
use crate::params::Param;
use crate::training::{FusedStep, LateLosses, READ_EVERY, StepLoss};
use anyhow::Result;
use burn::tensor::Device;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The kernels for these parameters, where there are some for this device.
///
/// # Errors
/// A device that fails.
pub fn fuse(
    users: SideParams<'_>,
    items: SideParams<'_>,
    settings: Settings,
    around: &Fuse<'_>,
) -> Result<Option<Box<dyn FusedPairs>>> {
    let [num_users, dim] = users.embeddings.shape();
    let samples = around.objective.loss != Loss::Mse;
    let shape = Shape {
        dim,
        num_users,
        num_items: items.embeddings.shape()[0],
        width: 1 + if samples { around.config.negatives } else { 0 },
        batch_size: around.config.batch_size,
        scale: around.scale.map_or((0.0, 1.0), |s| (s.mean, s.deviation)),
    };
    let sides = [
        side(users, around.optimizer)?,
        side(items, around.optimizer)?,
    ];
    let factors = DeviceFactors::new(around.device, settings, shape, &sides[0], &sides[1]);
    Ok(factors.map(|factors| {
        let losses = Losses(Mutex::new(Kept {
            factors,
            steps: 0,
            read: None,
        }));
        let fused: Box<dyn FusedPairs> = Box::new(FusedMf {
            dim,
            device: around.device.clone(),
            losses: Arc::new(losses),
        });
        fused
    }))
}

/// Embeddings, with the biases as one more column.
fn side(params: SideParams<'_>, optimizer: &Optimizer) -> Result<HostSide> {
    let dim = params.embeddings.shape()[1];
    let weights = params.embeddings.host()?;
    let states = optimizer.host_states(params.embeddings)?;
    let Some(biases) = params.biases else {
        return Ok(HostSide { weights, states });
    };
    let bias_states = optimizer.host_states(biases)?;
    Ok(HostSide {
        weights: join(&weights, &biases.host()?, dim),
        states: states
            .iter()
            .zip(&bias_states)
            .map(|(state, bias)| join(state, bias, dim))
            .collect(),
    })
}

fn join(rows: &[f32], column: &[f32], dim: usize) -> Vec<f32> {
    let mut joined = Vec::with_capacity(rows.len() + column.len());
    for (row, &last) in rows.chunks_exact(dim).zip(column) {
        joined.extend_from_slice(row);
        joined.push(last);
    }
    joined
}

/// The columns from `first` on, `width` of them.
fn cut(rows: &[f32], columns: usize, first: usize, width: usize) -> Vec<f32> {
    if width == columns {
        return rows.to_vec();
    }
    let rows = rows.chunks_exact(columns);
    rows.flat_map(|row| &row[first..first + width])
        .copied()
        .collect()
}

struct FusedMf {
    dim: usize,
    device: Device,
    losses: Arc<Losses>,
}

/// The kernels, and their losses once they were read.
struct Kept {
    factors: DeviceFactors,
    /// Steps so far.
    steps: u64,
    /// The losses as they were after so many steps.
    read: Option<(u64, Vec<f64>)>,
}

struct Losses(Mutex<Kept>);

impl Losses {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All losses that the loop asks for at once are there.
const _: () = assert!(READ_EVERY as u64 <= KEPT_LOSSES);

impl LateLosses for Losses {
    fn read(&self, step: u64) -> Result<f32> {
        let kept = &mut *self.kept();
        if kept.read.as_ref().is_none_or(|(after, _)| *after <= step) {
            kept.read = Some((kept.steps, kept.factors.losses()?));
        }
        let losses = kept.read.as_ref().map(|(_, losses)| losses);
        Ok(losses.map_or(f32::NAN, |l| l[(step % KEPT_LOSSES) as usize] as f32))
    }
}

impl FusedPairs for FusedMf {
    fn step(
        &mut self,
        examples: &Examples,
        places: Range<usize>,
        step: FusedStep,
    ) -> Result<StepLoss> {
        let kept = &mut *self.losses.kept();
        let sampler = (examples.width() > 1).then(|| examples.sampler());
        kept.factors.load(&self.device, examples.log(), sampler)?;
        kept.factors
            .begin_epoch(examples.order(), examples.stream());
        let number = kept.steps;
        let slot = (number % KEPT_LOSSES) as usize;
        kept.factors.step(places, &step.hyper, slot);
        kept.steps += 1;
        Ok(StepLoss::Late(self.losses.clone(), number))
    }

    fn write_back(&mut self, params: Vec<&mut Param>, optimizer: &mut Optimizer) -> Result<()> {
        let sides = self.losses.kept().factors.download()?;
        let biases = usize::from(params.iter().any(|p| p.name() == "user_bias"));
        let columns = self.dim + biases;
        for param in params {
            let (side, first) = columns_of(param, self.dim);
            let side = &sides[side];
            let width = param.shape()[1];
            param.set_host(cut(&side.weights, columns, first, width));
            let states = side.states.iter();
            let states = states.map(|state| cut(state, columns, first, width));
            optimizer.set_host_states(param, states.collect());
        }
        Ok(())
    }
}

//! Training `mf` by the kernels of [`crate::kernels::mf`].

use crate::device::{Family, family};
use crate::kernels::mf::{Batch, Batcher, Factors, Rows, Settings, Side};
use crate::models::pairwise::{Examples, Fuse, FusedPairs, Scale};
use crate::optim::{Optimizer, OptimizerConfig, OptimizerKind, num_states};
use crate::params::Param;
use crate::tape::Updates;
use crate::training::{FusedStep, StepLoss};
use anyhow::Result;
use std::ops::Range;

/// The parameters of a side: embeddings, and biases where there are some.
#[derive(Clone, Copy)]
pub struct SideParams<'a> {
    pub embeddings: &'a Param,
    pub biases: Option<&'a Param>,
    /// L2 per example.
    pub regularization: f64,
}

/// The kernels for these parameters, where there are some for this loss and
/// device.
///
/// # Errors
/// A device that fails.
pub fn fuse(
    users: SideParams<'_>,
    items: SideParams<'_>,
    cosine: bool,
    around: &Fuse<'_>,
) -> Result<Option<Box<dyn FusedPairs>>> {
    let Some(goal) = around.goal() else {
        return Ok(None);
    };
    // The kernels measure lengths for whole batches whose items are final.
    let measures = around.config.updates == Updates::Rows && !around.objective.hardest_negative;
    if around.config.updates == Updates::Dense || (cosine && !measures) {
        return Ok(None);
    }
    let dim = users.embeddings.shape()[1];
    let settings = Settings {
        goal,
        hardest_negative: around.objective.hardest_negative,
        rows: Rows {
            bias: users.biases.map(|_| dim),
            cosine,
        },
        user_regularization: users.regularization as f32,
        item_regularization: items.regularization as f32,
        gradient_clip: around.config.gradient_clip as f32,
        hogwild: around.config.updates == Updates::Hogwild,
    };
    match family(around.device) {
        Family::Flex => Ok(Some(on_host(users, items, settings, around)?)),
        _ if settings.hogwild => Ok(None),
        #[cfg(feature = "wgpu")]
        Family::Gpu => super::fused_gpu::fuse(users, items, settings, around),
        #[cfg(not(feature = "wgpu"))]
        Family::Gpu => Ok(None),
        Family::Other => Ok(None),
    }
}

fn on_host(
    users: SideParams<'_>,
    items: SideParams<'_>,
    settings: Settings,
    around: &Fuse<'_>,
) -> Result<Box<dyn FusedPairs>> {
    let dim = users.embeddings.shape()[1];
    let (num_users, num_items) = (users.embeddings.shape()[0], items.embeddings.shape()[0]);
    let factors = Factors::new(
        settings,
        side(users, around.optimizer)?,
        side(items, around.optimizer)?,
    );
    let batcher = if settings.hogwild {
        Batcher::in_order(num_items)
    } else {
        Batcher::new(num_users, num_items)
    };
    Ok(Box::new(FusedMf {
        dim,
        scale: around.scale,
        batch_size: around.config.batch_size,
        current: batcher.empty(),
        next: batcher.empty(),
        prepared: None,
        batcher,
        factors,
    }))
}

fn side(params: SideParams<'_>, optimizer: &Optimizer) -> Result<Side> {
    let [rows, dim] = params.embeddings.shape();
    let columns = dim + usize::from(params.biases.is_some());
    let mut side = Side::zeros(rows, columns, states_kept(optimizer.config()));
    let parts = [(Some(params.embeddings), 0, dim), (params.biases, dim, 1)];
    for (param, first, width) in parts {
        let Some(param) = param else { continue };
        side.weights.put(first, width, &param.host()?);
        let states = optimizer.host_states(param)?;
        for (table, state) in [&mut side.first, &mut side.second].into_iter().zip(&states) {
            table.put(first, width, state);
        }
    }
    Ok(side)
}

/// The side of a parameter, users first, and its first column in that side's
/// rows.
pub fn columns_of(param: &Param, dim: usize) -> (usize, usize) {
    match param.name() {
        "user_embedding" => (0, 0),
        "user_bias" => (0, dim),
        "item_embedding" => (1, 0),
        _ => (1, dim),
    }
}

/// Without momentum, SGD's velocity is the gradient itself, which nobody needs
/// again: half of what a step moves.
fn states_kept(config: &OptimizerConfig) -> usize {
    if config.kind == OptimizerKind::Sgd && config.momentum == 0.0 {
        return 0;
    }
    num_states(config.kind)
}

struct FusedMf {
    dim: usize,
    scale: Option<Scale>,
    batch_size: usize,
    factors: Factors,
    batcher: Batcher,
    current: Batch,
    next: Batch,
    /// The places that `next` holds.
    prepared: Option<Range<usize>>,
}

/// Draws the examples at these places.
fn prepare(
    batcher: &mut Batcher,
    batch: &mut Batch,
    examples: &Examples,
    scale: Option<Scale>,
    places: Range<usize>,
) {
    let size = (places.len(), examples.width());
    let draw = |users: &mut [u32], items: &mut [u32]| examples.fill(places.clone(), users, items);
    match scale {
        Some(scale) => {
            let ratings = examples.ratings(places.clone());
            batcher.fill(batch, size, draw, ratings.map(|r| scale.normalized(r)));
        }
        None => batcher.fill(batch, size, draw, std::iter::empty()),
    }
}

impl FusedPairs for FusedMf {
    /// While a batch is worked on, the next one is drawn.
    fn step(
        &mut self,
        examples: &Examples,
        places: Range<usize>,
        step: FusedStep,
    ) -> Result<StepLoss> {
        let scale = self.scale;
        let (batcher, factors) = (&mut self.batcher, &mut self.factors);
        if self.prepared.take() == Some(places.clone()) {
            std::mem::swap(&mut self.current, &mut self.next);
        } else {
            prepare(batcher, &mut self.current, examples, scale, places.clone());
        }
        let following = places.end..(places.end + self.batch_size).min(examples.len());
        let hyper = step.hyper;
        let (current, next) = (&mut self.current, &mut self.next);
        let loss = if following.is_empty() {
            factors.step(current, &hyper)
        } else {
            self.prepared = Some(following.clone());
            let (loss, ()) = rayon::join(
                || factors.step(current, &hyper),
                || prepare(batcher, next, examples, scale, following),
            );
            loss
        };
        Ok(StepLoss::Host(loss as f32))
    }

    fn write_back(&mut self, params: Vec<&mut Param>, optimizer: &mut Optimizer) -> Result<()> {
        let sides = [&self.factors.users, &self.factors.items];
        for param in params {
            let (side, first) = columns_of(param, self.dim);
            let side = sides[side];
            let width = param.shape()[1];
            param.set_host(side.weights.take(first, width));
            let states: Vec<_> = [&side.first, &side.second]
                .into_iter()
                .filter(|table| table.per_row() > 0)
                .map(|table| table.take(first, width))
                .collect();
            if !states.is_empty() {
                optimizer.set_host_states(param, states);
            }
        }
        Ok(())
    }
}

//! How long the buffers of a step are, and how many units work on it.

use super::forward::Objective;
use super::{Goal, KEPT_LOSSES, Settings, Shape};
use crate::kernels::gpu::UNITS;
use cubecl::prelude::CubeCount;

/// `None` for a loss that the kernels do not know.
pub fn objective(goal: Goal) -> Option<Objective> {
    Some(match goal {
        Goal::Mse => Objective::Mse,
        Goal::Bce { .. } => Objective::Bce,
        Goal::Bpr => Objective::Bpr,
        Goal::Softmax { .. } => Objective::Softmax,
        Goal::Ccl { .. } => return None,
    })
}

/// Items of an example that it learns from.
pub fn kept(settings: &Settings, shape: &Shape) -> usize {
    if settings.hardest_negative {
        shape.width.min(2)
    } else {
        shape.width
    }
}

/// Numbers of a row, with its bias.
pub fn columns(settings: &Settings, shape: &Shape) -> usize {
    shape.dim + usize::from(settings.rows.bias.is_some())
}

/// See `batch` of [`super::forward::forward`].
pub fn batch_len(capacity: usize, kept: usize) -> usize {
    2 * capacity * (1 + kept)
}

/// See `values` of [`super::forward::forward`].
pub fn values_len(capacity: usize, kept: usize, columns: usize) -> usize {
    capacity * (kept + 1 + 2 * columns)
}

/// Parts of all losses that are kept.
pub fn losses_len() -> usize {
    KEPT_LOSSES as usize * UNITS
}

/// Cubes in as many dimensions as it takes.
pub fn cube_count(cubes: usize) -> CubeCount {
    const MOST: usize = 65_535;
    if cubes <= MOST {
        CubeCount::Static(cubes as u32, 1, 1)
    } else {
        CubeCount::Static(MOST as u32, cubes.div_ceil(MOST) as u32, 1)
    }
}

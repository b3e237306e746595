//! Updates that must wait for the norm of all gradients.

use super::passes::{CHUNK, ItemGradients, Space, Step, sum, update};
use super::{Batch, Side};
use crate::kernels::simd::{self, Isa, Job, Lane, flat_mut};
use crate::kernels::table::Table;
use crate::kernels::update::{Hyper, clip_scale, sum_of_squares};
use rayon::prelude::*;

/// Pass 2 to a buffer.
struct ItemBuffer<'a> {
    gradients: ItemGradients<'a>,
    items: &'a Table,
    losses: &'a mut [f64],
    buffer: &'a mut [Lane],
}

impl Job for ItemBuffer<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let rows = &self.gradients.batch.by_item.rows[self.gradients.first..];
        let gradients = self.buffer.chunks_exact_mut(self.items.per_row());
        for (number, ((loss, &row), gradient)) in
            self.losses.iter_mut().zip(rows).zip(gradients).enumerate()
        {
            *loss = self
                .gradients
                .of::<S>(number, self.items.row(row), gradient);
        }
    }
}

/// Passes 2 and 3 with all gradients scaled by `min(1, clip / norm)`; returns
/// the items' part of the loss.
pub fn clipped_updates(
    step: &Step,
    batch: &Batch,
    users: &mut Side,
    items: &mut Side,
    space: &mut Space,
    hyper: &Hyper,
) -> f64 {
    let per_row = items.weights.per_row();
    space.losses.resize(batch.by_item.len(), 0.0);
    space
        .items
        .resize(batch.by_item.len() * per_row, Lane::ZERO);
    let chunks = space.losses.par_chunks_mut(CHUNK);
    let buffers = space.items.par_chunks_mut(CHUNK * per_row);
    chunks
        .zip(buffers)
        .enumerate()
        .for_each(|(chunk, (losses, buffer))| {
            simd::run(ItemBuffer {
                gradients: ItemGradients {
                    step,
                    batch,
                    users: &users.weights,
                    derivatives: &space.derivatives,
                    first: chunk * CHUNK,
                },
                items: &items.weights,
                losses,
                buffer,
            });
        });
    let squares = square(&space.users, &mut space.norms) + square(&space.items, &mut space.norms);
    let scale = clip_scale(squares, f64::from(step.settings.gradient_clip));
    for gradients in [&mut space.users, &mut space.items] {
        flat_mut(gradients).iter_mut().for_each(|g| *g *= scale);
    }
    update(&batch.by_item.rows, &space.items, items, hyper);
    update(&batch.by_user.rows, &space.users, users, hyper);
    sum(&space.losses)
}

/// Sum of squares; the order of the sum does not depend on threads.
fn square(gradients: &[Lane], norms: &mut Vec<f64>) -> f64 {
    norms.clear();
    norms.resize(gradients.len().div_ceil(CHUNK), 0.0);
    let chunks = norms.par_iter_mut().zip(gradients.par_chunks(CHUNK));
    chunks.for_each(|(norm, lanes)| *norm = sum_of_squares(lanes));
    sum(norms)
}

//! What keeps item embeddings small: L2 and L1 of those of a step, and a
//! largest length. By kernels and by tensors alike.

use super::setup::Setup;
use crate::kernels::catalog::RowGradients;
use crate::kernels::simd::{flat, flat_mut};
use crate::kernels::table::Table;
use burn::tensor::Tensor;
use rayon::prelude::*;

/// L2 and L1 of the embeddings of a step's items, each as often as it is read,
/// predicted or drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decay {
    l2: f32,
    l1: f32,
}

impl Decay {
    /// `None` where there is neither.
    pub fn of(setup: &Setup) -> Option<Self> {
        let (l2, l1) = (setup.regularization as f32, setup.embeddings.l1 as f32);
        (l2 > 0.0 || l1 > 0.0).then_some(Self { l2, l1 })
    }

    /// Adds the gradients of some items, times `scale`; returns the sum of
    /// their penalties.
    pub fn add(&self, items: &[u32], table: &Table, scale: f32, to: &mut RowGradients) -> f64 {
        let (l2, l1) = (2.0 * scale * self.l2, scale * self.l1);
        let mut sum = 0.0;
        for &item in items {
            let row = flat(table.row(item));
            let mut penalty = 0.0;
            for (to, &w) in flat_mut(to.row_mut(item)).iter_mut().zip(row) {
                // Not `signum`, which is 1 at zero.
                let sign = if w == 0.0 { 0.0 } else { w.signum() };
                *to += l2 * w + l1 * sign;
                penalty += self.l2 * w * w + self.l1 * w.abs();
            }
            sum += f64::from(penalty);
        }
        sum
    }

    /// The penalties of rows `[count, d]`, each times its share `[count, 1]`.
    pub fn of_rows(&self, rows: Tensor<2>, shares: Tensor<2>) -> Tensor<1> {
        let penalty = rows.clone() * rows.clone() * self.l2 + rows.abs() * self.l1;
        (penalty.sum_dim(1) * shares).sum()
    }
}

/// Rows that a thread looks at.
const ROWS: usize = 256;

/// As [`crate::params::Param::shorten`], of all rows of a table on the host.
pub fn shorten_all(table: &mut Table, max_norm: f32) {
    let width = table.per_row();
    let chunks = table.lanes_mut().par_chunks_mut(ROWS * width);
    chunks.for_each(|rows| {
        let rows = rows.chunks_exact_mut(width);
        rows.for_each(|row| shorten_row(flat_mut(row), max_norm));
    });
}

/// The same of some rows, each once.
pub fn shorten(table: &mut Table, rows: &[u32], max_norm: f32) {
    let width = table.per_row();
    let lanes = table.lanes_mut();
    for &row in rows {
        let row = &mut lanes[row as usize * width..][..width];
        shorten_row(flat_mut(row), max_norm);
    }
}

fn shorten_row(row: &mut [f32], max_norm: f32) {
    let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
    let scale = max_norm / (length + 1e-12);
    if scale < 1.0 {
        row.iter_mut().for_each(|x| *x *= scale);
    }
}

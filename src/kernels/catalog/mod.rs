//! The last layer of a model of sequences: inner products of hidden rows with
//! the items of the catalog, the loss over them, and both gradients, without
//! ever holding a row of scores for each place.

mod full;
mod sampled;
#[cfg(test)]
mod tests;

pub use full::{Full, mean, transpose};
pub use sampled::{Goal, Sampled};

use crate::kernels::simd::{Lane, add};

/// Gradients of the rows of a table, which remembers those that have one.
#[derive(Clone, Debug, Default)]
pub struct RowGradients {
    pub lanes: Vec<Lane>,
    pub touched: Vec<bool>,
    /// Lanes in a row.
    pub width: usize,
}

impl RowGradients {
    pub fn zeros(rows: usize, width: usize) -> Self {
        Self {
            lanes: crate::kernels::table::zeros(rows * width),
            touched: vec![false; rows],
            width,
        }
    }

    #[inline(always)]
    pub fn row_mut(&mut self, row: u32) -> &mut [Lane] {
        self.touched[row as usize] = true;
        &mut self.lanes[row as usize * self.width..][..self.width]
    }

    /// Forgets the rows that have one.
    pub fn clear(&mut self) {
        let rows = self.lanes.chunks_exact_mut(self.width);
        for (row, touched) in rows.zip(&mut self.touched) {
            if std::mem::take(touched) {
                row.fill(Lane::ZERO);
            }
        }
    }

    pub fn add(&mut self, row: u32, gradient: &[Lane]) {
        add(self.row_mut(row), gradient);
    }
}

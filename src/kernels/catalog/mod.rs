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
use crate::kernels::table::zeros;

/// Gradients of some rows of a table: of those that were asked for since the
/// last [`Self::clear`], which takes time in proportion to them and not to the
/// table.
#[derive(Clone, Debug, Default)]
pub struct RowGradients {
    generation: u32,
    /// Of each row of the table: the generation that it was last asked for in,
    /// and its place in `rows`.
    stamps: Vec<(u32, u32)>,
    rows: Vec<u32>,
    /// Parallel to `rows`.
    lanes: Vec<Lane>,
    width: usize,
}

impl RowGradients {
    /// None yet of a table of `rows` rows of `width` lanes.
    pub fn new(rows: usize, width: usize) -> Self {
        Self {
            generation: 1,
            stamps: zeros(rows),
            width,
            ..Self::default()
        }
    }

    /// The rows that have a gradient, in the order in which they came.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// The gradient of the `place`-th of [`Self::rows`].
    #[inline(always)]
    pub fn at(&self, place: usize) -> &[Lane] {
        &self.lanes[place * self.width..][..self.width]
    }

    /// The gradient of a row, zero where it had none.
    #[inline(always)]
    pub fn row_mut(&mut self, row: u32) -> &mut [Lane] {
        let (generation, place) = self.stamps[row as usize];
        let place = match generation == self.generation {
            true => place as usize,
            false => self.begin(row),
        };
        &mut self.lanes[place * self.width..][..self.width]
    }

    #[inline(never)]
    fn begin(&mut self, row: u32) -> usize {
        let place = self.rows.len();
        self.stamps[row as usize] = (self.generation, place as u32);
        self.rows.push(row);
        self.lanes.resize((place + 1) * self.width, Lane::ZERO);
        place
    }

    /// The gradients of the first `count` rows, one after the other.
    ///
    /// # Panics
    /// When other rows came first.
    pub fn first_rows_mut(&mut self, count: usize) -> &mut [Lane] {
        if self.rows.is_empty() {
            self.lanes.resize(count * self.width, Lane::ZERO);
            self.rows.extend(0..count as u32);
            for (stamp, row) in self.stamps.iter_mut().zip(&self.rows) {
                *stamp = (self.generation, *row);
            }
        }
        let last = count.saturating_sub(1);
        assert!(
            self.rows.get(last).is_some_and(|&row| row as usize == last),
            "the first rows come first"
        );
        &mut self.lanes[..count * self.width]
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.lanes.clear();
        if self.generation == u32::MAX {
            self.stamps.fill((0, 0));
            self.generation = 0;
        }
        self.generation += 1;
    }

    pub fn add(&mut self, row: u32, gradient: &[Lane]) {
        add(self.row_mut(row), gradient);
    }
}

//! The weights of users or items, with the optimizer's states.

use crate::kernels::simd::{self, Isa, Lane, flat_mut};
use crate::kernels::table::{SharedRows, Table};
use crate::kernels::update::{AdamLanes, Hyper, update_row};

/// The weights of one side and the optimizer's states, row by row.
#[derive(Clone, Debug)]
pub struct Side {
    pub weights: Table,
    /// Without columns where the optimizer keeps no state.
    pub first: Table,
    /// Without columns where it keeps one.
    pub second: Table,
}

impl Side {
    pub fn zeros(rows: usize, columns: usize, states: usize) -> Self {
        let state = |number| Table::zeros(rows, if states >= number { columns } else { 0 });
        Self {
            weights: Table::zeros(rows, columns),
            first: state(1),
            second: state(2),
        }
    }
}

/// A side whose rows several threads update.
pub struct SharedSide<'a> {
    weights: SharedRows<'a>,
    first: SharedRows<'a>,
    second: SharedRows<'a>,
}

/// All that belongs to one row.
pub struct Held<'a> {
    pub weights: &'a mut [Lane],
    first: &'a mut [Lane],
    second: &'a mut [Lane],
}

impl<'a> SharedSide<'a> {
    pub fn of(side: &'a mut Side) -> Self {
        Self {
            weights: side.weights.shared(),
            first: side.first.shared(),
            second: side.second.shared(),
        }
    }

    /// # Safety
    /// Nothing else may hold the same row at the same time.
    #[inline(always)]
    pub unsafe fn row(&self, row: u32) -> Held<'_> {
        // SAFETY: passed on to the caller.
        unsafe {
            Held {
                weights: self.weights.row(row).0,
                first: self.first.row(row).0,
                second: self.second.row(row).0,
            }
        }
    }

    #[inline(always)]
    pub fn prefetch(&self, row: u32) {
        self.weights.prefetch(row);
        self.first.prefetch(row);
        self.second.prefetch(row);
    }
}

impl Held<'_> {
    #[inline(always)]
    pub fn update<S: Isa>(self, hyper: &Hyper, gradient: &[Lane]) {
        if let Some(adam) = AdamLanes::<S>::of(hyper) {
            let states = self.first.iter_mut().zip(self.second);
            let rows = self.weights.iter_mut().zip(states).zip(gradient);
            for ((weights, (first, second)), gradient) in rows {
                adam.step(weights, first, second, gradient);
            }
            return;
        }
        update_row::<S>(
            hyper,
            flat_mut(self.weights),
            flat_mut(self.first),
            flat_mut(self.second),
            simd::flat(gradient),
        );
    }
}

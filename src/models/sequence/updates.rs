//! From the gradients of a step's parts to the update of the weights.

use super::cosine::UnitRows;
use crate::kernels::catalog::RowGradients;
use crate::kernels::mf::SharedSide;
use crate::kernels::simd::{Isa, Job, Lane, add, dot, flat_mut};
use crate::kernels::table::Table;
use crate::kernels::update::{Hyper, update_row};

/// The gradients of some parts.
#[derive(Clone)]
pub struct Segment {
    /// By way of the inputs, and where scores are not cosines, of the scores.
    pub items: RowGradients,
    /// By way of the scores, where they are cosines: of the items' unit rows.
    pub units: Option<RowGradients>,
    pub dense: Vec<Lane>,
}

impl Segment {
    pub fn clear(&mut self) {
        self.items.clear();
        if let Some(units) = &mut self.units {
            units.clear();
        }
        self.dense.fill(Lane::ZERO);
    }
}

/// The sums over segments of some items' rows, in the order of the segments.
pub struct AddUp<'a> {
    pub first: usize,
    pub rows: &'a mut [Lane],
    pub touched: &'a mut [bool],
    pub segments: &'a [Segment],
    pub items: &'a Table,
    pub units: Option<&'a UnitRows>,
}

/// Adds the row of each segment that has one; tells whether any has.
#[inline(always)]
fn sum_rows<'a>(row: &mut [Lane], of: impl Iterator<Item = &'a RowGradients>, at: usize) -> bool {
    let mut any = false;
    for gradients in of.filter(|gradients| gradients.touched[at]) {
        add(row, &gradients.lanes[at * row.len()..][..row.len()]);
        any = true;
    }
    any
}

impl Job for AddUp<'_> {
    type Output = f64;

    #[inline(always)]
    fn call<S: Isa>(self) -> f64 {
        let width = self.rows.len() / self.touched.len();
        let mut squares = 0.0;
        let rows = self.rows.chunks_exact_mut(width);
        for ((row, touched), at) in rows.zip(self.touched).zip(self.first..) {
            row.fill(Lane::ZERO);
            *touched = false;
            if let Some(units) = self.units {
                let of = self.segments.iter().filter_map(|s| s.units.as_ref());
                *touched = sum_rows(row, of, at);
                if *touched {
                    units.to_items::<S>(at as u32, self.items, row);
                }
            }
            *touched |= sum_rows(row, self.segments.iter().map(|s| &s.items), at);
            if *touched {
                squares += f64::from(dot::<S>(row, row));
            }
        }
        squares
    }
}

/// The sum of squares.
pub struct Squares<'a>(pub &'a [Lane]);

impl Job for Squares<'_> {
    type Output = f32;

    #[inline(always)]
    fn call<S: Isa>(self) -> f32 {
        dot::<S>(self.0, self.0)
    }
}

/// The update of some items' rows.
pub struct UpdateRows<'a> {
    pub side: &'a SharedSide<'a>,
    pub first: u32,
    pub width: usize,
    pub rows: &'a mut [Lane],
    pub touched: &'a [bool],
    pub all: bool,
    pub hyper: &'a Hyper,
    pub scale: f32,
}

impl Job for UpdateRows<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let rows = self.rows.chunks_exact_mut(self.width);
        for ((gradient, &touched), row) in rows.zip(self.touched).zip(self.first..) {
            if touched || self.all {
                flat_mut(gradient).iter_mut().for_each(|g| *g *= self.scale);
                // SAFETY: each row is in one chunk, and chunks are distinct.
                let held = unsafe { self.side.row(row) };
                held.update::<S>(self.hyper, gradient);
            }
        }
    }
}

/// The update of all other weights.
pub struct UpdateDense<'a> {
    pub weights: &'a mut [Lane],
    pub first: &'a mut [Lane],
    pub second: &'a mut [Lane],
    pub gradient: &'a mut [Lane],
    pub hyper: &'a Hyper,
    pub scale: f32,
}

impl Job for UpdateDense<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let gradient = flat_mut(self.gradient);
        gradient.iter_mut().for_each(|g| *g *= self.scale);
        update_row::<S>(
            self.hyper,
            flat_mut(self.weights),
            flat_mut(self.first),
            flat_mut(self.second),
            gradient,
        );
    }
}

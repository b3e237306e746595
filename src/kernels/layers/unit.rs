//! Rows of one length, whose inner products are cosines.

use super::{Back, Graph, Op, Var};
use crate::kernels::simd::{self, Isa, Job, Lane, add, add_scaled, dot};

/// Keeps divisions finite; a row of zeros stays one.
pub const EPSILON: f32 = 1e-12;

struct Unit {
    x: Var,
    length: f32,
    /// One over the length of each row of `x`.
    inverse: Vec<f32>,
}

impl Graph<'_> {
    /// Each row of `x` in its direction, as long as `length`.
    pub fn unit(&mut self, x: Var, length: f32) -> Var {
        let width = self.width(x);
        let mut value = self.value(x).to_vec();
        let mut inverse = vec![0.0; self.len()];
        simd::run(ToUnit {
            rows: &mut value,
            width,
            length,
            inverse: &mut inverse,
        });
        self.push(value, width, Unit { x, length, inverse })
    }
}

/// Gives rows of `width` lanes a length, and tells one over the old ones.
pub struct ToUnit<'a> {
    pub rows: &'a mut [Lane],
    pub width: usize,
    pub length: f32,
    pub inverse: &'a mut [f32],
}

impl Job for ToUnit<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let rows = self.rows.chunks_exact_mut(self.width);
        for (row, inverse) in rows.zip(self.inverse) {
            *inverse = 1.0 / (dot::<S>(row, row) + EPSILON).sqrt();
            let factor = self.length * *inverse;
            for lane in row {
                lane.0.iter_mut().for_each(|x| *x *= factor);
            }
        }
    }
}

/// From the gradient by a row of length `length` to the one by the row `x`, of
/// length `1 / inverse`, that it was made of: `(g - (g.x) x / |x|^2) length / |x|`.
#[inline(always)]
pub fn unit_backward<S: Isa>(gradient: &mut [Lane], x: &[Lane], length: f32, inverse: f32) {
    let along = dot::<S>(gradient, x) * inverse * inverse;
    add_scaled::<S>(gradient, -along, x);
    let factor = length * inverse;
    for lane in gradient {
        lane.0.iter_mut().for_each(|x| *x *= factor);
    }
}

impl Op for Unit {
    fn backward(&self, back: &mut Back<'_, '_>) {
        let graph = back.graph;
        simd::run(Backward {
            above: back.above,
            x: graph.value(self.x),
            length: self.length,
            inverse: &self.inverse,
            width: graph.width(self.x),
            to: back.rows(self.x),
        });
    }
}

struct Backward<'a> {
    above: &'a [Lane],
    x: &'a [Lane],
    length: f32,
    inverse: &'a [f32],
    width: usize,
    to: &'a mut [Lane],
}

impl Job for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let mut own = vec![Lane::ZERO; self.width];
        let rows = self.above.chunks_exact(self.width);
        let xs = self.x.chunks_exact(self.width);
        let tos = self.to.chunks_exact_mut(self.width);
        for (((above, x), to), &inverse) in rows.zip(xs).zip(tos).zip(self.inverse) {
            own.copy_from_slice(above);
            unit_backward::<S>(&mut own, x, self.length, inverse);
            add(to, &own);
        }
    }
}

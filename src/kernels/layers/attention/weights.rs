//! From inner products to the weights of values, and the way back.

use super::head::Head;
use crate::kernels::layers::pointwise::{sigmoid, swish_slope};
use crate::kernels::simd::{Isa, Job, Lane, WIDTH, exp, flat_mut, largest};

/// Rows of weights in place of inner products.
pub struct Softmax<'a> {
    pub head: Head,
    pub rows: &'a mut [Lane],
}

impl Job for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let scale = self.head.scale();
        let rows = self.rows.chunks_exact_mut(self.head.lanes());
        for (place, row) in rows.enumerate() {
            let keys = self.head.keys(place);
            let (seen, unseen) = row.split_at_mut(keys.div_ceil(WIDTH));
            unseen.fill(Lane::ZERO);
            let last = seen.len() * WIDTH;
            flat_mut(seen)[keys..last].fill(f32::NEG_INFINITY);
            let most = largest(seen);
            let mut sum = Lane::ZERO;
            for lane in seen.iter_mut() {
                for i in 0..WIDTH {
                    lane.0[i] = exp((lane.0[i] - most) * scale);
                    sum.0[i] += lane.0[i];
                }
            }
            // The padding holds the smallest power that there is, not zero.
            flat_mut(seen)[keys..last].fill(0.0);
            let share = 1.0 / sum.sum();
            for lane in seen {
                lane.0.iter_mut().for_each(|x| *x *= share);
            }
        }
    }
}

pub struct Silu<'a> {
    pub head: Head,
    pub rows: &'a mut [Lane],
    pub share: f32,
}

impl Job for Silu<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let rows = self.rows.chunks_exact_mut(self.head.lanes());
        for (place, row) in rows.enumerate() {
            let keys = self.head.keys(place);
            for lane in row.iter_mut() {
                for x in &mut lane.0 {
                    *x *= self.share * sigmoid(*x);
                }
            }
            flat_mut(row)[keys..].fill(0.0);
        }
    }
}

pub struct SoftmaxSlopes<'a> {
    pub head: Head,
    pub slopes: &'a mut [Lane],
    pub applied: &'a [Lane],
    pub raw: &'a [Lane],
}

impl Job for SoftmaxSlopes<'_> {
    type Output = ();

    /// With weights `p` of which `p f` are applied, and slopes `g` by those:
    /// `p f g - p sum(p f g)`.
    #[inline(always)]
    fn call<S: Isa>(self) {
        let (lanes, scale) = (self.head.lanes(), self.head.scale());
        let rows = self.slopes.chunks_exact_mut(lanes);
        let weights = self.applied.chunks_exact(lanes);
        let raws = self.raw.chunks_exact(lanes);
        for (place, ((row, applied), raw)) in rows.zip(weights).zip(raws).enumerate() {
            let seen = self.head.keys(place).div_ceil(WIDTH);
            let mut sum = Lane::ZERO;
            for (slope, applied) in row[..seen].iter_mut().zip(applied) {
                for i in 0..WIDTH {
                    slope.0[i] *= applied.0[i];
                    sum.0[i] += slope.0[i];
                }
            }
            let sum = sum.sum();
            for (slope, raw) in row[..seen].iter_mut().zip(raw) {
                for i in 0..WIDTH {
                    slope.0[i] = scale * (slope.0[i] - sum * raw.0[i]);
                }
            }
            row[seen..].fill(Lane::ZERO);
        }
    }
}

pub struct SiluSlopes<'a> {
    pub head: Head,
    pub slopes: &'a mut [Lane],
    pub raw: &'a [Lane],
    pub share: f32,
}

impl Job for SiluSlopes<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let lanes = self.head.lanes();
        let rows = self.slopes.chunks_exact_mut(lanes);
        for (place, (row, raw)) in rows.zip(self.raw.chunks_exact(lanes)).enumerate() {
            for (slope, raw) in row.iter_mut().zip(raw) {
                for i in 0..WIDTH {
                    slope.0[i] *= self.share * swish_slope(raw.0[i], 1.0);
                }
            }
            let keys = self.head.keys(place);
            flat_mut(row)[keys..].fill(0.0);
        }
    }
}

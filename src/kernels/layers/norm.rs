//! Layer normalization (Ba et al., 2016) and RMS normalization (Zhang &
//! Sennrich, NeurIPS 2019).

use super::{Back, Graph, Op, Var, Weight};
use crate::kernels::simd::{self, Isa, Job, Lane, WIDTH, add, add_scaled, dot};

/// Keeps divisions finite.
pub const EPSILON: f32 = 1e-5;

/// The weights of a normalization.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    pub scale: Weight,
    /// With it, the mean goes away and this comes on top (layer
    /// normalization); without it, neither (RMS normalization).
    pub shift: Option<Weight>,
}

struct Normed {
    x: Var,
    norm: Norm,
    /// One over the deviation of each row.
    inverse: Vec<f32>,
    /// The rows before scale and shift.
    unit: Vec<Lane>,
}

impl Graph<'_> {
    /// `x` normalized row by row, over all of its columns.
    pub fn norm(&mut self, x: Var, norm: Norm) -> Var {
        let width = self.width(x);
        let (rows, mut value) = (self.len(), Vec::new());
        let (mut unit, mut inverse) = (self.value(x).to_vec(), vec![0.0; rows]);
        value.resize(rows * width, Lane::ZERO);
        simd::run(Forward {
            unit: &mut unit,
            value: &mut value,
            inverse: &mut inverse,
            scale: self.weights.of(norm.scale),
            shift: norm.shift.map(|shift| self.weights.of(shift)),
        });
        let op = Normed {
            x,
            norm,
            inverse,
            unit,
        };
        self.push(value, width, op)
    }
}

struct Forward<'a> {
    /// The input at first.
    unit: &'a mut [Lane],
    value: &'a mut [Lane],
    inverse: &'a mut [f32],
    scale: &'a [Lane],
    shift: Option<&'a [Lane]>,
}

#[inline(always)]
fn sum<S: Isa>(row: &[Lane]) -> f32 {
    let mut sum = S::zero();
    for lane in row {
        sum = S::add(sum, S::load(lane));
    }
    S::sum(sum)
}

impl Job for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let width = self.scale.len();
        let share = 1.0 / (width * WIDTH) as f32;
        let rows = self.unit.chunks_exact_mut(width);
        let values = self.value.chunks_exact_mut(width);
        for ((row, value), inverse) in rows.zip(values).zip(self.inverse) {
            if self.shift.is_some() {
                let mean = sum::<S>(row) * share;
                for lane in row.iter_mut() {
                    lane.0.iter_mut().for_each(|x| *x -= mean);
                }
            }
            *inverse = 1.0 / (dot::<S>(row, row) * share + EPSILON).sqrt();
            for (at, lane) in row.iter_mut().enumerate() {
                lane.0.iter_mut().for_each(|x| *x *= *inverse);
                let base = self.shift.map_or(Lane::ZERO, |shift| shift[at]);
                let scale = S::load(&self.scale[at]);
                let y = S::madd(S::load(lane), scale, S::load(&base));
                S::store(y, &mut value[at]);
            }
        }
    }
}

impl Op for Normed {
    fn backward(&self, back: &mut Back<'_, '_>) {
        let (graph, above) = (back.graph, back.above);
        let scale = graph.weights.of(self.norm.scale);
        let width = scale.len();
        if let Some(shift) = self.norm.shift {
            let to = back.weight(shift);
            for row in above.chunks_exact(width) {
                add(to, row);
            }
        }
        let mut to_scale = vec![Lane::ZERO; width];
        simd::run(Backward {
            above,
            unit: &self.unit,
            inverse: &self.inverse,
            scale,
            centered: self.norm.shift.is_some(),
            to_scale: &mut to_scale,
            to: back.rows(self.x),
        });
        add(back.weight(self.norm.scale), &to_scale);
    }
}

struct Backward<'a> {
    above: &'a [Lane],
    unit: &'a [Lane],
    inverse: &'a [f32],
    scale: &'a [Lane],
    centered: bool,
    to_scale: &'a mut [Lane],
    to: &'a mut [Lane],
}

impl Job for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let width = self.scale.len();
        let share = 1.0 / (width * WIDTH) as f32;
        let mut scaled = vec![Lane::ZERO; width];
        let rows = self.above.chunks_exact(width);
        let units = self.unit.chunks_exact(width);
        let tos = self.to.chunks_exact_mut(width);
        for (((above, unit), to), inverse) in rows.zip(units).zip(tos).zip(self.inverse) {
            for at in 0..width {
                for i in 0..WIDTH {
                    self.to_scale[at].0[i] += above[at].0[i] * unit[at].0[i];
                    scaled[at].0[i] = above[at].0[i] * self.scale[at].0[i];
                }
            }
            let along = dot::<S>(&scaled, unit) * share;
            let mean = if self.centered {
                sum::<S>(&scaled) * share
            } else {
                0.0
            };
            add_scaled::<S>(&mut scaled, -along, unit);
            for (to, scaled) in to.iter_mut().zip(&scaled) {
                for i in 0..WIDTH {
                    to.0[i] += inverse * (scaled.0[i] - mean);
                }
            }
        }
    }
}

//! A few steps of conjugate gradients from a row as it is: Takacs, Pilaszy &
//! Tikk, "Applications of the conjugate gradient method for implicit feedback
//! collaborative filtering" (RecSys 2011).
//!
//! In the basis of the eigenvectors of `V^T V` (see [`super::exact`]) all that
//! is not of the row's own pairs is diagonal, so that a step costs the row's
//! partners twice and nothing in proportion to `d^2`. There the partners'
//! `W^T W` is about diagonal, too, if they are like a sample of all rows: that
//! is what the preconditioner takes it for.

use super::exact::Rotated;
use super::{Observed, Scratch};
use crate::kernels::simd::{Isa, Lane, WIDTH, add_scaled, dot, flat, flat_mut};
use crate::kernels::table::Table;

/// Partners that are taken at a time, so that their sums do not wait for each
/// other.
const TOGETHER: usize = 4;

/// Less than this of the first slope is rounding.
const SMALLEST: f32 = 1e-12;

/// What a row's partners do to a vector.
#[derive(Clone, Copy)]
enum Part {
    /// `W^T r - W^T W by`, and the sum of `(r - W by)^2`.
    Residual,
    /// `W^T W by`
    Image,
}

impl Part {
    /// What a partner counts, given its product with the vector.
    #[inline(always)]
    fn factor(self, root: f32, product: f32, loss: &mut f32) -> f32 {
        match self {
            Self::Residual => {
                let error = root * (1.0 - product);
                *loss += error * error;
                root * error
            }
            Self::Image => root * root * product,
        }
    }

    /// Adds that of all partners to `to`.
    #[inline(always)]
    fn add<S: Isa>(
        self,
        table: &Table,
        observed: Observed<'_>,
        by: &[Lane],
        to: &mut [Lane],
    ) -> f32 {
        let mut loss = 0.0;
        let whole = observed.others.chunks_exact(TOGETHER);
        let rest = whole.remainder();
        let mut place = 0;
        for others in whole {
            let rows: [&[Lane]; TOGETHER] = [
                table.row(others[0]),
                table.row(others[1]),
                table.row(others[2]),
                table.row(others[3]),
            ];
            let mut sums = [S::zero(); TOGETHER];
            for (lane, by) in by.iter().enumerate() {
                let by = S::load(by);
                for j in 0..TOGETHER {
                    sums[j] = S::madd(S::load(&rows[j][lane]), by, sums[j]);
                }
            }
            let mut factors = [S::zero(); TOGETHER];
            for j in 0..TOGETHER {
                let root = observed.root(place + j);
                factors[j] = S::splat(self.factor(root, S::sum(sums[j]), &mut loss));
            }
            for (lane, to) in to.iter_mut().enumerate() {
                let mut sum = S::load(to);
                for j in 0..TOGETHER {
                    sum = S::madd(factors[j], S::load(&rows[j][lane]), sum);
                }
                S::store(sum, to);
            }
            place += TOGETHER;
        }
        for &other in rest {
            let row = table.row(other);
            let factor = self.factor(observed.root(place), dot::<S>(row, by), &mut loss);
            add_scaled::<S>(to, factor, row);
            place += 1;
        }
        loss
    }
}

impl Rotated {
    /// Improves a row of the rotated basis; returns its part of the objective
    /// afterwards.
    #[inline(always)]
    pub fn improve<S: Isa>(
        &self,
        observed: Observed<'_>,
        strength: f32,
        steps: usize,
        scratch: &mut Scratch,
        row: &mut [Lane],
    ) -> f64 {
        let width = row.len();
        let Scratch {
            gathered,
            right: residual,
            solution: direction,
            system: image,
            ..
        } = scratch;
        let share = self.weight + (observed.total() / self.table.num_rows().max(1) as f64) as f32;
        gathered.clear();
        gathered.extend_from_slice(&self.spectrum);
        let likely = flat_mut(gathered);
        likely
            .iter_mut()
            .for_each(|x| *x = 1.0 / (*x * share + strength));
        residual.clear();
        residual.resize(width, Lane::ZERO);
        let loss = Part::Residual.add::<S>(&self.table, observed, row, residual);
        let mut loss = f64::from(loss);
        image.clear();
        image.resize(width, Lane::ZERO);
        self.diagonal(strength, row, image);
        loss += f64::from(dot::<S>(row, image));
        add_scaled::<S>(residual, -1.0, image);
        direction.clear();
        direction.extend_from_slice(residual);
        times(direction, gathered);
        let mut slope = dot::<S>(residual, direction);
        let enough = slope * SMALLEST;
        for _ in 0..steps {
            if slope <= enough {
                break;
            }
            self.diagonal(strength, direction, image);
            Part::Image.add::<S>(&self.table, observed, direction, image);
            let step = slope / dot::<S>(direction, image);
            add_scaled::<S>(row, step, direction);
            add_scaled::<S>(residual, -step, image);
            loss -= f64::from(step) * f64::from(slope);
            image.copy_from_slice(residual);
            times(image, gathered);
            let next = dot::<S>(residual, image);
            add_scaled::<S>(image, next / slope, direction);
            direction.copy_from_slice(image);
            slope = next;
        }
        loss
    }

    /// `to = D row`
    #[inline(always)]
    fn diagonal(&self, strength: f32, row: &[Lane], to: &mut [Lane]) {
        let pairs = flat(row).iter().zip(flat(&self.spectrum));
        for (to, (x, value)) in flat_mut(to).iter_mut().zip(pairs) {
            *to = x * (self.weight * value + strength);
        }
    }
}

/// `row *= by`, number by number.
#[inline(always)]
fn times(row: &mut [Lane], by: &[Lane]) {
    for (x, by) in row.iter_mut().zip(by) {
        for i in 0..WIDTH {
            x.0[i] *= by.0[i];
        }
    }
}

//! One Newton step for each block of a row's dimensions: the subspace
//! optimization of Rendle, Krichene, Zhang & Koren, "iALS++: speeding up
//! matrix factorization with subspace optimization" (2021), algorithm 3.
//!
//! The paper takes a block of all rows before it comes to the next block.
//! Rows do not see each other while the other side stands still, so taking
//! all blocks of a row before the next row is the same, and keeps the row's
//! predictions and partners near.

use super::{Observed, Scratch, Settings};
use crate::kernels::gemm::{Left, add_upper};
use crate::kernels::simd::{Isa, Lane, WIDTH, add_scaled, dot, flat, flat_mut};
use crate::kernels::table::Table;

pub struct Step<'a> {
    pub settings: &'a Settings,
    /// Dimensions that are solved together.
    pub block: usize,
    /// `V^T V`
    pub gram: &'a [Lane],
    /// `V`
    pub table: &'a Table,
    pub strength: f64,
}

impl Step<'_> {
    /// Improves a row; returns its part of the objective.
    #[inline(always)]
    pub fn solve<S: Isa>(
        &self,
        observed: Observed<'_>,
        scratch: &mut Scratch,
        row: &mut [Lane],
    ) -> f64 {
        scratch.predictions.clear();
        let products = observed.others.iter();
        let products = products.map(|&other| dot::<S>(self.table.row(other), row));
        scratch.predictions.extend(products);
        let (dim, block) = (self.settings.dim, self.block);
        for start in (0..dim).step_by(block) {
            self.block::<S>(observed, start, block.min(dim - start), scratch, row);
        }
        let errors = scratch.predictions.iter().enumerate().map(|(place, &p)| {
            let error = f64::from(observed.root(place)) * f64::from(1.0 - p);
            error * error
        });
        let rows = self.gram.chunks_exact(row.len()).zip(flat(row));
        let all = rows.map(|(gram, &x)| f64::from(x) * f64::from(dot::<S>(gram, row)));
        errors.sum::<f64>()
            + self.settings.unobserved_weight * all.sum::<f64>()
            + self.strength * f64::from(dot::<S>(row, row))
    }

    /// The step in the dimensions `start..start + len`.
    #[inline(always)]
    fn block<S: Isa>(
        &self,
        observed: Observed<'_>,
        start: usize,
        len: usize,
        scratch: &mut Scratch,
        row: &mut [Lane],
    ) {
        let width = len.div_ceil(WIDTH);
        let Scratch {
            gathered,
            system,
            right,
            solution,
            predictions,
            factor,
            ..
        } = scratch;
        for (lanes, count) in [
            (&mut *gathered, observed.others.len() * width),
            (&mut *system, len * width),
            (&mut *right, width),
            (&mut *solution, width),
        ] {
            lanes.clear();
            lanes.resize(count, Lane::ZERO);
        }
        let partners = gathered.chunks_exact_mut(width).enumerate();
        for ((place, part), &other) in partners.zip(observed.others) {
            let root = observed.root(place);
            let from = &flat(self.table.row(other))[start..start + len];
            for (to, x) in flat_mut(part).iter_mut().zip(from) {
                *to = x * root;
            }
            // Minus the gradient, less what it has of all pairs.
            add_scaled::<S>(right, root * (1.0 - predictions[place]), part);
        }
        let left = Left {
            values: flat(gathered),
            row: 1,
            depth: width * WIDTH,
        };
        add_upper::<S>(left, gathered, system, width);
        self.add_all::<S>(start, len, system, right, row);
        factor.factor::<S>(system, len, width);
        factor.forward::<S>(system, right, width);
        factor.backward::<S>(system, right, solution);
        let changed = &mut flat_mut(row)[start..start + len];
        for (x, step) in changed.iter_mut().zip(flat(solution)) {
            *x += step;
        }
        let partners = gathered.chunks_exact(width).enumerate();
        for ((place, part), prediction) in partners.zip(predictions) {
            *prediction += dot::<S>(part, solution) / observed.root(place);
        }
    }

    /// What unobserved pairs and the regularizer add to system and right side.
    #[inline(always)]
    fn add_all<S: Isa>(
        &self,
        start: usize,
        len: usize,
        system: &mut [Lane],
        right: &mut [Lane],
        row: &[Lane],
    ) {
        let width = right.len();
        let (weight, strength) = (self.settings.unobserved_weight as f32, self.strength as f32);
        for k in 0..len {
            let gram = &self.gram[(start + k) * row.len()..(start + k + 1) * row.len()];
            let to = &mut flat_mut(&mut system[k * width..(k + 1) * width])[..len];
            for (to, x) in to.iter_mut().zip(&flat(gram)[start..start + len]) {
                *to += weight * x;
            }
            to[k] += strength;
            flat_mut(right)[k] -= weight * dot::<S>(gram, row) + strength * flat(row)[start + k];
        }
    }
}

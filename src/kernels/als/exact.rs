//! The exact solution of a row, in the smaller of two forms.
//!
//! In the basis of the eigenvectors of `V^T V`, all that is not of the row's
//! own pairs is diagonal: `D = unobserved_weight eigenvalues + strength`. With
//! the row's partners `W` (`n x d`, scaled by the roots `r` of their
//! confidences), the normal equations are `(D + W^T W) x = W^T r`. For long
//! rows that is a system of `d` equations. For short ones
//!
//! ```text
//! x = D^-1 W^T y,    (1 + W D^-1 W^T) y = r
//! ```
//!
//! has `n` equations instead, and is the same solution.

use super::{Observed, Scratch, Settings};
use crate::kernels::eigen::eigen;
use crate::kernels::gemm::{Left, add_product, add_upper};
use crate::kernels::simd::{self, Isa, Job, Lane, WIDTH, add_scaled, flat, flat_mut};
use crate::kernels::table::Table;
use rayon::prelude::*;

/// Rows that are turned at a time.
const TURNED: usize = 64;

/// Bytes of partners that are gathered at a time: they stay in the nearest
/// cache.
const GATHERED: usize = 32 << 10;

/// The fixed side in the basis of its eigenvectors.
pub struct Rotated {
    dim: usize,
    pub(super) table: Table,
    /// Of unobserved pairs.
    pub(super) weight: f32,
    /// The eigenvalues, as a row of the table.
    pub(super) spectrum: Vec<Lane>,
    /// `dim` rows, an eigenvector each.
    vectors: Vec<Lane>,
    /// A column for each.
    transposed: Vec<Lane>,
}

impl Rotated {
    pub fn new(settings: &Settings, gram: &[Lane], table: &Table) -> Self {
        let (dim, per_row) = (settings.dim, table.per_row());
        let stride = per_row * WIDTH;
        let numbers = flat(gram).chunks_exact(stride);
        let matrix = numbers.flat_map(|row| row[..dim].iter().map(|&x| f64::from(x)));
        let eigen = eigen(matrix.collect(), dim);
        let mut vectors = vec![Lane::ZERO; dim * per_row];
        let mut transposed = vec![Lane::ZERO; dim * per_row];
        for k in 0..dim {
            for j in 0..dim {
                let x = eigen.vectors[k * dim + j] as f32;
                flat_mut(&mut vectors)[k * stride + j] = x;
                flat_mut(&mut transposed)[j * stride + k] = x;
            }
        }
        let mut turned = Table::zeros(table.num_rows(), dim);
        let from = table.lanes().par_chunks(TURNED * per_row);
        let to = turned.lanes_mut().par_chunks_mut(TURNED * per_row);
        to.zip(from).for_each(|(to, rows)| {
            simd::run(Turn {
                rows,
                by: &transposed,
                to,
                per_row,
            });
        });
        let mut spectrum = vec![Lane::ZERO; per_row];
        for (to, value) in flat_mut(&mut spectrum).iter_mut().zip(&eigen.values) {
            *to = value.max(0.0) as f32;
        }
        Self {
            dim,
            table: turned,
            weight: settings.unobserved_weight as f32,
            spectrum,
            vectors,
            transposed,
        }
    }

    /// Solves for a row, in the rotated basis; returns its part of the
    /// objective.
    #[inline(always)]
    pub fn solve<S: Isa>(
        &self,
        observed: Observed<'_>,
        strength: f64,
        scratch: &mut Scratch,
        to: &mut [Lane],
    ) -> f64 {
        // At equal lengths, gathering columns costs more than gathering rows.
        if observed.others.len() * 4 <= self.dim * 3 {
            self.solve_short::<S>(observed, strength as f32, scratch, to)
        } else {
            self.solve_long::<S>(observed, strength as f32, scratch, to)
        }
    }

    /// `d` equations.
    #[inline(always)]
    fn solve_long<S: Isa>(
        &self,
        observed: Observed<'_>,
        strength: f32,
        scratch: &mut Scratch,
        to: &mut [Lane],
    ) -> f64 {
        let per_row = self.table.per_row();
        let Scratch {
            gathered,
            system,
            right,
            factor,
            ..
        } = scratch;
        reset(system, self.dim * per_row);
        reset(right, per_row);
        let height = (GATHERED / (per_row * size_of::<Lane>())).max(WIDTH);
        let mut place = 0;
        for others in observed.others.chunks(height) {
            gathered.clear();
            for &other in others {
                let root = observed.root(place);
                let row = self.table.row(other);
                let start = gathered.len();
                gathered.extend_from_slice(row);
                if observed.roots.is_some() {
                    let row = flat_mut(&mut gathered[start..]);
                    row.iter_mut().for_each(|x| *x *= root);
                }
                add_scaled::<S>(right, root, &gathered[start..]);
                place += 1;
            }
            let left = Left {
                values: flat(gathered),
                row: 1,
                depth: per_row * WIDTH,
            };
            add_upper::<S>(left, gathered, system, per_row);
        }
        let numbers = flat_mut(system);
        for (k, value) in flat(&self.spectrum)[..self.dim].iter().enumerate() {
            numbers[k * (per_row * WIDTH + 1)] += self.weight * value + strength;
        }
        factor.factor::<S>(system, self.dim, per_row);
        let square = factor.forward::<S>(system, right, per_row);
        factor.backward::<S>(system, right, to);
        observed.total() - square
    }

    /// `n` equations.
    #[inline(always)]
    fn solve_short<S: Isa>(
        &self,
        observed: Observed<'_>,
        strength: f32,
        scratch: &mut Scratch,
        to: &mut [Lane],
    ) -> f64 {
        let count = observed.others.len();
        let width = count.div_ceil(WIDTH);
        let Scratch {
            gathered,
            system,
            right,
            solution,
            factor,
            ..
        } = scratch;
        reset(gathered, self.dim * width);
        reset(system, count * width);
        reset(right, width);
        reset(solution, width);
        self.gather_columns(observed, strength, flat_mut(gathered), width * WIDTH);
        let left = Left {
            values: flat(gathered),
            row: 1,
            depth: width * WIDTH,
        };
        add_upper::<S>(left, gathered, system, width);
        for place in 0..count {
            flat_mut(system)[place * (width * WIDTH + 1)] += 1.0;
            flat_mut(right)[place] = observed.root(place);
        }
        factor.factor::<S>(system, count, width);
        let square = factor.forward::<S>(system, right, width);
        factor.backward::<S>(system, right, solution);
        to.fill(Lane::ZERO);
        for (place, &other) in observed.others.iter().enumerate() {
            let share = flat(solution)[place] * observed.root(place);
            add_scaled::<S>(to, share, self.table.row(other));
        }
        for (x, value) in flat_mut(to).iter_mut().zip(flat(&self.spectrum)) {
            *x /= self.weight * value + strength;
        }
        square
    }

    /// `D^-1/2 W^T`: a row for each dimension, a column for each partner.
    #[inline(always)]
    fn gather_columns(&self, observed: Observed<'_>, strength: f32, to: &mut [f32], stride: usize) {
        for (place, &other) in observed.others.iter().enumerate() {
            let root = observed.root(place);
            let row = flat(self.table.row(other));
            let columns = to[place..].iter_mut().step_by(stride);
            for (to, x) in columns.zip(row) {
                *to = x * root;
            }
        }
        for (row, value) in to.chunks_exact_mut(stride).zip(flat(&self.spectrum)) {
            let scale = 1.0 / (self.weight * value + strength).sqrt();
            row.iter_mut().for_each(|x| *x *= scale);
        }
    }

    /// Turns whole rows of lanes to the basis of the eigenvectors.
    #[inline(always)]
    pub fn there<S: Isa>(&self, rows: &mut [Lane], scratch: &mut Vec<Lane>) {
        scratch.clear();
        scratch.extend_from_slice(rows);
        turn::<S>(scratch, &self.transposed, rows, self.table.per_row());
    }

    /// Turns solutions, whole rows of lanes, back to the table's basis.
    #[inline(always)]
    pub fn back<S: Isa>(&self, rows: &mut [Lane], scratch: &mut Vec<Lane>) {
        scratch.clear();
        scratch.extend_from_slice(rows);
        turn::<S>(scratch, &self.vectors, rows, self.table.per_row());
    }
}

fn reset(lanes: &mut Vec<Lane>, len: usize) {
    lanes.clear();
    lanes.resize(len, Lane::ZERO);
}

/// `to = rows by`
#[inline(always)]
fn turn<S: Isa>(rows: &[Lane], by: &[Lane], to: &mut [Lane], per_row: usize) {
    to.fill(Lane::ZERO);
    let left = Left {
        values: flat(rows),
        row: per_row * WIDTH,
        depth: 1,
    };
    add_product::<S>(left, by, to, per_row);
}

struct Turn<'a> {
    rows: &'a [Lane],
    by: &'a [Lane],
    to: &'a mut [Lane],
    per_row: usize,
}

impl Job for Turn<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        turn::<S>(self.rows, self.by, self.to, self.per_row);
    }
}

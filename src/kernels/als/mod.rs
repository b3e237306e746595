//! Alternating least squares for implicit feedback: one side's rows solved
//! against the other side, which stands still meanwhile.
//!
//! A row `x` with `n` observed pairs, whose partners are the rows `v_i` of the
//! fixed side `V`, minimizes
//!
//! ```text
//! sum_i c_i (1 - x.v_i)^2 + unobserved_weight x^T V^T V x + strength |x|^2
//! strength = regularization (n + unobserved_weight |V|)^exponent
//! ```
//!
//! (Rendle, Krichene, Zhang & Koren, "Revisiting the performance of iALS on
//! item recommendation benchmarks", RecSys 2022, eq. 3 to 6), either exactly
//! ([`exact`]) or by a Newton step for each block of dimensions ([`blocks`]).
//! Rows do not depend on each other, so neither the number of threads nor how
//! many are solved at a time changes a bit of the result.

mod blocks;
mod cholesky;
mod exact;
#[cfg(test)]
mod tests;

use super::gemm::{Left, add_upper};
use super::simd::{self, Isa, Job, Lane, WIDTH, dot, flat, flat_mut};
use super::table::Table;
use exact::Rotated;
use rayon::prelude::*;
use std::ops::Range;

/// Rows that a thread solves at a time.
const ROWS: usize = 32;

/// Parts of a table whose products are added up on their own. Their number
/// must not depend on the threads.
const PARTS: usize = 32;

/// The objective, and how it is minimized.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub dim: usize,
    pub unobserved_weight: f64,
    pub regularization: f64,
    pub exponent: f64,
    /// Dimensions that are solved together; `dim` solves exactly.
    pub block: usize,
}

impl Settings {
    /// What multiplies `|x|^2` for a row of `count` pairs, against a side of
    /// `others` rows.
    pub fn strength(&self, count: usize, others: usize) -> f64 {
        let pairs = count as f64 + self.unobserved_weight * others as f64;
        self.regularization * pairs.powf(self.exponent)
    }
}

/// The observed pairs of every row of a side.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    pub offsets: Vec<usize>,
    /// Rows of the other side.
    pub others: Vec<u32>,
    /// Square roots of the confidences, which are above 0; all 1 without.
    pub roots: Option<Vec<f32>>,
}

impl Pairs {
    pub fn len(&self) -> usize {
        self.others.len()
    }

    pub fn is_empty(&self) -> bool {
        self.others.is_empty()
    }

    fn num_rows(&self) -> usize {
        self.offsets.len() - 1
    }

    fn row(&self, row: usize) -> Observed<'_> {
        let range = self.offsets[row]..self.offsets[row + 1];
        Observed {
            others: &self.others[range.clone()],
            roots: self.roots.as_deref().map(|roots| &roots[range]),
        }
    }

    /// The rows, some of them empty, whose last pair lies at these positions.
    pub fn rows_ending(&self, positions: &Range<usize>) -> Range<usize> {
        let ends = &self.offsets[1..];
        let until = |position| ends.partition_point(|&end| end <= position);
        until(positions.start)..until(positions.end)
    }
}

/// The observed pairs of a row.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    pub others: &'a [u32],
    pub roots: Option<&'a [f32]>,
}

impl Observed<'_> {
    #[inline(always)]
    fn root(&self, place: usize) -> f32 {
        self.roots.map_or(1.0, |roots| roots[place])
    }

    /// Sum of the confidences.
    fn total(&self) -> f64 {
        match self.roots {
            Some(roots) => roots.iter().map(|&r| f64::from(r) * f64::from(r)).sum(),
            None => self.others.len() as f64,
        }
    }
}

/// A side that stands still, ready to solve the other one's rows against it.
pub struct Fixed {
    settings: Settings,
    /// Its rows.
    len: usize,
    /// Its own part of the regularizer.
    penalty: f64,
    solver: Solver,
}

enum Solver {
    Exact(Rotated),
    /// Holds `V^T V`.
    Blocks(Vec<Lane>),
}

impl Fixed {
    /// `pairs` are those of the fixed side itself.
    pub fn new(settings: Settings, table: &Table, pairs: &Pairs, others: usize) -> Self {
        let gram = gram(table, settings.dim);
        let penalty = penalty(&settings, table, pairs, others);
        Self {
            settings,
            len: pairs.num_rows(),
            penalty,
            solver: if settings.block >= settings.dim {
                Solver::Exact(Rotated::new(&settings, &gram, table))
            } else {
                Solver::Blocks(gram)
            },
        }
    }

    /// The fixed side's part of the regularizer.
    pub fn penalty(&self) -> f64 {
        self.penalty
    }

    /// Solves some rows; `table` is the fixed side's. Returns the sum of their
    /// parts of the objective. Rows without pairs are left as they are: their
    /// solution is zero, where they must stand from the start.
    pub fn solve(&self, table: &Table, pairs: &Pairs, rows: Range<usize>, to: &mut Table) -> f64 {
        let per_row = to.per_row();
        let lanes = &mut to.lanes_mut()[rows.start * per_row..rows.end * per_row];
        let chunks = lanes.par_chunks_mut(ROWS * per_row).enumerate();
        let losses: Vec<f64> = chunks
            .map_init(Scratch::default, |scratch, (chunk, to)| {
                simd::run(Chunk {
                    fixed: self,
                    table,
                    pairs,
                    first: rows.start + chunk * ROWS,
                    scratch,
                    to,
                })
            })
            .collect();
        losses.iter().sum()
    }
}

/// Exact solutions for rows that no table holds: `rows` of them, one after the
/// other, `settings.dim` numbers each.
pub fn solve_new(exact: &Exact, observed: &[Observed<'_>]) -> Vec<f32> {
    let dim = exact.0.settings.dim;
    let mut vectors = vec![0.0; observed.len() * dim];
    let chunks = vectors.par_chunks_mut(ROWS * dim).enumerate();
    chunks.for_each_init(Scratch::default, |scratch, (chunk, to)| {
        simd::run(NewRows {
            exact,
            observed: &observed[chunk * ROWS..],
            scratch,
            to,
        });
    });
    vectors
}

/// A side ready for [`solve_new`], whatever the blocks of the training.
pub struct Exact(Fixed);

impl Exact {
    pub fn new(settings: Settings, table: &Table) -> Self {
        let settings = Settings {
            block: settings.dim,
            ..settings
        };
        let rotated = Rotated::new(&settings, &gram(table, settings.dim), table);
        Self(Fixed {
            settings,
            len: table.lanes().len() / table.per_row().max(1),
            penalty: 0.0,
            solver: Solver::Exact(rotated),
        })
    }
}

/// A thread's memory.
#[derive(Default)]
struct Scratch {
    /// Rows of the fixed side.
    gathered: Vec<Lane>,
    system: Vec<Lane>,
    right: Vec<Lane>,
    solution: Vec<Lane>,
    rows: Vec<Lane>,
    predictions: Vec<f32>,
    factor: cholesky::Factor,
}

struct Chunk<'a> {
    fixed: &'a Fixed,
    table: &'a Table,
    pairs: &'a Pairs,
    first: usize,
    scratch: &'a mut Scratch,
    to: &'a mut [Lane],
}

impl Job for Chunk<'_> {
    type Output = f64;

    #[inline(always)]
    fn call<S: Isa>(self) -> f64 {
        let Self { fixed, scratch, .. } = self;
        let settings = &fixed.settings;
        let per_row = self.table.per_row();
        let mut loss = 0.0;
        for (number, row) in self.to.chunks_exact_mut(per_row).enumerate() {
            let observed = self.pairs.row(self.first + number);
            if observed.others.is_empty() {
                continue;
            }
            let strength = settings.strength(observed.others.len(), fixed.len);
            loss += match &fixed.solver {
                Solver::Exact(rotated) => rotated.solve::<S>(observed, strength, scratch, row),
                Solver::Blocks(gram) => {
                    let step = blocks::Step {
                        settings,
                        gram,
                        table: self.table,
                        strength,
                    };
                    step.solve::<S>(observed, scratch, row)
                }
            };
        }
        if let Solver::Exact(rotated) = &fixed.solver {
            rotated.back::<S>(self.to, &mut scratch.rows);
        }
        loss
    }
}

struct NewRows<'a> {
    exact: &'a Exact,
    observed: &'a [Observed<'a>],
    scratch: &'a mut Scratch,
    to: &'a mut [f32],
}

impl Job for NewRows<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let fixed = &self.exact.0;
        let Solver::Exact(rotated) = &fixed.solver else {
            unreachable!("it is made with whole blocks");
        };
        let mut row = vec![Lane::ZERO; fixed.settings.dim.div_ceil(WIDTH)];
        let vectors = self.to.chunks_exact_mut(fixed.settings.dim);
        for (&observed, to) in self.observed.iter().zip(vectors) {
            row.fill(Lane::ZERO);
            if !observed.others.is_empty() {
                let strength = fixed.settings.strength(observed.others.len(), fixed.len);
                rotated.solve::<S>(observed, strength, self.scratch, &mut row);
                rotated.back::<S>(&mut row, &mut self.scratch.rows);
            }
            to.copy_from_slice(&flat(&row)[..to.len()]);
        }
    }
}

/// `V^T V`, `dim` rows of a table row's lanes each.
fn gram(table: &Table, dim: usize) -> Vec<Lane> {
    let per_row = table.per_row();
    let rows = table.lanes().len() / per_row.max(1);
    let part = rows.div_ceil(PARTS).max(1) * per_row;
    let parts: Vec<Vec<Lane>> = table
        .lanes()
        .par_chunks(part)
        .map(|rows| simd::run(Products { rows, dim, per_row }))
        .collect();
    let mut sums = vec![Lane::ZERO; dim * per_row];
    let stride = per_row * WIDTH;
    let to = flat_mut(&mut sums);
    for r in 0..dim {
        for c in r..dim {
            let place = r * stride + c;
            let sum: f64 = parts.iter().map(|p| f64::from(flat(p)[place])).sum();
            to[place] = sum as f32;
            to[c * stride + r] = sum as f32;
        }
    }
    sums
}

/// The products of some rows, on and above the diagonal.
struct Products<'a> {
    rows: &'a [Lane],
    dim: usize,
    per_row: usize,
}

impl Job for Products<'_> {
    type Output = Vec<Lane>;

    #[inline(always)]
    fn call<S: Isa>(self) -> Vec<Lane> {
        let mut sums = vec![Lane::ZERO; self.dim * self.per_row];
        let left = Left {
            values: flat(self.rows),
            row: 1,
            depth: self.per_row * WIDTH,
        };
        add_upper::<S>(left, self.rows, &mut sums, self.per_row);
        sums
    }
}

fn penalty(settings: &Settings, table: &Table, pairs: &Pairs, others: usize) -> f64 {
    let per_row = table.per_row();
    let rows: Vec<f64> = table
        .lanes()
        .par_chunks(per_row.max(1))
        .enumerate()
        .with_min_len(256)
        .map(|(row, lanes)| {
            let count = pairs.offsets[row + 1] - pairs.offsets[row];
            let square = f64::from(simd::run(Square(lanes)));
            settings.strength(count, others) * square
        })
        .collect();
    rows.iter().sum()
}

struct Square<'a>(&'a [Lane]);

impl Job for Square<'_> {
    type Output = f32;

    #[inline(always)]
    fn call<S: Isa>(self) -> f32 {
        dot::<S>(self.0, self.0)
    }
}

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
//! ([`exact`]), or by a Newton step for each block of dimensions ([`blocks`]),
//! or by a few steps of conjugate gradients ([`gradients`]).
//! Rows do not depend on each other, so neither the number of threads nor how
//! many are solved at a time changes a bit of the result.

mod blocks;
mod cholesky;
mod exact;
mod gradients;
mod gram;
#[cfg(test)]
mod tests;

use super::simd::{self, Isa, Job, Lane, WIDTH, flat};
use super::table::Table;
use exact::Rotated;
use gram::{gram, penalty};
use rayon::prelude::*;
use std::ops::Range;

/// Rows that a thread solves at a time.
const ROWS: usize = 32;

/// The objective, and how it is minimized.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub dim: usize,
    pub unobserved_weight: f64,
    pub regularization: f64,
    pub exponent: f64,
    pub solver: Solver,
}

/// How a row is solved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Solver {
    Exact,
    /// By a Newton step for each so many dimensions.
    Blocks(usize),
    /// By so many steps of conjugate gradients.
    Gradients(usize),
}

impl Solver {
    /// Dimensions that are solved together.
    fn block(self, dim: usize) -> usize {
        match self {
            Self::Blocks(block) => block.min(dim),
            Self::Exact | Self::Gradients(_) => dim,
        }
    }
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
    ready: Ready,
}

/// What a solver reads of the fixed side.
enum Ready {
    Rotated(Rotated),
    /// `V^T V`
    Gram(Vec<Lane>),
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
            ready: match settings.solver {
                Solver::Exact | Solver::Gradients(_) => {
                    Ready::Rotated(Rotated::new(&settings, &gram, table))
                }
                Solver::Blocks(_) => Ready::Gram(gram),
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

/// A side ready for [`solve_new`], whatever the solver of the training.
pub struct Exact(Fixed);

impl Exact {
    pub fn new(settings: Settings, table: &Table) -> Self {
        let settings = Settings {
            solver: Solver::Exact,
            ..settings
        };
        let rotated = Rotated::new(&settings, &gram(table, settings.dim), table);
        Self(Fixed {
            settings,
            len: table.num_rows(),
            penalty: 0.0,
            ready: Ready::Rotated(rotated),
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
        if let (Ready::Rotated(rotated), Solver::Gradients(_)) = (&fixed.ready, settings.solver) {
            rotated.there::<S>(self.to, &mut scratch.rows);
        }
        let mut loss = 0.0;
        let rows = self.to.chunks_exact_mut(self.table.per_row());
        for (number, row) in rows.enumerate() {
            let observed = self.pairs.row(self.first + number);
            if observed.others.is_empty() {
                continue;
            }
            let strength = settings.strength(observed.others.len(), fixed.len);
            loss += match (&fixed.ready, settings.solver) {
                (Ready::Rotated(rotated), Solver::Gradients(steps)) => {
                    rotated.improve::<S>(observed, strength as f32, steps, scratch, row)
                }
                (Ready::Rotated(rotated), _) => {
                    rotated.solve::<S>(observed, strength, scratch, row)
                }
                (Ready::Gram(gram), solver) => {
                    let step = blocks::Step {
                        settings,
                        block: solver.block(settings.dim),
                        gram,
                        table: self.table,
                        strength,
                    };
                    step.solve::<S>(observed, scratch, row)
                }
            };
        }
        if let Ready::Rotated(rotated) = &fixed.ready {
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
        let Ready::Rotated(rotated) = &fixed.ready else {
            unreachable!("it is made for exact solutions");
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

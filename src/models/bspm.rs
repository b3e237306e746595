//! BSPM: a history is blurred by the filters of GF-CF, then sharpened by an
//! ordinary differential equation. Nothing is trained.
//!
//! Choi, Hong, Park, Cho, SIGIR 2023. The blurring is one Euler step of time
//! 1, as in all of their published settings, so that it is GF-CF's linear
//! filter; of their combinations over several points of time there is only the
//! last one.
//!
//! It is computed on the host, whatever the device.

use super::gf_cf::{Filters, QUERIES, score_groups};
use crate::footprint::{Footprint, Workload};
use crate::kernels::simd::{self, Isa, Job, Lane, WIDTH, add};
use crate::linalg::Sparse;
use crate::model::{FitContext, Fitted, ModelData, ModelSpec, Query, Recommender};
use crate::models::{ModelEntry, params};
use crate::tensors::NamedTensors;
use anyhow::{Result, ensure};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

pub const ENTRY: ModelEntry = ModelEntry {
    name: "bspm",
    summary: "blurs a history on the graph of items and sharpens it again, without training",
    citation: "Choi, Hong, Park, Cho: Blurring-Sharpening Process Models for Collaborative \
               Filtering, SIGIR 2023",
    params: &[
        (
            "alpha",
            "weight of the ideal low-pass filter beside the linear one",
        ),
        (
            "embedding_dim",
            "singular vectors that the ideal low-pass filter lets pass",
        ),
        ("sharpening_time", "how long the sharpening goes on"),
        ("sharpening_steps", "steps of the solver in that time"),
        ("solver", "rk4 or euler"),
        (
            "early_merge",
            "sharpen the sum of both filters (BSPM-EM), not the linear one alone (BSPM-LM)",
        ),
    ],
    gradient: false,
    defaults: params::defaults::<Bspm>,
    build: |table| {
        let spec: Bspm = params::parse(table)?;
        spec.check()?;
        Ok(Box::new(spec))
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Solver {
    Rk4,
    Euler,
}

impl Solver {
    /// Powers of `P` in a step: for `dS/dt = -S P` every Runge-Kutta method of
    /// four stages and order four is the Taylor series up to the fourth power.
    fn order(self) -> usize {
        match self {
            Self::Rk4 => 4,
            Self::Euler => 1,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Bspm {
    alpha: f64,
    embedding_dim: usize,
    sharpening_time: f64,
    sharpening_steps: usize,
    solver: Solver,
    early_merge: bool,
}

/// Those of the paper for Gowalla.
impl Default for Bspm {
    fn default() -> Self {
        Self {
            alpha: 0.2,
            embedding_dim: 448,
            sharpening_time: 2.5,
            sharpening_steps: 1,
            solver: Solver::Rk4,
            early_merge: true,
        }
    }
}

impl Bspm {
    fn check(&self) -> Result<()> {
        for (name, value) in [
            ("alpha", self.alpha),
            ("sharpening_time", self.sharpening_time),
        ] {
            ensure!(
                value.is_finite() && value >= 0.0,
                "{name} = {value} must be 0 or more"
            );
        }
        ensure!(
            self.embedding_dim > 0,
            "embedding_dim = 0 must be at least 1"
        );
        ensure!(
            self.sharpening_steps > 0,
            "sharpening_steps = 0 must be at least 1"
        );
        Ok(())
    }
}

struct Fit {
    filters: Filters,
    spec: Bspm,
}

impl ModelSpec for Bspm {
    fn footprint(&self, work: &Workload<'_>) -> Footprint {
        let mut footprint = Filters::footprint(work, self.embedding_dim);
        // Signals of a lane of queries on items, twice, and on users.
        let rows = 2 * work.items() + work.users();
        footprint.ranking += work.threads as u64 * rows * size_of::<Lane>() as u64;
        footprint
    }

    fn fit(&self, context: FitContext<'_>) -> Result<Fitted> {
        let filters = Filters::fit(&context, self.alpha, self.embedding_dim);
        let spec = self.clone();
        Ok(Fitted::at_once(Box::new(Fit { filters, spec })))
    }

    fn load(
        &self,
        weights: &NamedTensors,
        data: ModelData<'_>,
        _device: &Device,
    ) -> Result<Box<dyn Recommender>> {
        let filters = Filters::load(weights, data.train, self.alpha)?;
        let spec = self.clone();
        Ok(Box::new(Fit { filters, spec }))
    }
}

impl Fit {
    /// Follows `dS/dt = -S R~' R~` from rows of signals.
    fn sharpen(&self, signals: &mut [f32]) {
        let width = self.num_items();
        let step = (self.spec.sharpening_time / self.spec.sharpening_steps as f64) as f32;
        let (users, items) = self.filters.matrices();
        let mut state = vec![Lane::ZERO; width];
        let mut power = vec![Lane::ZERO; width];
        let mut between = vec![Lane::ZERO; users.num_rows()];
        for rows in signals.chunks_mut(WIDTH * width) {
            gather(rows, &mut state);
            for _ in 0..self.spec.sharpening_steps {
                power.copy_from_slice(&state);
                for order in 1..=self.spec.solver.order() {
                    // A factor more of `(-step P)^order / order!`.
                    simd::run(Through(users, &power, &mut between));
                    simd::run(Through(items, &between, &mut power));
                    let factor = -step / order as f32;
                    power
                        .iter_mut()
                        .flat_map(|l| &mut l.0)
                        .for_each(|x| *x *= factor);
                    add(&mut state, &power);
                }
            }
            scatter(&state, rows);
        }
    }
}

/// Rows of numbers as columns of lanes; lanes without a row are left over.
fn gather(rows: &[f32], lanes: &mut [Lane]) {
    for (at, row) in rows.chunks_exact(lanes.len()).enumerate() {
        for (lane, value) in lanes.iter_mut().zip(row) {
            lane.0[at] = *value;
        }
    }
}

fn scatter(lanes: &[Lane], rows: &mut [f32]) {
    for (at, row) in rows.chunks_exact_mut(lanes.len()).enumerate() {
        for (value, lane) in row.iter_mut().zip(lanes) {
            *value = lane.0[at];
        }
    }
}

/// A sparse matrix times lanes.
struct Through<'a>(&'a Sparse, &'a [Lane], &'a mut [Lane]);

impl Job for Through<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let Self(matrix, from, to) = self;
        for (row, to) in to.iter_mut().enumerate() {
            let mut sum = S::splat(0.0);
            for (column, value) in matrix.row(row) {
                sum = S::madd(S::splat(value), S::load(&from[column as usize]), sum);
            }
            S::store(sum, to);
        }
    }
}

impl Recommender for Fit {
    fn num_items(&self) -> usize {
        self.filters.num_items()
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<()> {
        const { assert!(QUERIES.is_multiple_of(WIDTH), "groups of whole lanes") };
        score_groups(
            queries,
            self.num_items(),
            scores,
            |histories, rows, scratch| {
                self.filters.linear(histories, scratch, rows);
                if self.spec.early_merge {
                    self.filters.add_ideal(histories, rows);
                    self.sharpen(rows);
                } else {
                    self.sharpen(rows);
                    self.filters.add_ideal(histories, rows);
                }
            },
        )
    }

    fn weights(&self) -> Result<NamedTensors> {
        self.filters.weights()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::gf_cf::tests::{ITEMS, filters, scores};

    fn times(row: &[f64], matrix: &[f64]) -> Vec<f64> {
        let column = |j| (0..ITEMS).map(|i| row[i] * matrix[i * ITEMS + j]).sum();
        (0..ITEMS).map(column).collect()
    }

    /// A step of the classic Runge-Kutta method for `dS/dt = -S P`.
    fn rk4(state: &[f64], step: f64, p: &[f64]) -> Vec<f64> {
        let slope = |by: f64, k: &[f64]| -> Vec<f64> {
            let at: Vec<f64> = state.iter().zip(k).map(|(s, k)| s + by * k).collect();
            times(&at, p).iter().map(|x| -x).collect()
        };
        let k1 = slope(0.0, state);
        let k2 = slope(step / 2.0, &k1);
        let k3 = slope(step / 2.0, &k2);
        let k4 = slope(step, &k3);
        let sum = |i: usize| state[i] + step / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]);
        (0..ITEMS).map(sum).collect()
    }

    #[test]
    fn sharpening_is_its_equation() {
        let history = [101u32, 5, 101, 279];
        let [linear, ideal] = filters(3);
        let mut seen = vec![0.0; ITEMS];
        history.iter().for_each(|&i| seen[i as usize] = 1.0);
        let blurred = times(&seen, &linear);
        let passed: Vec<f64> = times(&seen, &ideal).iter().map(|x| 0.7 * x).collect();
        let sum =
            |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a + b).collect() };
        for (solver, early_merge) in [
            (Solver::Rk4, true),
            (Solver::Rk4, false),
            (Solver::Euler, true),
        ] {
            let spec = Bspm {
                alpha: 0.7,
                embedding_dim: 3,
                sharpening_time: 1.8,
                sharpening_steps: 2,
                solver,
                early_merge,
            };
            let step = |state: &[f64]| match solver {
                Solver::Rk4 => rk4(state, 0.9, &linear),
                Solver::Euler => {
                    let slope: Vec<f64> = times(state, &linear).iter().map(|x| -0.9 * x).collect();
                    sum(state, &slope)
                }
            };
            let expected = if early_merge {
                step(&step(&sum(&blurred, &passed)))
            } else {
                sum(&step(&step(&blurred)), &passed)
            };
            for (score, exact) in scores(&spec, &history).iter().zip(&expected) {
                let near = (f64::from(*score) - exact).abs() < 1e-4;
                assert!(near, "{spec:?} {score} {exact}");
            }
        }
    }
}

//! SLIM: each item is predicted from the others by an elastic net with
//! weights of zero and above, most of which come out as zero.
//!
//! It is computed on the host, whatever the device.

use crate::data::interactions::Interactions;
use crate::footprint::{Footprint, LESS_DATA, Workload};
use crate::kernels::simd::{self, Isa, Job};
use crate::linalg::{Sparse, sparse};
use crate::model::{FitContext, Fitted, ModelData, ModelSpec, Recommender};
use crate::models::item_weights::{Column, ItemWeights, keep_largest};
use crate::models::{ModelEntry, params};
use crate::tensors::NamedTensors;
use anyhow::{Result, ensure};
use burn::tensor::Device;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub const ENTRY: ModelEntry = ModelEntry {
    name: "slim",
    summary: "an elastic net of each item on the others, without negative weights",
    citation: "Ning, Karypis: SLIM: Sparse Linear Methods for Top-N Recommender Systems, ICDM 2011",
    params: &[
        ("l1", "penalty of the sum of weights (lambda)"),
        ("l2", "penalty of their squares (beta)"),
        (
            "candidates",
            "items with the largest cosine that may have a weight into an item (fsSLIM); 0: all \
             that share a user with it",
        ),
        (
            "tolerance",
            "the largest change of a weight at which an item's descent ends",
        ),
        ("max_sweeps", "passes over the weights of an item, at most"),
    ],
    gradient: false,
    defaults: params::defaults::<Slim>,
    build: |table| {
        let spec: Slim = params::parse(table)?;
        let fine = |value: f64| value.is_finite() && value >= 0.0;
        ensure!(
            fine(spec.l1) && fine(spec.l2) && fine(spec.tolerance),
            "l1 = {}, l2 = {} and tolerance = {} must be 0 or more",
            spec.l1,
            spec.l2,
            spec.tolerance
        );
        ensure!(spec.max_sweeps > 0, "max_sweeps = 0 must be at least 1");
        Ok(Box::new(spec))
    },
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Slim {
    l1: f64,
    l2: f64,
    candidates: usize,
    tolerance: f64,
    max_sweeps: usize,
}

impl Default for Slim {
    fn default() -> Self {
        Self {
            l1: 1.0,
            l2: 50.0,
            candidates: 0,
            tolerance: 1e-4,
            max_sweeps: 100,
        }
    }
}

/// A place that is not taken.
const NONE: u32 = u32::MAX;

impl Slim {
    /// For each item `j`, with the Gram matrix `G = A' A`,
    ///
    /// ```text
    /// min over w >= 0, w_j = 0 of  1/2 |a_j - A w|^2 + l2 / 2 |w|^2 + l1 |w|_1
    /// ```
    ///
    /// by coordinate descent with covariance updates (Friedman, Hastie,
    /// Tibshirani: Regularization Paths for Generalized Linear Models via
    /// Coordinate Descent, 2010).
    fn weights(&self, train: &Interactions) -> Result<ItemWeights> {
        let users = Sparse::from_interactions(train, false);
        let items = users.transposed(train.num_items);
        let gram = sparse::gram(&users, &items)?;
        let columns: Vec<Column> = (0..train.num_items)
            .into_par_iter()
            .map_init(
                || vec![NONE; train.num_items],
                |places, j| {
                    let problem = Problem::new(self, &gram, &items, j, places);
                    let column = simd::run(problem);
                    places.fill(NONE);
                    column
                },
            )
            .collect();
        Ok(ItemWeights::from_columns(&columns))
    }
}

/// The elastic net of one item.
struct Problem<'a> {
    spec: &'a Slim,
    gram: &'a Sparse,
    /// The items that may have a weight.
    candidates: Vec<u32>,
    /// Each item's place among them, or [`NONE`].
    places: &'a [u32],
    /// `G_ii` of the candidates.
    squares: Vec<f32>,
    /// `G_ij - sum over k of G_ik w_k` of the candidates.
    residuals: Vec<f32>,
    weights: Vec<f32>,
    /// `G_iC` of the candidates whose weight was ever above zero, one after
    /// the other, and where each is.
    rows: Vec<f32>,
    row_of: Vec<u32>,
}

impl<'a> Problem<'a> {
    fn new(
        spec: &'a Slim,
        gram: &'a Sparse,
        items: &Sparse,
        j: usize,
        places: &'a mut [u32],
    ) -> Self {
        let others = gram.row(j).filter(|(i, _)| *i as usize != j);
        let mut chosen: Column = others.collect();
        if spec.candidates > 0 {
            let root = |i: u32| (items.row_len(i as usize) as f32).sqrt();
            let mut cosines: Column = chosen.iter().map(|&(i, g)| (i, g / root(i))).collect();
            keep_largest(&mut cosines, spec.candidates, |cosine| cosine);
            for (i, _) in cosines {
                places[i as usize] = 0;
            }
            chosen.retain(|(i, _)| places[*i as usize] != NONE);
        }
        for (place, (i, _)) in (0u32..).zip(&chosen) {
            places[*i as usize] = place;
        }
        let squares = chosen
            .iter()
            .map(|(i, _)| items.row_len(*i as usize) as f32);
        Self {
            spec,
            gram,
            squares: squares.collect(),
            residuals: chosen.iter().map(|(_, g)| *g).collect(),
            weights: vec![0.0; chosen.len()],
            rows: Vec::new(),
            row_of: vec![NONE; chosen.len()],
            candidates: chosen.into_iter().map(|(i, _)| i).collect(),
            places,
        }
    }

    /// One coordinate to its minimum; returns how far it went.
    #[inline(always)]
    fn step(&mut self, c: usize) -> f32 {
        let (l1, l2) = (self.spec.l1 as f32, self.spec.l2 as f32);
        let old = self.weights[c];
        let pull = self.residuals[c] + self.squares[c] * old - l1;
        let new = if pull > 0.0 {
            pull / (self.squares[c] + l2)
        } else {
            0.0
        };
        let change = new - old;
        if change != 0.0 {
            self.weights[c] = new;
            let row = self.row(c);
            for (residual, g) in self.residuals.iter_mut().zip(&self.rows[row..]) {
                *residual -= change * g;
            }
        }
        change.abs()
    }

    /// Where `G_cC` begins in `rows`.
    #[inline(always)]
    fn row(&mut self, c: usize) -> usize {
        let len = self.candidates.len();
        if self.row_of[c] == NONE {
            let start = self.rows.len();
            self.row_of[c] = (start / len) as u32;
            self.rows.resize(start + len, 0.0);
            for (column, g) in self.gram.row(self.candidates[c] as usize) {
                let place = self.places[column as usize];
                if place != NONE {
                    self.rows[start + place as usize] = g;
                }
            }
        }
        self.row_of[c] as usize * len
    }
}

impl Job for Problem<'_> {
    type Output = Column;

    /// Sweeps over all candidates, and between them over those with a weight
    /// until they rest.
    #[inline(always)]
    fn call<S: Isa>(mut self) -> Column {
        let tolerance = self.spec.tolerance as f32;
        let mut sweeps = 0;
        while sweeps < self.spec.max_sweeps {
            let mut change = 0.0f32;
            for c in 0..self.candidates.len() {
                change = change.max(self.step(c));
            }
            sweeps += 1;
            if change <= tolerance {
                break;
            }
            let weights = self.weights.iter().enumerate();
            let active: Vec<usize> = weights.filter(|(_, w)| **w > 0.0).map(|(c, _)| c).collect();
            while change > tolerance && sweeps < self.spec.max_sweeps {
                change = 0.0;
                for &c in &active {
                    change = change.max(self.step(c));
                }
                sweeps += 1;
            }
        }
        let entries = self.candidates.into_iter().zip(self.weights);
        entries.filter(|(_, weight)| *weight > 0.0).collect()
    }
}

impl ModelSpec for Slim {
    fn footprint(&self, work: &Workload<'_>) -> Footprint {
        // An elastic net keeps some dozens of weights of each item.
        const KEPT: usize = 200;
        let most = if self.candidates > 0 {
            self.candidates.min(KEPT)
        } else {
            KEPT
        };
        // While rows of the Gram matrix are put together, they are there twice.
        let gram = 16 * work.gram_entries();
        work.item_weights(work.neighbor_entries(most), gram, LESS_DATA)
    }

    fn fit(&self, context: FitContext<'_>) -> Result<Fitted> {
        Ok(self.weights(context.data.train)?.fitted())
    }

    fn load(
        &self,
        weights: &NamedTensors,
        data: ModelData<'_>,
        _device: &Device,
    ) -> Result<Box<dyn Recommender>> {
        ItemWeights::loaded(weights, data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    const ITEMS: usize = 20;

    fn train() -> Interactions {
        let mut rng = Seed(8).stream("test");
        let mut train = Interactions {
            offsets: vec![0],
            num_items: ITEMS,
            ..Interactions::default()
        };
        for _ in 0..60 {
            let start = rng.below(ITEMS as u32);
            for _ in 0..6 {
                train.items.push((start + rng.below(8)) % ITEMS as u32);
            }
            train.offsets.push(train.items.len());
        }
        train
    }

    fn gram(train: &Interactions) -> Vec<f64> {
        let users = Sparse::from_interactions(train, false);
        let mut gram = vec![0.0; ITEMS * ITEMS];
        for u in 0..users.num_rows() {
            for &i in users.columns_of(u) {
                for &j in users.columns_of(u) {
                    gram[i as usize * ITEMS + j as usize] += 1.0;
                }
            }
        }
        gram
    }

    /// The conditions of Karush, Kuhn and Tucker in float64: where a weight is
    /// above zero the derivative is zero, elsewhere it is not below.
    fn assert_optimal(spec: &Slim, allowed: impl Fn(usize, usize) -> bool) {
        let (train, mut positive) = (train(), 0);
        let (gram, model) = (gram(&train), spec.weights(&train).unwrap());
        for j in 0..ITEMS {
            let weight = |i: usize| f64::from(model.weight(i as u32, j as u32));
            assert_eq!(weight(j), 0.0);
            for i in (0..ITEMS).filter(|i| *i != j) {
                let fitted: f64 = (0..ITEMS).map(|k| gram[i * ITEMS + k] * weight(k)).sum();
                let slope = fitted - gram[i * ITEMS + j] + spec.l2 * weight(i) + spec.l1;
                if weight(i) > 0.0 {
                    positive += 1;
                    assert!(slope.abs() < 1e-3, "{i} {j} {slope}");
                } else if allowed(i, j) {
                    assert!(slope > -1e-3, "{i} {j} {slope}");
                }
            }
        }
        assert!(
            positive > ITEMS && positive < ITEMS * ITEMS / 2,
            "{positive}"
        );
    }

    #[test]
    fn weights_are_at_the_minimum() {
        let spec = Slim {
            l1: 0.5,
            l2: 2.0,
            tolerance: 1e-6,
            ..Slim::default()
        };
        assert_optimal(&spec, |_, _| true);
    }

    #[test]
    fn candidates_bound_the_weights() {
        let spec = Slim {
            l1: 0.5,
            l2: 2.0,
            tolerance: 1e-6,
            candidates: 3,
            ..Slim::default()
        };
        assert_optimal(&spec, |_, _| false);
        let model = spec.weights(&train()).unwrap();
        for j in 0..ITEMS as u32 {
            let count = (0..ITEMS as u32)
                .filter(|i| model.weight(*i, j) > 0.0)
                .count();
            assert!(count <= 3, "{count}");
        }
    }
}

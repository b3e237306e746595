//! GF-CF: a history as a signal on the graph of items, smoothed by a linear
//! and an ideal low-pass filter. Nothing is trained.
//!
//! It is computed on the host, whatever the device.

use crate::data::interactions::Interactions;
use crate::footprint::{Footprint, SMALLER_EMBEDDINGS, Workload};
use crate::kernels::gemm::{Left, add_product};
use crate::kernels::simd::{self, Isa, Job, Lane, flat};
use crate::kernels::table::Table;
use crate::linalg::{Sparse, svd};
use crate::model::{FitContext, Fitted, ModelData, ModelSpec, Query, Recommender};
use crate::models::pure_svd::singular_vectors;
use crate::models::{ModelEntry, params};
use crate::tensors::NamedTensors;
use anyhow::{Result, ensure};
use burn::tensor::Device;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub const ENTRY: ModelEntry = ModelEntry {
    name: "gf_cf",
    summary: "a linear and an ideal low-pass filter on the graph of items, without training",
    citation: "Shen, Wu, Zhang, Shan, Zhang, Letaief, Li: How Powerful is Graph Convolution for \
               Recommendation?, CIKM 2021",
    params: &[
        (
            "alpha",
            "weight of the ideal low-pass filter; 0 leaves the linear one alone",
        ),
        (
            "embedding_dim",
            "singular vectors that the ideal low-pass filter lets pass",
        ),
    ],
    gradient: false,
    defaults: params::defaults::<GfCf>,
    build: |table| {
        let spec: GfCf = params::parse(table)?;
        ensure!(
            spec.alpha.is_finite() && spec.alpha >= 0.0,
            "alpha = {} must be 0 or more",
            spec.alpha
        );
        ensure!(
            spec.embedding_dim > 0,
            "embedding_dim = 0 must be at least 1"
        );
        Ok(Box::new(spec))
    },
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GfCf {
    alpha: f64,
    embedding_dim: usize,
}

impl Default for GfCf {
    fn default() -> Self {
        Self {
            alpha: 0.3,
            embedding_dim: 256,
        }
    }
}

/// Queries that pass a block of item vectors together.
pub const QUERIES: usize = 64;

/// Items of a block.
const BLOCK: usize = 256;

const VECTORS: &str = "singular_vectors";

/// With the interactions `R`, degrees `D_U` and `D_I`, `R~ = D_U^-1/2 R
/// D_I^-1/2` and its leading right singular vectors `V`,
///
/// ```text
/// s_u = r_u (R~' R~ + alpha D_I^-1/2 V V' D_I^1/2)
/// ```
///
/// where `r_u` is the history of the query, whoever it is of.
pub struct Filters {
    alpha: f32,
    /// `R~`, users x items, and its transpose.
    users: Sparse,
    items: Sparse,
    /// `D_I^1/2` and, where there are interactions, `D_I^-1/2`.
    roots: Vec<f32>,
    inverse_roots: Vec<f32>,
    /// `V`, items x singular vectors, row by row.
    dim: usize,
    vectors: Vec<f32>,
    /// `V' D_I^1/2` in blocks of items, each a table of singular vectors x
    /// items.
    blocks: Vec<Table>,
}

/// The graph without singular vectors.
fn graph(train: &Interactions, alpha: f64) -> Filters {
    let users = Sparse::from_interactions(train, false);
    let items = users.transposed(train.num_items);
    let root = |degree: usize| (degree as f32).sqrt();
    let inverse = |degree: usize| if degree > 0 { 1.0 / root(degree) } else { 0.0 };
    let degrees = |m: &Sparse| -> Vec<usize> { (0..m.num_rows()).map(|r| m.row_len(r)).collect() };
    let inverse_roots: Vec<f32> = degrees(&items).into_iter().map(inverse).collect();
    let of_users: Vec<f32> = degrees(&users).into_iter().map(inverse).collect();
    let users = users.map(|u, i, _| of_users[u] * inverse_roots[i as usize]);
    Filters {
        alpha: alpha as f32,
        roots: degrees(&items).into_iter().map(root).collect(),
        items: users.transposed(train.num_items),
        users,
        inverse_roots,
        dim: 0,
        vectors: Vec::new(),
        blocks: Vec::new(),
    }
}

impl Filters {
    /// With as many singular vectors of the training part.
    pub fn fit(context: &FitContext<'_>, alpha: f64, dim: usize) -> Self {
        let graph = graph(context.data.train, alpha);
        let mut rng = context.seed.stream("init");
        let found = svd::leading(&graph.users, &graph.items, dim, &mut rng);
        graph.with_vectors(found.vectors.columns(), found.vectors.values())
    }

    /// What [`Self::fit`] and the scores will take.
    pub fn footprint(work: &Workload<'_>, dim: usize) -> Footprint {
        let dim = (dim as u64).min(work.items());
        work.singular(dim, 4 * dim * work.items(), SMALLER_EMBEDDINGS)
    }

    /// With what [`Recommender::weights`] wrote.
    ///
    /// # Errors
    /// Singular vectors that are missing, or not of these items.
    pub fn load(weights: &NamedTensors, train: &Interactions, alpha: f64) -> Result<Self> {
        let (dim, vectors) = singular_vectors(weights, VECTORS, train.num_items)?;
        Ok(graph(train, alpha).with_vectors(dim, vectors))
    }

    /// `R~` and its transpose.
    pub fn matrices(&self) -> (&Sparse, &Sparse) {
        (&self.users, &self.items)
    }

    fn with_vectors(mut self, dim: usize, vectors: Vec<f32>) -> Self {
        let blocks = self.roots.par_chunks(BLOCK);
        let blocks = blocks.zip(vectors.par_chunks(BLOCK * dim));
        self.blocks = blocks
            .map(|(roots, vectors)| {
                let mut turned = vec![0.0; dim * roots.len()];
                for (place, (root, vector)) in roots.iter().zip(vectors.chunks(dim)).enumerate() {
                    for (k, value) in vector.iter().enumerate() {
                        turned[k * roots.len() + place] = value * root;
                    }
                }
                let mut table = Table::zeros(dim, roots.len());
                table.put(0, roots.len(), &turned);
                table
            })
            .collect();
        self.dim = dim;
        self.vectors = vectors;
        self
    }

    /// `alpha r D_I^-1/2 V`
    fn passed(&self, history: &[u32], to: &mut [f32]) {
        for &item in history {
            let factor = self.alpha * self.inverse_roots[item as usize];
            let vector = &self.vectors[item as usize * self.dim..][..self.dim];
            for (to, value) in to.iter_mut().zip(vector) {
                *to += factor * value;
            }
        }
    }

    /// Adds `r R~' R~`; `signal` is scratch of one number for each user.
    fn add_linear(&self, history: &[u32], signal: &mut Vec<f32>, row: &mut [f32]) {
        signal.clear();
        signal.resize(self.users.num_rows(), 0.0);
        for &item in history {
            for (user, value) in self.items.row(item as usize) {
                signal[user as usize] += value;
            }
        }
        for (user, signal) in signal.iter().enumerate().filter(|(_, s)| **s != 0.0) {
            for (item, value) in self.users.row(user) {
                row[item as usize] += signal * value;
            }
        }
    }

    /// The linear filter of at most [`QUERIES`] histories.
    pub fn linear(&self, histories: &[Vec<u32>], signal: &mut Vec<f32>, scores: &mut [f32]) {
        scores.fill(0.0);
        let rows = scores.chunks_exact_mut(self.num_items());
        for (history, row) in histories.iter().zip(rows) {
            self.add_linear(history, signal, row);
        }
    }

    /// Adds `alpha` times the ideal filter of at most [`QUERIES`] histories.
    pub fn add_ideal(&self, histories: &[Vec<u32>], scores: &mut [f32]) {
        let width = self.num_items();
        let mut passed = vec![0.0; histories.len() * self.dim];
        for (history, passed) in histories.iter().zip(passed.chunks_exact_mut(self.dim)) {
            self.passed(history, passed);
        }
        let mut products = Vec::new();
        for (block, table) in self.blocks.iter().enumerate() {
            let lanes = table.per_row();
            products.clear();
            products.resize(histories.len() * lanes, Lane::ZERO);
            simd::run(Product {
                left: &passed,
                dim: self.dim,
                right: table,
                to: &mut products,
            });
            let rows = products.chunks_exact(lanes);
            for (row, products) in scores.chunks_exact_mut(width).zip(rows) {
                for (score, product) in row[block * BLOCK..].iter_mut().zip(flat(products)) {
                    *score += product;
                }
            }
        }
    }
}

struct Product<'a> {
    left: &'a [f32],
    dim: usize,
    right: &'a Table,
    to: &'a mut [Lane],
}

impl Job for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let left = Left {
            values: self.left,
            row: self.dim,
            depth: 1,
        };
        add_product::<S>(left, self.right.lanes(), self.to, self.right.per_row());
    }
}

impl ModelSpec for GfCf {
    fn footprint(&self, work: &Workload<'_>) -> Footprint {
        Filters::footprint(work, self.embedding_dim)
    }

    fn fit(&self, context: FitContext<'_>) -> Result<Fitted> {
        let model = Filters::fit(&context, self.alpha, self.embedding_dim);
        Ok(Fitted::at_once(Box::new(model)))
    }

    fn load(
        &self,
        weights: &NamedTensors,
        data: ModelData<'_>,
        _device: &Device,
    ) -> Result<Box<dyn Recommender>> {
        Ok(Box::new(Filters::load(weights, data.train, self.alpha)?))
    }
}

/// Scores queries in groups of [`QUERIES`], by a function of their histories
/// that fills rows of scores; its last argument is scratch.
///
/// # Errors
/// A history with an item outside the catalog.
pub fn score_groups(
    queries: &[Query<'_>],
    width: usize,
    scores: &mut [f32],
    score: impl Fn(&[Vec<u32>], &mut [f32], &mut Vec<f32>) + Sync,
) -> Result<()> {
    let histories = queries.par_iter().map(|query| query.distinct_items(width));
    let histories: Vec<Vec<u32>> = histories.collect::<Result<_>>()?;
    scores
        .par_chunks_mut((QUERIES * width).max(1))
        .zip(histories.par_chunks(QUERIES))
        .for_each_init(Vec::new, |scratch, (scores, histories)| {
            score(histories, scores, scratch);
        });
    Ok(())
}

impl Recommender for Filters {
    fn num_items(&self) -> usize {
        self.roots.len()
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<()> {
        score_groups(
            queries,
            self.num_items(),
            scores,
            |histories, scores, signal| {
                self.linear(histories, signal, scores);
                self.add_ideal(histories, scores);
            },
        )
    }

    fn weights(&self) -> Result<NamedTensors> {
        let mut named = NamedTensors::default();
        let shape = [self.num_items(), self.dim];
        named.insert_f32(VECTORS, &shape, self.vectors.clone());
        Ok(named)
    }
}

#[cfg(test)]
pub mod tests;

//! Neural collaborative filtering on the CPU: a whole training step of GMF,
//! MLP or NeuMF, and the scores of a whole catalog.
//!
//! A step goes through the batch in chunks whose activations stay in the
//! cache: forward, loss, backward. Chunks belong to segments; each segment
//! sums the gradients of the weights in the order of its chunks, and the
//! segments are summed in their order, so that the result does not depend on
//! the number of threads. The gradient of an embedding row is the sum over its
//! places in the batch, in their order.

mod chunk;
mod dropout;
mod hardest;
mod layout;
mod score;
mod step;
mod tower;

pub use layout::{Branches, Layout, Matrix, Tower};
pub use score::{Rows, Scorer};

use super::mf::{Goal, Side};
use super::simd::Lane;
use super::update::Hyper;
use crate::optim::{OptimizerKind, num_states};
use crate::seed::Rng;

/// What does not change between the steps of a training.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub goal: Goal,
    /// Learn from the highest-scored of an example's negatives alone.
    pub hardest_negative: bool,
    /// Probability of dropping an input of an MLP layer.
    pub dropout: f64,
    /// L2 on the embedding rows of a batch, per example.
    pub regularization: f32,
    /// Largest norm of a step's gradients; 0 does not clip.
    pub gradient_clip: f32,
}

/// The examples of a step.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    pub users: &'a [u32],
    /// Row-major `[positive, negative, ...]` of each example.
    pub items: &'a [u32],
    /// What each example is to score, for losses with targets; else empty.
    pub targets: &'a [f32],
}

/// All parameters but the embeddings, as [`Layout`] places them, and the
/// optimizer's states.
#[derive(Clone, Debug)]
pub struct Dense {
    pub weights: Vec<Lane>,
    pub first: Vec<Lane>,
    /// Empty for optimizers with one state.
    pub second: Vec<Lane>,
}

/// A network in training, and memory that steps use again.
pub struct Ncf {
    pub settings: Settings,
    pub layout: Layout,
    /// Embedding rows: GMF's lanes, then MLP's.
    pub users: Side,
    pub items: Side,
    pub dense: Dense,
    space: step::Space,
}

impl Ncf {
    /// All zero.
    pub fn zeros(
        settings: Settings,
        branches: Branches,
        (num_users, num_items): (usize, usize),
        optimizer: OptimizerKind,
    ) -> Self {
        let layout = Layout::new(branches);
        let columns = layout.row_columns();
        let states = num_states(optimizer);
        let seconds = if states > 1 { layout.len } else { 0 };
        Self {
            settings,
            users: Side::zeros(num_users, columns, states),
            items: Side::zeros(num_items, columns, states),
            dense: Dense {
                weights: vec![Lane::ZERO; layout.len],
                first: vec![Lane::ZERO; layout.len],
                second: vec![Lane::ZERO; seconds],
            },
            space: step::Space::new(num_users, num_items),
            layout,
        }
    }

    /// One step; `dropout` is the step's own stream. Returns the mean loss of
    /// the batch, with the regularizer.
    pub fn step(&mut self, batch: Batch<'_>, dropout: &Rng, hyper: &Hyper) -> f64 {
        if !self.settings.hardest_negative {
            return step::step(self, batch, dropout, hyper);
        }
        let items = hardest::keep_hardest(self, batch);
        let batch = Batch {
            items: &items,
            ..batch
        };
        step::step(self, batch, dropout, hyper)
    }
}

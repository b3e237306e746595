//! One training step of matrix factorization on the CPU: scores, loss,
//! gradients and the update of the touched rows, without anything in between
//! going to memory that need not.
//!
//! A batch is worked on in three passes, each over disjoint rows, so that the
//! result does not depend on the number of threads:
//! 1. by user: scores, the loss, its derivative by each score, and the
//!    gradient of the user's row, while the row stays in the cache;
//! 2. by item: the gradient of its row from the users' rows, which have not
//!    moved yet, and the update;
//! 3. by user: the update.
//!
//! Biases are one more column of the rows. An inner product of whole rows
//! then holds the product of the biases in place of their sum, which
//! [`Rows::score`] puts right.
//!
//! Where scores are cosines, rows are divided by their lengths: a user's as it
//! comes, the items' as they were before the step, once for each distinct one.

mod batch;
mod clipped;
mod goal;
#[cfg(feature = "wgpu")]
pub mod gpu;
mod hardest;
mod hogwild;
mod passes;
mod side;

pub use batch::{Batch, Batcher};
pub use goal::Goal;
pub use side::{Held, SharedSide, Side};

use super::simd::{Isa, Lane, dot, flat};
use super::update::Hyper;

/// How rows make a score.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// The column that holds the bias, where there are biases.
    pub bias: Option<usize>,
    /// Scores are cosines; there are no biases then. For steps of batches.
    pub cosine: bool,
}

impl Rows {
    /// The score, for cosines before both lengths divide it.
    #[inline(always)]
    pub fn score<S: Isa>(self, user: &[Lane], item: &[Lane]) -> f32 {
        let product = dot::<S>(user, item);
        match self.bias {
            None => product,
            Some(column) => {
                let (u, i) = (flat(user)[column], flat(item)[column]);
                product - u * i + u + i
            }
        }
    }
}

/// What does not change between the steps of a training.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub goal: Goal,
    /// Learn from the highest-scored of an example's negatives alone.
    pub hardest_negative: bool,
    pub rows: Rows,
    /// L2 on the users' rows of a batch, per example.
    pub user_regularization: f32,
    /// L2 on the items' rows of a batch, per example.
    pub item_regularization: f32,
    /// Largest norm of a step's gradients; 0 does not clip.
    pub gradient_clip: f32,
    /// Steps of single examples that do not wait for each other, in place of
    /// one step of the batch.
    pub hogwild: bool,
}

/// Both sides, and memory that steps use again.
pub struct Factors {
    pub settings: Settings,
    pub users: Side,
    pub items: Side,
    space: passes::Space,
}

impl Factors {
    pub fn new(settings: Settings, users: Side, items: Side) -> Self {
        Self {
            settings,
            users,
            items,
            space: passes::Space::default(),
        }
    }

    /// One step; returns the mean loss of the batch, with the regularizer.
    pub fn step(&mut self, batch: &mut Batch, hyper: &Hyper) -> f64 {
        if self.settings.hardest_negative {
            hardest::keep_hardest(self, batch);
        }
        if self.settings.hogwild {
            return hogwild::steps(self, batch, hyper);
        }
        passes::step(self, batch, hyper)
    }
}

//! How much memory a model takes, estimated before any of it is made.

use crate::data::interactions::Interactions;
use crate::device::{Family, family};
use crate::optim::num_states;
use crate::training::TrainingConfig;
use burn::tensor::Device;

/// Memory for the scores of the users that are ranked at a time.
pub const TILE_BYTES: usize = 64 << 20;

/// Bytes of a number.
const FLOAT: u64 = 4;

/// What a model is to be trained on.
#[derive(Clone, Copy)]
pub struct Workload<'a> {
    pub train: &'a Interactions,
    pub training: &'a TrainingConfig,
    pub device: &'a Device,
    /// Whether there is a validation part, so that the best weights are kept.
    pub validated: bool,
    /// Threads that have working memory of their own.
    pub threads: usize,
}

/// What a model takes beside the data, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// What is learned or kept, on the host.
    pub parameters: u64,
    /// Beside it while it is fitted: optimizer states, gradients, copies for
    /// kernels and checkpoints, what a batch needs, working matrices.
    pub fitting: u64,
    /// Beside it while lists are made of it.
    pub ranking: u64,
    /// The part of parameters and fitting that lies on the device, where that
    /// is not the host.
    pub on_device: u64,
    /// What to change where it does not fit.
    pub instead: &'static str,
}

impl Footprint {
    /// The largest sum at any moment.
    pub fn peak(&self) -> u64 {
        self.parameters + self.fitting.max(self.ranking)
    }
}

/// What to change in a model of embeddings.
pub const SMALLER_EMBEDDINGS: &str = "set a smaller model.embedding_dim or training.batch_size, or drop rare users and items \
     (data.clean.min_user_interactions, min_item_interactions)";

/// What to change in a model of neighbors.
pub const FEWER_NEIGHBORS: &str =
    "set a smaller model.neighbors, or drop rare items (data.clean.min_item_interactions)";

/// What to change in a model without parameters of its own.
pub const LESS_DATA: &str = "drop rare items and users (data.clean.min_item_interactions, min_user_interactions), or take \
     model `popularity`";

impl Workload<'_> {
    pub fn users(&self) -> u64 {
        self.train.num_users() as u64
    }

    pub fn items(&self) -> u64 {
        self.train.num_items as u64
    }

    pub fn pairs(&self) -> u64 {
        self.train.len() as u64
    }

    /// Scores of the users that are ranked at a time.
    pub fn tile(&self) -> u64 {
        (self.users() * self.items() * FLOAT).min(TILE_BYTES as u64)
    }

    /// A sparse matrix of all training pairs: column and value of each.
    pub fn sparse(&self) -> u64 {
        self.pairs() * 2 * FLOAT + 8 * self.users().max(self.items())
    }

    /// Entries of the Gram matrix of items, at most: pairs of items that share
    /// a user.
    pub fn gram_entries(&self) -> u64 {
        let lengths = self.train.offsets.windows(2).map(|w| (w[1] - w[0]) as u64);
        let pairs: u64 = lengths.map(|len| len * len).sum();
        pairs.min(self.items() * self.items())
    }

    /// A model that is trained by [`crate::training::fit`]: `floats` numbers
    /// are learned, and a step needs so many bytes.
    ///
    /// Kernels on the host keep weights and states of their own beside the
    /// parameters; a checkpoint holds weights, states and the best weights
    /// once more while it is written.
    pub fn trained(&self, floats: u64, step: u64, instead: &'static str) -> Footprint {
        let parameters = floats * FLOAT;
        let states = num_states(self.training.optimizer) as u64;
        let weights_and_states = (1 + states) * parameters;
        let best = if self.validated && self.training.validate_every > 0 {
            parameters
        } else {
            0
        };
        let on_host = family(self.device) != Family::Gpu;
        let trained = weights_and_states + step;
        Footprint {
            parameters: if on_host { parameters } else { 0 },
            fitting: best + weights_and_states + if on_host { trained } else { 0 },
            ranking: best + 2 * parameters + self.tile(),
            on_device: if on_host { 0 } else { parameters + trained },
            instead,
        }
    }

    /// A model that goes through [`crate::training::fit`] with steps of its
    /// own, on the host and without an optimizer: its tables, and parameters
    /// for checkpoints.
    pub fn closed_form(&self, floats: u64, step: u64) -> Footprint {
        let tables = floats * FLOAT;
        Footprint {
            parameters: tables,
            // Parameters, the best ones, and both in a checkpoint.
            fitting: step + 3 * tables,
            ranking: step + 3 * tables + self.tile(),
            on_device: 0,
            instead: SMALLER_EMBEDDINGS,
        }
    }

    /// A model of `entries` item-item weights: the columns that are computed,
    /// and the rows that are made of them.
    pub fn item_weights(&self, entries: u64, working: u64, instead: &'static str) -> Footprint {
        let kept = entries * 2 * FLOAT;
        Footprint {
            parameters: kept,
            fitting: kept + 2 * self.sparse() + working,
            ranking: kept + self.threads as u64 * self.items() * 9 + self.tile(),
            on_device: 0,
            instead,
        }
    }

    /// Neighbors of each item, no more than other items share a user with it.
    pub fn neighbor_entries(&self, neighbors: usize) -> u64 {
        let most = self.items() * (neighbors as u64).min(self.items());
        most.min(self.gram_entries())
    }

    /// Leading singular vectors by subspace iteration: blocks of `width` rows
    /// for all items and, in between, for all users.
    pub fn singular(&self, width: u64, kept: u64, instead: &'static str) -> Footprint {
        let width = (width + 48).min(self.items()).min(self.users());
        let blocks = (4 * self.items() + self.users()) * width * FLOAT;
        Footprint {
            parameters: kept,
            fitting: 2 * self.sparse() + blocks + 3 * width * width * 8,
            ranking: 2 * self.sparse() + 2 * kept + self.tile(),
            on_device: 0,
            instead,
        }
    }
}

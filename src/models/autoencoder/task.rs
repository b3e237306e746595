//! Batches of users.

use super::recommender::Autoencoder;
use crate::data::interactions::Interactions;
use crate::ids::UserIdx;
use crate::model::Recommender;
use crate::model::distinct;
use crate::params::Param;
use crate::seed::{Permutation, Rng, Seed};
use crate::tape::{Bags, Tape};
use crate::training::Trainable;
use anyhow::Result;
use burn::tensor::{Int, Tensor};
use std::ops::Range;

/// The users that have items, each with its distinct ones, in an order of
/// their own in each epoch.
pub struct Histories {
    offsets: Vec<usize>,
    items: Vec<u32>,
    num_items: usize,
    order: Permutation,
}

impl Histories {
    pub fn new(train: &Interactions) -> Self {
        let mut histories = Self {
            offsets: vec![0],
            items: Vec::with_capacity(train.len()),
            num_items: train.num_items,
            order: Permutation::new(0, &mut Seed(0).stream("shuffle")),
        };
        for user in (0..train.num_users() as u32).map(UserIdx) {
            let items = distinct(train.items_of(user));
            if !items.is_empty() {
                histories.items.extend(items);
                histories.offsets.push(histories.items.len());
            }
        }
        histories
    }

    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    fn at(&self, place: usize) -> &[u32] {
        let user = self.order.at(place as u32) as usize;
        &self.items[self.offsets[user]..self.offsets[user + 1]]
    }
}

/// Some users, as they are and as the encoder sees them.
pub struct Batch {
    pub clean: Bags,
    /// Less what dropout took.
    pub corrupted: Bags,
    /// `[users, 1]`: one over the root of a user's items (the length of the
    /// input before dropout).
    pub scales: Tensor<2>,
    /// The same with what dropout's survivors are scaled up by.
    pub corrupted_scales: Tensor<2>,
    /// `[users, longest history]`: the items of each user, and after them any.
    pub positives: Tensor<2, Int>,
    /// The same shape: 1 where there is an item, 0 after them.
    pub present: Tensor<2>,
    /// Steps before this one in the whole training.
    pub step: u64,
    pub epoch: usize,
    /// Of this batch alone.
    pub noise: Rng,
}

/// One over the root of each bag's size, 0 for an empty one.
pub fn scales(bags: &Bags) -> Vec<f32> {
    let scale = |size: usize| {
        if size == 0 {
            0.0
        } else {
            1.0 / (size as f32).sqrt()
        }
    };
    bags.sizes().map(scale).collect()
}

/// An autoencoder in training.
pub struct Task {
    pub model: Autoencoder,
    pub histories: Histories,
    pub batch_size: usize,
    pub seed: Seed,
    pub epoch: usize,
}

impl Task {
    /// The users at these places of the epoch's order.
    pub fn batch(&self, tape: &Tape, places: Range<usize>) -> Batch {
        let steps = self.histories.len().div_ceil(self.batch_size);
        let step = (self.epoch * steps + places.start / self.batch_size) as u64;
        let dropout = self.model.network.dropout(self.epoch);
        let mut stream = self.seed.indexed("corruption", step);
        let (mut offsets, mut items) = (vec![0], Vec::new());
        let (mut kept_offsets, mut kept) = (vec![0], Vec::new());
        for place in places {
            let history = self.histories.at(place);
            items.extend_from_slice(history);
            offsets.push(items.len());
            let stays = |_: &&u32| dropout == 0.0 || f64::from(stream.uniform()) >= dropout;
            kept.extend(history.iter().filter(stays).copied());
            kept_offsets.push(kept.len());
        }
        let catalog = self.histories.num_items;
        let clean = Bags::new(offsets, items, catalog);
        let users = clean.len();
        let (positives, present) = clean.padded();
        let shape = [users, positives.len() / users.max(1)];
        let (scales, keep) = (scales(&clean), 1.0 / (1.0 - dropout) as f32);
        Batch {
            corrupted: Bags::new(kept_offsets, kept, catalog),
            corrupted_scales: tape.floats(scales.iter().map(|s| keep * s).collect(), [users, 1]),
            scales: tape.floats(scales, [users, 1]),
            positives: tape.ints(&positives).reshape(shape),
            present: tape.floats(present, shape),
            clean,
            step,
            epoch: self.epoch,
            noise: self.seed.indexed("noise", step),
        }
    }
}

impl Trainable for Task {
    fn params(&self) -> Vec<&Param> {
        self.model.network.params()
    }

    fn params_mut(&mut self) -> Vec<&mut Param> {
        self.model.network.params_mut()
    }

    fn num_examples(&self) -> usize {
        self.histories.len()
    }

    fn begin_epoch(&mut self, seed: Seed, epoch: usize) {
        let mut shuffle = seed.indexed("shuffle", epoch as u64);
        self.histories.order = Permutation::new(self.histories.len() as u32, &mut shuffle);
        self.epoch = epoch;
        self.model.network.begin_epoch(epoch);
    }

    fn loss(&mut self, tape: &mut Tape, places: Range<usize>) -> Result<Tensor<1>> {
        let batch = self.batch(tape, places);
        Ok(self.model.network.loss(tape, &batch))
    }

    fn recommender(&self) -> &dyn Recommender {
        &self.model
    }
}

//! The loss of a batch of users and the items they took.

use super::Params;
use super::recommender::TwoTower;
use crate::data::interactions::Interactions;
use crate::ids::UserIdx;
use crate::losses;
use crate::model::Recommender;
use crate::models::features::id_stream;
use crate::models::pairwise::{Examples, InBatch};
use crate::params::Param;
use crate::seed::Seed;
use crate::tape::Tape;
use crate::training::{Trainable, TrainingConfig};
use anyhow::Result;
use burn::tensor::Tensor;
use std::ops::Range;

/// Two towers in training.
pub struct Task<'a> {
    pub model: TwoTower,
    pub examples: Examples,
    pub in_batch: InBatch,
    pub params: &'a Params,
    /// In time order inside a user.
    pub train: &'a Interactions,
    pub config: &'a TrainingConfig,
    pub seed: Seed,
    pub epoch: usize,
}

impl Task<'_> {
    /// The history of a user less an item, which is to be found.
    fn others(&self, user: u32, item: u32) -> Vec<u32> {
        let history = self.train.items_of(UserIdx(user));
        // One more than fits, so that there are as many without the item.
        let latest = history
            .iter()
            .rev()
            .filter(|i| **i != item)
            .take(self.params.history_length);
        let mut others: Vec<u32> = latest.copied().collect();
        others.reverse();
        others
    }

    /// Which items of a step come without their id.
    fn anonymous(&self, places: &Range<usize>) -> Option<Vec<bool>> {
        let rate = self.params.id_dropout;
        if rate == 0.0 {
            return None;
        }
        let batch_size = self.config.batch_size;
        let mut stream = id_stream(self.seed, &self.examples, batch_size, self.epoch, places);
        let drops = places.clone().map(|_| f64::from(stream.uniform()) < rate);
        Some(drops.collect())
    }
}

impl Trainable for Task<'_> {
    fn params(&self) -> Vec<&Param> {
        self.model.towers.params()
    }

    fn params_mut(&mut self) -> Vec<&mut Param> {
        self.model.params_mut()
    }

    fn num_examples(&self) -> usize {
        self.examples.len()
    }

    fn begin_epoch(&mut self, seed: Seed, epoch: usize) {
        self.examples.begin_epoch(seed, epoch);
        self.epoch = epoch;
    }

    fn loss(&mut self, tape: &mut Tape, places: Range<usize>) -> Result<Tensor<1>> {
        let (users, items) = self.examples.pairs(places.clone());
        let anonymous = self.anonymous(&places);
        let pairs = users.iter().zip(&items);
        let histories = pairs.map(|(&user, &item)| self.others(user, item));
        let towers = &self.model.towers;
        let user = towers.users(tape, &users, histories);
        let item = towers.items(tape, &items, anonymous.as_deref());
        let penalty = towers.penalty(&user, &item);
        let batch = users.len();
        let mask = self.in_batch.mask(self.examples.sampler(), &users, &items);
        let mask = tape.floats(mask, [batch, batch]);
        let diagonal = InBatch::diagonal(batch, tape.device());
        let scores = user.vectors.matmul(item.vectors.transpose()) / self.params.temperature;
        let smoothing = self.config.label_smoothing;
        let loss = losses::in_batch_softmax(scores, mask, diagonal, smoothing);
        Ok(losses::with_penalty(loss, penalty))
    }

    fn recommender(&self) -> &dyn Recommender {
        &self.model
    }
}

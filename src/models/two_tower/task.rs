//! The loss of a batch of users and the items they took.

use super::params::Params;
use super::recommender::TwoTower;
use super::towers::Out;
use crate::data::interactions::Interactions;
use crate::ids::UserIdx;
use crate::losses::{self, Loss};
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
    /// What is subtracted from the scores of sampled negatives, for each item:
    /// the logarithm of how often it is expected among them.
    pub log_expected: Option<Vec<f32>>,
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

    /// Which of so many items of a step come without their id.
    fn anonymous(&self, places: &Range<usize>, items: usize) -> Option<Vec<bool>> {
        let rate = self.params.id_dropout;
        if rate == 0.0 {
            return None;
        }
        let batch_size = self.config.batch_size;
        let mut stream = id_stream(self.seed, &self.examples, batch_size, self.epoch, places);
        let drops = (0..items).map(|_| f64::from(stream.uniform()) < rate);
        Some(drops.collect())
    }

    /// Both towers of a step's users and of `items`, of which `positives` are
    /// those that the users' histories are to do without.
    fn towers(
        &self,
        tape: &mut Tape,
        places: &Range<usize>,
        (users, positives): (&[u32], &[u32]),
        items: &[u32],
    ) -> (Out, Out) {
        let anonymous = self.anonymous(places, items.len());
        let pairs = users.iter().zip(positives);
        let histories = pairs.map(|(&user, &item)| self.others(user, item));
        let towers = &self.model.towers;
        let user = towers.users(tape, users, histories);
        (user, towers.items(tape, items, anonymous.as_deref()))
    }

    /// Against the positives of the batch.
    fn in_batch(&self, tape: &mut Tape, places: Range<usize>) -> (Tensor<1>, Option<Tensor<1>>) {
        let (users, items) = self.examples.pairs(places.clone());
        let (user, item) = self.towers(tape, &places, (&users, &items), &items);
        let penalty = self.model.towers.penalty(&user.input, &item.input);
        let batch = users.len();
        let mask = self.in_batch.mask(self.examples.sampler(), &users, &items);
        let mask = tape.floats(mask, [batch, batch]);
        let diagonal = InBatch::diagonal(batch, tape.device());
        let scores = user.vectors.matmul(item.vectors.transpose()) / self.params.temperature;
        let smoothing = self.config.label_smoothing;
        (
            losses::in_batch_softmax(scores, mask, diagonal, smoothing),
            penalty,
        )
    }

    /// Against every item there is.
    fn over_catalog(
        &self,
        tape: &mut Tape,
        places: Range<usize>,
    ) -> (Tensor<1>, Option<Tensor<1>>) {
        let (users, positives) = self.examples.pairs(places.clone());
        let catalog: Vec<u32> = (0..self.train.num_items as u32).collect();
        let (user, item) = self.towers(tape, &places, (&users, &positives), &catalog);
        let classes = tape.ints(&positives);
        // Each pair counts its own item, as with other losses.
        let own = item.input.select(0, classes.clone());
        let penalty = self.model.towers.penalty(&user.input, &own);
        let scores = user.vectors.matmul(item.vectors.transpose()) / self.params.temperature;
        let smoothing = self.config.label_smoothing;
        (losses::full_softmax(scores, classes, smoothing), penalty)
    }

    /// Against sampled negatives.
    fn of_negatives(
        &self,
        tape: &mut Tape,
        places: Range<usize>,
    ) -> (Tensor<1>, Option<Tensor<1>>) {
        let (batch, width) = (places.len(), self.examples.width());
        let (users, items) = self.examples.filled(places.clone());
        let positives: Vec<u32> = items.iter().copied().step_by(width).collect();
        let (user, item) = self.towers(tape, &places, (&users, &positives), &items);
        let penalty = self.model.towers.penalty(&user.input, &item.input);
        let dim = self.params.output_dim;
        let products =
            user.vectors.reshape([batch, 1, dim]) * item.vectors.reshape([batch, width, dim]);
        let mut scores = products.sum_dim(2).reshape([batch, width]);
        if self.params.loss != Loss::Ccl {
            scores = scores / self.params.temperature;
        }
        let expected = self.log_expected.as_ref().map(|log_expected| {
            let of = |(place, &item): (usize, &u32)| match place % width {
                0 => 0.0,
                _ => log_expected[item as usize],
            };
            let expected = items.iter().enumerate().map(of).collect();
            tape.floats(expected, [batch, width])
        });
        let objective = self.params.objective();
        let smoothing = self.config.label_smoothing;
        (objective.sampled(scores, expected, smoothing), penalty)
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
        let (loss, penalty) = match self.params.loss {
            Loss::InBatchSoftmax => self.in_batch(tape, places),
            Loss::FullSoftmax => self.over_catalog(tape, places),
            _ => self.of_negatives(tape, places),
        };
        Ok(losses::with_penalty(loss, penalty))
    }

    fn recommender(&self) -> &dyn Recommender {
        &self.model
    }
}

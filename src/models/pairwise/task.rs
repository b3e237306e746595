//! Examples, negatives and the loss of a batch of pairs.

use super::Objective;
use super::recommender::PairRecommender;
use crate::losses::{self, Loss};
use crate::model::Recommender;
use crate::params::Param;
use crate::sampling::NegativeSampler;
use crate::seed::{Rng, Seed};
use crate::tape::Tape;
use crate::training::{Trainable, TrainingConfig};
use burn::tensor::Tensor;
use rayon::prelude::*;
use std::ops::Range;

/// The examples of a pair model: all training interactions, in an order of
/// their own in each epoch.
pub struct PairTask<'a> {
    pub recommender: PairRecommender,
    pub objective: Objective,
    pub config: &'a TrainingConfig,
    pub users: Vec<u32>,
    pub order: Vec<u32>,
    pub sampler: Option<NegativeSampler>,
    pub negatives: Rng,
    pub log_probabilities: Vec<f32>,
}

impl PairTask<'_> {
    fn examples(&self, places: Range<usize>) -> (Vec<u32>, Vec<u32>) {
        let rows = &self.order[places];
        let users = rows.iter().map(|&r| self.users[r as usize]).collect();
        let items = rows
            .iter()
            .map(|&r| self.recommender.train.items[r as usize])
            .collect();
        (users, items)
    }

    /// Row-major `[positive, negative, ...]` of each example.
    fn with_negatives(&self, first: usize, users: &[u32], items: &[u32]) -> Vec<u32> {
        let sampler = self
            .sampler
            .as_ref()
            .expect("losses that sample have a sampler");
        let width = self.config.negatives + 1;
        let mut all = vec![0; items.len() * width];
        all.par_chunks_mut(width).enumerate().for_each(|(i, row)| {
            row[0] = items[i];
            for (k, slot) in row[1..].iter_mut().enumerate() {
                let number = ((first + i) * self.config.negatives + k) as u64;
                *slot = sampler.draw(&self.negatives, number, users[i]);
            }
        });
        all
    }

    fn mse(
        &self,
        tape: &mut Tape,
        places: Range<usize>,
        users: &[u32],
        items: &[u32],
    ) -> (Tensor<1>, Option<Tensor<1>>) {
        let scale = self.recommender.scale.expect("mse has a scale");
        let ratings = self
            .recommender
            .train
            .weights
            .as_deref()
            .expect("mse has ratings");
        let targets: Vec<f32> = self.order[places]
            .iter()
            .map(|&r| (ratings[r as usize] - scale.mean) / scale.deviation)
            .collect();
        let (scores, penalty) = self.recommender.network.scores(tape, users, items);
        let targets = tape.floats(targets, [users.len(), 1]);
        (losses::mse(scores, targets), penalty)
    }

    fn in_batch(
        &self,
        tape: &mut Tape,
        users: &[u32],
        items: &[u32],
    ) -> (Tensor<1>, Option<Tensor<1>>) {
        let (scores, penalty) = self
            .recommender
            .network
            .cross_scores(tape, users, items)
            .expect("checked when the model was built");
        let batch = users.len();
        let mask = tape.floats(self.in_batch_mask(users, items), [batch, batch]);
        let mut diagonal = vec![0.0; batch * batch];
        diagonal
            .iter_mut()
            .step_by(batch + 1)
            .for_each(|d| *d = 1.0);
        let diagonal = tape.floats(diagonal, [batch, batch]);
        let scores = scores / self.objective.temperature;
        (
            losses::in_batch_softmax(scores, mask, diagonal, self.config.label_smoothing),
            penalty,
        )
    }

    /// What is added to each in-batch score: a large negative number where
    /// the column is another positive of the row's user.
    fn in_batch_mask(&self, users: &[u32], items: &[u32]) -> Vec<f32> {
        let sampler = self
            .sampler
            .as_ref()
            .expect("in-batch softmax has a sampler");
        let mut columns: Vec<(u32, u32)> = items.iter().copied().zip(0..).collect();
        columns.sort_unstable();
        let batch = users.len();
        let mut mask = vec![0.0; batch * batch];
        mask.par_chunks_mut(batch).enumerate().for_each(|(i, row)| {
            if self.objective.logq_correction {
                for (value, &item) in row.iter_mut().zip(items) {
                    *value = -self.log_probabilities[item as usize];
                }
            }
            for &positive in sampler.positives_of(users[i]) {
                let from = columns.partition_point(|c| c.0 < positive);
                for &(_, column) in columns[from..].iter().take_while(|c| c.0 == positive) {
                    if column as usize != i {
                        row[column as usize] = losses::MASKED;
                    }
                }
            }
        });
        mask
    }
}

impl Trainable for PairTask<'_> {
    fn params(&self) -> Vec<&Param> {
        self.recommender.network.params()
    }

    fn params_mut(&mut self) -> Vec<&mut Param> {
        self.recommender.network.params_mut()
    }

    fn num_examples(&self) -> usize {
        self.users.len()
    }

    fn begin_epoch(&mut self, seed: Seed, epoch: usize) {
        self.order = (0..self.users.len() as u32).collect();
        seed.indexed("shuffle", epoch as u64)
            .shuffle(&mut self.order);
        self.negatives = seed.indexed("negatives", epoch as u64);
    }

    fn loss(&mut self, tape: &mut Tape, places: Range<usize>) -> Tensor<1> {
        let (users, items) = self.examples(places.clone());
        let smoothing = self.config.label_smoothing;
        let (loss, penalty) = match self.objective.loss {
            Loss::Mse => self.mse(tape, places, &users, &items),
            Loss::InBatchSoftmax => self.in_batch(tape, &users, &items),
            sampled => {
                let all = self.with_negatives(places.start, &users, &items);
                let (scores, penalty) = self.recommender.network.scores(tape, &users, &all);
                let loss = match sampled {
                    Loss::Bce => losses::bce(scores, smoothing),
                    Loss::Bpr if self.objective.hardest_negative => losses::bpr_hardest(scores),
                    Loss::Bpr => losses::bpr(scores),
                    _ => losses::softmax(scores / self.objective.temperature, smoothing),
                };
                (loss, penalty)
            }
        };
        match penalty {
            Some(penalty) => loss + penalty,
            None => loss,
        }
    }

    fn recommender(&self) -> &dyn Recommender {
        &self.recommender
    }
}

//! The loss of a batch of pairs.

use super::network::Anonymous;
use super::recommender::FeatureRecommender;
use super::{Loss, id_stream};
use crate::losses;
use crate::model::Recommender;
use crate::models::pairwise::Examples;
use crate::params::Param;
use crate::seed::Seed;
use crate::tape::Tape;
use crate::training::{Trainable, TrainingConfig};
use anyhow::Result;
use burn::tensor::Tensor;
use std::ops::Range;

/// A model of features in training.
pub struct FeatureTask<'a> {
    pub recommender: FeatureRecommender,
    pub examples: Examples,
    pub loss: Loss,
    pub config: &'a TrainingConfig,
    pub id_dropout: f64,
    pub seed: Seed,
    pub epoch: usize,
}

impl FeatureTask<'_> {
    /// Which of so many users and items of a step come without an id, each for
    /// itself.
    fn anonymous(
        &self,
        places: &Range<usize>,
        (users, items): (usize, usize),
    ) -> Option<Anonymous> {
        if self.id_dropout == 0.0 {
            return None;
        }
        let batch_size = self.config.batch_size;
        let mut stream = id_stream(self.seed, &self.examples, batch_size, self.epoch, places);
        let mut draw = |count: usize| {
            let drops = |_| f64::from(stream.uniform()) < self.id_dropout;
            (0..count).map(drops).collect()
        };
        Some(Anonymous {
            users: draw(users),
            items: draw(items),
        })
    }

    /// Against labels, without negatives.
    fn of_clicks(&self, tape: &mut Tape, places: Range<usize>) -> (Tensor<1>, Option<Tensor<1>>) {
        let (users, items) = self.examples.pairs(places.clone());
        let anonymous = self.anonymous(&places, (users.len(), items.len()));
        let pairs = (users.as_slice(), items.as_slice());
        let network = &self.recommender.network;
        let (scores, penalty) = network.scores(tape, pairs, anonymous.as_ref());
        let labels: Vec<f32> = self.examples.ratings(places).collect();
        let labels = tape.floats(labels, [users.len(), 1]);
        (losses::log_loss(scores, labels), penalty)
    }

    fn of_negatives(
        &self,
        tape: &mut Tape,
        places: Range<usize>,
    ) -> (Tensor<1>, Option<Tensor<1>>) {
        let (batch, width) = (places.len(), self.examples.width());
        let (users, items) = self.examples.filled(places.clone());
        let users: Vec<u32> = users
            .iter()
            .flat_map(|&user| std::iter::repeat_n(user, width))
            .collect();
        let anonymous = self.anonymous(&places, (users.len(), items.len()));
        let network = &self.recommender.network;
        let (scores, penalty) = network.scores(tape, (&users, &items), anonymous.as_ref());
        let scores = scores.reshape([batch, width]);
        let smoothing = self.config.label_smoothing;
        let loss = match self.loss {
            Loss::Bpr => losses::bpr(scores),
            Loss::Softmax => losses::softmax(scores, smoothing),
            Loss::Bce | Loss::Clicks | Loss::FullSoftmax => losses::bce(scores, smoothing),
        };
        (loss, penalty)
    }

    /// Against every item there is.
    fn over_catalog(
        &self,
        tape: &mut Tape,
        places: Range<usize>,
    ) -> (Tensor<1>, Option<Tensor<1>>) {
        let (users, positives) = self.examples.pairs(places.clone());
        let catalog: Vec<u32> = (0..self.recommender.num_items() as u32).collect();
        let anonymous = self.anonymous(&places, (users.len(), catalog.len()));
        let pairs = (users.as_slice(), positives.as_slice());
        let network = &self.recommender.network;
        let (scores, penalty) = network
            .catalog_scores(tape, pairs, &catalog, anonymous.as_ref())
            .expect("checked when the model was built");
        let classes = tape.ints(&positives);
        let smoothing = self.config.label_smoothing;
        (losses::full_softmax(scores, classes, smoothing), penalty)
    }
}

impl Trainable for FeatureTask<'_> {
    fn params(&self) -> Vec<&Param> {
        self.recommender.network.params()
    }

    fn params_mut(&mut self) -> Vec<&mut Param> {
        self.recommender.params_mut()
    }

    fn num_examples(&self) -> usize {
        self.examples.len()
    }

    fn begin_epoch(&mut self, seed: Seed, epoch: usize) {
        self.examples.begin_epoch(seed, epoch);
        self.epoch = epoch;
    }

    fn loss(&mut self, tape: &mut Tape, places: Range<usize>) -> Result<Tensor<1>> {
        let (loss, penalty) = match self.loss {
            Loss::Clicks => self.of_clicks(tape, places),
            Loss::FullSoftmax => self.over_catalog(tape, places),
            Loss::Bce | Loss::Bpr | Loss::Softmax => self.of_negatives(tape, places),
        };
        Ok(losses::with_penalty(loss, penalty))
    }

    fn recommender(&self) -> &dyn Recommender {
        &self.recommender
    }
}

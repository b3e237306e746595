//! The loss of a batch of pairs, by the tape or by a network's own kernels.

use super::drawn::{self, Drawn};
use super::examples::Examples;
use super::recommender::PairRecommender;
use super::{Fuse, FusedPairs, InBatch, Objective};
use crate::losses::{self, Loss};
use crate::model::Recommender;
use crate::optim::Optimizer;
use crate::params::Param;
use crate::seed::Seed;
use crate::tape::{Ids, Tape, Updates};
use crate::training::{FusedStep, StepLoss, Trainable, TrainingConfig};
use anyhow::Result;
use burn::tensor::{Device, Tensor};
use std::ops::Range;

/// A pair model in training.
pub struct PairTask<'a> {
    pub recommender: PairRecommender,
    pub objective: Objective,
    pub config: &'a TrainingConfig,
    pub device: &'a Device,
    pub seed: Seed,
    pub examples: Examples,
    pub drawn: Drawn,
    pub in_batch: InBatch,
    pub fused: Option<Box<dyn FusedPairs>>,
}

impl PairTask<'_> {
    /// Leaves each example the negative that scores highest, the first of
    /// those (Zhang et al., "Optimizing top-n collaborative filtering via
    /// dynamic negative item sampling", SIGIR 2013).
    fn keep_hardest(&self, users: &Ids, items: Ids) -> Result<Ids> {
        let mut tape = Tape::inference(self.device);
        let (scores, _) = self.recommender.network.scores(&mut tape, users, &items);
        drawn::keep_hardest(items, scores)
    }

    fn mse(
        &self,
        tape: &mut Tape,
        places: Range<usize>,
        users: &[u32],
        items: &[u32],
    ) -> (Tensor<1>, Option<Tensor<1>>) {
        let scale = self.recommender.scale.expect("mse has a scale");
        let ratings = self.examples.ratings(places);
        let targets: Vec<f32> = ratings.map(|r| scale.normalized(r)).collect();
        let pairs = [users, items].map(Ids::from);
        let network = &self.recommender.network;
        let (scores, penalty) = network.scores(tape, &pairs[0], &pairs[1]);
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
        let mask = self.in_batch.mask(self.examples.sampler(), users, items);
        let mask = tape.floats(mask, [batch, batch]);
        let diagonal = InBatch::diagonal(batch, tape.device());
        let scores = scores / self.objective.temperature;
        (
            losses::in_batch_softmax(scores, mask, diagonal, self.config.label_smoothing),
            penalty,
        )
    }

    fn over_catalog(
        &self,
        tape: &mut Tape,
        users: &[u32],
        items: &[u32],
    ) -> (Tensor<1>, Option<Tensor<1>>) {
        let network = &self.recommender.network;
        let (scores, penalty) = network
            .catalog_scores(tape, users, items)
            .expect("checked when the model was built");
        let scores = scores / self.objective.temperature;
        let smoothing = self.config.label_smoothing;
        let positives = tape.ints(items);
        (losses::full_softmax(scores, positives, smoothing), penalty)
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
        self.examples.len()
    }

    fn begin_epoch(&mut self, seed: Seed, epoch: usize) {
        self.examples.begin_epoch(seed, epoch);
    }

    fn loss(&mut self, tape: &mut Tape, places: Range<usize>) -> Result<Tensor<1>> {
        let smoothing = self.config.label_smoothing;
        let (loss, penalty) = match self.objective.loss {
            Loss::Mse => {
                let (users, items) = self.examples.pairs(places.clone());
                self.mse(tape, places, &users, &items)
            }
            Loss::InBatchSoftmax => {
                let (users, items) = self.examples.pairs(places);
                self.in_batch(tape, &users, &items)
            }
            Loss::FullSoftmax => {
                let (users, items) = self.examples.pairs(places);
                self.over_catalog(tape, &users, &items)
            }
            _ => {
                let (users, mut items) = self.drawn.draw(&self.examples, places, self.device);
                if self.objective.hardest_negative {
                    items = self.keep_hardest(&users, items)?;
                }
                let (scores, penalty) = self.recommender.network.scores(tape, &users, &items);
                (self.objective.sampled(scores, smoothing), penalty)
            }
        };
        Ok(losses::with_penalty(loss, penalty))
    }

    fn fuse(&mut self, optimizer: &Optimizer) -> Result<bool> {
        self.fused = self.recommender.network.fuse(&Fuse {
            objective: self.objective,
            config: self.config,
            optimizer,
            scale: self.recommender.scale,
            device: self.device,
            seed: self.seed,
        })?;
        Ok(self.fused.is_some())
    }

    fn steps_by_example(&self) -> bool {
        self.fused.is_some() && self.config.updates == Updates::Hogwild
    }

    fn fused_step(&mut self, places: Range<usize>, step: FusedStep) -> Result<StepLoss> {
        let fused = self.fused.as_mut().expect("`fuse` has made it");
        fused.step(&self.examples, places, step)
    }

    fn write_back(&mut self, optimizer: &mut Optimizer) -> Result<()> {
        match &mut self.fused {
            Some(fused) => fused.write_back(self.recommender.network.params_mut(), optimizer),
            None => Ok(()),
        }
    }

    fn recommender(&self) -> &dyn Recommender {
        &self.recommender
    }
}

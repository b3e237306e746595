//! Ratings one after the other as steps of the one training loop.

use super::factors_of;
use super::recommender::SvdPp;
use crate::data::interactions::Interactions;
use crate::kernels::svdpp::{Example, Rates, descend};
use crate::model::Recommender;
use crate::models::pairwise::Scale;
use crate::optim::Optimizer;
use crate::params::Param;
use crate::seed::Seed;
use crate::tape::Tape;
use crate::training::{FusedStep, StepLoss, Trainable, TrainingConfig};
use anyhow::Result;
use burn::tensor::Tensor;
use std::ops::Range;

/// The training ratings on the scale that is learned, in an order of their own
/// in each epoch: user by user.
pub struct Ratings {
    offsets: Vec<usize>,
    items: Vec<u32>,
    ratings: Vec<f32>,
    /// Users in the order of the epoch, and where the ratings of each begin in
    /// that order.
    users: Vec<u32>,
    starts: Vec<usize>,
    seed: Seed,
    epoch: usize,
}

impl Ratings {
    pub fn new(train: &Interactions, ratings: &[f32], scale: Scale) -> Self {
        Self {
            offsets: train.offsets.clone(),
            items: train.items.clone(),
            ratings: ratings.iter().map(|&r| scale.normalized(r)).collect(),
            users: (0..train.num_users() as u32).collect(),
            starts: Vec::new(),
            seed: Seed(0),
            epoch: 0,
        }
    }

    fn len(&self) -> usize {
        self.items.len()
    }

    fn begin_epoch(&mut self, seed: Seed, epoch: usize) {
        (self.seed, self.epoch) = (seed, epoch);
        self.users.sort_unstable();
        seed.indexed("shuffle", epoch as u64)
            .shuffle(&mut self.users);
        self.starts.clear();
        let mut start = 0;
        for &user in &self.users {
            self.starts.push(start);
            start += self.offsets[user as usize + 1] - self.offsets[user as usize];
        }
    }

    /// The examples at these places of the epoch's order.
    fn at(&self, places: Range<usize>) -> Vec<Example> {
        let mut examples = Vec::with_capacity(places.len());
        let first = self.starts.partition_point(|&s| s <= places.start) - 1;
        for (&user, &start) in self.users[first..].iter().zip(&self.starts[first..]) {
            if start >= places.end {
                break;
            }
            let positions = self.offsets[user as usize]..self.offsets[user as usize + 1];
            let end = places.end.min(start + positions.len());
            let skipped = places.start.max(start) - start;
            let mut order: Vec<usize> = positions.collect();
            // A stream of its own for each user of an epoch, so that a step
            // can begin inside of a user.
            let index = self.epoch as u64 * self.users.len() as u64 + u64::from(user);
            self.seed.indexed("ratings", index).shuffle(&mut order);
            let taken = order.get(skipped..end - start).unwrap_or_default();
            examples.extend(taken.iter().map(|&position| Example {
                user,
                item: self.items[position],
                rating: self.ratings[position],
            }));
        }
        examples
    }
}

/// L2 on vectors and biases.
#[derive(Clone, Copy, Debug)]
pub struct Decays {
    pub vectors: f32,
    pub biases: f32,
}

/// The model in training.
pub struct Task<'a> {
    model: SvdPp,
    /// What checkpoints hold: the tables as they were at the last write-back.
    params: Vec<Param>,
    ratings: Ratings,
    decays: Decays,
    config: &'a TrainingConfig,
}

impl<'a> Task<'a> {
    pub fn new(
        model: SvdPp,
        params: Vec<Param>,
        ratings: Ratings,
        decays: Decays,
        config: &'a TrainingConfig,
    ) -> Self {
        Self {
            model,
            params,
            ratings,
            decays,
            config,
        }
    }

    /// The model with the parameters that the loop left in place.
    ///
    /// # Errors
    /// A device that fails.
    pub fn finish(mut self) -> Result<SvdPp> {
        self.model.factors = factors_of(&self.params)?;
        Ok(self.model)
    }
}

impl Trainable for Task<'_> {
    fn params(&self) -> Vec<&Param> {
        self.params.iter().collect()
    }

    fn params_mut(&mut self) -> Vec<&mut Param> {
        self.params.iter_mut().collect()
    }

    fn num_examples(&self) -> usize {
        self.ratings.len()
    }

    fn begin_epoch(&mut self, seed: Seed, epoch: usize) {
        self.ratings.begin_epoch(seed, epoch);
    }

    fn loss(&mut self, _: &mut Tape, _: Range<usize>) -> Result<Tensor<1>> {
        unreachable!("`fuse` has said that there are kernels")
    }

    fn fuse(&mut self, _: &Optimizer) -> Result<bool> {
        self.model.factors = factors_of(&self.params)?;
        Ok(true)
    }

    fn fused_step(&mut self, places: Range<usize>, step: FusedStep) -> Result<StepLoss> {
        let steps = self.ratings.len().div_ceil(self.config.batch_size);
        let schedule = self.config.schedule_config(steps);
        let rates = Rates {
            rate: schedule.rate(step.number - 1) as f32,
            decay: self.decays.vectors,
            bias_decay: self.decays.biases,
        };
        let size = places.len() as f64;
        let examples = self.ratings.at(places);
        let SvdPp { factors, rated, .. } = &mut self.model;
        let squares = descend(factors, rated, &examples, rates);
        Ok(StepLoss::Host((squares / size) as f32))
    }

    fn write_back(&mut self, _: &mut Optimizer) -> Result<()> {
        let weights = self.model.weights()?;
        let mut params = self.params.iter_mut();
        params.try_for_each(|param| param.load(&weights, ""))
    }

    fn recommender(&self) -> &dyn Recommender {
        &self.model
    }
}

//! Half epochs of least squares as steps of the one training loop.

use super::recommender::{ITEMS, Ials, USERS};
use crate::kernels::als::{Fixed, Pairs};
use crate::model::Recommender;
use crate::optim::Optimizer;
use crate::params::Param;
use crate::seed::Seed;
use crate::tape::Tape;
use crate::training::{FusedStep, StepLoss, Trainable};
use anyhow::Result;
use burn::tensor::{Device, Tensor};
use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Users,
    Items,
}

/// The model in training. An epoch walks over the pairs twice, first by user
/// and then by item, and a step solves the rows whose last pair it passes.
/// What a half needs of the side that stands still depends on that side
/// alone, so a training can go on from any step.
pub struct Task {
    model: Ials,
    /// What checkpoints hold: the tables as they were at the last write-back.
    params: [Param; 2],
    by_user: Pairs,
    by_item: Pairs,
    /// The side that is solved, and the other one ready for it.
    half: Option<(Side, Fixed)>,
}

impl Task {
    pub fn new(model: Ials, by_user: Pairs, by_item: Pairs, host: &Device) -> Self {
        let dim = model.settings().dim;
        let param = |name, pairs: &Pairs, values| {
            Param::new(name, [pairs.offsets.len() - 1, dim], values, host)
        };
        let factors = model.factors();
        Self {
            params: [
                param(USERS, &by_user, factors.users.take(0, dim)),
                param(ITEMS, &by_item, factors.items.take(0, dim)),
            ],
            model,
            by_user,
            by_item,
            half: None,
        }
    }

    /// The model with the parameters that the loop left in place.
    ///
    /// # Errors
    /// A device that fails.
    pub fn finish(mut self) -> Result<Ials> {
        self.take_over()?;
        Ok(self.model)
    }

    fn take_over(&mut self) -> Result<()> {
        let dim = self.model.settings().dim;
        let [users, items] = [self.params[0].host()?, self.params[1].host()?];
        let factors = self.model.factors_mut();
        factors.users.put(0, dim, &users);
        factors.items.put(0, dim, &items);
        self.half = None;
        Ok(())
    }

    /// Solves the rows of a side whose last pair lies at these positions;
    /// returns their part of the objective after the half.
    fn solve(&mut self, side: Side, positions: Range<usize>) -> f64 {
        if positions.is_empty() {
            return 0.0;
        }
        let settings = self.model.settings();
        let (pairs, fixed_pairs) = match side {
            Side::Users => (&self.by_user, &self.by_item),
            Side::Items => (&self.by_item, &self.by_user),
        };
        let factors = self.model.factors_mut();
        let (table, to) = match side {
            Side::Users => (&factors.items, &mut factors.users),
            Side::Items => (&factors.users, &mut factors.items),
        };
        if !self
            .half
            .as_ref()
            .is_some_and(|(solved, _)| *solved == side)
        {
            let others = pairs.offsets.len() - 1;
            self.half = Some((side, Fixed::new(settings, table, fixed_pairs, others)));
        }
        let Some((_, fixed)) = &self.half else {
            return 0.0;
        };
        let share = positions.len() as f64 / pairs.len() as f64;
        fixed.solve(table, pairs, pairs.rows_ending(&positions), to) + share * fixed.penalty()
    }
}

impl Trainable for Task {
    fn params(&self) -> Vec<&Param> {
        self.params.iter().collect()
    }

    fn params_mut(&mut self) -> Vec<&mut Param> {
        self.params.iter_mut().collect()
    }

    fn num_examples(&self) -> usize {
        self.by_user.len()
    }

    fn begin_epoch(&mut self, _: Seed, _: usize) {}

    fn loss(&mut self, _: &mut Tape, _: Range<usize>) -> Result<Tensor<1>> {
        unreachable!("`fuse` has said that there are kernels")
    }

    fn fuse(&mut self, _: &Optimizer) -> Result<bool> {
        self.take_over()?;
        Ok(true)
    }

    fn fused_step(&mut self, places: Range<usize>, _: FusedStep) -> Result<StepLoss> {
        let pairs = self.by_user.len();
        let size = places.len() as f64;
        let positions = 2 * places.start..2 * places.end;
        let mut sum = self.solve(
            Side::Users,
            positions.start.min(pairs)..positions.end.min(pairs),
        );
        let items = positions.start.max(pairs)..positions.end.max(pairs);
        sum += self.solve(Side::Items, items.start - pairs..items.end - pairs);
        // Both halves together sum up the objective twice.
        Ok(StepLoss::Host((sum / (2.0 * size)) as f32))
    }

    fn write_back(&mut self, _: &mut Optimizer) -> Result<()> {
        let dim = self.model.settings().dim;
        let factors = self.model.factors();
        let tables = [factors.users.take(0, dim), factors.items.take(0, dim)];
        for (param, values) in self.params.iter_mut().zip(tables) {
            param.set_host(values);
        }
        Ok(())
    }

    fn recommender(&self) -> &dyn Recommender {
        &self.model
    }
}

//! Scores and gradient descent on rows that all threads read and write.

use crate::kernels::simd::{Isa, Lane, WIDTH};
use crate::kernels::table::{RacingRow, RacingRows};

/// Biases are columns of the rows: what to do with the lane that holds them.
#[derive(Clone, Copy)]
pub struct BiasLane {
    /// `usize::MAX` where there are no biases.
    lane: usize,
    /// One at the biases' place, else zero.
    unit: Lane,
    /// Zero at that place, else one.
    others: Lane,
}

impl BiasLane {
    pub fn of(bias: Option<usize>) -> Self {
        let mut both = Self {
            lane: bias.map_or(usize::MAX, |column| column / WIDTH),
            unit: Lane::ZERO,
            others: Lane([1.0; WIDTH]),
        };
        if let Some(column) = bias {
            both.unit.0[column % WIDTH] = 1.0;
            both.others.0[column % WIDTH] = 0.0;
        }
        both
    }

    /// A lane of a row as the other side's derivatives see it: a bias is added,
    /// so that the score's derivative by the other one is 1.
    #[inline(always)]
    fn seen<S: Isa>(&self, lane: usize, vector: S::Vector) -> S::Vector {
        if lane == self.lane {
            S::madd(vector, S::load(&self.others), S::load(&self.unit))
        } else {
            vector
        }
    }

    /// A lane's part of a score, place by place, added to `sum`.
    #[inline(always)]
    fn add_score<S: Isa>(
        &self,
        lane: usize,
        user: S::Vector,
        item: S::Vector,
        sum: S::Vector,
    ) -> S::Vector {
        if lane == self.lane {
            let others = S::madd(user, S::load(&self.others), S::zero());
            let sum = S::madd(others, item, sum);
            S::madd(S::load(&self.unit), S::add(user, item), sum)
        } else {
            S::madd(user, item, sum)
        }
    }
}

/// All that the loops over examples read, in a form that stays in registers:
/// what stands behind a reference is read again after each write to a table.
#[derive(Clone, Copy)]
pub struct Plain<'a> {
    pub users: RacingRows<'a>,
    pub items: RacingRows<'a>,
    pub lanes: usize,
    /// The user of each example.
    pub user_of: &'a [u32],
    /// Row-major `[positive, negative, ...]` of each example.
    pub items_of: &'a [u32],
    pub width: usize,
    pub bias: &'a BiasLane,
}

impl<'a> Plain<'a> {
    #[inline(always)]
    pub fn rows(&self, place: usize) -> (RacingRow<'a>, &'a [u32]) {
        let items = &self.items_of[place * self.width..(place + 1) * self.width];
        (self.users.row(self.user_of[place]), items)
    }

    #[inline(always)]
    pub fn prefetch(&self, place: usize) {
        if place < self.user_of.len() {
            self.users.prefetch(self.user_of[place]);
            for &item in &self.items_of[place * self.width..(place + 1) * self.width] {
                self.items.prefetch(item);
            }
        }
    }

    /// Scores of an example's items; adds the squares of all its rows, users'
    /// first.
    #[inline(always)]
    pub fn score<S: Isa>(&self, place: usize, scores: &mut [f32], squares: &mut [S::Vector; 2]) {
        let (user, items) = self.rows(place);
        let mut own = S::zero();
        for lane in 0..self.lanes {
            let vector = user.load::<S>(lane);
            own = S::madd(vector, vector, own);
        }
        squares[0] = S::add(squares[0], own);
        for (score, &item) in scores.iter_mut().zip(items) {
            let item = self.items.row(item);
            let (mut sum, mut own) = (S::zero(), S::zero());
            for lane in 0..self.lanes {
                let vector = item.load::<S>(lane);
                own = S::madd(vector, vector, own);
                sum = self
                    .bias
                    .add_score::<S>(lane, user.load::<S>(lane), vector, sum);
            }
            squares[1] = S::add(squares[1], own);
            *score = S::sum(sum);
        }
    }

    /// Gradient descent on the rows of an example, `TOGETHER` lanes at a time:
    /// `w - rate (g + (2 l2 + decay) w)`, without gradients in memory.
    #[inline(always)]
    pub fn descend<S: Isa, const TOGETHER: usize>(
        &self,
        place: usize,
        derivatives: &[f32],
        rate: f32,
        kept: [f32; 2],
    ) {
        let (user, items) = self.rows(place);
        let kept = [S::splat(kept[0]), S::splat(kept[1])];
        let mut first = 0;
        while first < self.lanes {
            let mut row = [S::zero(); TOGETHER];
            let mut seen = row;
            let mut sums = row;
            for k in 0..TOGETHER {
                row[k] = user.load::<S>(first + k);
                seen[k] = self.bias.seen::<S>(first + k, row[k]);
            }
            for (&derivative, &item) in derivatives.iter().zip(items) {
                let item = self.items.row(item);
                let factor = S::splat(-rate * derivative);
                for k in 0..TOGETHER {
                    let vector = item.load::<S>(first + k);
                    let by_user = self.bias.seen::<S>(first + k, vector);
                    sums[k] = S::madd(factor, by_user, sums[k]);
                    let step = S::madd(factor, seen[k], S::zero());
                    item.store::<S>(S::madd(kept[1], vector, step), first + k);
                }
            }
            for k in 0..TOGETHER {
                user.store::<S>(S::madd(kept[0], row[k], sums[k]), first + k);
            }
            first += TOGETHER;
        }
    }
}

//! Steps that do not wait for each other: each example updates its rows at
//! once, in whatever order the threads come to them (Recht et al., "Hogwild!:
//! a lock-free approach to parallelizing stochastic gradient descent", NIPS
//! 2011). An update that another thread overwrites is lost, which hardly ever
//! happens while rows are many; only with one thread does a result repeat.
//!
//! A race can lose an update, or leave a row of which one part comes from each
//! of two updates, and nothing else ([`Isa::load_racing`]).

use super::goal::PAIRS;
use super::{Batch, Factors, Settings, Side};
use crate::kernels::simd::{self, Isa, Job, Lane, WIDTH, add_scaled, flat, flat_mut};
use crate::kernels::table::{RacingRow, RacingRows};
use crate::kernels::update::{Hyper, update_row};
use rayon::prelude::*;
use std::ops::Range;

/// Examples that a thread takes at a time.
const CHUNK: usize = 256;

/// Examples whose derivatives are taken together, before the first of them
/// updates its rows: as late as they would be with as many threads.
const GROUP: usize = PAIRS;

/// One step for each example of a batch; returns their mean loss, with the
/// regularizer. The optimizer is one without a state or with one.
pub fn steps(factors: &mut Factors, batch: &Batch, hyper: &Hyper) -> f64 {
    let settings = factors.settings;
    let users = RacingSide::of(&mut factors.users);
    let items = RacingSide::of(&mut factors.items);
    let examples = batch.users.len();
    let chunks = (0..examples.div_ceil(CHUNK)).into_par_iter();
    let losses = chunks.map(|chunk| {
        simd::run(Examples {
            settings,
            users: &users,
            items: &items,
            batch,
            hyper,
            range: (chunk * CHUNK, ((chunk + 1) * CHUNK).min(examples)),
        })
    });
    losses.sum::<f64>() / examples as f64
}

/// A side whose rows all threads read and write.
#[derive(Clone, Copy)]
struct RacingSide<'a> {
    weights: RacingRows<'a>,
    state: RacingRows<'a>,
}

impl<'a> RacingSide<'a> {
    fn of(side: &'a mut Side) -> Self {
        Self {
            weights: side.weights.racing(),
            state: side.first.racing(),
        }
    }

    /// Reads the state of a row, updates both, and writes them.
    #[inline(always)]
    fn update<S: Isa>(
        &self,
        row: u32,
        hyper: &Hyper,
        weights: &mut [Lane],
        state: &mut [Lane],
        gradient: &[Lane],
    ) {
        self.state.row(row).read::<S>(state);
        let kept = flat_mut(state);
        update_row::<S>(hyper, flat_mut(weights), kept, &mut [], flat(gradient));
        self.weights.row(row).write::<S>(weights);
        self.state.row(row).write::<S>(state);
    }
}

/// Lanes that stay in registers together.
const TOGETHER: usize = 4;

struct Examples<'a> {
    settings: Settings,
    users: &'a RacingSide<'a>,
    items: &'a RacingSide<'a>,
    batch: &'a Batch,
    hyper: &'a Hyper,
    range: (usize, usize),
}

impl Job for Examples<'_> {
    type Output = f64;

    #[inline(always)]
    fn call<S: Isa>(self) -> f64 {
        // SGD without momentum keeps no state.
        if self.users.state.per_row() > 0 {
            return self.updates::<S>();
        }
        // The usual widths are told to the compiler, which then unrolls all
        // loops over a row.
        match self.users.weights.per_row() {
            2 => self.descents::<S, 2>(2),
            4 => self.descents::<S, TOGETHER>(4),
            8 => self.descents::<S, TOGETHER>(8),
            lanes => self.descents::<S, 1>(lanes),
        }
    }
}

/// Biases are columns of the rows: what to do with the lane that holds them.
#[derive(Clone, Copy)]
struct BiasLane {
    /// `usize::MAX` where there are no biases.
    lane: usize,
    /// One at the biases' place, else zero.
    unit: Lane,
    /// Zero at that place, else one.
    others: Lane,
}

impl BiasLane {
    fn of(bias: Option<usize>) -> Self {
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
struct Plain<'a> {
    users: RacingRows<'a>,
    items: RacingRows<'a>,
    lanes: usize,
    /// The user of each example.
    user_of: &'a [u32],
    /// See [`Batch::items`].
    items_of: &'a [u32],
    width: usize,
    bias: &'a BiasLane,
}

impl<'a> Plain<'a> {
    #[inline(always)]
    fn rows(&self, place: usize) -> (RacingRow<'a>, &'a [u32]) {
        let items = &self.items_of[place * self.width..(place + 1) * self.width];
        (self.users.row(self.user_of[place]), items)
    }

    #[inline(always)]
    fn prefetch(&self, place: usize) {
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
    fn score<S: Isa>(&self, place: usize, scores: &mut [f32], squares: &mut [S::Vector; 2]) {
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
    fn descend<S: Isa, const TOGETHER: usize>(
        &self,
        place: usize,
        derivatives: &[f32],
        rate: f32,
        kept: [f32; 2],
    ) {
        let (user, items) = self.rows(place);
        let kept = kept.map(|kept| S::splat(kept));
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

/// Copies of an example's rows, and its gradients.
struct Own {
    user: Vec<Lane>,
    items: Vec<Lane>,
    state: Vec<Lane>,
    user_gradient: Vec<Lane>,
    gradient: Vec<Lane>,
}

impl Examples<'_> {
    /// Steps of gradient descent; `lanes` are those of a row, a multiple of
    /// `TOGETHER`.
    #[inline(always)]
    fn descents<S: Isa, const TOGETHER: usize>(self, lanes: usize) -> f64 {
        let Settings {
            user_regularization,
            item_regularization,
            ..
        } = self.settings;
        let bias = BiasLane::of(self.settings.rows.bias);
        let rows = self.plain(lanes, &bias);
        let (rate, decay) = (self.hyper.rate, self.hyper.coupled_decay);
        let kept =
            [user_regularization, item_regularization].map(|l2| 1.0 - rate * (2.0 * l2 + decay));
        let mut scores = vec![0.0; GROUP * rows.width];
        let mut loss = 0.0;
        // A loop and no iterator: a closure might become a function of its own,
        // which would not be compiled for these instructions.
        let mut place = self.range.0;
        while place < self.range.1 {
            let end = (place + GROUP).min(self.range.1);
            loss += self.derive::<S>(&rows, place..end, &mut scores);
            let derivatives = scores.chunks_exact(rows.width);
            for (place, derivatives) in (place..end).zip(derivatives) {
                rows.descend::<S, TOGETHER>(place, derivatives, rate, kept);
            }
            place = end;
        }
        loss
    }

    /// Steps of an optimizer with a state.
    #[inline(always)]
    fn updates<S: Isa>(self) -> f64 {
        let bias = BiasLane::of(self.settings.rows.bias);
        let lanes = self.users.weights.per_row();
        let rows = self.plain(lanes, &bias);
        let width = rows.width;
        let mut own = Own {
            user: vec![Lane::ZERO; lanes],
            items: vec![Lane::ZERO; lanes * width],
            state: vec![Lane::ZERO; lanes],
            user_gradient: vec![Lane::ZERO; lanes],
            gradient: vec![Lane::ZERO; lanes],
        };
        let mut scores = vec![0.0; GROUP * width];
        let mut loss = 0.0;
        let mut place = self.range.0;
        while place < self.range.1 {
            let end = (place + GROUP).min(self.range.1);
            for later in end..(end + GROUP).min(rows.user_of.len()) {
                self.users.state.prefetch(rows.user_of[later]);
                for &item in &rows.items_of[later * width..(later + 1) * width] {
                    self.items.state.prefetch(item);
                }
            }
            loss += self.derive::<S>(&rows, place..end, &mut scores);
            for (at, place) in (place..end).enumerate() {
                let derivatives = &scores[at * width..(at + 1) * width];
                self.update::<S>(&rows, place, derivatives, &mut own);
            }
            place = end;
        }
        loss
    }

    #[inline(always)]
    fn plain<'a>(&'a self, lanes: usize, bias: &'a BiasLane) -> Plain<'a> {
        Plain {
            users: self.users.weights.of_width(lanes),
            items: self.items.weights.of_width(lanes),
            lanes,
            user_of: &self.batch.users,
            items_of: &self.batch.items,
            width: self.batch.width(),
            bias,
        }
    }

    /// Fills in the derivatives of some examples' losses by their scores;
    /// returns the sum of the losses, with the regularizer. Asks for the rows
    /// of those that follow.
    #[inline(always)]
    fn derive<S: Isa>(&self, rows: &Plain<'_>, places: Range<usize>, scores: &mut [f32]) -> f64 {
        let Settings {
            goal,
            user_regularization,
            item_regularization,
            ..
        } = self.settings;
        let width = rows.width;
        let scores = &mut scores[..places.len() * width];
        let mut squares = [S::zero(); 2];
        for (place, scores) in places.clone().zip(scores.chunks_exact_mut(width)) {
            rows.prefetch(place + GROUP);
            rows.score::<S>(place, scores, &mut squares);
        }
        let scale = 1.0 / goal.divisor(1, width);
        let targets = self.batch.targets.get(places).unwrap_or_default();
        let loss = goal.derive_all(scores, width, targets, scale);
        let regularizer =
            user_regularization * S::sum(squares[0]) + item_regularization * S::sum(squares[1]);
        f64::from(loss) * f64::from(scale) + f64::from(regularizer)
    }

    /// One step of an optimizer with a state.
    #[inline(always)]
    fn update<S: Isa>(&self, rows: &Plain<'_>, place: usize, derivatives: &[f32], own: &mut Own) {
        let Settings {
            user_regularization,
            item_regularization,
            ..
        } = self.settings;
        let bias = self.settings.rows.bias;
        let (user, items) = rows.rows(place);
        user.read::<S>(&mut own.user);
        own.user_gradient.fill(Lane::ZERO);
        let mut slope = 0.0;
        let copies = own.items.chunks_exact_mut(rows.lanes);
        for ((&item, copy), &derivative) in items.iter().zip(copies).zip(derivatives) {
            rows.items.row(item).read::<S>(copy);
            add_scaled::<S>(&mut own.user_gradient, derivative, copy);
            slope += derivative;
            own.gradient.fill(Lane::ZERO);
            add_scaled::<S>(&mut own.gradient, derivative, &own.user);
            if let Some(column) = bias {
                flat_mut(&mut own.gradient)[column] = derivative;
            }
            add_scaled::<S>(&mut own.gradient, 2.0 * item_regularization, copy);
            self.items
                .update::<S>(item, self.hyper, copy, &mut own.state, &own.gradient);
        }
        if let Some(column) = bias {
            flat_mut(&mut own.user_gradient)[column] = slope;
        }
        add_scaled::<S>(&mut own.user_gradient, 2.0 * user_regularization, &own.user);
        self.users.update::<S>(
            self.batch.users[place],
            self.hyper,
            &mut own.user,
            &mut own.state,
            &own.user_gradient,
        );
    }
}

#[cfg(test)]
mod tests;

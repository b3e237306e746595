//! Steps that do not wait for each other: each example updates its rows at
//! once, in whatever order the threads come to them (Recht et al., "Hogwild!:
//! a lock-free approach to parallelizing stochastic gradient descent", NIPS
//! 2011). An update that another thread overwrites is lost, which hardly ever
//! happens while rows are many; only with one thread does a result repeat.
//!
//! A race can lose an update, or leave a row of which one part comes from each
//! of two updates, and nothing else ([`Isa::copy_racing`]).

use super::goal::PAIRS;
use super::{Batch, Factors, Settings, Side};
use crate::kernels::simd::{self, Isa, Job, Lane, add_scaled, flat, flat_mut};
use crate::kernels::table::RacingRows;
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
        self.state.load::<S>(row, state);
        let kept = flat_mut(state);
        update_row::<S>(hyper, flat_mut(weights), kept, &mut [], flat(gradient));
        self.weights.store::<S>(row, weights);
        self.state.store::<S>(row, state);
    }

    #[inline(always)]
    fn prefetch(&self, row: u32) {
        self.weights.prefetch(row);
        self.state.prefetch(row);
    }
}

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
        // The usual widths are told to the compiler, which then unrolls all
        // loops over a row.
        match self.users.weights.per_row() {
            2 => self.run::<S>(2),
            4 => self.run::<S>(4),
            8 => self.run::<S>(8),
            lanes => self.run::<S>(lanes),
        }
    }
}

#[inline(always)]
fn add_squares<S: Isa>(row: &[Lane], sum: &mut S::Vector) {
    for lane in row {
        let lane = S::load(lane);
        *sum = S::madd(lane, lane, *sum);
    }
}

/// Copies of an example's rows, its derivatives, and its gradients.
struct Own {
    user: Vec<Lane>,
    items: Vec<Lane>,
    state: Vec<Lane>,
    user_gradient: Vec<Lane>,
    gradient: Vec<Lane>,
    /// Of the items of a group; after [`Examples::derive`] the losses'
    /// derivatives by them.
    scores: Vec<f32>,
}

impl Examples<'_> {
    /// `lanes` are those of a row.
    #[inline(always)]
    fn run<S: Isa>(self, lanes: usize) -> f64 {
        let width = self.batch.width();
        // SGD without momentum keeps no state.
        let state = self.users.state.per_row();
        let mut own = Own {
            user: vec![Lane::ZERO; lanes],
            items: vec![Lane::ZERO; lanes * width],
            state: vec![Lane::ZERO; state],
            user_gradient: vec![Lane::ZERO; lanes],
            gradient: vec![Lane::ZERO; lanes],
            scores: vec![0.0; GROUP * width],
        };
        let mut loss = 0.0;
        // A loop and no iterator: a closure might become a function of its own,
        // which would not be compiled for these instructions.
        let mut place = self.range.0;
        while place < self.range.1 {
            let end = (place + GROUP).min(self.range.1);
            loss += self.derive::<S>(place..end, width, lanes, &mut own);
            for (at, place) in (place..end).enumerate() {
                self.load::<S>(place, width, lanes, &mut own);
                let derivatives = at * width..(at + 1) * width;
                if state == 0 {
                    self.descend::<S>(place, derivatives, lanes, &mut own);
                } else {
                    self.update::<S>(place, derivatives, &mut own);
                }
            }
            place = end;
        }
        loss
    }

    #[inline(always)]
    fn prefetch(&self, place: usize, width: usize) {
        if let Some(&user) = self.batch.users.get(place) {
            self.users.prefetch(user);
            for &item in &self.batch.items[place * width..(place + 1) * width] {
                self.items.prefetch(item);
            }
        }
    }

    #[inline(always)]
    fn items_of(&self, place: usize, width: usize) -> &[u32] {
        &self.batch.items[place * width..(place + 1) * width]
    }

    /// Copies the rows of an example.
    #[inline(always)]
    fn load<S: Isa>(&self, place: usize, width: usize, lanes: usize, own: &mut Own) {
        let user = self.batch.users[place];
        self.users.weights.load::<S>(user, &mut own.user[..lanes]);
        let copies = own.items.chunks_exact_mut(lanes);
        for (&item, copy) in self.items_of(place, width).iter().zip(copies) {
            self.items.weights.load::<S>(item, copy);
        }
    }

    /// Derives the losses of some examples; returns their sum, with the
    /// regularizer. Asks for the rows of those that follow.
    #[inline(always)]
    fn derive<S: Isa>(
        &self,
        places: Range<usize>,
        width: usize,
        lanes: usize,
        own: &mut Own,
    ) -> f64 {
        let Settings { goal, rows, .. } = self.settings;
        let first = places.start;
        let mut squares = [S::zero(); 2];
        for place in places.clone() {
            self.prefetch(place + GROUP, width);
            self.load::<S>(place, width, lanes, own);
            let scores = &mut own.scores[(place - first) * width..][..width];
            for (copy, score) in own.items.chunks_exact(lanes).zip(scores) {
                *score = rows.score::<S>(&own.user[..lanes], copy);
            }
            add_squares::<S>(&own.user[..lanes], &mut squares[0]);
            // All items stand in one row of lanes.
            add_squares::<S>(&own.items, &mut squares[1]);
        }
        let scale = 1.0 / goal.divisor(1, width);
        let targets = self.batch.targets.get(places.clone()).unwrap_or_default();
        let scores = &mut own.scores[..places.len() * width];
        let loss = goal.derive_all(scores, width, targets, scale);
        let regularizer = self.settings.user_regularization * S::sum(squares[0])
            + self.settings.item_regularization * S::sum(squares[1]);
        f64::from(loss) * f64::from(scale) + f64::from(regularizer)
    }

    /// One step of an optimizer with a state.
    #[inline(always)]
    fn update<S: Isa>(&self, place: usize, scores: Range<usize>, own: &mut Own) {
        let width = scores.len();
        let Settings {
            rows,
            user_regularization,
            item_regularization,
            ..
        } = self.settings;
        let (user, lanes) = (self.batch.users[place], own.user.len());
        own.user_gradient.fill(Lane::ZERO);
        let mut slope = 0.0;
        let copies = own.items.chunks_exact_mut(lanes);
        let items = self.items_of(place, width).iter();
        for ((&item, copy), &derivative) in items.zip(copies).zip(&own.scores[scores.clone()]) {
            add_scaled::<S>(&mut own.user_gradient, derivative, copy);
            slope += derivative;
            own.gradient.fill(Lane::ZERO);
            add_scaled::<S>(&mut own.gradient, derivative, &own.user);
            if let Some(column) = rows.bias {
                flat_mut(&mut own.gradient)[column] = derivative;
            }
            add_scaled::<S>(&mut own.gradient, 2.0 * item_regularization, copy);
            self.items
                .update::<S>(item, self.hyper, copy, &mut own.state, &own.gradient);
        }
        if let Some(column) = rows.bias {
            flat_mut(&mut own.user_gradient)[column] = slope;
        }
        add_scaled::<S>(&mut own.user_gradient, 2.0 * user_regularization, &own.user);
        self.users.update::<S>(
            user,
            self.hyper,
            &mut own.user,
            &mut own.state,
            &own.user_gradient,
        );
    }

    /// What [`Self::update`] does where the step is the gradient times the
    /// rate: `w - rate (g + (2 l2 + decay) w)`, without gradients in memory.
    #[inline(always)]
    fn descend<S: Isa>(&self, place: usize, scores: Range<usize>, lanes: usize, own: &mut Own) {
        let width = scores.len();
        let (rate, decay) = (self.hyper.rate, self.hyper.coupled_decay);
        let kept = |l2: f32| 1.0 - rate * (2.0 * l2 + decay);
        let item_kept = kept(self.settings.item_regularization);
        let user_kept = kept(self.settings.user_regularization);
        let user = self.batch.users[place];
        if let Some(column) = self.settings.rows.bias {
            // The user's column stands for the factor of the items' derivatives,
            // which is one for biases, and the other way round.
            flat_mut(&mut own.gradient)[column] = flat(&own.user)[column];
            flat_mut(&mut own.user)[column] = 1.0;
        }
        own.user_gradient[..lanes].fill(Lane::ZERO);
        let copies = own.items.chunks_exact_mut(lanes);
        let items = self.items_of(place, width).iter();
        for ((&item, copy), &derivative) in items.zip(copies).zip(&own.scores[scores.clone()]) {
            let by_user = S::splat(-rate * derivative);
            let kept = S::splat(item_kept);
            let (user, sums) = (&own.user[..lanes], &mut own.user_gradient[..lanes]);
            for ((copy, user), sum) in copy.iter_mut().zip(user).zip(sums) {
                let row = S::load(copy);
                S::store(S::madd(by_user, row, S::load(sum)), sum);
                let step = S::madd(by_user, S::load(user), S::zero());
                S::store(S::madd(kept, row, step), copy);
            }
            self.items.weights.store::<S>(item, copy);
        }
        if let Some(column) = self.settings.rows.bias {
            flat_mut(&mut own.user)[column] = flat(&own.gradient)[column];
            let slope: f32 = own.scores[scores].iter().sum();
            flat_mut(&mut own.user_gradient)[column] = -rate * slope;
        }
        let kept = S::splat(user_kept);
        let sums = &own.user_gradient[..lanes];
        for (row, sum) in own.user[..lanes].iter_mut().zip(sums) {
            S::store(S::madd(kept, S::load(row), S::load(sum)), row);
        }
        self.users.weights.store::<S>(user, &own.user[..lanes]);
    }
}

#[cfg(test)]
mod tests;

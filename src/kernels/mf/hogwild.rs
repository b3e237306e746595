//! Steps that do not wait for each other: each example updates its rows at
//! once, in whatever order the threads come to them (Recht et al., "Hogwild!:
//! a lock-free approach to parallelizing stochastic gradient descent", NIPS
//! 2011). An update that another thread overwrites is lost, which hardly ever
//! happens while rows are many; only with one thread does a result repeat.
//!
//! A race can lose an update, or leave a row of which one part comes from each
//! of two updates, and nothing else ([`Isa::load_racing`]).

mod rows;

use super::goal::PAIRS;
use super::{Batch, Factors, Settings, Side};
use crate::kernels::simd::{self, Isa, Job, Lane, add_scaled, flat, flat_mut};
use crate::kernels::table::RacingRows;
use crate::kernels::update::{Hyper, update_row};
use rayon::prelude::*;
use rows::{BiasLane, Plain};
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

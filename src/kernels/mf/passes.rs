//! The passes of a step.

use super::clipped::clipped_updates;
use super::{Batch, Factors, Rows, Settings, SharedSide, Side};
use crate::kernels::lengths;
use crate::kernels::simd::{self, Isa, Job, Lane, add_scaled, dot, flat_mut};
use crate::kernels::table::Table;
use crate::kernels::update::Hyper;
use rayon::prelude::*;
use std::ops::Range;

/// Rows that a thread takes at a time.
pub const CHUNK: usize = 64;

/// Rows that are asked for together.
const BLOCK: usize = 16;

/// How far a list of rows has been asked for. They are asked for in blocks, with
/// nothing between: what asks for memory waits until its address is translated,
/// which on a large table is a look into the page table, and holds up what
/// follows. So many looks as the processor has in view take as long as one.
#[derive(Default)]
struct Asked(usize);

impl Asked {
    /// The places to ask for before the work on those from `at` on, of `len`.
    #[inline(always)]
    fn before(&mut self, at: usize, width: usize, len: usize) -> Range<usize> {
        let wanted = at + width + BLOCK;
        if self.0 >= wanted.min(len) {
            return 0..0;
        }
        let range = self.0.max(at)..(wanted + BLOCK).min(len);
        self.0 = range.end;
        range
    }
}

/// Memory between the passes.
#[derive(Default)]
pub struct Space {
    /// Derivatives of the loss by the scores, parallel to the batch's items.
    pub derivatives: Vec<f32>,
    /// One over the length of each item of the batch, by item, for cosines.
    pub scales: Vec<f32>,
    /// The same of the batch's distinct items, in their order.
    distinct: Vec<f32>,
    /// Gradients of the batch's distinct users.
    pub users: Vec<Lane>,
    /// Gradients of the batch's distinct items, where they must wait for the
    /// norm of all.
    pub items: Vec<Lane>,
    /// Loss, and squared norm of the gradient, of each distinct row.
    pub losses: Vec<f64>,
    pub norms: Vec<f64>,
}

/// Numbers that all passes of a step need.
#[derive(Clone, Copy)]
pub struct Step {
    pub settings: Settings,
    width: usize,
    /// One over what the sum of losses is divided by.
    scale: f32,
    /// Regularization of a user's row for each of its places.
    user_decay: f32,
    /// The same of an item's.
    item_decay: f32,
}

/// One step on a batch whose items are final.
pub fn step(factors: &mut Factors, batch: &mut Batch, hyper: &Hyper) -> f64 {
    batch.group_items();
    let (settings, width) = (factors.settings, batch.width());
    let examples = batch.users.len();
    let step = Step {
        settings,
        width,
        scale: 1.0 / settings.goal.divisor(examples, width),
        user_decay: settings.user_regularization / examples as f32,
        item_decay: settings.item_regularization / examples as f32,
    };
    let Factors {
        users,
        items,
        space,
        ..
    } = factors;
    if settings.rows.cosine {
        measure(batch, &items.weights, space);
    }
    user_gradients(&step, batch, users, items, space);
    let loss = sum(&space.losses);
    if settings.gradient_clip > 0.0 {
        return loss + clipped_updates(&step, batch, users, items, space, hyper);
    }
    let loss = loss + item_updates(&step, batch, &users.weights, items, space, hyper);
    update(&batch.by_user.rows, &space.users, users, hyper);
    loss
}

/// Fills `space.scales` for the items of the batch.
fn measure(batch: &Batch, items: &Table, space: &mut Space) {
    let (lanes, per_row) = (items.lanes(), items.per_row());
    let rows = &batch.by_item.rows;
    lengths::inverses(lanes, per_row, rows, &mut space.distinct);
    space.scales.resize(lanes.len() / per_row, 0.0);
    for (&row, &scale) in rows.iter().zip(&space.distinct) {
        space.scales[row as usize] = scale;
    }
}

/// Pass 2; returns the items' part of the loss.
fn item_updates(
    step: &Step,
    batch: &Batch,
    users: &Table,
    items: &mut Side,
    space: &mut Space,
    hyper: &Hyper,
) -> f64 {
    let shared = SharedSide::of(items);
    space.losses.resize(batch.by_item.len(), 0.0);
    let chunks = space.losses.par_chunks_mut(CHUNK).enumerate();
    chunks.for_each(|(chunk, losses)| {
        simd::run(ItemUpdates {
            gradients: ItemGradients {
                step,
                batch,
                users,
                derivatives: &space.derivatives,
                first: chunk * CHUNK,
            },
            items: &shared,
            hyper,
            losses,
        });
    });
    sum(&space.losses)
}

pub fn sum(values: &[f64]) -> f64 {
    values.iter().sum()
}

/// Pass 1.
fn user_gradients(step: &Step, batch: &Batch, users: &Side, items: &Side, space: &mut Space) {
    let per_row = users.weights.per_row();
    let groups = batch.by_user.len();
    space.derivatives.resize(batch.items.len(), 0.0);
    space.users.resize(groups * per_row, Lane::ZERO);
    space.losses.resize(groups, 0.0);
    let mut rest = &mut space.derivatives[..];
    let mut jobs = Vec::with_capacity(groups.div_ceil(CHUNK));
    let gradients = space.users.chunks_mut(CHUNK * per_row);
    let losses = space.losses.chunks_mut(CHUNK);
    for (chunk, (gradients, losses)) in gradients.zip(losses).enumerate() {
        let first = chunk * CHUNK;
        let starts = &batch.by_user.starts[first..=first + losses.len()];
        let places = (starts[losses.len()] - starts[0]) as usize;
        let derivatives = rest
            .split_off_mut(..places * step.width)
            .expect("there is a derivative for each item of the batch");
        jobs.push(UserGradients {
            step,
            batch,
            users: &users.weights,
            items: &items.weights,
            scales: &space.scales,
            first,
            derivatives,
            gradients,
            losses,
        });
    }
    jobs.into_par_iter().for_each(simd::run);
}

struct UserGradients<'a> {
    step: &'a Step,
    batch: &'a Batch,
    users: &'a Table,
    items: &'a Table,
    /// See [`Space::scales`].
    scales: &'a [f32],
    /// The first of its users, of the batch's distinct ones.
    first: usize,
    derivatives: &'a mut [f32],
    gradients: &'a mut [Lane],
    losses: &'a mut [f64],
}

impl Job for UserGradients<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let Self { step, batch, .. } = self;
        let Settings { goal, rows, .. } = step.settings;
        let starts = &batch.by_user.starts[self.first..];
        let mut derivatives = self.derivatives.chunks_exact_mut(step.width);
        let gradients = self.gradients.chunks_exact_mut(self.users.per_row());
        let rows_of_users = &batch.by_user.rows[self.first..];
        let (mut asked_users, mut asked_items) = (Asked::default(), Asked::default());
        for (group, (gradient, loss)) in gradients.zip(self.losses).enumerate() {
            for later in asked_users.before(group, 1, rows_of_users.len()) {
                self.users.prefetch(rows_of_users[later]);
            }
            let user = self.users.row(rows_of_users[group]);
            let places = starts[group] as usize..starts[group + 1] as usize;
            let own = if rows.cosine {
                lengths::inverse::<S>(user)
            } else {
                1.0
            };
            gradient.fill(Lane::ZERO);
            let (mut total, mut slope) = (0.0f64, 0.0);
            for (place, scores) in places.clone().zip(derivatives.by_ref()) {
                let at = place * step.width;
                let items = &batch.items[at..at + step.width];
                for later in asked_items.before(at, step.width, batch.items.len()) {
                    self.items.prefetch(batch.items[later]);
                }
                for (score, &item) in scores.iter_mut().zip(items) {
                    *score = rows.score::<S>(user, self.items.row(item));
                    if rows.cosine {
                        *score *= own * self.scales[item as usize];
                    }
                }
                let target = batch.targets.get(place).copied().unwrap_or(0.0);
                total += f64::from(goal.derive(scores, target, step.scale));
                for (derivative, &item) in scores.iter_mut().zip(items) {
                    // Most negatives of a loss with a margin.
                    if *derivative == 0.0 {
                        continue;
                    }
                    slope += *derivative;
                    let mut factor = *derivative;
                    if rows.cosine {
                        factor *= self.scales[item as usize];
                        // Items see the user divided by its length.
                        *derivative *= own;
                    }
                    add_scaled::<S>(gradient, factor, self.items.row(item));
                }
            }
            let decay = step.user_decay * places.len() as f32;
            *loss = total * f64::from(step.scale) + finish::<S>(rows, gradient, slope, user, decay);
        }
    }
}

/// The bias's own gradient, what a length changes, and the regularizer of a row, whose weight is
/// `decay`; returns the latter's part of the loss.
#[inline(always)]
fn finish<S: Isa>(rows: Rows, gradient: &mut [Lane], slope: f32, row: &[Lane], decay: f32) -> f64 {
    if let Some(column) = rows.bias {
        flat_mut(gradient)[column] = slope;
    }
    if rows.cosine {
        lengths::through::<S>(gradient, row);
    }
    if decay == 0.0 {
        return 0.0;
    }
    add_scaled::<S>(gradient, 2.0 * decay, row);
    f64::from(decay) * f64::from(dot::<S>(row, row))
}

/// Gradients of some of the batch's distinct items.
pub struct ItemGradients<'a> {
    pub step: &'a Step,
    pub batch: &'a Batch,
    pub users: &'a Table,
    pub derivatives: &'a [f32],
    /// The first of its items, of the batch's distinct ones.
    pub first: usize,
}

impl ItemGradients<'_> {
    /// Writes the gradient of one of them; returns its regularizer.
    #[inline(always)]
    pub fn of<S: Isa>(&self, number: usize, item: &[Lane], gradient: &mut [Lane]) -> f64 {
        let places = self.batch.by_item.places_of(self.first + number);
        let user_of = |place: u32| self.batch.users[place as usize / self.step.width];
        gradient.fill(Lane::ZERO);
        let mut slope = 0.0;
        for &place in places {
            let derivative = self.derivatives[place as usize];
            if derivative == 0.0 {
                continue;
            }
            add_scaled::<S>(gradient, derivative, self.users.row(user_of(place)));
            slope += derivative;
        }
        let decay = self.step.item_decay * places.len() as f32;
        finish::<S>(self.step.settings.rows, gradient, slope, item, decay)
    }

    /// Asks for the users of one of them.
    #[inline(always)]
    fn prefetch(&self, number: usize) {
        let places = self.batch.by_item.places_of(self.first + number);
        for &place in places.iter().take(BLOCK) {
            let user = self.batch.users[place as usize / self.step.width];
            self.users.prefetch(user);
        }
    }
}

struct ItemUpdates<'a> {
    gradients: ItemGradients<'a>,
    items: &'a SharedSide<'a>,
    hyper: &'a Hyper,
    losses: &'a mut [f64],
}

impl Job for ItemUpdates<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let rows = &self.gradients.batch.by_item.rows[self.gradients.first..];
        let mut gradient = vec![Lane::ZERO; self.gradients.users.per_row()];
        let (hyper, mut asked) = (*self.hyper, Asked::default());
        for (number, (loss, &row)) in self.losses.iter_mut().zip(rows).enumerate() {
            for later in asked.before(number, 1, rows.len()) {
                self.items.prefetch(rows[later]);
                self.gradients.prefetch(later);
            }
            // SAFETY: the batch's distinct items are distinct, and each is in
            // one chunk.
            let held = unsafe { self.items.row(row) };
            *loss = self.gradients.of::<S>(number, held.weights, &mut gradient);
            held.update::<S>(&hyper, &gradient);
        }
    }
}

/// Updates distinct rows by their gradients: pass 3.
pub fn update(rows: &[u32], gradients: &[Lane], side: &mut Side, hyper: &Hyper) {
    let per_row = side.weights.per_row();
    let shared = SharedSide::of(side);
    let chunks = rows
        .par_chunks(CHUNK)
        .zip(gradients.par_chunks(CHUNK * per_row));
    chunks.for_each(|(rows, gradients)| {
        simd::run(RowUpdates {
            rows,
            gradients,
            per_row,
            side: &shared,
            hyper,
        });
    });
}

struct RowUpdates<'a> {
    rows: &'a [u32],
    gradients: &'a [Lane],
    per_row: usize,
    side: &'a SharedSide<'a>,
    hyper: &'a Hyper,
}

impl Job for RowUpdates<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let gradients = self.gradients.chunks_exact(self.per_row);
        let (hyper, mut asked) = (*self.hyper, Asked::default());
        for (number, (&row, gradient)) in self.rows.iter().zip(gradients).enumerate() {
            for later in asked.before(number, 1, self.rows.len()) {
                self.side.prefetch(self.rows[later]);
            }
            // SAFETY: the rows are distinct, and each is in one chunk.
            let held = unsafe { self.side.row(row) };
            held.update::<S>(&hyper, gradient);
        }
    }
}

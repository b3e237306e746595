//! The first kernel of a step: draws, scores, loss, derivatives, the users'
//! gradients, and the lists of places that look up a row.

use crate::kernels::examples::draw::{Log, negative, shuffled};
use crate::kernels::gpu::UNITS;
use cubecl::prelude::*;

/// Which loss a kernel is compiled for.
#[derive(CubeType, Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Objective {
    Mse,
    Bce,
    Bpr,
    Softmax,
}

/// What a kernel is compiled for.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct Plan {
    pub objective: Objective,
    pub dim: usize,
    pub biases: bool,
    /// Items of an example that are drawn.
    pub width: usize,
    /// Items of an example that it learns from: all, or the positive and the
    /// hardest negative.
    pub kept: usize,
    pub popularity: bool,
}

impl Plan {
    pub fn columns(&self) -> usize {
        self.dim + usize::from(self.biases)
    }

    /// Units that work on an example together.
    pub fn lanes(&self) -> usize {
        if self.width <= 128 { 32 } else { UNITS }
    }

    /// Examples of a cube.
    pub fn examples(&self) -> usize {
        UNITS / self.lanes()
    }

    /// Items whose inner products are reduced together.
    pub fn chunk(&self) -> usize {
        self.width.min(8)
    }
}

/// Sizes and places of a step.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub struct Sizes {
    num_users: u32,
    num_items: u32,
    interactions: u32,
    /// Examples that the batch's buffers have room for.
    capacity: u32,
    /// Where in the epoch's order the step begins.
    first: u32,
    /// Examples of the step.
    batch: u32,
    threshold: u32,
}

/// Numbers of the loss.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub struct LossNumbers {
    /// One over what the losses are divided by.
    scale: f32,
    smoothing: f32,
    temperature: f32,
    /// Of the ratings.
    mean: f32,
    deviation: f32,
    /// L2 on a looked-up row.
    user_decay: f32,
    item_decay: f32,
}

/// `ln(1 + e^x)`
#[cube]
fn softplus(x: f32) -> f32 {
    x.max(0.0) + (1.0 + (-x.abs()).exp()).ln()
}

/// The derivative of [`softplus`].
#[cube]
fn logistic(x: f32) -> f32 {
    let small = (-x.abs()).exp();
    let share = 1.0 / (1.0 + small);
    select(x >= 0.0, share, small * share)
}

/// The loss of an example, times its scale, from its scores at `base`.
#[cube]
fn loss_of(
    scores: &[f32],
    base: usize,
    target: f32,
    n: &LossNumbers,
    #[comptime] plan: Plan,
) -> f32 {
    let positive = scores[base];
    let mut loss = 0.0f32;
    match plan.objective {
        Objective::Mse => {
            loss = (positive - target) * (positive - target);
        }
        Objective::Bpr => {
            for k in 1..plan.kept {
                loss += softplus(scores[base + k] - positive);
            }
        }
        Objective::Bce => {
            for k in 0..plan.kept {
                let score = scores[base + k];
                let wanted = select(k == 0, 1.0 - n.smoothing, n.smoothing);
                loss += softplus(score) - wanted * score;
            }
        }
        Objective::Softmax => {
            let highest = highest_of(scores, base, plan);
            let mut total = 0.0f32;
            let mut all = 0.0f32;
            for k in 0..plan.kept {
                total += ((scores[base + k] - highest) / n.temperature).exp();
                all += scores[base + k] - highest;
            }
            let spread = n.smoothing / (plan.kept as f32);
            let first = (1.0 - n.smoothing) * (positive - highest);
            loss = total.ln() - (first + spread * all) / n.temperature;
        }
    }
    loss * n.scale
}

#[cube]
fn highest_of(scores: &[f32], base: usize, #[comptime] plan: Plan) -> f32 {
    let mut highest = scores[base];
    for k in 1..plan.kept {
        highest = highest.max(scores[base + k]);
    }
    highest
}

/// The derivative of the loss by the score of item `k`.
#[cube]
fn derivative_of(
    scores: &[f32],
    base: usize,
    k: usize,
    target: f32,
    n: &LossNumbers,
    #[comptime] plan: Plan,
) -> f32 {
    let positive = scores[base];
    let score = scores[base + k];
    let mut slope = 0.0f32;
    match plan.objective {
        Objective::Mse => {
            slope = 2.0 * (score - target);
        }
        Objective::Bpr => {
            if k == 0 {
                for j in 1..plan.kept {
                    slope -= logistic(scores[base + j] - positive);
                }
            } else {
                slope = logistic(score - positive);
            }
        }
        Objective::Bce => {
            slope = logistic(score) - select(k == 0, 1.0 - n.smoothing, n.smoothing);
        }
        Objective::Softmax => {
            let highest = highest_of(scores, base, plan);
            let mut total = 0.0f32;
            for j in 0..plan.kept {
                total += ((scores[base + j] - highest) / n.temperature).exp();
            }
            let share = ((score - highest) / n.temperature).exp() / total;
            let first = select(k == 0, 1.0 - n.smoothing, 0.0);
            slope = (share - n.smoothing / (plan.kept as f32) - first) / n.temperature;
        }
    }
    slope * n.scale
}

/// Scores a batch and leaves behind what the update needs.
///
/// - `batch`: users `[capacity]`, the next place of the same user
///   `[capacity]`, items `[capacity, kept]`, the next place of the same item.
/// - `values`: derivatives by score `[capacity, kept]`, losses `[capacity]`,
///   gradients by user row and the user rows as they were, both
///   `[capacity, columns]`.
/// - `heads`: the first place of each user, then of each item. Places count
///   from 1; 0 ends a list.
#[cube(launch_unchecked)]
pub fn forward(
    log: &[u32],
    reals: &[f32],
    epoch: &[u32],
    users: &[f32],
    items: &[f32],
    batch: &mut [u32],
    values: &mut [f32],
    heads: &[Atomic<u32>],
    sizes: Sizes,
    numbers: LossNumbers,
    #[comptime] plan: Plan,
) {
    let lanes = comptime!(plan.lanes());
    let columns = comptime!(plan.columns());
    let (width, kept) = comptime!((plan.width, plan.kept));
    let mut ids = Shared::<[u32]>::new_slice(comptime!(plan.examples() * plan.width));
    let mut scores = Shared::<[f32]>::new_slice(comptime!(plan.examples() * plan.width));
    let mut slopes = Shared::<[f32]>::new_slice(comptime!(plan.examples() * plan.width));
    let mut parts = Shared::<[f32]>::new_slice(comptime!(plan.chunk() * UNITS));

    let unit = UNIT_POS as usize;
    let (group, lane) = (unit / lanes, unit % lanes);
    let base = group * width;
    let examples = sizes.batch as usize;
    let place = CUBE_POS * comptime!(plan.examples()) + group;
    let active = place < examples;
    // A group without an example of its own computes another's and keeps it
    // to itself, so that all units meet at the barriers.
    let example = select(active, place, 0);

    let interactions = sizes.interactions as usize;
    let users_at = sizes.num_users as usize + 1;
    let at = Log {
        users_at,
        items_at: users_at + interactions,
        others_at: users_at + 2 * interactions,
        num_items: sizes.num_items,
        threshold: sizes.threshold,
    };
    let order = sizes.first + example as u32;
    let row = shuffled(epoch, order) as usize;
    let user = log[at.users_at + row];
    let user_at = user as usize * columns;

    let mut k = lane;
    while k < width {
        let mut item = log[at.items_at + row];
        if k > 0 {
            let negatives = comptime!(width as u32 - 1).runtime();
            let number = order * negatives;
            let low = number + (k as u32 - 1);
            let mut high = order.mul_hi(negatives);
            if low < number {
                high += 1u32;
            }
            item = negative(log, reals, epoch, user, low, high, &at, plan.popularity);
        }
        ids[base + k] = item;
        k += lanes;
    }
    sync_cube();

    let mut first = 0usize;
    while first < width {
        #[unroll]
        for q in 0..comptime!(plan.chunk()) {
            let mut part = 0.0f32;
            if first + q < width {
                let item_at = ids[base + first + q] as usize * columns;
                let mut c = lane;
                while c < columns {
                    let (u, i) = (users[user_at + c], items[item_at + c]);
                    part += select(c < plan.dim, u * i, u + i);
                    c += lanes;
                }
            }
            parts[q * UNITS + unit] = part;
        }
        sync_cube();
        if lane < comptime!(plan.chunk()) && first + lane < width {
            let mut sum = 0.0f32;
            for other in 0..lanes {
                sum += parts[lane * UNITS + group * lanes + other];
            }
            scores[base + first + lane] = sum;
        }
        sync_cube();
        first += comptime!(plan.chunk());
    }

    if comptime!(kept < width) {
        // The hardest negative takes the place of the first one.
        let mut best = 1usize;
        for k in 2..width {
            if scores[base + k] > scores[base + best] {
                best = k;
            }
        }
        let (item, score) = (ids[base + best], scores[base + best]);
        sync_cube();
        if lane == 0 {
            ids[base + 1] = item;
            scores[base + 1] = score;
        }
        sync_cube();
    }

    let mut target = 0.0f32;
    if comptime!(plan.objective == Objective::Mse) {
        target = (reals[row] - numbers.mean) / numbers.deviation;
    }
    let capacity = sizes.capacity as usize;
    let mut k = lane;
    while k < kept {
        let slope = derivative_of(&scores, base, k, target, &numbers, plan);
        slopes[base + k] = slope;
        if active {
            let place = example * kept + k;
            let item = ids[base + k];
            values[place] = slope;
            batch[2 * capacity + place] = item;
            let head = &heads[sizes.num_users as usize + item as usize];
            batch[2 * capacity + capacity * kept + place] = head.exchange(place as u32 + 1);
        }
        k += lanes;
    }
    if active && lane == 0 {
        batch[example] = user;
        batch[capacity + example] = heads[user as usize].exchange(example as u32 + 1);
    }
    sync_cube();

    let gradients_at = capacity * kept + capacity;
    let rows_at = gradients_at + capacity * columns;
    let mut squares = 0.0f32;
    let mut c = lane;
    while c < columns {
        let u = users[user_at + c];
        let mut gradient = 2.0 * numbers.user_decay * u;
        squares += numbers.user_decay * u * u;
        for k in 0..kept {
            let i = items[ids[base + k] as usize * columns + c];
            gradient += slopes[base + k] * select(c < plan.dim, i, 1.0);
            squares += numbers.item_decay * i * i;
        }
        if active {
            values[gradients_at + example * columns + c] = gradient;
            values[rows_at + example * columns + c] = u;
        }
        c += lanes;
    }
    parts[unit] = squares;
    sync_cube();
    if active && lane == 0 {
        let mut sum = 0.0f32;
        for other in 0..lanes {
            sum += parts[group * lanes + other];
        }
        let loss = loss_of(&scores, base, target, &numbers, plan);
        values[capacity * kept + example] = loss + sum;
    }
}

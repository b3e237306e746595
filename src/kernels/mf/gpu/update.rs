//! The second kernel of a step: the gradient of each touched row, and its
//! update.

use super::forward::Plan;
use crate::kernels::gpu::{Formula, Numbers, UNITS, update_number};
use cubecl::prelude::*;

impl Plan {
    /// Units that work on a row together.
    pub fn row_lanes(&self) -> usize {
        if self.dim <= 32 { 32 } else { 64 }
    }
}

/// A side's rows and the optimizer's states.
#[derive(CubeType, CubeLaunch)]
pub struct SideRows {
    pub weights: Box<[f32]>,
    pub first: Box<[f32]>,
    pub second: Box<[f32]>,
}

/// Sizes of the batch.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub struct BatchSizes {
    num_users: u32,
    capacity: u32,
    batch: u32,
    /// Where the loss goes, in sums of [`UNITS`].
    slot: u32,
    /// L2 on a looked-up item.
    item_decay: f32,
}

/// What a place adds to the gradient of its row in column `c`.
#[cube]
fn part_of(
    values: &[f32],
    place: usize,
    c: usize,
    capacity: usize,
    #[comptime] of_user: bool,
    #[comptime] plan: Plan,
) -> f32 {
    let (kept, columns) = comptime!((plan.kept, plan.columns()));
    let gradients_at = capacity * kept + capacity;
    if of_user.comptime() {
        values[gradients_at + place * columns + c]
    } else {
        let rows_at = gradients_at + capacity * columns;
        let example = place / kept;
        let slope = values[place];
        let mut part = slope;
        if c < plan.dim {
            part = slope * values[rows_at + example * columns + c];
        }
        part
    }
}

/// The gradient of a row in column `c`, without the regularizer of its own
/// weight, and how many places look the row up.
///
/// The list of the places is in the order in which they came, which differs
/// from run to run. Two numbers have one sum. More are added up as integers,
/// in units of a fraction of the largest, which no order can change.
#[cube]
fn gradient_of(
    batch: &[u32],
    values: &[f32],
    head: u32,
    next_at: usize,
    c: usize,
    capacity: usize,
    #[comptime] of_user: bool,
    #[comptime] plan: Plan,
) -> (f32, f32) {
    let mut link = head;
    let mut count = 0.0f32;
    let mut sum = 0.0f32;
    let mut largest = 0.0f32;
    while link != 0u32 {
        let place = link as usize - 1;
        let part = part_of(values, place, c, capacity, of_user, plan);
        sum += part;
        largest = largest.max(part.abs());
        count += 1.0;
        link = batch[next_at + place];
    }
    if count > 2.5 {
        sum = 0.0;
        if largest > 1e-30 {
            let units = 1_073_741_824.0 / count;
            let mut whole = 0i32;
            link = head;
            while link != 0u32 {
                let place = link as usize - 1;
                let part = part_of(values, place, c, capacity, of_user, plan);
                whole += i32::cast_from((part / largest * units).round());
                link = batch[next_at + place];
            }
            sum = f32::cast_from(whole) / units * largest;
        }
    }
    (sum, count)
}

/// Updates the rows of a batch, empties their lists for the next step, and
/// adds up the losses in [`UNITS`] parts.
#[cube(launch_unchecked)]
pub fn update(
    mut users: SideRows,
    mut items: SideRows,
    batch: &[u32],
    values: &[f32],
    heads: &[Atomic<u32>],
    losses: &mut [f32],
    sizes: BatchSizes,
    numbers: Numbers,
    #[comptime] plan: Plan,
    #[comptime] formula: Formula,
) {
    let lanes = comptime!(plan.row_lanes());
    let columns = comptime!(plan.columns());
    let kept = comptime!(plan.kept);
    let unit = UNIT_POS as usize;
    let lane = unit % lanes;
    let (capacity, examples) = (sizes.capacity as usize, sizes.batch as usize);
    let place = CUBE_POS * comptime!(UNITS / plan.row_lanes()) + unit / lanes;

    // The last place of a list, which came first, takes care of the row.
    let mut last = false;
    let mut row = 0usize;
    let mut head_at = 0usize;
    if place < examples {
        row = batch[place] as usize;
        head_at = row;
        last = batch[capacity + place] == 0u32;
    } else if place < examples * (kept + 1) {
        let item_place = 2 * capacity + place - examples;
        row = batch[item_place] as usize;
        head_at = sizes.num_users as usize + row;
        last = batch[item_place + capacity * kept] == 0u32;
    }
    if last {
        let head = heads[head_at].load();
        let mut c = lane;
        while c < columns {
            let at = row * columns + c;
            if place < examples {
                let (gradient, _) =
                    gradient_of(batch, values, head, capacity, c, capacity, true, plan);
                update_number(
                    &mut users.weights,
                    &mut users.first,
                    &mut users.second,
                    at,
                    gradient,
                    &numbers,
                    formula,
                );
            } else {
                let next_at = 2 * capacity + capacity * kept;
                let (gradient, count) =
                    gradient_of(batch, values, head, next_at, c, capacity, false, plan);
                let own = 2.0 * sizes.item_decay * count * items.weights[at];
                update_number(
                    &mut items.weights,
                    &mut items.first,
                    &mut items.second,
                    at,
                    gradient + own,
                    &numbers,
                    formula,
                );
            }
            c += lanes;
        }
    }
    sync_storage();
    if last && lane == 0 {
        heads[head_at].store(0u32);
    }

    if place / comptime!(UNITS / plan.row_lanes()) == 0 {
        let mut sum = 0.0f32;
        let mut example = unit;
        while example < examples {
            sum += values[capacity * kept + example];
            example += UNITS;
        }
        losses[sizes.slot as usize * UNITS + unit] = sum;
    }
}

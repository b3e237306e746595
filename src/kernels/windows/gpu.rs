//! The kernels: a unit for each id, place or time that is written.

use super::table::Side;
use crate::kernels::gpu::{cubes, empty_beside};
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{DType, Int, Shape, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;

/// Words of a time: low and high half of when it happened, and of when it is
/// asked.
const OF_TIME: usize = 4;

/// What a launch must know of the log.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Of the positives that negatives are drawn against.
    pub users: usize,
    pub interactions: usize,
    pub items: usize,
    pub popularity: bool,
}

/// The pieces that are written.
#[derive(Clone, Copy, Debug)]
pub struct Launch {
    pub of: Sizes,
    /// Where the words of the first one are.
    pub first: usize,
    /// Ids.
    pub count: usize,
}

/// The ids of some pieces, from the items of the log, its packed positives, and
/// the table of the step.
pub fn write_ids(
    [items, positives, table]: [Tensor<1, Int>; 3],
    reals: Tensor<1>,
    launch: Launch,
) -> Tensor<1, Int> {
    Tensor::from_dispatch(Dispatch::write_window_ids(
        items.into_dispatch(),
        positives.into_dispatch(),
        reals.into_dispatch(),
        table.into_dispatch(),
        launch,
    ))
}

/// Places of predictions, and predictions of places.
pub fn find_taken(table: Tensor<1, Int>, side: Side) -> (Tensor<1, Int>, Tensor<1, Int>) {
    let (taken, places) = Dispatch::find_window_predictions(table.into_dispatch(), side);
    (Tensor::from_dispatch(taken), Tensor::from_dispatch(places))
}

/// The times of each place of a block, `[windows * length * 4]`.
pub fn read_times(
    times: Tensor<1, Int>,
    table: Tensor<1, Int>,
    side: Side,
    next: bool,
) -> Tensor<1, Int> {
    Tensor::from_dispatch(Dispatch::read_window_times(
        times.into_dispatch(),
        table.into_dispatch(),
        side,
        next,
    ))
}

fn ints(len: usize) -> TensorSpec {
    TensorSpec::new(Shape::new([len]), DType::I32)
}

#[backend_extension(Cube, Fusion)]
trait WindowOps: Backend {
    #[fusion(dtype = DType::I32, shape = Shape::new([launch.count]))]
    fn write_window_ids(
        items: IntTensor<Self>,
        positives: IntTensor<Self>,
        reals: FloatTensor<Self>,
        table: IntTensor<Self>,
        launch: Launch,
    ) -> IntTensor<Self>;

    #[fusion(meta = |_table, side| (ints(side.taken), ints(side.windows * side.slots)))]
    fn find_window_predictions(
        table: IntTensor<Self>,
        side: Side,
    ) -> (IntTensor<Self>, IntTensor<Self>);

    #[fusion(dtype = DType::I32, shape = Shape::new([side.windows * side.length * OF_TIME]))]
    fn read_window_times(
        times: IntTensor<Self>,
        table: IntTensor<Self>,
        side: Side,
        next: bool,
    ) -> IntTensor<Self>;
}

impl WindowOps for CubeBackend {
    fn write_window_ids(
        items: IntTensor<Self>,
        positives: IntTensor<Self>,
        reals: FloatTensor<Self>,
        table: IntTensor<Self>,
        launch: Launch,
    ) -> IntTensor<Self> {
        let [items, positives, table] = [items, positives, table].map(into_contiguous);
        let reals = into_contiguous(reals);
        let ids = empty_beside(&table, Shape::new([launch.count]), table.dtype);
        let client = table.client.clone();
        let (cubes, dim) = cubes(&client, launch.count);
        let num_items = launch.of.items as u32;
        // SAFETY: the kernel checks its own bounds; pieces end at `count`, and
        // windows lie inside of the log that the host made them of.
        unsafe {
            kernel::write_ids::launch_unchecked(
                &client,
                cubes,
                dim,
                items.into_buffer_arg(),
                positives.into_buffer_arg(),
                reals.into_buffer_arg(),
                table.into_buffer_arg(),
                ids.clone().into_buffer_arg(),
                launch.first as u32,
                launch.count as u32,
                launch.of.users as u32,
                launch.of.interactions as u32,
                num_items,
                num_items.wrapping_neg() % num_items,
                launch.of.popularity,
            );
        }
        ids
    }

    fn find_window_predictions(
        table: IntTensor<Self>,
        side: Side,
    ) -> (IntTensor<Self>, IntTensor<Self>) {
        let table = into_contiguous(table);
        let count = side.windows * side.slots;
        let taken = empty_beside(&table, Shape::new([side.taken]), table.dtype);
        let places = empty_beside(&table, Shape::new([count]), table.dtype);
        let client = table.client.clone();
        let (cubes, dim) = cubes(&client, count);
        // SAFETY: as above.
        unsafe {
            kernel::find_taken::launch_unchecked(
                &client,
                cubes,
                dim,
                table.into_buffer_arg(),
                taken.clone().into_buffer_arg(),
                places.clone().into_buffer_arg(),
                side.windows_at as u32,
                side.slots as u32,
                u32::from(side.to_right),
                count as u32,
                side.taken as u32,
            );
        }
        (taken, places)
    }

    fn read_window_times(
        times: IntTensor<Self>,
        table: IntTensor<Self>,
        side: Side,
        next: bool,
    ) -> IntTensor<Self> {
        let (times, table) = (into_contiguous(times), into_contiguous(table));
        let count = side.windows * side.length;
        let read = empty_beside(&table, Shape::new([count * OF_TIME]), table.dtype);
        let client = table.client.clone();
        let (cubes, dim) = cubes(&client, count);
        // SAFETY: as above; a window that is asked about what comes next is
        // followed by it.
        unsafe {
            kernel::read_times::launch_unchecked(
                &client,
                cubes,
                dim,
                times.into_buffer_arg(),
                table.into_buffer_arg(),
                read.clone().into_buffer_arg(),
                side.windows_at as u32,
                side.length as u32,
                count as u32,
                u32::from(next),
            );
        }
        read
    }
}

mod kernel {
    use super::OF_TIME;
    use crate::kernels::examples::draw::{Log, is_among, log_of, negative};
    use crate::kernels::windows::table::{
        BEFORE, COUNT, END, FIRST, INPUTS, KIND, LEN, LENGTH, MASKED, PER, PICKS, PIECE,
        PLACE_HIGH, PLACE_LOW, SHARED_NEGATIVES, SLOTS, TARGETS, TO_RIGHT, USER, WINDOW, WINDOWS,
    };
    use cubecl::prelude::*;

    /// Which prediction of a window a column holds: not below their count where
    /// it is none.
    #[cube]
    fn prediction(table: &[u32], window: usize, slot: u32, slots: u32, to_right: u32) -> u32 {
        let mut number = slot;
        if to_right == 1u32 {
            // Wraps around before the first.
            number = (slot + table[window + COUNT]) - slots;
        }
        number
    }

    /// What is read in a column: an item, the mask, or nothing.
    #[cube]
    fn input(items: &[u32], table: &[u32], window: usize, slot: u32, slots: u32, mask: u32) -> u32 {
        let empty = slots - table[window + LEN];
        let mut id = 0xFFFF_FFFFu32;
        if slot >= empty {
            let place = slot - empty;
            id = items[(table[window + FIRST] + place) as usize];
            // An empty list where nothing is masked.
            let masked = table[window + MASKED] as usize;
            let mut end = masked;
            if masked > 0 {
                end = masked + table[window + COUNT] as usize;
            }
            if is_among(table, masked, end, place) {
                id = mask;
            }
        }
        id
    }

    /// The item of a prediction.
    #[cube]
    fn target(items: &[u32], table: &[u32], window: usize, number: u32) -> u32 {
        let masked = table[window + MASKED];
        let mut place = number + 1u32;
        if masked != 0u32 {
            place = table[(masked + number) as usize];
        }
        items[(table[window + FIRST] + place) as usize]
    }

    /// The column in which the item of a prediction is masked.
    #[cube]
    fn pick(table: &[u32], window: usize, number: u32, length: u32) -> u32 {
        let place = table[(table[window + MASKED] + number) as usize];
        (length - table[window + LEN]) + place
    }

    /// Negative `k` of `count` that a window draws for a prediction.
    #[cube]
    fn drawn(
        positives: &[u32],
        reals: &[f32],
        table: &[u32],
        window: usize,
        number: u32,
        k: u32,
        count: u32,
        at: &Log,
        #[comptime] popularity: bool,
    ) -> u32 {
        let place = table[window + PLACE_LOW] + number;
        let mut place_high = table[window + PLACE_HIGH];
        if place < number {
            place_high += 1u32;
        }
        let before = place * count;
        let low = before + k;
        let mut high = place.mul_hi(count) + place_high * count;
        if low < before {
            high += 1u32;
        }
        let user = table[window + USER];
        negative(positives, reals, table, user, low, high, at, popularity)
    }

    #[cube(launch_unchecked)]
    pub fn write_ids(
        items: &[u32],
        positives: &[u32],
        reals: &[f32],
        table: &[u32],
        ids: &mut [u32],
        first_piece: u32,
        count: u32,
        num_users: u32,
        interactions: u32,
        num_items: u32,
        threshold: u32,
        #[comptime] popularity: bool,
    ) {
        let unit = ABSOLUTE_POS as u32;
        if unit < count {
            let at = log_of(num_users, interactions, num_items, threshold);
            let mut piece = first_piece as usize;
            let mut begin = 0u32;
            while unit >= table[piece + END] {
                begin = table[piece + END];
                piece += PIECE;
            }
            let kind = table[piece + KIND];
            let slots = table[piece + SLOTS];
            let per = table[piece + PER];
            let local = unit - begin;
            let slot = local / per % slots;
            let number_of_window = (local / (slots * per)) as usize;
            let window = table[piece + WINDOWS] as usize + number_of_window * WINDOW;
            let to_right = table[piece + TO_RIGHT];
            let number = prediction(table, window, slot, slots, to_right);
            let mut id = 0xFFFF_FFFFu32;
            if kind == INPUTS {
                id = input(items, table, window, slot, slots, num_items);
            } else if kind == SHARED_NEGATIVES {
                let k = local % per;
                id = drawn(
                    positives, reals, table, window, 0u32, k, per, &at, popularity,
                );
            } else if number < table[window + COUNT] {
                if kind == TARGETS {
                    id = target(items, table, window, number);
                } else if kind == PICKS {
                    id = pick(table, window, number, table[piece + LENGTH]);
                } else {
                    let k = local % per;
                    id = drawn(
                        positives, reals, table, window, number, k, per, &at, popularity,
                    );
                }
            }
            ids[unit as usize] = id;
        }
    }

    #[cube(launch_unchecked)]
    pub fn find_taken(
        table: &[u32],
        taken: &mut [u32],
        places: &mut [u32],
        windows_at: u32,
        slots: u32,
        to_right: u32,
        count: u32,
        predictions: u32,
    ) {
        let unit = ABSOLUTE_POS as u32;
        if unit < count {
            let window = windows_at as usize + (unit / slots) as usize * WINDOW;
            let number = prediction(table, window, unit % slots, slots, to_right);
            let mut place = predictions;
            if number < table[window + COUNT] {
                place = table[window + BEFORE] + number;
                taken[place as usize] = unit;
            }
            places[unit as usize] = place;
        }
    }

    /// Where there is no item, it happens after all and is asked before all.
    #[cube(launch_unchecked)]
    pub fn read_times(
        times: &[u32],
        table: &[u32],
        read: &mut [u32],
        windows_at: u32,
        length: u32,
        count: u32,
        next: u32,
    ) {
        let unit = ABSOLUTE_POS as u32;
        if unit < count {
            let window = windows_at as usize + (unit / length) as usize * WINDOW;
            let column = unit % length;
            let empty = length - table[window + LEN];
            let to = unit as usize * OF_TIME;
            if column >= empty {
                let happened = table[window + FIRST] + (column - empty);
                let asked = happened + next;
                read[to] = times[2 * happened as usize];
                read[to + 1] = times[2 * happened as usize + 1];
                read[to + 2] = times[2 * asked as usize];
                read[to + 3] = times[2 * asked as usize + 1];
            } else {
                read[to] = 0xFFFF_FFFFu32;
                read[to + 1] = 0x7FFF_FFFFu32;
                read[to + 2] = 0u32;
                read[to + 3] = 0x8000_0000u32;
            }
        }
    }
}

//! A cube for each row: it finds the k-th best score digit by digit, gathers
//! what is better, and sorts that.

use super::{List, MOST, Masks};
use crate::kernels::gpu::{UNITS, empty_beside, own};
use crate::params::host;
use anyhow::{Result, anyhow};
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{DType, Device, Int, Shape, Tensor, TensorData};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use cubecl::prelude::*;

/// In place of an item: the list ends here.
const END: i32 = -1;

/// In place of the first item: the row has a score that is not finite.
const BAD: i32 = -2;

/// Bounds of the rows' masks, and the masked items.
type Packed = (Tensor<1, Int>, Tensor<1, Int>);

/// Rows of a launch: what a dimension of cubes can hold.
const ROWS: usize = 65_535;

/// Of scores that are not empty, for at most [`MOST`] items.
///
/// # Errors
/// A device that fails.
pub fn top_k(scores: Tensor<2>, masks: Masks<'_>, k: usize) -> Result<Vec<List>> {
    let (device, items) = (scores.device(), scores.dims()[1]);
    let (bounds, masked) =
        in_log(masks, items, &device).unwrap_or_else(|| pack(masks.masked, items, &device));
    let (values, picked) = Dispatch::pick_best(
        scores.into_dispatch(),
        bounds.into_dispatch(),
        masked.into_dispatch(),
        flags(masks.allowed, items, &device).into_dispatch(),
        k,
        masks.allowed.is_some(),
    );
    let values = host(Tensor::<2>::from_dispatch(values))?;
    let picked = Tensor::<2, Int>::from_dispatch(picked)
        .try_into_data()
        .map_err(|e| anyhow!("cannot read from the device: {e}"))?
        .try_into_vec::<i32>()
        .map_err(|e| anyhow!("cannot read from the device: {e:?}"))?;
    let rows = picked.chunks_exact(k).zip(values.chunks_exact(k));
    Ok(rows.map(|(items, scores)| list(items, scores)).collect())
}

fn list(items: &[i32], scores: &[f32]) -> List {
    if items[0] == BAD {
        return None;
    }
    let pairs = items
        .iter()
        .zip(scores)
        .take_while(|(item, _)| **item != END);
    Some(pairs.map(|(&item, &score)| (item as u32, score)).unzip())
}

/// Where the masked items of each row begin and end, `[2 * rows]`, and what
/// they are: in the log that is on the device already.
fn in_log(masks: Masks<'_>, items: usize, device: &Device) -> Option<Packed> {
    let log = masks.log?;
    let mut bounds = Vec::with_capacity(2 * masks.masked.len());
    for masked in masks.masked {
        let places = log.places(masked)?;
        bounds.extend([places.start as i32, places.end as i32]);
    }
    Some((ints(bounds, device), log.on(device, items)?))
}

/// The same where they lie anywhere: they are uploaded.
fn pack(masked: &[&[u32]], items: usize, device: &Device) -> Packed {
    let mut bounds = Vec::with_capacity(2 * masked.len());
    let mut packed = Vec::with_capacity(masked.iter().map(|m| m.len()).sum());
    for row in masked {
        bounds.push(packed.len() as i32);
        for &item in *row {
            assert!((item as usize) < items, "a masked item is in the catalog");
            packed.push(item as i32);
        }
        bounds.push(packed.len() as i32);
    }
    // An empty buffer cannot be bound.
    packed.resize(packed.len().max(1), 0);
    (ints(bounds, device), ints(packed, device))
}

fn flags(allowed: Option<&[bool]>, items: usize, device: &Device) -> Tensor<1, Int> {
    let Some(allowed) = allowed else {
        return ints(vec![1], device);
    };
    assert_eq!(allowed.len(), items, "one flag an item");
    ints(
        allowed.iter().map(|&flag| i32::from(flag)).collect(),
        device,
    )
}

fn ints(values: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let len = values.len();
    Tensor::from_data(TensorData::new(values, [len]), device)
}

/// Scores and items of the lists, both `[rows, k]`.
fn lists_of(scores: &TensorSpec, k: usize) -> (TensorSpec, TensorSpec) {
    let shape = Shape::new([scores.shape[0], k]);
    (
        TensorSpec::new(shape.clone(), scores.dtype),
        TensorSpec::new(shape, DType::I32),
    )
}

#[backend_extension(Cube, Fusion)]
trait PickOps: Backend {
    /// `bounds` and `masked` are as [`pack`] makes them; with `filtered`,
    /// `allowed` holds a flag for each item.
    #[fusion(meta = |scores, _bounds, _masked, _allowed, k, _filtered| lists_of(scores, *k))]
    fn pick_best(
        scores: FloatTensor<Self>,
        bounds: IntTensor<Self>,
        masked: IntTensor<Self>,
        allowed: IntTensor<Self>,
        k: usize,
        filtered: bool,
    ) -> (FloatTensor<Self>, IntTensor<Self>);
}

impl PickOps for CubeBackend {
    fn pick_best(
        scores: FloatTensor<Self>,
        bounds: IntTensor<Self>,
        masked: IntTensor<Self>,
        allowed: IntTensor<Self>,
        k: usize,
        filtered: bool,
    ) -> (FloatTensor<Self>, IntTensor<Self>) {
        let scores = own(scores);
        let (bounds, masked) = (into_contiguous(bounds), into_contiguous(masked));
        let allowed = into_contiguous(allowed);
        let [rows, columns] = [scores.shape()[0], scores.shape()[1]];
        let client = scores.client.clone();
        let lists = |dtype: DType| empty_beside(&scores, Shape::new([rows, k]), dtype);
        let (values, items) = (lists(scores.dtype), lists(masked.dtype));
        for first in (0..rows).step_by(ROWS) {
            // SAFETY: the kernel keeps to the rows that there are; bounds lie
            // in the masked items, and those were checked when they were
            // uploaded.
            unsafe {
                kernel::pick_best::launch_unchecked(
                    &client,
                    CubeCount::Static((rows - first).min(ROWS) as u32, 1, 1),
                    CubeDim::new_1d(UNITS as u32),
                    scores.clone().into_buffer_arg(),
                    bounds.clone().into_buffer_arg(),
                    masked.clone().into_buffer_arg(),
                    allowed.clone().into_buffer_arg(),
                    values.clone().into_buffer_arg(),
                    items.clone().into_buffer_arg(),
                    first as u32,
                    columns as u32,
                    k as u32,
                    f32::NEG_INFINITY,
                    filtered,
                );
            }
        }
        (values, items)
    }
}

mod kernel {
    use super::{BAD, END, MOST, UNITS};
    use cubecl::prelude::*;

    /// The key of minus infinity, which marks what is masked.
    const MASKED: u32 = 0x007F_FFFF;

    /// Grows with the score; zeros of either sign are equal.
    #[cube]
    fn key_of(score: f32) -> u32 {
        let bits = u32::reinterpret(score);
        let mut key = bits | 0x8000_0000u32;
        if bits == 0x8000_0000u32 {
            key = 0x8000_0000u32;
        } else if bits > 0x8000_0000u32 {
            key = !bits;
        }
        key
    }

    /// Places of `state`, what all units of a cube share of the selection: how
    /// many of the best are still to be told apart, and the digits that their
    /// keys begin with.
    const LEFT: usize = 0;
    const PREFIX: usize = 1;

    /// Reads the digit of the k-th best from the counts of the digits.
    #[cube]
    fn next_digit(counts: &[Atomic<u32>], state: &mut [u32], #[comptime] first: bool) {
        if first.comptime() {
            let mut total = 0u32;
            let mut digit = 0usize;
            while digit < 256 {
                total += counts[digit].load();
                digit += 1;
            }
            state[LEFT] = state[LEFT].min(total);
        }
        let left = state[LEFT];
        let mut above = 0u32;
        let mut digit = 255u32;
        while digit > 0u32 && above + counts[digit as usize].load() < left {
            above += counts[digit as usize].load();
            digit -= 1u32;
        }
        state[LEFT] = left - above;
        state[PREFIX] = (state[PREFIX] << 8) | digit;
    }

    #[cube(launch_unchecked)]
    pub fn pick_best(
        scores: &mut [f32],
        bounds: &[i32],
        masked: &[i32],
        allowed: &[i32],
        values: &mut [f32],
        items: &mut [i32],
        first_row: u32,
        columns: u32,
        k: u32,
        // Shaders cannot spell it.
        minus_infinity: f32,
        #[comptime] filtered: bool,
    ) {
        let counts = Shared::<[Atomic<u32>]>::new_slice(256usize);
        let flags = Shared::<[Atomic<u32>]>::new_slice(2usize);
        let mut state = Shared::<[u32]>::new_slice(2usize);
        let mut ties = Shared::<[u32]>::new_slice(comptime!(UNITS));
        let mut keys = Shared::<[u32]>::new_slice(comptime!(MOST));
        let mut ids = Shared::<[u32]>::new_slice(comptime!(MOST));
        let unit = UNIT_POS as usize;
        let row = first_row as usize + CUBE_POS;
        let (columns, k) = (columns as usize, k as usize);
        let from = row * columns;

        if unit == 0 {
            // Whether a score is not finite, and how many items are gathered.
            flags[0].store(0u32);
            flags[1].store(0u32);
            state[LEFT] = k as u32;
            state[PREFIX] = 0u32;
        }
        sync_cube();
        let mut i = unit;
        while i < columns {
            if (u32::reinterpret(scores[from + i]) & 0x7F80_0000u32) == 0x7F80_0000u32 {
                flags[0].store(1u32);
            }
            i += UNITS;
        }
        sync_storage();
        let mut i = bounds[2 * row] as usize + unit;
        while i < bounds[2 * row + 1] as usize {
            scores[from + masked[i] as usize] = minus_infinity;
            i += UNITS;
        }
        if filtered.comptime() {
            let mut i = unit;
            while i < columns {
                if allowed[i] == 0i32 {
                    scores[from + i] = minus_infinity;
                }
                i += UNITS;
            }
        }
        sync_storage();

        #[unroll]
        for pass in 0..4u32 {
            counts[unit].store(0u32);
            sync_cube();
            let shift = comptime!(24 - 8 * pass);
            let prefix = state[PREFIX];
            let mut i = unit;
            while i < columns {
                let key = key_of(scores[from + i]);
                let mut counted = key > MASKED;
                if comptime!(pass > 0) {
                    counted = counted && (key >> comptime!((shift + 8) % 32)) == prefix;
                }
                if counted {
                    counts[((key >> shift) & 255u32) as usize].fetch_add(1u32);
                }
                i += UNITS;
            }
            sync_cube();
            if unit == 0 {
                next_digit(&counts, &mut state, pass == 0);
            }
            sync_cube();
        }
        // So many with exactly this key are in the list: the first ones. Each
        // unit counts those of a range of its own.
        let (threshold, wanted) = (state[PREFIX], state[LEFT]);
        let range = columns.div_ceil(UNITS);
        let (begin, end) = (
            (unit * range).min(columns),
            ((unit + 1) * range).min(columns),
        );
        let mut tied = 0u32;
        for i in begin..end {
            if key_of(scores[from + i]) == threshold {
                tied += 1u32;
            }
        }
        ties[unit] = tied;
        sync_cube();
        let mut before = 0u32;
        for other in 0..unit {
            before += ties[other];
        }
        for i in begin..end {
            let key = key_of(scores[from + i]);
            let mut taken = key > threshold;
            if key == threshold {
                taken = before < wanted;
                before += 1u32;
            }
            if taken && key > MASKED && wanted > 0u32 {
                let slot = flags[1].fetch_add(1u32) as usize;
                keys[slot] = key;
                ids[slot] = i as u32;
            }
        }
        sync_cube();
        let gathered = flags[1].load() as usize;
        let mut slot = unit;
        while slot < k {
            if slot < gathered {
                let (key, id) = (keys[slot], ids[slot]);
                let mut rank = 0usize;
                for other in 0..gathered {
                    if keys[other] > key || (keys[other] == key && ids[other] < id) {
                        rank += 1;
                    }
                }
                items[row * k + rank] = id as i32;
                values[row * k + rank] = scores[from + id as usize];
            } else {
                items[row * k + slot] = END;
                values[row * k + slot] = 0.0;
            }
            slot += UNITS;
        }
        sync_storage();
        if unit == 0 && flags[0].load() == 1u32 {
            items[row * k] = BAD;
        }
    }
}

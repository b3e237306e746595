//! The draws of [`crate::seed`] and [`crate::sampling`] on a GPU: the same
//! numbers, by operations on 32 bits.

use crate::kernels::gpu::word_at;
use crate::sampling::{BLOCKS_PER_DRAW, MAX_TRIES};
use cubecl::prelude::*;

/// Places in [`super::epoch_words`].
const LEN: usize = 8;
const LOW_BITS: usize = 9;
const LOW_MASK: usize = 10;
const HIGH_MASK: usize = 11;
/// Where a stream's [`crate::seed::Rng::words`] begin.
pub const STREAM: usize = 12;

/// Which bits of a stream position are left to the blocks of one draw.
const BLOCK_BITS: u32 = BLOCKS_PER_DRAW.trailing_zeros();
const TRIES: u32 = MAX_TRIES as u32;

/// Where the parts of the uploaded interactions begin, and how many there are.
#[derive(CubeType, Clone, Copy)]
pub struct Log {
    /// The user of each interaction.
    pub users_at: usize,
    /// The item of each interaction, sorted inside a user.
    pub items_at: usize,
    /// The other item of each slot of the alias method.
    pub others_at: usize,
    pub num_items: u32,
    /// `2^32 mod num_items`: what [`Rng::below`] rejects.
    pub threshold: u32,
}

/// Of interactions as [`super::pack`] lays them out.
#[cube]
pub fn log_of(num_users: u32, interactions: u32, num_items: u32, threshold: u32) -> Log {
    let users_at = num_users as usize + 1;
    let interactions = interactions as usize;
    Log {
        users_at,
        items_at: users_at + interactions,
        others_at: users_at + 2 * interactions,
        num_items,
        threshold,
    }
}

#[cube]
fn mix(half: u32, key: u32) -> u32 {
    let x = (half ^ key) * 0x9E37_79B1u32;
    let y = (x ^ (x >> 15)) * 0x85EB_CA77u32;
    y ^ (y >> 13)
}

#[cube]
fn network(epoch: &[u32], value: u32) -> u32 {
    let low_bits = epoch[LOW_BITS];
    let low_mask = epoch[LOW_MASK];
    let high_mask = epoch[HIGH_MASK];
    let mut low = value & low_mask;
    let mut high = value >> low_bits;
    #[unroll]
    for pair in 0..4usize {
        high ^= mix(low, epoch[2 * pair]) & high_mask;
        low ^= mix(high, epoch[2 * pair + 1]) & low_mask;
    }
    (high << low_bits) | low
}

/// [`Permutation::at`]
#[cube]
pub fn shuffled(epoch: &[u32], place: u32) -> u32 {
    let len = epoch[LEN];
    let mut value = network(epoch, place);
    while value >= len {
        value = network(epoch, value);
    }
    value
}

/// Whether `item` is among the sorted items from `from` to `to`.
#[cube]
pub fn is_among(log: &[u32], from: usize, to: usize, item: u32) -> bool {
    let mut low = from;
    let mut high = to;
    while low < high {
        let middle = (low + high) / 2;
        if log[middle] < item {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let mut found = false;
    if low < to {
        found = log[low] == item;
    }
    found
}

/// The negative of a user that is draw `number` of the stream at [`STREAM`] of
/// `epoch` (high and low word), as [`crate::sampling::NegativeSampler::draw`].
#[cube]
pub fn negative(
    log: &[u32],
    thresholds: &[f32],
    epoch: &[u32],
    user: u32,
    number_low: u32,
    number_high: u32,
    at: &Log,
    #[comptime] popularity: bool,
) -> u32 {
    let low = number_low << BLOCK_BITS;
    let high = (number_high << BLOCK_BITS) | (number_low >> (32 - BLOCK_BITS));
    let from = at.items_at + log[user as usize] as usize;
    let to = at.items_at + log[user as usize + 1] as usize;
    let mut words = 0u32;
    let mut tries = 0u32;
    let mut item = at.num_items;
    while item == at.num_items && tries < TRIES {
        let drawn = word_at(epoch, STREAM, low, high, words);
        words += 1u32;
        if drawn * at.num_items >= at.threshold {
            let mut candidate = drawn.mul_hi(at.num_items);
            if popularity.comptime() {
                let bits = word_at(epoch, STREAM, low, high, words) >> 8;
                words += 1u32;
                if f32::cast_from(bits) * 5.960_464_5e-8 >= thresholds[candidate as usize] {
                    candidate = log[at.others_at + candidate as usize];
                }
            }
            if !is_among(log, from, to, candidate) {
                item = candidate;
            }
            tries += 1u32;
        }
    }
    if item == at.num_items {
        item = of_complement(log, epoch, from, to, low, high, words, at.num_items);
    }
    item
}

/// Uniform over the items that the user does not have.
#[cube]
fn of_complement(
    log: &[u32],
    epoch: &[u32],
    from: usize,
    to: usize,
    low: u32,
    high: u32,
    first_word: u32,
    num_items: u32,
) -> u32 {
    let mut left = num_items;
    for i in from..to {
        if i == from || log[i] != log[i - 1] {
            left -= 1u32;
        }
    }
    let threshold = (0u32 - left) % left;
    let mut words = first_word;
    let mut drawn = word_at(epoch, STREAM, low, high, words);
    while drawn * left < threshold {
        words += 1u32;
        drawn = word_at(epoch, STREAM, low, high, words);
    }
    let mut wanted = drawn.mul_hi(left);
    for i in from..to {
        if (i == from || log[i] != log[i - 1]) && log[i] <= wanted {
            wanted += 1u32;
        }
    }
    wanted
}

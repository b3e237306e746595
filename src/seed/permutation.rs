//! A shuffle that is computed place by place.

use super::Rng;

/// Rounds of the network; four already pass for random (Luby & Rackoff 1988),
/// and small domains mix better with some more.
const ROUNDS: usize = 8;

/// Places that are computed at once.
const BLOCK: usize = 16;

/// Places among which those that are not done yet are put together.
const CHUNK: usize = 256;

/// A pseudo-random permutation of `0..len`, drawn from a stream: a Feistel
/// network over the next power of two, walked until it falls into the range
/// (Black & Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002).
///
/// It takes no memory, any thread or device can ask for any place, and asking
/// in order gives a shuffle.
///
/// ```
/// use recsys::seed::{Permutation, Seed};
/// let shuffle = Permutation::new(5, &mut Seed(1).stream("shuffle"));
/// let mut places: Vec<u32> = (0..5).map(|i| shuffle.at(i)).collect();
/// places.sort();
/// assert_eq!(places, [0, 1, 2, 3, 4]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Permutation {
    len: u32,
    /// Width of the lower half.
    low_bits: u32,
    low_mask: u32,
    high_mask: u32,
    keys: [u32; ROUNDS],
}

impl Permutation {
    pub fn new(len: u32, rng: &mut Rng) -> Self {
        let bits = (32 - len.saturating_sub(1).leading_zeros()).max(2);
        let low_bits = bits.div_ceil(2);
        Self {
            len,
            low_bits,
            low_mask: (1u32 << low_bits) - 1,
            high_mask: (1u32 << (bits - low_bits)) - 1,
            keys: std::array::from_fn(|_| rng.next_u32()),
        }
    }

    pub fn len(&self) -> u32 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The keys of the rounds, the length, the width of the lower half and the
    /// masks of both, for kernels that shuffle by themselves.
    pub fn words(&self) -> [u32; ROUNDS + 4] {
        let mut words = [0; ROUNDS + 4];
        words[..ROUNDS].copy_from_slice(&self.keys);
        words[ROUNDS..].copy_from_slice(&[self.len, self.low_bits, self.low_mask, self.high_mask]);
        words
    }

    /// The value at `place`, which must be below [`Self::len`].
    #[inline]
    pub fn at(&self, place: u32) -> u32 {
        debug_assert!(place < self.len);
        let mut value = self.network(place);
        while value >= self.len {
            value = self.network(value);
        }
        value
    }

    /// Writes the values at `first`, `first + 1`, ..., which must all be below
    /// [`Self::len`]. In code that is compiled for vector instructions, it takes
    /// a small part of the time of one by one.
    #[inline(always)]
    pub fn fill(&self, first: u32, values: &mut [u32]) {
        for (chunk, values) in values.chunks_mut(CHUNK).enumerate() {
            self.fill_chunk(first + (chunk * CHUNK) as u32, values);
        }
    }

    /// All values go through the network once; those that fell out of range are
    /// put together and go on, until none is left.
    #[inline(always)]
    fn fill_chunk(&self, first: u32, values: &mut [u32]) {
        let mut outside = [0u16; CHUNK];
        let mut left = 0;
        for (number, values) in values.chunks_mut(BLOCK).enumerate() {
            let at = number * BLOCK;
            let mut block = [0; BLOCK];
            for (i, value) in block.iter_mut().enumerate() {
                *value = self.network(first.wrapping_add((at + i) as u32));
            }
            for (i, value) in values.iter_mut().enumerate() {
                *value = block[i];
                outside[left] = (at + i) as u16;
                left += usize::from(block[i] >= self.len);
            }
        }
        while left > 0 {
            let walking = left;
            left = 0;
            for start in (0..walking).step_by(BLOCK) {
                let mut block = [0; BLOCK];
                for (value, &at) in block.iter_mut().zip(&outside[start..walking]) {
                    *value = values[at as usize];
                }
                for value in &mut block {
                    *value = self.network(*value);
                }
                for (i, &value) in block.iter().enumerate().take(walking - start) {
                    let at = outside[start + i];
                    values[at as usize] = value;
                    outside[left] = at;
                    left += usize::from(value >= self.len);
                }
            }
        }
    }

    /// Each round changes one half by a function of the other, so that it can
    /// be undone: that is what makes it a permutation.
    #[inline(always)]
    fn network(&self, value: u32) -> u32 {
        let mut low = value & self.low_mask;
        let mut high = value >> self.low_bits;
        for pair in self.keys.chunks_exact(2) {
            high ^= mix(low, pair[0]) & self.high_mask;
            low ^= mix(high, pair[1]) & self.low_mask;
        }
        (high << self.low_bits) | low
    }
}

/// A multiplication and two shifts spread every bit of `half` and `key`.
#[inline(always)]
fn mix(half: u32, key: u32) -> u32 {
    let x = (half ^ key).wrapping_mul(0x9E37_79B1);
    let x = (x ^ (x >> 15)).wrapping_mul(0x85EB_CA77);
    x ^ (x >> 13)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_value_comes_once(len in 0u32..3000, seed: u64) {
            let shuffle = Permutation::new(len, &mut Seed(seed).stream("shuffle"));
            let mut values: Vec<u32> = (0..len).map(|i| shuffle.at(i)).collect();
            values.sort_unstable();
            prop_assert!(values.into_iter().eq(0..len));
            for first in [0, len / 3] {
                let mut filled = vec![0; (len - first) as usize];
                shuffle.fill(first, &mut filled);
                prop_assert!(filled.into_iter().eq((first..len).map(|place| shuffle.at(place))));
            }
        }
    }

    /// Over many seeds each value stands at each place equally often, and
    /// neighbors are not tied to each other.
    #[test]
    fn places_are_even() {
        const N: usize = 11;
        let (mut at, mut follows) = ([[0u32; N]; N], [0u32; N]);
        let draws = 22_000;
        for seed in 0..draws {
            let shuffle = Permutation::new(N as u32, &mut Seed(seed).stream("shuffle"));
            for (place, counts) in at.iter_mut().enumerate() {
                counts[shuffle.at(place as u32) as usize] += 1;
            }
            let step = (N as u32 + shuffle.at(1) - shuffle.at(0)) % N as u32;
            follows[step as usize] += 1;
        }
        let even = draws as f64 / N as f64;
        let far = |c: u32, expected: f64| (f64::from(c) - expected).abs() > 5.0 * expected.sqrt();
        assert!(!at.iter().flatten().any(|&c| far(c, even)), "{at:?}");
        let rest = draws as f64 / (N - 1) as f64;
        assert!(!follows[1..].iter().any(|&c| far(c, rest)), "{follows:?}");
    }

    #[test]
    fn two_streams_give_two_orders() {
        let order = |epoch| {
            let shuffle = Permutation::new(1000, &mut Seed(1).indexed("shuffle", epoch));
            (0..1000).map(|i| shuffle.at(i)).collect::<Vec<_>>()
        };
        assert_eq!(order(0), order(0));
        let same = order(0)
            .iter()
            .zip(order(1))
            .filter(|(a, b)| **a == *b)
            .count();
        assert!(same < 12, "{same} of 1000 stand where they stood");
    }
}

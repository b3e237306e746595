//! Many uniform draws in a row.

use super::{BLOCKS_PER_DRAW, NegativeSampler};
use crate::kernels::simd::{Isa, Job};
use crate::seed::{BLOCKS, Rng};

/// [`NegativeSampler::draw`] for a run of draws: the first block of each is
/// made together with those of its neighbors, and hardly any needs another.
pub struct UniformDraws<'a> {
    pub sampler: &'a NegativeSampler,
    pub stream: &'a Rng,
    pub first: u64,
    pub users: &'a [u32],
    pub items: &'a mut [u32],
    pub negatives: usize,
}

/// Blocks that are drawn before the first of them is looked up: memory takes
/// longer to come than a block to be drawn.
const WAITING: usize = 4;

/// Draws whose candidates are known and not yet looked up.
#[derive(Clone, Copy, Default)]
struct Candidates {
    words: [[u32; BLOCKS]; 4],
    users: [u32; BLOCKS],
    /// Where they go in `items`.
    slots: [usize; BLOCKS],
    /// The number of the first.
    number: u64,
    len: usize,
}

impl UniformDraws<'_> {
    /// A word as `Rng::below` takes it; `None` where it would take another.
    #[inline(always)]
    fn item_of(&self, threshold: u32, word: u32) -> Option<u32> {
        let wide = u64::from(word) * self.sampler.positives.num_items as u64;
        (wide as u32 >= threshold).then_some((wide >> 32) as u32)
    }

    /// The draws from the one at `place` and `k` on, at most [`BLOCKS`]. Asks
    /// for what tells whether their first candidates are positives.
    #[inline(always)]
    fn candidates(&self, threshold: u32, place: &mut usize, k: &mut usize) -> Candidates {
        let start = *place * self.negatives + *k;
        let number = self.first + start as u64;
        let mut drawn = Candidates {
            words: self
                .stream
                .blocks(number * BLOCKS_PER_DRAW, BLOCKS_PER_DRAW),
            users: [0; BLOCKS],
            slots: [0; BLOCKS],
            number,
            len: BLOCKS.min(self.users.len() * self.negatives - start),
        };
        for i in 0..drawn.len {
            drawn.users[i] = self.users[*place];
            drawn.slots[i] = *place * (self.negatives + 1) + 1 + *k;
            if let Some(item) = self.item_of(threshold, drawn.words[0][i]) {
                self.sampler.prefetch(drawn.users[i], item);
            }
            *k += 1;
            if *k == self.negatives {
                (*place, *k) = (*place + 1, 0);
            }
        }
        drawn
    }

    #[inline(always)]
    fn look_up(&mut self, threshold: u32, drawn: &Candidates) {
        for i in 0..drawn.len {
            let user = drawn.users[i];
            let found = drawn
                .words
                .iter()
                .filter_map(|w| self.item_of(threshold, w[i]))
                .find(|&item| !self.sampler.is_positive(user, item));
            self.items[drawn.slots[i]] = match found {
                Some(item) => item,
                None => {
                    let number = drawn.number + i as u64;
                    self.sampler.draw(self.stream, number, user)
                }
            };
        }
    }
}

impl Job for UniformDraws<'_> {
    type Output = ();

    /// While a block's memory is on its way, the next blocks are drawn.
    #[inline(always)]
    fn call<S: Isa>(mut self) {
        let num_items = self.sampler.positives.num_items as u32;
        let threshold = num_items.wrapping_neg() % num_items;
        let (mut place, mut k) = (0, 0);
        let mut waiting = [Candidates::default(); WAITING];
        let mut next = 0;
        while place < self.users.len() {
            // The oldest; at first it is empty.
            self.look_up(threshold, &waiting[next]);
            waiting[next] = self.candidates(threshold, &mut place, &mut k);
            next = (next + 1) % WAITING;
        }
        for _ in 0..WAITING {
            self.look_up(threshold, &waiting[next]);
            next = (next + 1) % WAITING;
        }
    }
}

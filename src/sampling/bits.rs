//! Positives as bits.

use crate::data::interactions::Interactions;
use crate::ids::UserIdx;

/// One bit for each user and item: one look in place of a search, where the
/// data is small enough for it.
pub struct Bits {
    pub words: Vec<u64>,
    words_per_user: usize,
}

/// Bytes that the bits may take.
const MOST_BITS: usize = 64 << 20;

impl Bits {
    pub fn new(positives: &Interactions) -> Option<Self> {
        let words_per_user = positives.num_items.div_ceil(64);
        let len = positives.num_users() * words_per_user;
        if len * size_of::<u64>() > MOST_BITS {
            return None;
        }
        let mut bits = Self {
            words: vec![0; len],
            words_per_user,
        };
        for user in 0..positives.num_users() as u32 {
            for &item in positives.items_of(UserIdx(user)) {
                let at = bits.word_of(user, item);
                bits.words[at] |= 1 << (item % 64);
            }
        }
        Some(bits)
    }

    #[inline(always)]
    pub fn word_of(&self, user: u32, item: u32) -> usize {
        user as usize * self.words_per_user + item as usize / 64
    }

    #[inline(always)]
    pub fn get(&self, user: u32, item: u32) -> bool {
        self.words[self.word_of(user, item)] >> (item % 64) & 1 == 1
    }
}

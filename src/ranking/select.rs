//! The k best of a row of scores.

use super::Ranked;
use std::cmp::Ordering;

/// Scores that are compared against the threshold at once.
const LANES: usize = 16;

/// Lists up to this length are kept in order as they grow: the threshold is
/// then as high as it can be.
const SHORT: usize = 64;

/// Places that are moved at once.
const BLOCK: usize = 8;

/// Gathers the `k` best of what is offered. Items must come in ascending
/// order: a tie with the threshold loses, because the `k` that set it have
/// lower indices.
pub enum Best {
    Short(Box<Short>),
    Long(Long),
}

impl Best {
    /// `k` must be at least 1.
    pub fn new(k: usize) -> Self {
        if k <= SHORT {
            Self::Short(Box::new(Short::new(k)))
        } else {
            Self::Long(Long::new(k))
        }
    }

    /// Scores up to this one are lost.
    #[inline]
    pub fn threshold(&self) -> f32 {
        match self {
            Self::Short(short) => short.scores[short.now][short.k],
            Self::Long(long) => long.threshold,
        }
    }

    #[inline]
    pub fn offer(&mut self, score: f32, item: u32) {
        if score <= self.threshold() {
            return;
        }
        match self {
            Self::Short(short) => short.insert(score, item),
            Self::Long(long) => long.push(score, item),
        }
    }

    pub fn finish(self) -> Ranked {
        match self {
            Self::Short(short) => short.finish(),
            Self::Long(long) => best_of(long.kept, long.k),
        }
    }
}

/// A list in order. What is inserted moves what stands behind it without a
/// branch, from one of two buffers to the other: which place it takes cannot be
/// foreseen, and a wrong guess would cost more than the whole move.
pub struct Short {
    k: usize,
    /// Which buffers hold the list.
    now: usize,
    /// An infinity, then the scores, minus infinity where there is none yet.
    scores: [[f32; SHORT + 1]; 2],
    items: [[u32; SHORT + 1]; 2],
}

#[inline(always)]
fn block<T: Copy + Default>(values: &[T], first: usize) -> [T; BLOCK] {
    let mut block = [T::default(); BLOCK];
    block.copy_from_slice(&values[first..first + BLOCK]);
    block
}

impl Short {
    fn new(k: usize) -> Self {
        let mut scores = [[f32::NEG_INFINITY; SHORT + 1]; 2];
        scores[0][0] = f32::INFINITY;
        scores[1][0] = f32::INFINITY;
        Self {
            k,
            now: 0,
            scores,
            items: [[0; SHORT + 1]; 2],
        }
    }

    #[inline]
    fn insert(&mut self, score: f32, item: u32) {
        let (from, to) = (self.now, 1 - self.now);
        for first in (0..self.k).step_by(BLOCK) {
            let above: [f32; BLOCK] = block(&self.scores[from], first);
            let here: [f32; BLOCK] = block(&self.scores[from], first + 1);
            let items_above: [u32; BLOCK] = block(&self.items[from], first);
            let items_here: [u32; BLOCK] = block(&self.items[from], first + 1);
            let places = first + 1..first + 1 + BLOCK;
            let scores = &mut self.scores[to][places.clone()];
            let items = &mut self.items[to][places];
            for i in 0..BLOCK {
                let (fits, stays) = (above[i] >= score, here[i] >= score);
                let pushed = if fits { score } else { above[i] };
                scores[i] = if stays { here[i] } else { pushed };
                let pushed = if fits { item } else { items_above[i] };
                items[i] = if stays { items_here[i] } else { pushed };
            }
        }
        self.now = to;
    }

    fn finish(self) -> Ranked {
        let scores = &self.scores[self.now][1..=self.k];
        let found = scores.partition_point(|&score| score > f32::NEG_INFINITY);
        Ranked {
            items: self.items[self.now][1..=found].to_vec(),
            scores: scores[..found].to_vec(),
        }
    }
}

/// A list of any length: candidates gather in a buffer; when it is full, all
/// but the best `k` go and the k-th becomes the threshold. Nearly all others
/// then fall to one compare: O(n + k log k) for scores in random order.
pub struct Long {
    k: usize,
    kept: Vec<(f32, u32)>,
    threshold: f32,
}

impl Long {
    fn new(k: usize) -> Self {
        Self {
            k,
            kept: Vec::with_capacity(2 * k),
            threshold: f32::NEG_INFINITY,
        }
    }

    fn push(&mut self, score: f32, item: u32) {
        if self.kept.len() == self.kept.capacity() {
            self.threshold = shrink(&mut self.kept, self.k);
            if score <= self.threshold {
                return;
            }
        }
        self.kept.push((score, item));
    }
}

/// The `k` best items of a row, best first; ties go to the lower index. Minus
/// infinity marks masked items, which are never returned, so that the list is
/// shorter than `k` where fewer items are left. NaN is the caller's fault (see
/// [`super::ensure_finite`]).
///
/// ```
/// use recsys::ranking::top_k;
/// let list = top_k(&[0.5, f32::NEG_INFINITY, 0.5, 0.9], 3);
/// assert_eq!(list.items, [3, 0, 2]);
/// ```
pub fn top_k(scores: &[f32], k: usize) -> Ranked {
    let k = k.min(scores.len());
    if k == 0 {
        return Ranked::default();
    }
    let mut best = Best::new(k);
    for (block, first) in scores.chunks(LANES).zip((0u32..).step_by(LANES)) {
        let threshold = best.threshold();
        if !block.iter().fold(false, |any, &s| any | (s > threshold)) {
            continue;
        }
        for (&score, item) in block.iter().zip(first..) {
            best.offer(score, item);
        }
    }
    best.finish()
}

/// Ranks the given items by their scores, all of them, best first; ties go to
/// the lower index. `items` must be distinct.
///
/// ```
/// use recsys::ranking::rank_candidates;
/// let list = rank_candidates(&[7, 3, 5], &[0.1, 0.2, 0.1]);
/// assert_eq!(list.items, [3, 5, 7]);
/// ```
pub fn rank_candidates(items: &[u32], scores: &[f32]) -> Ranked {
    let pairs: Vec<_> = scores.iter().copied().zip(items.iter().copied()).collect();
    let k = pairs.len();
    best_of(pairs, k)
}

fn by_rank(a: &(f32, u32), b: &(f32, u32)) -> Ordering {
    let by_score = b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal);
    by_score.then(a.1.cmp(&b.1))
}

/// Keeps the best `k` and returns the score of the worst of them.
fn shrink(best: &mut Vec<(f32, u32)>, k: usize) -> f32 {
    best.select_nth_unstable_by(k - 1, by_rank);
    best.truncate(k);
    best[k - 1].0
}

/// The best `k` of some distinct items, best first.
pub fn best_of(mut best: Vec<(f32, u32)>, k: usize) -> Ranked {
    if k == 0 {
        return Ranked::default();
    }
    if best.len() > k {
        shrink(&mut best, k);
    }
    best.sort_unstable_by(by_rank);
    let (scores, items) = best.into_iter().unzip();
    Ranked { items, scores }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn k_of_zero_beyond_the_catalog_and_all_masked() {
        assert_eq!(top_k(&[1.0, 2.0], 0), Ranked::default());
        assert_eq!(top_k(&[1.0, 2.0], 9).items, [1, 0]);
        assert_eq!(top_k(&[f32::NEG_INFINITY; 3], 2), Ranked::default());
        assert_eq!(top_k(&[], 2), Ranked::default());
    }

    #[test]
    fn zeros_of_either_sign_tie() {
        assert_eq!(top_k(&[-0.0, 0.0, -0.0], 3).items, [0, 1, 2]);
    }

    proptest! {
        /// Few distinct values, so that ties are everywhere; rising and
        /// falling rows fill the buffer most and least often.
        #[test]
        fn equals_a_full_sort(
            values in proptest::collection::vec(prop_oneof![Just(f32::NEG_INFINITY), (-5i8..5).prop_map(f32::from)], 0..600),
            k in 1usize..40,
            order in 0..3,
        ) {
            let mut scores = values;
            match order {
                0 => scores.sort_by(f32::total_cmp),
                1 => scores.sort_by(|a, b| b.total_cmp(a)),
                _ => {}
            }
            let kept: Vec<(f32, u32)> = scores.iter().copied().zip(0..)
                .filter(|(s, _)| *s > f32::NEG_INFINITY).collect();
            let mut sorted = kept;
            sorted.sort_by(by_rank);
            let expected: Vec<u32> = sorted.iter().take(k).map(|(_, i)| *i).collect();
            prop_assert_eq!(top_k(&scores, k).items, expected);
        }
    }
}

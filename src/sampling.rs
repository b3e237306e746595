//! Negative items for training: uniform or by popularity, never a positive
//! of the user.

mod alias;
mod bits;
mod run;

use crate::data::interactions::Interactions;
use crate::ids::UserIdx;
use crate::kernels::simd::{self, prefetch_at};
use crate::seed::Rng;
use alias::Alias;
use anyhow::{Result, bail};
use bits::Bits;
use run::UniformDraws;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// From which distribution negatives come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NegativeSampling {
    #[default]
    Uniform,
    /// Proportional to the training count to the power `popularity_alpha`.
    Popularity,
}

/// Draws negatives of users.
pub struct NegativeSampler {
    alias: Option<Alias>,
    /// Sorted by item inside each user.
    positives: Arc<Interactions>,
    /// Probability of each item before rejection.
    probabilities: Option<Vec<f32>>,
    bits: Option<Bits>,
}

/// Blocks of the stream that belong to one negative: enough words for
/// [`MAX_TRIES`] draws.
pub const BLOCKS_PER_DRAW: u64 = 64;
pub const MAX_TRIES: usize = 64;

impl NegativeSampler {
    /// For training interactions that are sorted by item inside each user.
    ///
    /// # Errors
    /// A user who has every item, so that there is no negative.
    pub fn new(
        positives: Arc<Interactions>,
        sampling: NegativeSampling,
        alpha: f64,
    ) -> Result<Self> {
        let full = (0..positives.num_users() as u32).find(|&u| {
            let items = positives.items_of(UserIdx(u));
            items.len() >= positives.num_items
                && 1 + items.windows(2).filter(|w| w[0] != w[1]).count() >= positives.num_items
        });
        if let Some(user) = full {
            bail!(
                "user number {user} interacted with all {} items, so there are no negatives to train against; \
                 drop such users with `clean.max_user_interactions`, or use a loss without negatives (`mse`)",
                positives.num_items
            );
        }
        let weights: Vec<f64> = positives
            .item_counts()
            .iter()
            .map(|&c| f64::from(c).powf(alpha))
            .collect();
        let by_popularity = sampling == NegativeSampling::Popularity;
        let total: f64 = weights.iter().sum();
        Ok(Self {
            probabilities: by_popularity
                .then(|| weights.iter().map(|w| (w / total) as f32).collect()),
            alias: by_popularity.then(|| Alias::new(&weights)),
            bits: Bits::new(&positives),
            positives,
        })
    }

    /// For draws by popularity, for kernels that draw by themselves: slot `i`
    /// of the alias method stands for item `i` below its threshold, and above
    /// for another.
    pub fn alias(&self) -> Option<(&[f32], &[u32])> {
        let alias = self.alias.as_ref()?;
        Some((&alias.threshold, &alias.other))
    }

    #[inline(always)]
    pub fn is_positive(&self, user: u32, item: u32) -> bool {
        if let Some(bits) = &self.bits {
            return bits.get(user, item);
        }
        self.positives
            .items_of(UserIdx(user))
            .binary_search(&item)
            .is_ok()
    }

    /// The training interactions, sorted by item inside each user.
    pub fn positives(&self) -> &Interactions {
        &self.positives
    }

    /// The user's positives, sorted.
    pub fn positives_of(&self, user: u32) -> &[u32] {
        self.positives.items_of(UserIdx(user))
    }

    /// Asks for what [`Self::is_positive`] will read.
    #[inline(always)]
    fn prefetch(&self, user: u32, item: u32) {
        match &self.bits {
            Some(bits) => prefetch_at(bits.words.as_ptr().wrapping_add(bits.word_of(user, item))),
            None => {
                let items = self.positives.items_of(UserIdx(user)).as_ptr_range();
                let middle = items
                    .start
                    .wrapping_add((items.end as usize - items.start as usize) / 8);
                prefetch_at(middle);
            }
        }
    }

    /// Probability of drawing an item before rejection.
    pub fn probability(&self, item: u32) -> f32 {
        match &self.probabilities {
            Some(p) => p[item as usize],
            None => 1.0 / self.positives.num_items as f32,
        }
    }

    /// Of each item, the logarithm of how often it is expected among so many
    /// draws (before rejection): what a sampled softmax subtracts from scores to
    /// estimate the full one (Bengio & Senecal, IEEE Transactions on Neural
    /// Networks 2008). One that is never drawn by popularity is as the rarest of
    /// the others: a user who has all of those gets it as a negative all the
    /// same.
    pub fn log_expected(&self, draws: usize) -> Vec<f32> {
        let items = 0..self.positives.num_items as u32;
        let probabilities: Vec<f32> = items.map(|item| self.probability(item)).collect();
        let drawn = probabilities.iter().copied().filter(|p| *p > 0.0);
        let rarest = drawn.fold(f32::INFINITY, f32::min);
        let of = |p: &f32| (draws as f32 * p.max(rarest)).ln();
        probabilities.iter().map(of).collect()
    }

    /// The `number`-th draw of `stream` for this user; depends on nothing else.
    pub fn draw(&self, stream: &Rng, number: u64, user: u32) -> u32 {
        let mut rng = stream.at(number * BLOCKS_PER_DRAW);
        for _ in 0..MAX_TRIES {
            let item = match &self.alias {
                Some(alias) => alias.draw(&mut rng),
                None => rng.below(self.positives.num_items as u32),
            };
            if !self.is_positive(user, item) {
                return item;
            }
        }
        self.draw_from_complement(&mut rng, user)
    }

    /// Draws the negatives of a run of examples: `items` is row-major
    /// `[positive, negative, ...]`, and the negatives of the example at place
    /// `first + i`, which belongs to `users[i]`, are the draws
    /// `(first + i) * negatives..` of `stream`.
    pub fn fill(&self, stream: &Rng, first: u64, users: &[u32], items: &mut [u32]) {
        let negatives = items.len() / users.len().max(1) - 1;
        if self.alias.is_none() {
            simd::run(UniformDraws {
                sampler: self,
                stream,
                first: first * negatives as u64,
                users,
                items,
                negatives,
            });
            return;
        }
        let rows = users.iter().zip(items.chunks_exact_mut(negatives + 1));
        for (place, (&user, row)) in (first..).zip(rows) {
            let number = place * negatives as u64;
            for (slot, number) in row[1..].iter_mut().zip(number..) {
                *slot = self.draw(stream, number, user);
            }
        }
    }

    /// Uniform over the items that the user does not have: for users with
    /// nearly all of them, for whom rejection would not end.
    fn draw_from_complement(&self, rng: &mut Rng, user: u32) -> u32 {
        let mut items = self.positives_of(user).to_vec();
        items.dedup();
        let mut wanted = rng.below((self.positives.num_items - items.len()) as u32);
        for &item in &items {
            if item > wanted {
                break;
            }
            wanted += 1;
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use proptest::prelude::*;

    fn log(offsets: Vec<usize>, items: Vec<u32>, num_items: usize) -> Interactions {
        Interactions {
            offsets,
            items,
            num_items,
            ..Interactions::default()
        }
    }

    fn sorted(log: &Interactions) -> Arc<Interactions> {
        Arc::new(log.sorted_by_item())
    }

    #[test]
    fn the_only_negative_is_found() {
        let train = log(vec![0, 4], vec![4, 0, 1, 3], 5);
        let sampler = NegativeSampler::new(sorted(&train), NegativeSampling::Uniform, 0.0).unwrap();
        let stream = Seed(1).stream("negatives");
        assert!((0..200).all(|n| sampler.draw(&stream, n, 0) == 2));
        assert_eq!(sampler.draw_from_complement(&mut stream.at(0), 0), 2);
    }

    #[test]
    fn a_user_with_every_item_is_an_error() {
        let train = log(vec![0, 1, 4], vec![0, 2, 0, 1], 3);
        let error = NegativeSampler::new(sorted(&train), NegativeSampling::Uniform, 0.0)
            .err()
            .unwrap();
        assert!(error.to_string().contains("user number 1"), "{error}");
    }

    #[test]
    fn popularity_draws_follow_counts_to_the_power_alpha() {
        // Counts 1, 4, 9 with alpha 0.5: weights 1, 2, 3. User 1 has none.
        let mut items = vec![0];
        items.extend([1; 4]);
        items.extend([2; 9]);
        let train = log(vec![0, 14, 14], items, 4);
        let sampler =
            NegativeSampler::new(sorted(&train), NegativeSampling::Popularity, 0.5).unwrap();
        let stream = Seed(1).stream("negatives");
        let mut counts = [0f64; 4];
        for n in 0..60_000 {
            counts[sampler.draw(&stream, n, 1) as usize] += 1.0 / 10_000.0;
        }
        for (count, expected) in counts.iter().zip([1.0, 2.0, 3.0, 0.0]) {
            assert!((count - expected).abs() < 0.1, "{counts:?}");
        }
    }

    proptest! {
        #[test]
        fn a_run_of_draws_is_the_draws_one_by_one(
            rows in proptest::collection::vec(proptest::collection::btree_set(0u32..9, 0..8), 1..40),
            negatives in 1usize..4,
            popular in any::<bool>(),
            first in 0u64..99,
        ) {
            let mut offsets = vec![0];
            offsets.extend(rows.iter().scan(0, |end, row| { *end += row.len(); Some(*end) }));
            let train = log(offsets, rows.iter().flatten().copied().collect(), 9);
            let kind = if popular { NegativeSampling::Popularity } else { NegativeSampling::Uniform };
            let sampler = NegativeSampler::new(sorted(&train), kind, 0.0).unwrap();
            let stream = Seed(3).stream("negatives");
            let users: Vec<u32> = (0..rows.len() as u32).rev().collect();
            let mut items = vec![100; users.len() * (negatives + 1)];
            sampler.fill(&stream, first, &users, &mut items);
            let mut number = first * negatives as u64;
            for (&user, row) in users.iter().zip(items.chunks(negatives + 1)) {
                prop_assert_eq!(row[0], 100);
                for &item in &row[1..] {
                    prop_assert_eq!(item, sampler.draw(&stream, number, user));
                    number += 1;
                }
            }
        }

        #[test]
        fn a_negative_is_never_a_positive(
            items in proptest::collection::vec(0u32..20, 1..19),
            popular in any::<bool>(),
            seed in any::<u64>(),
        ) {
            let train = log(vec![0, items.len()], items, 20);
            let kind = if popular { NegativeSampling::Popularity } else { NegativeSampling::Uniform };
            let sampler = NegativeSampler::new(sorted(&train), kind, 0.75).unwrap();
            let stream = Seed(seed).stream("negatives");
            for n in 0..50 {
                prop_assert!(!train.items.contains(&sampler.draw(&stream, n, 0)));
            }
        }
    }
}

//! Rows in time order, and by user.

use crate::data::dataset::Log;
use rayon::prelude::*;

/// Row numbers in time order, ties by input row; in input order where there
/// are no timestamps.
pub(super) fn time_order(log: &Log) -> Vec<u32> {
    let mut order: Vec<u32> = (0..log.len() as u32).collect();
    if let Some(times) = &log.timestamps {
        order.par_sort_unstable_by_key(|&row| (times[row as usize], row));
    }
    order
}

/// Bits of a timestamp that are told apart in one pass over all.
const BITS: u32 = 16;

/// The value that stands at `place` once all are sorted.
///
/// # Panics
/// When `place` is not below the number of values.
pub(super) fn nth_smallest(values: &[i64], place: usize) -> i64 {
    if values.len() <= 1 << BITS {
        let mut values = values.to_vec();
        return *values.select_nth_unstable(place).1;
    }
    by_counting(values, place, BITS)
}

/// [`nth_smallest`] by counting into ever narrower bins: no copy is made of
/// what may be half of the memory.
fn by_counting(values: &[i64], mut place: usize, bits: u32) -> i64 {
    assert!(place < values.len(), "there are fewer values");
    let (mut low, mut high) = values
        .par_iter()
        .fold(|| (i64::MAX, i64::MIN), |(a, b), &v| (a.min(v), b.max(v)))
        .reduce(|| (i64::MAX, i64::MIN), |a, b| (a.0.min(b.0), a.1.max(b.1)));
    loop {
        let width = high.wrapping_sub(low) as u64;
        let shift = (u64::BITS - width.leading_zeros()).saturating_sub(bits);
        let counts = count(values, low, high, shift, 1 << bits);
        let mut chosen = 0;
        while place >= counts[chosen] {
            place -= counts[chosen];
            chosen += 1;
        }
        low = low.wrapping_add(((chosen as u64) << shift) as i64);
        if shift == 0 {
            return low;
        }
        high = high.min(low.saturating_add(((1u64 << shift) - 1) as i64));
    }
}

/// How many of the values within the bounds fall into each bin of `2^shift`.
fn count(values: &[i64], low: i64, high: i64, shift: u32, bins: usize) -> Vec<usize> {
    let chunk = values.len().div_ceil(rayon::current_num_threads());
    let of_chunk = |values: &[i64]| {
        let mut counts = vec![0; bins];
        for &value in values.iter().filter(|v| (low..=high).contains(*v)) {
            counts[(value.wrapping_sub(low) as u64 >> shift) as usize] += 1;
        }
        counts
    };
    let add = |mut a: Vec<usize>, b: Vec<usize>| {
        a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        a
    };
    let chunks = values.par_chunks(chunk.max(1)).map(of_chunk);
    chunks.reduce(|| vec![0; bins], add)
}

/// Row numbers grouped by user, each user's in time order.
pub(crate) struct UserRows {
    offsets: Vec<usize>,
    rows: Vec<u32>,
}

impl UserRows {
    /// Ties, and logs without timestamps, keep the order of the input.
    pub fn new(log: &Log, num_users: usize) -> Self {
        let mut offsets = vec![0usize; num_users + 1];
        for &user in &log.users {
            offsets[user as usize + 1] += 1;
        }
        for u in 0..num_users {
            offsets[u + 1] += offsets[u];
        }
        let mut next = offsets.clone();
        let mut rows = vec![0; log.len()];
        for (row, &user) in (0..).zip(&log.users) {
            let slot = &mut next[user as usize];
            rows[*slot] = row;
            *slot += 1;
        }
        drop(next);
        let mut grouped = Self { offsets, rows };
        if let Some(times) = &log.timestamps {
            grouped.sort(times);
        }
        grouped
    }

    fn sort(&mut self, times: &[i64]) {
        let mut users = Vec::with_capacity(self.num_users());
        let mut rest = &mut self.rows[..];
        for bounds in self.offsets.windows(2) {
            let (rows, others) = rest.split_at_mut(bounds[1] - bounds[0]);
            users.push(rows);
            rest = others;
        }
        users
            .into_par_iter()
            .with_min_len(64)
            .for_each(|rows| rows.sort_unstable_by_key(|&row| (times[row as usize], row)));
    }

    pub fn num_users(&self) -> usize {
        self.offsets.len() - 1
    }

    pub fn of(&self, user: usize) -> &[u32] {
        &self.rows[self.offsets[user]..self.offsets[user + 1]]
    }

    /// Where each user's rows begin, and the rows.
    pub fn into_parts(self) -> (Vec<usize>, Vec<u32>) {
        (self.offsets, self.rows)
    }

    /// Of all pairs of consecutive interactions of one user, the share whose
    /// timestamps are equal, so that their order is only that of the input;
    /// `None` without timestamps, 0 without pairs.
    pub fn tie_rate(&self, log: &Log) -> Option<f64> {
        let times = log.timestamps.as_deref()?;
        let count = |user: usize| {
            let pairs = self.of(user).windows(2);
            let tied = pairs.filter(|p| times[p[0] as usize] == times[p[1] as usize]);
            (tied.count(), self.of(user).len().saturating_sub(1))
        };
        let (ties, pairs) = (0..self.num_users())
            .into_par_iter()
            .map(count)
            .reduce(|| (0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        Some(ties as f64 / pairs.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counting_finds_what_sorting_finds(
            values in proptest::collection::vec(
                prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX), -3i64..3, 0i64..1 << 40],
                1..60,
            ),
            place in any::<proptest::sample::Index>(),
        ) {
            let place = place.index(values.len());
            let mut sorted = values.clone();
            sorted.sort_unstable();
            for bits in [1, 3, 16] {
                prop_assert_eq!(by_counting(&values, place, bits), sorted[place]);
            }
            prop_assert_eq!(nth_smallest(&values, place), sorted[place]);
        }
    }
}

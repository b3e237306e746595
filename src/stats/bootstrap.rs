//! Percentile intervals of a mean by resampling users.
//!
//! Efron: Bootstrap Methods: Another Look at the Jackknife, Annals of
//! Statistics 1979; Sakai: Evaluating Evaluation Metrics Based on the
//! Bootstrap, SIGIR 2006 (paired, over queries).

use crate::seed::{BLOCKS, Seed};
use rayon::prelude::*;

pub const RESAMPLES: usize = 10_000;

/// Of the intervals.
pub const LEVEL: f64 = 0.95;

/// Standard normal quantile of the upper end at [`LEVEL`]: standard errors to
/// either side of a mean.
pub const NORMAL: f64 = 1.959_963_984_540_054;

/// Rows from which the resampled means are normal to all digits that anybody
/// prints, and resampling would take its time for nothing.
const MANY: usize = 100_000;

/// The interval of the mean of each column at [`LEVEL`], from [`RESAMPLES`]
/// samples of as many rows with replacement; all columns have one value a
/// user, and every resample takes the same users in all of them. A value that
/// is NaN is not there. Quantiles are interpolated linearly, as numpy's are.
/// From 100,000 rows on it is the normal interval, where the other one goes to.
///
/// Resample `r` comes from the stream ("bootstrap", `r`) of the seed, so that
/// the result does not depend on threads. An index is the upper half of `word
/// * rows`, which favors no row by more than `rows / 2^32`.
///
/// # Panics
/// When the columns differ in length, or have none or 2^32 rows.
pub fn mean_intervals(columns: &[&[f64]], seed: Seed) -> Vec<[f64; 2]> {
    if columns.first().is_some_and(|c| c.len() >= MANY) {
        return columns.iter().map(|column| normal(column)).collect();
    }
    let rows = Rows::new(columns);
    let means: Vec<Vec<f64>> = (0..RESAMPLES)
        .into_par_iter()
        .map(|r| rows.resampled_means(seed, r as u64))
        .collect();
    let interval = |column: usize| {
        let mut sorted: Vec<f64> = means.iter().map(|m| m[column]).collect();
        sorted.retain(|m| !m.is_nan());
        sorted.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - LEVEL) / 2.0;
        [quantile(&sorted, tail), quantile(&sorted, 1.0 - tail)]
    };
    (0..columns.len()).map(interval).collect()
}

/// The mean and as much as its standard error reaches to either side.
fn normal(column: &[f64]) -> [f64; 2] {
    let count = column.iter().filter(|v| !v.is_nan()).count() as f64;
    let mean = super::mean(column);
    let reach = super::deviation(column).unwrap_or(0.0) * NORMAL / count.sqrt();
    [mean - reach, mean + reach]
}

/// Linear between the two nearest of the ascending values; NaN of none.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let place = q * last as f64;
    let low = place.floor() as usize;
    let high = (low + 1).min(last);
    let share = place - low as f64;
    sorted[low] + share * (sorted[high] - sorted[low])
}

/// The columns row by row, so that one draw reads one place in memory. A
/// column in which values are missing has a second one that counts them.
struct Rows {
    len: u32,
    width: usize,
    values: Vec<f64>,
    /// Where the sum of each column is divided by, `None` for the row count.
    counts: Vec<Option<usize>>,
}

impl Rows {
    fn new(columns: &[&[f64]]) -> Self {
        let len = columns.first().map_or(0, |c| c.len());
        assert!(
            columns.iter().all(|c| c.len() == len),
            "paired columns have one length"
        );
        let mut width = columns.len();
        let mut count_column = |column: &&[f64]| {
            let gaps = column.iter().any(|v| v.is_nan());
            gaps.then(|| {
                width += 1;
                width - 1
            })
        };
        let counts: Vec<_> = columns.iter().map(&mut count_column).collect();
        let mut values = vec![0.0; len * width];
        for (row, to) in values.chunks_exact_mut(width.max(1)).enumerate() {
            for (c, (column, count)) in columns.iter().zip(&counts).enumerate() {
                let present = !column[row].is_nan();
                to[c] = if present { column[row] } else { 0.0 };
                if let Some(count) = count {
                    to[*count] = f64::from(u8::from(present));
                }
            }
        }
        Self {
            len: u32::try_from(len).expect("fewer than 2^32 users"),
            width,
            values,
            counts,
        }
    }

    fn resampled_means(&self, seed: Seed, resample: u64) -> Vec<f64> {
        let stream = seed.indexed("bootstrap", resample);
        let mut sums = vec![0.0; self.width];
        let mut left = self.len as usize;
        let mut position = 0;
        while left > 0 {
            let words = stream.blocks(position, 1);
            position += BLOCKS as u64;
            for word in words.as_flattened().iter().take(left) {
                let row = (u64::from(*word) * u64::from(self.len)) >> 32;
                let from = row as usize * self.width;
                let values = &self.values[from..from + self.width];
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum += value;
                }
            }
            left = left.saturating_sub(4 * BLOCKS);
        }
        let mean = |(c, count): (usize, &Option<usize>)| {
            sums[c] / count.map_or(f64::from(self.len), |at| sums[at])
        };
        self.counts.iter().enumerate().map(mean).collect()
    }
}

//! Percentile intervals of a mean by resampling users.
//!
//! Efron: Bootstrap Methods: Another Look at the Jackknife, Annals of
//! Statistics 1979; Sakai: Evaluating Evaluation Metrics Based on the
//! Bootstrap, SIGIR 2006 (paired, over queries).

use crate::seed::{BLOCKS, Seed};
use rayon::prelude::*;

/// Of each interval of [`mean_intervals`] that is resampled.
const RESAMPLES: usize = 10_000;

/// Of the intervals.
pub const LEVEL: f64 = 0.95;

/// Standard normal quantile of the upper end at [`LEVEL`]: standard errors to
/// either side of a mean.
pub const NORMAL: f64 = 1.959_963_984_540_054;

/// Values from which an expansion takes the place of resampling. There the two
/// differ by less than the draws scatter by themselves (.027 standard errors
/// for an end of an interval), however skewed the values are, or for values as
/// coarse as rare hits by half of the step that their mean makes; and the work
/// of an interval stops growing with the users.
const MANY: usize = 5_000;

/// How many samples are drawn for the intervals of so many users; 0 where the
/// expansion stands for them.
pub fn resamples(users: usize) -> usize {
    if users < MANY { RESAMPLES } else { 0 }
}

/// The interval of the mean of each column at [`LEVEL`]; all columns have one
/// value a user. A value that is NaN is not there.
///
/// Up to 5,000 values: from 10,000 samples of as many rows with
/// replacement, the same users in all columns; quantiles are interpolated
/// linearly, as numpy's are. Resample `r` comes from the stream ("bootstrap",
/// `r`) of the seed, so that the result does not depend on threads. An index is
/// the upper half of `word * rows`, which favors no row by more than `rows /
/// 2^32`.
///
/// From there on: where the ends of those intervals go to as the resamples
/// become many, to the second order (see [`expanded`]).
///
/// # Panics
/// When the columns differ in length, or have none.
pub fn mean_intervals(columns: &[&[f64]], seed: Seed) -> Vec<[f64; 2]> {
    let len = columns.first().map_or(0, |c| c.len());
    assert!(
        columns.iter().all(|c| c.len() == len),
        "paired columns have one length"
    );
    if len < MANY {
        return resampled(columns, seed);
    }
    let one = |column: &&[f64]| {
        let present: Vec<f64> = column.iter().copied().filter(|v| !v.is_nan()).collect();
        match present.len() {
            0..MANY => resampled(&[&present], seed)[0],
            _ => expanded(&present),
        }
    };
    columns.par_iter().map(one).collect()
}

fn resampled(columns: &[&[f64]], seed: Seed) -> Vec<[f64; 2]> {
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

/// The quantiles of the mean of as many draws from the values, by the
/// expansion of Cornish and Fisher with the skewness `g` of the values:
/// `mean + se (z + g (z^2 - 1) / (6 sqrt(n)))`, but for terms in `1 / n`.
///
/// Hall: The Bootstrap and Edgeworth Expansion, Springer 1992, chapter 2.
fn expanded(values: &[f64]) -> [f64; 2] {
    let count = values.len() as f64;
    let mean = super::mean(values);
    let power = |p: i32| values.iter().map(|v| (v - mean).powi(p)).sum::<f64>() / count;
    let deviation = power(2).sqrt();
    let error = deviation / count.sqrt();
    let skewness = match deviation {
        0.0 => 0.0,
        d => power(3) / d.powi(3),
    };
    let shift = skewness * (NORMAL * NORMAL - 1.0) / (6.0 * count.sqrt());
    [-NORMAL, NORMAL].map(|z| mean + error * (z + shift))
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

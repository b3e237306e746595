//! How far the figures would move with other users.
//!
//! All users: [`mean_intervals`]. Groups of them, of which there
//! are many: standard errors.

use super::Subject;
use crate::seed::Seed;
use crate::stats::{NORMAL, mean_intervals};
use serde::{Deserialize, Serialize};

/// The 95% interval of a metric of the model, over the drawing of users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub metric: String,
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// Of every metric that is a mean over users.
pub fn intervals(subject: &Subject<'_>, seed: Seed) -> Vec<Interval> {
    let columns: Vec<_> = subject
        .scores
        .iter()
        .filter_map(|(name, values)| {
            let value = subject.metrics.get(name)?;
            let mean = Moments::of(values).mean()?;
            // RMSE is no mean of the users' own.
            let is_mean = (mean - value).abs() <= 1e-9 * value.abs().max(1.0);
            is_mean.then_some((name, value, values))
        })
        .collect();
    let values: Vec<_> = columns.iter().map(|(_, _, v)| v.as_slice()).collect();
    let bounds = mean_intervals(&values, seed);
    let made = columns.iter().zip(bounds);
    made.map(|((name, value, _), [low, high])| Interval {
        metric: name.to_string(),
        value: *value,
        low,
        high,
    })
    .collect()
}

/// What a mean and its standard error need of some values.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    count: u64,
    sum: f64,
    squares: f64,
    least: f64,
    most: f64,
}

impl Default for Moments {
    fn default() -> Self {
        Self {
            count: 0,
            sum: 0.0,
            squares: 0.0,
            least: f64::INFINITY,
            most: f64::NEG_INFINITY,
        }
    }
}

/// With fewer values a standard error says nothing.
const FEWEST: u64 = 10;

impl Moments {
    /// Of the values that are there.
    pub fn of(values: &[f64]) -> Self {
        let mut moments = Self::default();
        values.iter().for_each(|v| moments.add(*v));
        moments
    }

    pub fn add(&mut self, value: f64) {
        if !value.is_nan() {
            self.count += 1;
            self.sum += value;
            self.squares += value * value;
            self.least = self.least.min(value);
            self.most = self.most.max(value);
        }
    }

    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// 1.96 standard errors around the mean, within the values that there are
    /// (as those of a bootstrap are); none for fewer than ten values.
    pub fn interval(&self) -> Option<[f64; 2]> {
        let mean = self.mean().filter(|_| self.count >= FEWEST)?;
        let n = self.count as f64;
        let variance = (self.squares - n * mean * mean).max(0.0) / (n - 1.0);
        let half = NORMAL * (variance / n).sqrt();
        Some([(mean - half).max(self.least), (mean + half).min(self.most)])
    }
}

/// Wilson's interval of a share of hits among independent tries (JASA 1927).
pub fn wilson(hits: usize, tries: usize) -> Option<[f64; 2]> {
    if tries == 0 {
        return None;
    }
    let (n, p) = (tries as f64, hits as f64 / tries as f64);
    let z2 = NORMAL * NORMAL;
    let middle = p + z2 / (2.0 * n);
    let half = NORMAL * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    Some([(middle - half) / scale, (middle + half) / scale])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bootstrap_agrees_with_the_standard_error() {
        let mut random = Seed(3).stream("values");
        let values: Vec<f64> = (0..900).map(|_| random.uniform64()).collect();
        let [low, high] = Moments::of(&values).interval().unwrap();
        let [b_low, b_high] = mean_intervals(&[&values], Seed(1))[0];
        let width = high - low;
        // 2 * 1.96 * sqrt(1/12) / 30
        assert!((width - 0.0377).abs() < 0.002, "{width}");
        assert!((b_low - low).abs() < 0.15 * width, "{b_low} {low}");
        assert!((b_high - high).abs() < 0.15 * width, "{b_high} {high}");
    }

    #[test]
    fn missing_values_do_not_count() {
        let values = [1.0, f64::NAN, 1.0];
        assert_eq!(Moments::of(&values).mean(), Some(1.0));
        assert_eq!(Moments::of(&values).interval(), None);
        assert_eq!(Moments::of(&[1.0; 10]).interval(), Some([1.0, 1.0]));
        assert_eq!(mean_intervals(&[&values], Seed(1))[0], [1.0, 1.0]);
    }

    /// Against the formula, worked out in Python.
    #[test]
    fn shares_have_the_interval_of_wilson() {
        let [low, high] = wilson(5, 20).unwrap();
        assert!((low - 0.111_861_7).abs() < 1e-6, "{low}");
        assert!((high - 0.468_700_9).abs() < 1e-6, "{high}");
        assert_eq!(wilson(0, 0), None);
    }
}

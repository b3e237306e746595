//! MAE = mean of |predicted - actual|.
//!
//! Over all held-out ratings, not over users; ratings that the model cannot
//! predict are left out and counted.
//!
//! Herlocker et al.: "Evaluating collaborative filtering recommender systems",
//! TOIS 2004.

use super::{Direction, Kind, MetricEntry};

pub static ENTRY: MetricEntry = MetricEntry {
    name: "mae",
    aliases: &[],
    summary: "Mean absolute rating error",
    definition: "mean |predicted - actual|",
    citation: "Herlocker et al.: Evaluating collaborative filtering recommender systems, TOIS 2004",
    direction: Direction::LowerIsBetter,
    kind: Kind::Rating { error, finish },
};

/// What one rating adds to the mean; `difference` is predicted minus actual.
///
/// ```
/// use recsys::metrics::mae;
/// let mean = (mae::error(1.0) + mae::error(-7.0)) / 2.0;
/// assert_eq!(mae::finish(mean), 4.0);
/// ```
pub fn error(difference: f64) -> f64 {
    difference.abs()
}

/// From the mean error to the value.
pub fn finish(mean: f64) -> f64 {
    mean
}

//! RMSE = square root of the mean of (predicted - actual)^2.
//!
//! Over all held-out ratings, not over users; ratings that the model cannot
//! predict are left out and counted.
//!
//! Herlocker et al.: "Evaluating collaborative filtering recommender systems",
//! TOIS 2004.

use super::{Direction, Kind, MetricEntry};

pub static ENTRY: MetricEntry = MetricEntry {
    name: "rmse",
    aliases: &[],
    summary: "Root of the mean squared rating error",
    definition: "sqrt(mean (predicted - actual)^2)",
    citation: "Herlocker et al.: Evaluating collaborative filtering recommender systems, TOIS 2004",
    direction: Direction::LowerIsBetter,
    kind: Kind::Rating { error, finish },
};

/// What one rating adds to the mean; `difference` is predicted minus actual.
///
/// ```
/// use recsys::metrics::rmse;
/// let mean = (rmse::error(1.0) + rmse::error(-7.0)) / 2.0;
/// assert_eq!(rmse::finish(mean), 5.0);
/// ```
pub fn error(difference: f64) -> f64 {
    difference * difference
}

/// From the mean error to the value.
pub fn finish(mean: f64) -> f64 {
    mean.sqrt()
}

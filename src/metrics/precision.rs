//! Precision@k = hits / k.
//!
//! A list shorter than k is still divided by k.
//!
//! Herlocker et al.: "Evaluating collaborative filtering recommender systems",
//! TOIS 2004.

use super::{Direction, Kind, MetricEntry};

pub static ENTRY: MetricEntry = MetricEntry {
    name: "precision",
    aliases: &[],
    summary: "Share of the list that was held out",
    definition: "hits / k",
    citation: "Herlocker et al.: Evaluating collaborative filtering recommender systems, TOIS 2004",
    direction: Direction::HigherIsBetter,
    kind: Kind::List(at_k),
};

/// One user's value; `hits` are the first k ranks, or fewer.
///
/// ```
/// use recsys::metrics::precision;
/// assert_eq!(precision::at_k(&[false, true], 1, 4), 0.25);
/// ```
pub fn at_k(hits: &[bool], _relevant: usize, k: usize) -> f64 {
    let found = hits.iter().filter(|hit| **hit).count();
    found as f64 / k as f64
}

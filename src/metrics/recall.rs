//! Recall@k = hits / |T|.
//!
//! With |T| > k the best list stays below 1.
//!
//! Cremonesi, Koren, Turrin: "Performance of recommender algorithms on top-N
//! recommendation tasks", RecSys 2010.

use super::{Direction, Kind, MetricEntry};

pub static ENTRY: MetricEntry = MetricEntry {
    name: "recall",
    aliases: &[],
    summary: "Share of the held-out items that the list holds",
    definition: "hits / |T|",
    citation: "Cremonesi, Koren, Turrin: Performance of recommender algorithms on top-N recommendation tasks, RecSys 2010",
    direction: Direction::HigherIsBetter,
    kind: Kind::List(at_k),
};

/// One user's value; `hits` are the first k ranks, or fewer.
///
/// ```
/// use recsys::metrics::recall;
/// // One of the four held-out items is among the first three.
/// assert_eq!(recall::at_k(&[false, true, false], 4, 3), 0.25);
/// ```
pub fn at_k(hits: &[bool], relevant: usize, _k: usize) -> f64 {
    let found = hits.iter().filter(|hit| **hit).count();
    found as f64 / relevant as f64
}

//! HitRate@k = 1 if any of the first k is a hit, else 0.
//!
//! Under leave-one-out it equals recall.
//!
//! Deshpande, Karypis: "Item-based top-N recommendation algorithms", TOIS 2004.

use super::{Direction, Kind, MetricEntry};

pub static ENTRY: MetricEntry = MetricEntry {
    name: "hit_rate",
    aliases: &["hit", "hr"],
    summary: "Share of the users with at least one hit",
    definition: "1 if any hit, else 0",
    citation: "Deshpande, Karypis: Item-based top-N recommendation algorithms, TOIS 2004",
    direction: Direction::HigherIsBetter,
    kind: Kind::List(at_k),
};

/// One user's value; `hits` are the first k ranks, or fewer.
///
/// ```
/// use recsys::metrics::hit_rate;
/// assert_eq!(hit_rate::at_k(&[false, true], 3, 2), 1.0);
/// assert_eq!(hit_rate::at_k(&[false, false], 3, 2), 0.0);
/// ```
pub fn at_k(hits: &[bool], _relevant: usize, _k: usize) -> f64 {
    f64::from(u8::from(hits.contains(&true)))
}

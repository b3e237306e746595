//! MRR@k = 1 / rank of the first hit among the first k, else 0.
//!
//! Ranks count from 1.
//!
//! Voorhees: "The TREC-8 question answering track report", TREC 1999.

use super::{Direction, Kind, MetricEntry};

pub static ENTRY: MetricEntry = MetricEntry {
    name: "mrr",
    aliases: &[],
    summary: "Reciprocal rank of the first hit",
    definition: "1/rank of the first hit, else 0",
    citation: "Voorhees: The TREC-8 question answering track report, TREC 1999",
    direction: Direction::HigherIsBetter,
    kind: Kind::List(at_k),
};

/// One user's value; `hits` are the first k ranks, or fewer.
///
/// ```
/// use recsys::metrics::mrr;
/// assert_eq!(mrr::at_k(&[false, true, true], 2, 3), 0.5);
/// ```
pub fn at_k(hits: &[bool], _relevant: usize, _k: usize) -> f64 {
    let first = hits.iter().position(|hit| *hit);
    first.map_or(0.0, |index| ((index + 1) as f64).recip())
}

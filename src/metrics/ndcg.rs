//! NDCG@k = DCG / ideal DCG with binary gain: a hit at rank r adds 1/log2(r + 1).
//!
//! The ideal list has min(k, |T|) hits at its head, so that 1 can always be
//! reached.
//!
//! Järvelin, Kekäläinen: "Cumulated gain-based evaluation of IR techniques",
//! TOIS 2002.

use super::{Direction, Kind, MetricEntry};

pub static ENTRY: MetricEntry = MetricEntry {
    name: "ndcg",
    aliases: &[],
    summary: "Hits discounted by rank, over the best possible list",
    definition: "binary gain, 1/log2(rank+1), ideal over min(k, |T|)",
    citation: "Järvelin, Kekäläinen: Cumulated gain-based evaluation of IR techniques, TOIS 2002",
    direction: Direction::HigherIsBetter,
    kind: Kind::List(at_k),
};

/// One user's value; `hits` are the first k ranks, or fewer.
///
/// ```
/// use recsys::metrics::ndcg;
/// // A hit at rank 2 of a single held-out item: 1/log2(3).
/// let value = ndcg::at_k(&[false, true], 1, 2);
/// assert!((value - 0.6309297535714574).abs() < 1e-15);
/// ```
pub fn at_k(hits: &[bool], relevant: usize, k: usize) -> f64 {
    let discount = |index: usize| ((index + 2) as f64).log2().recip();
    let gain: f64 = (0..hits.len()).filter(|&i| hits[i]).map(discount).sum();
    let ideal: f64 = (0..k.min(relevant)).map(discount).sum();
    gain / ideal
}

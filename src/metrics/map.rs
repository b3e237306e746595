//! MAP@k = sum of the precision at the rank of each hit / min(k, |T|).
//!
//! Some tools divide by |T|, which keeps a list of k below 1 when |T| > k.
//!
//! Manning, Raghavan, Schütze: "Introduction to information retrieval", 2008,
//! section 8.4; the divisor as in McFee et al.: "The million song dataset
//! challenge", WWW 2012.

use super::{Direction, Kind, MetricEntry};

pub static ENTRY: MetricEntry = MetricEntry {
    name: "map",
    aliases: &[],
    summary: "Mean of the precision at each hit",
    definition: "sum of precision at each hit / min(k, |T|)",
    citation: "McFee et al.: The million song dataset challenge, WWW 2012",
    direction: Direction::HigherIsBetter,
    kind: Kind::List(at_k),
};

/// One user's value; `hits` are the first k ranks, or fewer.
///
/// ```
/// use recsys::metrics::map;
/// // Hits at ranks 1 and 3 of two held-out items: (1/1 + 2/3) / 2.
/// let value = map::at_k(&[true, false, true], 2, 3);
/// assert!((value - 5.0 / 6.0).abs() < 1e-15);
/// ```
pub fn at_k(hits: &[bool], relevant: usize, k: usize) -> f64 {
    let ranks = (1..)
        .zip(hits)
        .filter(|(_, hit)| **hit)
        .map(|(rank, _)| rank);
    let precisions = (1..)
        .zip(ranks)
        .map(|(found, rank): (u32, u32)| f64::from(found) / f64::from(rank));
    precisions.sum::<f64>() / k.min(relevant) as f64
}

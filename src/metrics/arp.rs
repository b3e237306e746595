//! ARP@k = mean number of training interactions of what is recommended.
//!
//! 0 when nothing is recommended.
//!
//! Yin et al.: "Challenging the long tail recommendation", VLDB 2012.

use super::{Direction, Exposure, Kind, MetricEntry};

pub static ENTRY: MetricEntry = MetricEntry {
    name: "arp",
    aliases: &[],
    summary: "Average popularity of the recommended items",
    definition: "mean training interactions of recommended items",
    citation: "Yin et al.: Challenging the long tail recommendation, VLDB 2012",
    direction: Direction::LowerIsBetter,
    kind: Kind::Exposure(of),
};

/// The value over all lists.
///
/// ```
/// use recsys::metrics::{Exposure, arp};
/// let lists = Exposure { recommended: &[1, 3], popularity: &[4, 8] };
/// assert_eq!(arp::of(&lists), 7.0);
/// ```
pub fn of(exposure: &Exposure<'_>) -> f64 {
    let total: u64 = exposure.recommended.iter().sum();
    let pairs = exposure.recommended.iter().zip(exposure.popularity);
    let sum: u128 = pairs.map(|(&n, &p)| u128::from(n) * u128::from(p)).sum();
    sum as f64 / total.max(1) as f64
}

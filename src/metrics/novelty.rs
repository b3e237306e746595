//! Novelty@k = mean of -log2(popularity share) over all recommended items, in bits.
//!
//! The share is an item's training interactions over all training
//! interactions. An item without any counts as if it had one, since its true
//! value is infinite. 0 when nothing is recommended.
//!
//! Zhou et al.: "Solving the apparent diversity-accuracy dilemma of
//! recommender systems", PNAS 2010.

use super::{Direction, Exposure, Kind, MetricEntry};

pub static ENTRY: MetricEntry = MetricEntry {
    name: "novelty",
    aliases: &[],
    summary: "How unpopular the recommended items are, in bits",
    definition: "mean of -log2(share of training interactions), unseen items as if seen once",
    citation: "Zhou et al.: Solving the apparent diversity-accuracy dilemma of recommender systems, PNAS 2010",
    direction: Direction::HigherIsBetter,
    kind: Kind::Exposure(of),
};

/// The value over all lists.
///
/// ```
/// use recsys::metrics::{Exposure, novelty};
/// // Shares 1/2 and 1/8, recommended once and twice: (1 + 3 + 3) / 3.
/// let lists = Exposure { recommended: &[1, 2, 0], popularity: &[4, 1, 3] };
/// assert!((novelty::of(&lists) - 7.0 / 3.0).abs() < 1e-15);
/// ```
pub fn of(exposure: &Exposure<'_>) -> f64 {
    let interactions: u64 = exposure.popularity.iter().map(|&c| u64::from(c)).sum();
    let interactions = interactions.max(1) as f64;
    let bits = |popularity: u32| (interactions / f64::from(popularity.max(1))).log2();
    let total: u64 = exposure.recommended.iter().sum();
    let pairs = exposure.recommended.iter().zip(exposure.popularity);
    let sum: f64 = pairs.map(|(&n, &p)| n as f64 * bits(p)).sum();
    sum / total.max(1) as f64
}

//! Gini@k = Gini coefficient of the items' recommendation counts: 0 when all are
//! recommended equally often, near 1 when a few take all.
//!
//! Over the whole catalog, also items that are never recommended; 0 when
//! nothing is.
//!
//! Fleder, Hosanagar: "Blockbuster culture's next rise or fall", Management
//! Science 2009.

use super::{Direction, Exposure, Kind, MetricEntry};

pub static ENTRY: MetricEntry = MetricEntry {
    name: "gini",
    aliases: &[],
    summary: "Inequality of how often items are recommended",
    definition: "Gini coefficient of recommendation counts over the catalog",
    citation: "Fleder, Hosanagar: Blockbuster culture's next rise or fall, Management Science 2009",
    direction: Direction::LowerIsBetter,
    kind: Kind::Exposure(of),
};

/// The value over all lists.
///
/// ```
/// use recsys::metrics::{Exposure, gini};
/// let even = Exposure { recommended: &[2, 2], popularity: &[1, 1] };
/// assert_eq!(gini::of(&even), 0.0);
/// let uneven = Exposure { recommended: &[0, 4], popularity: &[1, 1] };
/// assert_eq!(gini::of(&uneven), 0.5);
/// ```
pub fn of(exposure: &Exposure<'_>) -> f64 {
    let mut counts = exposure.recommended.to_vec();
    counts.sort_unstable();
    let n = counts.len() as i128;
    // Integers up to the one division: exact, whatever the order.
    let total: i128 = counts.iter().map(|&c| i128::from(c)).sum();
    let weighted: i128 = (1i128..)
        .zip(&counts)
        .map(|(place, &c)| (2 * place - n - 1) * i128::from(c))
        .sum();
    if total == 0 {
        return 0.0;
    }
    weighted as f64 / (n * total) as f64
}

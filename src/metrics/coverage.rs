//! Coverage@k = share of the catalog that is recommended to anyone.
//!
//! The catalog is every item of the data set, also items without training
//! interactions.
//!
//! Ge, Delgado-Battenfeld, Jannach: "Beyond accuracy: evaluating recommender
//! systems by coverage and serendipity", RecSys 2010.

use super::{Direction, Exposure, Kind, MetricEntry};

pub static ENTRY: MetricEntry = MetricEntry {
    name: "coverage",
    aliases: &[],
    summary: "Share of the catalog that is recommended to anyone",
    definition: "share of the catalog recommended to anyone",
    citation: "Ge, Delgado-Battenfeld, Jannach: Beyond accuracy, RecSys 2010",
    direction: Direction::HigherIsBetter,
    kind: Kind::Exposure(of),
};

/// The value over all lists.
///
/// ```
/// use recsys::metrics::{Exposure, coverage};
/// let lists = Exposure { recommended: &[3, 0, 1, 0], popularity: &[5, 2, 1, 0] };
/// assert_eq!(coverage::of(&lists), 0.5);
/// ```
pub fn of(exposure: &Exposure<'_>) -> f64 {
    let shown = exposure.recommended.iter().filter(|count| **count > 0);
    shown.count() as f64 / exposure.recommended.len().max(1) as f64
}

//! ClickAUC = share of the pairs (clicked row, row not clicked) that the
//! scores put in the right order; a tie counts half.
//!
//! Over all held-out rows together, whoever's they are, as click prediction is
//! judged; `auc` is the one of rankings, user by user.
//!
//! Fawcett: "An introduction to ROC analysis", Pattern Recognition Letters 2006.

use super::{Direction, Kind, MetricEntry, auc};

pub static ENTRY: MetricEntry = MetricEntry {
    name: "click_auc",
    aliases: &[],
    summary: "Share of (clicked, not clicked) rows in the right order",
    definition: "over all held-out rows together, ties count half",
    citation: CITATION,
    direction: Direction::HigherIsBetter,
    kind: Kind::Clicks { of, cold: false },
};

pub static COLD: MetricEntry = MetricEntry {
    name: "cold_click_auc",
    aliases: &[],
    summary: "click_auc over the rows of cold items",
    definition: "click_auc over rows whose item has fewer training interactions than evaluation.cold_below",
    citation: CITATION,
    direction: Direction::HigherIsBetter,
    kind: Kind::Clicks { of, cold: true },
};

const CITATION: &str = "Fawcett: An introduction to ROC analysis, Pattern Recognition Letters 2006";

/// The value of scores beside what became of them; `None` unless some were
/// clicked and others not.
///
/// ```
/// use recsys::metrics::click_auc;
/// // 0.9 beats both, 0.5 beats 0.1 and ties with 0.5: (2 + 1.5) / 4.
/// let scores = [0.9, 0.5, 0.5, 0.1];
/// assert_eq!(click_auc::of(&scores, &[true, true, false, false]), Some(0.875));
/// assert_eq!(click_auc::of(&scores, &[true; 4]), None);
/// ```
pub fn of(scores: &[f32], clicked: &[bool]) -> Option<f64> {
    let those = |wanted: bool| {
        let rows = scores.iter().zip(clicked);
        let rows = rows.filter(|(_, y)| **y == wanted);
        rows.map(|(score, _)| *score).collect::<Vec<_>>()
    };
    auc::of(&those(true), &those(false))
}

//! LogLoss = mean of `-y ln p - (1 - y) ln (1 - p)` over all held-out rows,
//! where y is 1 for a click and 0 for what was shown and not clicked.
//!
//! Computed from the log-odds of p, so that no p is 0 or 1; natural
//! logarithm. Rows that the model cannot score are left out and counted.
//!
//! Good: "Rational decisions", Journal of the Royal Statistical Society B 1952.

use super::{Direction, Kind, MetricEntry};

pub static ENTRY: MetricEntry = MetricEntry {
    name: "log_loss",
    aliases: &["logloss"],
    summary: "Surprise at clicks and non-clicks",
    definition: "mean of -y ln p - (1 - y) ln (1 - p) over held-out rows",
    citation: CITATION,
    direction: Direction::LowerIsBetter,
    kind: Kind::Clicks { of, cold: false },
};

pub static COLD: MetricEntry = MetricEntry {
    name: "cold_log_loss",
    aliases: &[],
    summary: "log_loss over the rows of cold items",
    definition: "log_loss over rows whose item has fewer training interactions than evaluation.cold_below",
    citation: CITATION,
    direction: Direction::LowerIsBetter,
    kind: Kind::Clicks { of, cold: true },
};

const CITATION: &str = "Good: Rational decisions, Journal of the Royal Statistical Society B 1952";

/// The value of log-odds beside what became of them; `None` without rows.
///
/// ```
/// use recsys::metrics::log_loss;
/// // Even odds say nothing, whatever happens: ln 2.
/// let value = log_loss::of(&[0.0, 0.0], &[true, false]).unwrap();
/// assert!((value - 2f64.ln()).abs() < 1e-12);
/// // p = 3/4 for a click, p = 3/4 for none: (-ln 3/4 - ln 1/4) / 2.
/// let odds = 3f32.ln();
/// let value = log_loss::of(&[odds, odds], &[true, false]).unwrap();
/// assert!((value + (0.75f64.ln() + 0.25f64.ln()) / 2.0).abs() < 1e-7);
/// assert_eq!(log_loss::of(&[], &[]), None);
/// ```
pub fn of(log_odds: &[f32], clicked: &[bool]) -> Option<f64> {
    let rows = log_odds.iter().zip(clicked);
    // -ln p = ln(1 + e^-x) and -ln(1 - p) = ln(1 + e^x).
    let loss = |(x, y): (&f32, &bool)| {
        let x = if *y { -f64::from(*x) } else { f64::from(*x) };
        x.max(0.0) + (-x.abs()).exp().ln_1p()
    };
    let sum: f64 = rows.map(loss).sum();
    (!clicked.is_empty()).then(|| sum / clicked.len() as f64)
}

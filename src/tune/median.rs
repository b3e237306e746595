//! The median rule: which trials are not worth their end.
//!
//! Golovin et al.: Google Vizier: A Service for Black-Box Optimization, KDD
//! 2017 (median stopping rule), on the best value so far.

use crate::metrics::Direction;

/// Trials that must have come that far before one is held against them.
const LEAST: usize = 5;

/// Validations of a trial: epochs (ascending) and values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve(pub Vec<(usize, f64)>);

impl Curve {
    /// The best value up to an epoch; `None` for a trial that ended before it
    /// could be had, or began later.
    fn best_until(&self, epoch: usize, direction: Direction) -> Option<f64> {
        let until = self.0.iter().take_while(|(e, _)| *e <= epoch);
        let better = |a: f64, b: f64| if direction.is_better(b, a) { b } else { a };
        until.map(|(_, v)| *v).reduce(better)
    }
}

/// Whether the best of a trial so far is worse than the median of what the
/// others had reached by then. Trials that stopped by themselves count with
/// what they ended on, those that were given up only up to there.
pub fn hopeless(
    curve: &Curve,
    others: &[(Curve, bool)],
    after: usize,
    direction: Direction,
) -> bool {
    let Some(&(epoch, _)) = curve.0.last().filter(|_| curve.0.len() >= after) else {
        return false;
    };
    let reached = |(other, given_up): &&(Curve, bool)| {
        !given_up || other.0.last().is_some_and(|(last, _)| *last >= epoch)
    };
    let mut best: Vec<f64> = others
        .iter()
        .filter(reached)
        .filter_map(|(c, _)| c.best_until(epoch, direction))
        .collect();
    if best.len() < LEAST {
        return false;
    }
    best.sort_unstable_by(f64::total_cmp);
    let middle = best.len() / 2;
    let median = match best.len() % 2 {
        0 => (best[middle - 1] + best[middle]) / 2.0,
        _ => best[middle],
    };
    let ours = curve.best_until(epoch, direction);
    ours.is_some_and(|value| direction.is_better(median, value))
}

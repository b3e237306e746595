//! The median rule: which trials are not worth their end.
//!
//! Golovin et al.: Google Vizier: A Service for Black-Box Optimization, KDD
//! 2017 (median stopping rule), on the best value so far. By itself the rule
//! gives up small learning rates, which fall behind early and may end in
//! front, so a trial must be behind in prospect, too. Learning curves flatten
//! against the logarithm of time: a trial that goes on to gain with each
//! doubling of its epochs what it gained with the last one does better than it
//! is likely to.

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

/// When a trial may be given up.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Validations before that.
    pub after: usize,
    /// Epochs that it would have at most.
    pub epochs: usize,
}

/// Whether the best of a trial so far is worse than the median of what the
/// others had reached by then, and what it may come to is worse than the
/// median of what they came to. Trials that stopped by themselves count with
/// what they ended on, those that were given up only up to there.
pub fn hopeless(
    curve: &Curve,
    others: &[(Curve, bool)],
    patience: Patience,
    direction: Direction,
) -> bool {
    let last = curve.0.last();
    let Some(&(epoch, _)) = last.filter(|_| curve.0.len() >= patience.after) else {
        return false;
    };
    let reached = |(other, given_up): &&(Curve, bool)| {
        !given_up || other.0.last().is_some_and(|(last, _)| *last >= epoch)
    };
    let reached: Vec<&Curve> = others.iter().filter(reached).map(|(c, _)| c).collect();
    let median_until = |epoch| {
        let best = reached
            .iter()
            .filter_map(|c| c.best_until(epoch, direction));
        median(best.collect())
    };
    let (now, half) = (
        curve.best_until(epoch, direction),
        curve.best_until(epoch / 2, direction),
    );
    let (Some(now), Some(half)) = (now, half) else {
        return false;
    };
    let (Some(theirs), Some(at_end)) = (median_until(epoch), median_until(usize::MAX)) else {
        return false;
    };
    let doublings = (patience.epochs as f64 / epoch as f64).log2().max(0.0);
    let prospect = now + doublings * (now - half);
    direction.is_better(theirs, now) && direction.is_better(at_end, prospect)
}

/// `None` where there are too few.
fn median(mut values: Vec<f64>) -> Option<f64> {
    if values.len() < LEAST {
        return None;
    }
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    Some(match values.len() % 2 {
        0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    })
}

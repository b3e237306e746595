//! What one user's list says.

use crate::metrics::{Kind, MetricSpec};
use crate::ranking::Ranked;

/// Which numbers are wanted of each user.
pub struct Plan<'a> {
    /// The metrics with one value a user, in the order of the request.
    pub per_user: Vec<&'a MetricSpec>,
    /// The longest cutoff of all metrics of lists; 0 when there are none.
    pub longest: usize,
    /// Whether any metric looks at the scores of all items.
    pub wants_scores: bool,
}

/// One user's numbers.
pub struct Outcome {
    /// Parallel to [`Plan::per_user`]; NaN where the user has no value.
    pub values: Vec<f64>,
    /// The list, at the longest cutoff.
    pub items: Vec<u32>,
}

impl<'a> Plan<'a> {
    pub fn new(metrics: &'a [MetricSpec]) -> Self {
        let of_users = |m: &&MetricSpec| matches!(m.entry.kind, Kind::List(_) | Kind::Scores(_));
        let of_scores = |m: &MetricSpec| matches!(m.entry.kind, Kind::Scores(_));
        Self {
            per_user: metrics.iter().filter(of_users).collect(),
            longest: metrics.iter().filter_map(|m| m.cutoff).max().unwrap_or(0),
            wants_scores: metrics.iter().any(of_scores),
        }
    }

    /// The numbers of a list; `relevant` is T, ascending. `scores` holds those
    /// of T and those of the other items, where the plan wants them.
    pub fn judge(&self, list: Ranked, relevant: &[u32], scores: &Scores) -> Outcome {
        let mut items = list.items;
        items.truncate(self.longest);
        let hit = |item: &u32| relevant.binary_search(item).is_ok();
        let hits: Vec<bool> = items.iter().map(hit).collect();
        let value = |spec: &&MetricSpec| match spec.entry.kind {
            Kind::List(at_k) => {
                let k = spec.cutoff.unwrap_or(self.longest);
                at_k(&hits[..k.min(hits.len())], relevant.len(), k)
            }
            Kind::Scores(of) => of(&scores.relevant, &scores.others).unwrap_or(f64::NAN),
            Kind::Exposure(_) | Kind::Rating { .. } | Kind::Clicks { .. } => f64::NAN,
        };
        Outcome {
            values: self.per_user.iter().map(value).collect(),
            items,
        }
    }

    /// The numbers of a user whom the model cannot serve: an empty list, and
    /// no preference between any two items.
    pub fn miss(&self, relevant: usize) -> Vec<f64> {
        let value = |spec: &&MetricSpec| match spec.entry.kind {
            Kind::List(at_k) => at_k(&[], relevant, spec.cutoff.unwrap_or(self.longest)),
            _ => 0.5,
        };
        self.per_user.iter().map(value).collect()
    }
}

/// The scores of T and of all other items that may be recommended; empty where
/// no metric wants them.
#[derive(Default)]
pub struct Scores {
    pub relevant: Vec<f32>,
    pub others: Vec<f32>,
}

impl Scores {
    /// From the scores of the whole catalog; `relevant` is ascending.
    pub fn of_row(row: &[f32], relevant: &[u32]) -> Self {
        let open = |score: &&f32| **score > f32::NEG_INFINITY;
        let mut scores = Self {
            relevant: Vec::with_capacity(relevant.len()),
            others: Vec::with_capacity(row.len()),
        };
        let mut start = 0;
        for &item in relevant {
            let item = item as usize;
            scores.others.extend(row[start..item].iter().filter(open));
            scores.relevant.extend(row[item..=item].iter().filter(open));
            start = item + 1;
        }
        scores.others.extend(row[start..].iter().filter(open));
        scores
    }

    /// From pairs of item and score; masked items have minus infinity.
    pub fn divide(pairs: impl Iterator<Item = (u32, f32)>, relevant: &[u32]) -> Self {
        let mut scores = Self::default();
        for (item, score) in pairs.filter(|(_, s)| *s > f32::NEG_INFINITY) {
            if relevant.binary_search(&item).is_ok() {
                scores.relevant.push(score);
            } else {
                scores.others.push(score);
            }
        }
        scores
    }
}

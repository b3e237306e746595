//! The metrics. Adding one is a file here and its two lines below.
//!
//! Ties are broken by the lower item index, and NaN never gets this far (see
//! [`crate::ranking`]). Sums and counts are kept apart and divided once.

pub mod arp;
pub mod auc;
pub mod click_auc;
pub mod coverage;
pub mod gini;
pub mod hit_rate;
pub mod log_loss;
pub mod mae;
pub mod map;
pub mod mrr;
pub mod ndcg;
pub mod novelty;
pub mod precision;
pub mod recall;
pub mod rmse;
mod spec;
mod values;

pub use spec::MetricSpec;
pub use values::MetricValues;

/// All metrics, in the order in which `recsys metrics` lists them.
pub static REGISTRY: &[&MetricEntry] = &[
    &recall::ENTRY,
    &precision::ENTRY,
    &hit_rate::ENTRY,
    &ndcg::ENTRY,
    &mrr::ENTRY,
    &map::ENTRY,
    &auc::ENTRY,
    &coverage::ENTRY,
    &gini::ENTRY,
    &novelty::ENTRY,
    &arp::ENTRY,
    &rmse::ENTRY,
    &mae::ENTRY,
    &log_loss::ENTRY,
    &log_loss::COLD,
    &click_auc::ENTRY,
    &click_auc::COLD,
];

/// What the program knows of a metric.
#[derive(Debug)]
pub struct MetricEntry {
    pub name: &'static str,
    /// Other names that are understood, never printed.
    pub aliases: &'static [&'static str],
    pub summary: &'static str,
    /// The formula in one line, as reports print it.
    pub definition: &'static str,
    /// Authors, title, venue, year.
    pub citation: &'static str,
    pub direction: Direction,
    pub kind: Kind,
}

/// Which values are better; early stopping asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    HigherIsBetter,
    LowerIsBetter,
}

impl Direction {
    /// Whether `value` beats `best`; NaN beats nothing.
    pub fn is_better(self, value: f64, best: f64) -> bool {
        match self {
            Self::HigherIsBetter => value > best,
            Self::LowerIsBetter => value < best,
        }
    }
}

/// What a metric is computed from.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// One value a user, then the mean over users. Gets whether each of the
    /// first k ranks is a hit (fewer where the list is shorter), |T|, and k.
    List(fn(&[bool], usize, usize) -> f64),
    /// One value a user, then the mean over the users that have one. Gets the
    /// scores of T and those of all other items that may be recommended.
    Scores(fn(&[f32], &[f32]) -> Option<f64>),
    /// One value from all lists together.
    Exposure(fn(&Exposure<'_>) -> f64),
    /// One value from all held-out ratings: `finish` of the mean of `error`
    /// of predicted minus actual.
    Rating {
        error: fn(f64) -> f64,
        finish: fn(f64) -> f64,
    },
    /// One value from all held-out rows, or with `cold` from those of items
    /// with few training interactions. Gets the log-odds of a click and
    /// whether there was one.
    Clicks {
        of: fn(&[f32], &[bool]) -> Option<f64>,
        cold: bool,
    },
}

/// How often each item was recommended, over all users, at one cutoff.
#[derive(Clone, Copy, Debug)]
pub struct Exposure<'a> {
    /// One count for each item of the catalog.
    pub recommended: &'a [u64],
    /// Interactions of each item in train, parallel to `recommended`.
    pub popularity: &'a [u32],
}

impl MetricEntry {
    /// Whether the metric is written with a cutoff, as in `ndcg@10`.
    pub fn has_cutoff(&self) -> bool {
        matches!(self.kind, Kind::List(_) | Kind::Exposure(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn names_and_aliases_are_distinct() {
        let mut seen = HashSet::new();
        for entry in REGISTRY {
            for name in entry.aliases.iter().chain([&entry.name]) {
                assert!(seen.insert(*name), "{name} stands twice");
                assert!(!name.contains('@'), "{name}");
            }
        }
    }

    fn at_k(name: &str, hits: &[bool], relevant: usize, k: usize) -> f64 {
        let entry = REGISTRY.iter().find(|e| e.name == name).unwrap();
        let Kind::List(value) = entry.kind else {
            panic!("{name} is not a list metric")
        };
        value(&hits[..hits.len().min(k)], relevant, k)
    }

    fn list_metrics() -> impl Iterator<Item = &'static str> {
        REGISTRY
            .iter()
            .filter(|e| matches!(e.kind, Kind::List(_)))
            .map(|e| e.name)
    }

    /// A list with its number of relevant items, at least those that it holds.
    fn lists() -> impl Strategy<Value = (Vec<bool>, usize)> {
        (proptest::collection::vec(any::<bool>(), 0..12), 0usize..6).prop_map(|(hits, more)| {
            let held = hits.iter().filter(|h| **h).count();
            (hits, (held + more).max(1))
        })
    }

    proptest! {
        #[test]
        fn list_metrics_lie_in_the_unit_interval((hits, relevant) in lists(), k in 1usize..15) {
            for name in list_metrics() {
                let value = at_k(name, &hits, relevant, k);
                prop_assert!((0.0..=1.0).contains(&value), "{} = {}", name, value);
            }
        }

        #[test]
        fn hit_rate_and_recall_never_fall_with_k((hits, relevant) in lists(), k in 1usize..15) {
            for name in ["hit_rate", "recall"] {
                prop_assert!(at_k(name, &hits, relevant, k) <= at_k(name, &hits, relevant, k + 1));
            }
        }

        #[test]
        fn the_ideal_list_scores_one(relevant in 1usize..8, k in 1usize..12) {
            let hits: Vec<bool> = (0..12).map(|rank| rank < relevant).collect();
            for name in ["ndcg", "mrr", "map", "hit_rate"] {
                prop_assert_eq!(at_k(name, &hits, relevant, k), 1.0, "{}", name);
            }
        }

        #[test]
        fn no_hit_scores_zero(len in 0usize..12, relevant in 1usize..8, k in 1usize..12) {
            for name in list_metrics() {
                prop_assert_eq!(at_k(name, &vec![false; len], relevant, k), 0.0, "{}", name);
            }
        }
    }
}

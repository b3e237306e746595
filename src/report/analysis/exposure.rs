//! What is shown: popular items or the long tail, much of the catalog or
//! little, and what that costs in accuracy.

use super::items::by_popularity;
use super::{Material, Subject};
use crate::metrics::{Exposure, MetricSpec, arp, coverage, gini, novelty};
use serde::{Deserialize, Serialize};

/// Exposure of the items in the first k of the kept lists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exposures {
    /// By model, of those whose lists are at hand.
    pub models: Vec<Exposed>,
    pub concentration: Concentration,
    /// Some items across the ranks of popularity.
    pub items: Vec<ShownItem>,
}

/// Figures of one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exposed {
    pub model: String,
    /// The metric that stands for the others.
    pub accuracy: Option<f64>,
    pub coverage: f64,
    pub novelty: f64,
    pub gini: f64,
    /// Mean training interactions of a recommended item.
    pub popularity: f64,
}

/// Cumulative shares over the items from the most popular on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Concentration {
    /// Ranks of popularity, from 1 to the number of items.
    pub ranks: Vec<usize>,
    /// Of the training interactions, at each rank.
    pub training: Vec<f64>,
    /// Of the recommendations of each of [`Exposures::models`].
    pub recommended: Vec<Vec<f64>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShownItem {
    pub title: String,
    /// Training interactions.
    pub popularity: u32,
    /// Lists of the model that it stands in.
    pub recommended: u64,
}

/// Points of a curve of shares.
const POINTS: usize = 60;

/// Items that are shown one by one.
const ITEMS: usize = 300;

pub fn exposures(
    material: &Material<'_>,
    subjects: &[Subject<'_>],
    headline: Option<MetricSpec>,
) -> Option<Exposures> {
    let k = headline?.cutoff?;
    if subjects[0].lists.is_empty() {
        return None;
    }
    let popularity = material.train.item_counts();
    let order = by_popularity(&popularity);
    let ranks = log_ranks(order.len(), POINTS);
    let mut models = Vec::new();
    let mut recommended = Vec::new();
    let mut of_model = Vec::new();
    let at_hand = subjects.iter().filter(|s| !s.lists.is_empty());
    for subject in at_hand {
        let counts = subject.lists.counts(k, popularity.len());
        models.push(exposed(subject, &counts, &popularity, headline));
        recommended.push(shares(&order, &ranks, |i| counts[i] as f64));
        if of_model.is_empty() {
            of_model = counts;
        }
    }
    Some(Exposures {
        models,
        concentration: Concentration {
            training: shares(&order, &ranks, |i| f64::from(popularity[i])),
            recommended,
            ranks,
        },
        items: shown(material, &order, &popularity, &of_model),
    })
}

fn exposed(
    subject: &Subject<'_>,
    counts: &[u64],
    popularity: &[u32],
    headline: Option<MetricSpec>,
) -> Exposed {
    let exposure = Exposure {
        recommended: counts,
        popularity,
    };
    Exposed {
        model: subject.name.to_string(),
        accuracy: headline.and_then(|m| subject.metrics.get(&m.to_string())),
        coverage: coverage::of(&exposure),
        novelty: novelty::of(&exposure),
        gini: gini::of(&exposure),
        popularity: arp::of(&exposure),
    }
}

/// About `points` ranks from 1 to `items`, evenly spaced by their logarithm.
fn log_ranks(items: usize, points: usize) -> Vec<usize> {
    let top = (items as f64).ln();
    let rank = |i: usize| (top * i as f64 / (points - 1) as f64).exp().round() as usize;
    let mut ranks: Vec<usize> = (0..points)
        .map(|i| rank(i).clamp(1, items.max(1)))
        .collect();
    ranks.dedup();
    ranks
}

fn shares(order: &[u32], ranks: &[usize], amount: impl Fn(usize) -> f64) -> Vec<f64> {
    let total: f64 = (0..order.len()).map(&amount).sum();
    let mut sum = 0.0;
    let mut done = 0;
    let share = |&rank: &usize| {
        for &item in &order[done..rank.min(order.len())] {
            sum += amount(item as usize);
        }
        done = rank.min(order.len());
        if total > 0.0 { sum / total } else { 0.0 }
    };
    ranks.iter().map(share).collect()
}

/// Half of them evenly over the ranks, half by the logarithm of the rank.
fn shown(
    material: &Material<'_>,
    order: &[u32],
    popularity: &[u32],
    recommended: &[u64],
) -> Vec<ShownItem> {
    let half = (ITEMS / 2).min(order.len());
    let mut ranks = log_ranks(order.len(), ITEMS / 2);
    ranks.extend((0..half).map(|i| i * order.len() / half.max(1) + 1));
    ranks.sort_unstable();
    ranks.dedup();
    let items = ranks.iter().filter_map(|rank| order.get(rank - 1));
    let shown = items.map(|&item| ShownItem {
        title: material.item_name(item),
        popularity: popularity[item as usize],
        recommended: recommended[item as usize],
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_go_from_first_to_last() {
        assert_eq!(log_ranks(5, 60), [1, 2, 3, 4, 5]);
        let many = log_ranks(1_000_000, 60);
        assert_eq!((many[0], many[many.len() - 1]), (1, 1_000_000));
        assert!(many.len() > 45);
    }

    #[test]
    fn shares_add_up_along_the_order() {
        let amounts = [1.0, 4.0, 3.0];
        let made = shares(&[1, 2, 0], &[1, 2, 3], |i| amounts[i]);
        assert_eq!(made, [0.5, 0.875, 1.0]);
        assert_eq!(shares(&[0], &[1], |_| 0.0), [0.0]);
    }
}

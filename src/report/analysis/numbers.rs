//! Learning curves and the shape of the data.

use super::Material;
use crate::event::EpochRecord;
use crate::ids::UserIdx;
use serde::{Deserialize, Serialize};

/// Points of a curve; more are thinned out evenly.
const MAX_POINTS: usize = 400;

/// How the training went, epoch by epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Curves {
    /// Mean training loss by epoch.
    pub loss: Vec<(usize, f64)>,
    /// The metric that was watched first.
    pub validation: Vec<Curve>,
    /// The last epoch that was better than all before it.
    pub best_epoch: Option<usize>,
}

/// One metric on the validation part by epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    pub metric: String,
    pub points: Vec<(usize, f64)>,
}

/// How the training interactions are spread.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataShape {
    /// Interactions of a user at the shares 0, 1/20, ... 1 of all users with
    /// any, ascending.
    pub per_user: Vec<u32>,
    /// The same of items.
    pub per_item: Vec<u32>,
    /// Users and items without training interactions.
    pub users_without: usize,
    pub items_without: usize,
}

pub fn curves(epochs: &[EpochRecord], watched: &str) -> Curves {
    let mut names: Vec<&String> = Vec::new();
    for name in epochs.iter().flat_map(|e| e.validation.keys()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.sort_by_key(|name| (*name != watched, name.to_string()));
    let points = |name: &String| {
        let value = |e: &EpochRecord| Some((e.epoch, *e.validation.get(name)?));
        thinned(epochs.iter().filter_map(value).collect())
    };
    let validation = names.iter().map(|name| Curve {
        metric: name.to_string(),
        points: points(name),
    });
    Curves {
        loss: thinned(epochs.iter().map(|e| (e.epoch, e.loss)).collect()),
        validation: validation.collect(),
        best_epoch: epochs.iter().rev().find(|e| e.best).map(|e| e.epoch),
    }
}

/// At most [`MAX_POINTS`], evenly spaced, with the first and the last.
fn thinned<T: Copy>(points: Vec<T>) -> Vec<T> {
    if points.len() <= MAX_POINTS {
        return points;
    }
    let last = points.len() - 1;
    let pick = |i: usize| points[i * last / (MAX_POINTS - 1)];
    (0..MAX_POINTS).map(pick).collect()
}

pub fn shape(material: &Material<'_>) -> DataShape {
    let train = material.train;
    let users = (0..train.num_users() as u32).map(|u| train.range(UserIdx(u)).len() as u32);
    let (per_user, users_without) = spread(users.collect());
    let (per_item, items_without) = spread(train.item_counts());
    DataShape {
        per_user,
        per_item,
        users_without,
        items_without,
    }
}

/// The counts above zero at twenty-one places, and the number of zeros.
fn spread(mut counts: Vec<u32>) -> (Vec<u32>, usize) {
    let all = counts.len();
    counts.retain(|c| *c > 0);
    counts.sort_unstable();
    let zeros = all - counts.len();
    let Some(last) = counts.len().checked_sub(1) else {
        return (Vec::new(), zeros);
    };
    ((0..=20).map(|i| counts[i * last / 20]).collect(), zeros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_curves_keep_their_ends() {
        let points: Vec<_> = (0..1000).map(|e| (e, e as f64)).collect();
        let thin = thinned(points);
        assert_eq!(thin.len(), MAX_POINTS);
        assert_eq!((thin[0].0, thin[MAX_POINTS - 1].0), (0, 999));
    }

    #[test]
    fn spreads_leave_out_zeros() {
        let (places, zeros) = spread(vec![0, 5, 1, 3, 0]);
        assert_eq!((places[0], places[10], places[20], zeros), (1, 3, 5, 2));
        assert_eq!(spread(vec![0]), (vec![], 1));
    }

    #[test]
    fn the_watched_metric_comes_first() {
        let record = |epoch, best| EpochRecord {
            epoch,
            loss: 1.0 / epoch as f64,
            best,
            validation: [("auc".to_string(), 0.5), ("ndcg@10".to_string(), 0.1)].into(),
            ..EpochRecord::default()
        };
        let made = curves(
            &[record(1, true), record(2, true), record(3, false)],
            "ndcg@10",
        );
        assert_eq!(made.validation[0].metric, "ndcg@10");
        assert_eq!(made.validation[1].points.len(), 3);
        assert_eq!(made.best_epoch, Some(2));
        assert_eq!(made.loss[1], (2, 0.5));
    }
}

//! Metrics of lists as the list grows.

use super::{Material, Subject};
use crate::evaluation::relevant_of;
use crate::metrics::{Kind, MetricSpec};
use serde::{Deserialize, Serialize};

/// A metric at several lengths of list, for each model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CutoffCurve {
    /// Without a cutoff, e.g. `ndcg`.
    pub metric: String,
    pub cutoffs: Vec<usize>,
    /// By model, parallel to `cutoffs`; absent where its lists are not at
    /// hand.
    pub values: Vec<Option<Vec<f64>>>,
}

const LENGTHS: [usize; 8] = [1, 2, 3, 5, 10, 20, 50, 100];

/// Of every metric of lists that was asked for, up to the longest list.
pub fn curves(material: &Material<'_>, subjects: &[Subject<'_>]) -> Vec<CutoffCurve> {
    let lists = subjects[0].lists;
    if lists.is_empty() {
        return Vec::new();
    }
    let mut cutoffs: Vec<usize> = LENGTHS.into_iter().filter(|k| *k < lists.k).collect();
    cutoffs.push(lists.k);
    let mut metrics: Vec<&MetricSpec> = Vec::new();
    for metric in material.metrics {
        let known = metrics.iter().any(|m| m.entry.name == metric.entry.name);
        if matches!(metric.entry.kind, Kind::List(_)) && !known {
            metrics.push(metric);
        }
    }
    let relevant: Vec<Vec<u32>> = lists
        .places
        .iter()
        .map(|&place| {
            let user = material.evaluated[place as usize];
            relevant_of(material.set, user, material.mask_seen).0
        })
        .collect();
    let by_subject: Vec<_> = subjects
        .iter()
        .map(|s| sums(s, &relevant, &metrics, &cutoffs))
        .collect();
    let curve = |(number, metric): (usize, &&MetricSpec)| CutoffCurve {
        metric: metric.entry.name.to_string(),
        cutoffs: cutoffs.clone(),
        values: by_subject
            .iter()
            .map(|sums| Some(mean(&sums.as_ref()?[number], relevant.len())))
            .collect(),
    };
    metrics.iter().enumerate().map(curve).collect()
}

fn mean(sums: &[f64], users: usize) -> Vec<f64> {
    sums.iter().map(|sum| sum / users as f64).collect()
}

/// Sums over users, by metric and cutoff.
fn sums(
    subject: &Subject<'_>,
    relevant: &[Vec<u32>],
    metrics: &[&MetricSpec],
    cutoffs: &[usize],
) -> Option<Vec<Vec<f64>>> {
    let lists = &subject.lists.items;
    if lists.len() != relevant.len() {
        return None;
    }
    let mut sums = vec![vec![0.0; cutoffs.len()]; metrics.len()];
    for (list, relevant) in lists.iter().zip(relevant) {
        let hit = |item: &u32| relevant.binary_search(item).is_ok();
        let hits: Vec<bool> = list.iter().map(hit).collect();
        for (sums, metric) in sums.iter_mut().zip(metrics) {
            let Kind::List(at_k) = metric.entry.kind else {
                continue;
            };
            for (sum, &k) in sums.iter_mut().zip(cutoffs) {
                *sum += at_k(&hits[..k.min(hits.len())], relevant.len(), k);
            }
        }
    }
    Some(sums)
}

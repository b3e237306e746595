//! How many held-out items of each group are found.

use super::groups::{Division, Group, Grouping};
use super::intervals::wilson;
use super::{Material, Subject};
use crate::evaluation::relevant_of;

/// Shares of the catalog, from the most popular item: head, and head with mid.
const HEAD: f64 = 0.1;
const MID: f64 = 0.5;

/// The held-out items of all users with kept lists, and who found them.
pub struct Hits {
    k: usize,
    items: Vec<u32>,
    /// Bit `s`: subject `s` has it among its first `k`.
    found: Vec<u32>,
    /// Whether a subject's lists are at hand.
    at_hand: Vec<bool>,
}

impl Hits {
    /// None where no lists were kept.
    pub fn new(material: &Material<'_>, subjects: &[Subject<'_>], k: usize) -> Option<Self> {
        let lists = subjects[0].lists;
        if lists.is_empty() || k == 0 {
            return None;
        }
        let at_hand = |s: &Subject<'_>| s.lists.places == lists.places;
        let mut hits = Self {
            k,
            items: Vec::new(),
            found: Vec::new(),
            at_hand: subjects.iter().map(at_hand).collect(),
        };
        for (number, &place) in lists.places.iter().enumerate() {
            let (relevant, _) = relevant_of(
                material.set,
                material.evaluated[place as usize],
                material.mask_seen,
            );
            for item in relevant {
                hits.items.push(item);
                hits.found.push(hits.finders(subjects, number, item));
            }
        }
        Some(hits)
    }

    fn finders(&self, subjects: &[Subject<'_>], number: usize, item: u32) -> u32 {
        let all = subjects.iter().zip(&self.at_hand).enumerate();
        all.filter(|(_, (s, at_hand))| {
            **at_hand && {
                let list = &s.lists.items[number];
                list[..self.k.min(list.len())].contains(&item)
            }
        })
        .fold(0, |bits, (place, _)| bits | 1 << place)
    }

    /// By popularity, by whether the training knew them, and by each feature.
    pub fn groupings(&self, material: &Material<'_>) -> Vec<Grouping> {
        let counts = material.train.item_counts();
        let mut divisions = vec![popularity(&counts), known(&counts)];
        divisions.extend(Division::by_table(material.item_features));
        let grouped = divisions.iter().map(|division| Grouping {
            title: division.title.clone(),
            measure: format!("share found in the first {}", self.k),
            unit: "held-out items".to_string(),
            groups: self.groups(division),
        });
        grouped.collect()
    }

    fn groups(&self, division: &Division) -> Vec<Group> {
        let subjects = self.at_hand.len();
        let mut counts = vec![0; division.labels.len()];
        let mut found = vec![vec![0; subjects]; counts.len()];
        for (&item, &bits) in self.items.iter().zip(&self.found) {
            for group in division.of(item) {
                counts[group] += 1;
                for (subject, found) in found[group].iter_mut().enumerate() {
                    *found += (bits >> subject & 1) as usize;
                }
            }
        }
        let made = division.labels.iter().zip(counts).zip(found);
        made.filter(|((_, count), _)| *count > 0)
            .map(|((label, count), found)| {
                let share = |(found, at_hand): (&usize, &bool)| {
                    at_hand.then(|| *found as f64 / count as f64)
                };
                let interval = wilson(found[0], count);
                Group {
                    label: label.clone(),
                    count,
                    values: found.iter().zip(&self.at_hand).map(share).collect(),
                    low: interval.map(|[low, _]| low),
                    high: interval.map(|[_, high]| high),
                }
            })
            .collect()
    }
}

/// Items from the most popular, ties by index.
pub fn by_popularity(counts: &[u32]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..counts.len() as u32).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(counts[i as usize]), i));
    order
}

/// Head, mid and tail of the items with training interactions.
pub fn popularity(counts: &[u32]) -> Division {
    let mut groups = vec![0; counts.len()];
    let known = counts.iter().filter(|c| **c > 0).count() as f64;
    let (head, mid) = ((HEAD * known).ceil(), (MID * known).ceil());
    for (rank, item) in by_popularity(counts).into_iter().enumerate() {
        let rank = rank as f64;
        groups[item as usize] = match counts[item as usize] {
            0 => 0,
            _ if rank < head => 1,
            _ if rank < mid => 2,
            _ => 4,
        };
    }
    let labels = ["head (top 10%)", "mid (next 40%)", "tail (last 50%)"];
    Division::new("popularity", &labels, groups)
}

fn known(counts: &[u32]) -> Division {
    let bit = |count: &u32| 1 << usize::from(*count == 0);
    let labels = ["in training", "new (cold)"];
    Division::new("known or new", &labels, counts.iter().map(bit).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_mid_and_tail_are_shares_of_the_catalog() {
        let counts = [5, 0, 9, 1, 1, 2, 3, 1, 1, 1, 1];
        let division = popularity(&counts);
        let group = |item| division.of(item).next();
        assert_eq!(group(2), Some(0));
        assert_eq!(group(1), None);
        assert_eq!([group(0), group(5), group(6), group(3)], [Some(1); 4]);
        assert_eq!([group(4), group(10)], [Some(2); 2]);
    }
}

//! Items that the same people had: one item under two ids, or a bundle.
//!
//! Pairs are found by MinHash (Broder, "On the resemblance and containment of
//! documents", 1997) in bands, and their Jaccard index is then counted
//! exactly.

use super::Data;
use super::finding::{Draft, Severity};
use super::items::example;
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};

/// Below, equal audiences are chance.
const FEWEST_USERS: usize = 10;
/// Beyond that share of all users, audiences are alike because nearly everybody
/// has both.
const MOST_OF_ALL: f64 = 0.25;
/// Users of both over users of either.
const ALIKE: f64 = 0.9;
/// A pair of that likeness shares a band with a chance of .9998.
const BANDS: usize = 8;
const ROWS: usize = 4;
/// Items of one bucket that are compared with each other.
const MOST_IN_BUCKET: usize = 30;

pub fn check(data: &Data<'_>) -> Option<Draft> {
    let audiences = Audiences::of(data);
    let most = (MOST_OF_ALL * data.dataset.users.len() as f64) as usize;
    let items: Vec<u32> = (0..audiences.len() as u32)
        .filter(|&i| (FEWEST_USERS..=most).contains(&audiences.of_item(i).len()))
        .collect();
    let mut pairs: Vec<(u32, u32)> = candidates(&audiences, &items)
        .into_par_iter()
        .filter(|&(a, b)| audiences.jaccard(a, b) >= ALIKE)
        .collect();
    pairs.sort_unstable();
    let twins: HashSet<u32> = pairs.iter().map(|&(_, later)| later).collect();
    if twins.is_empty() {
        return None;
    }
    let (count, of) = (twins.len(), items.len());
    let table = data.dataset.item_features.as_ref();
    Some(
        Draft::new("near-identical audiences", Severity::Warning, count, of)
            .says(format!(
                "{count} of {of} items with {FEWEST_USERS} users or more share nine in ten of \
                 their users with another item: one item under two ids, or things that only come \
                 together"
            ))
            .examples(pairs.iter().map(|&(a, b)| example(data, table, &[a, b])))
            .advice(
                "give both the same id where they are one; models of neighbors recommend one for \
                 the other",
            ),
    )
}

/// The distinct users of each item, ascending.
struct Audiences {
    offsets: Vec<usize>,
    users: Vec<u32>,
}

impl Audiences {
    fn of(data: &Data<'_>) -> Self {
        let log = &data.dataset.log;
        let num_items = data.dataset.items.len();
        // Of each user, items once.
        let mut last = vec![u32::MAX; num_items];
        let mut each = |visit: &mut dyn FnMut(u32, u32)| {
            last.fill(u32::MAX);
            for user in 0..data.by_user.num_users() as u32 {
                for &row in data.by_user.of(user as usize) {
                    let item = log.items[row as usize];
                    if std::mem::replace(&mut last[item as usize], user) != user {
                        visit(user, item);
                    }
                }
            }
        };
        let mut offsets = vec![0usize; num_items + 1];
        each(&mut |_, item| offsets[item as usize + 1] += 1);
        for i in 0..num_items {
            offsets[i + 1] += offsets[i];
        }
        let mut next = offsets.clone();
        let mut users = vec![0; offsets[num_items]];
        each(&mut |user, item| {
            let slot = &mut next[item as usize];
            users[*slot] = user;
            *slot += 1;
        });
        Self { offsets, users }
    }

    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    fn of_item(&self, item: u32) -> &[u32] {
        &self.users[self.offsets[item as usize]..self.offsets[item as usize + 1]]
    }

    fn jaccard(&self, a: u32, b: u32) -> f64 {
        let (a, b) = (self.of_item(a), self.of_item(b));
        let (mut i, mut j, mut both) = (0, 0, 0usize);
        while i < a.len() && j < b.len() {
            both += usize::from(a[i] == b[j]);
            let (x, y) = (a[i], b[j]);
            i += usize::from(x <= y);
            j += usize::from(y <= x);
        }
        both as f64 / (a.len() + b.len() - both) as f64
    }

    /// The least hash of a user, by each of the functions of a band.
    fn band(&self, item: u32, band: usize) -> [u32; ROWS] {
        let mut least = [u32::MAX; ROWS];
        for &user in self.of_item(item) {
            for (row, least) in least.iter_mut().enumerate() {
                *least = (*least).min(hash(user, (band * ROWS + row) as u64));
            }
        }
        least
    }
}

/// SplitMix64 over the user and the number of the function.
fn hash(user: u32, function: u64) -> u32 {
    let mut x = (u64::from(user) | (function << 32)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 32) as u32
}

/// Pairs of items that share a band; one band is in memory at a time.
fn candidates(audiences: &Audiences, items: &[u32]) -> HashSet<(u32, u32)> {
    let mut pairs = HashSet::new();
    for band in 0..BANDS {
        let hashes: Vec<[u32; ROWS]> = items
            .par_iter()
            .map(|&item| audiences.band(item, band))
            .collect();
        let mut buckets: HashMap<[u32; ROWS], Vec<u32>> = HashMap::new();
        for (hash, &item) in hashes.into_iter().zip(items) {
            buckets.entry(hash).or_default().push(item);
        }
        for bucket in buckets.values() {
            for (i, &b) in bucket.iter().enumerate() {
                // In a large bucket all are alike: the first stand for it.
                let before = &bucket[..i.min(MOST_IN_BUCKET)];
                pairs.extend(before.iter().map(|&a| (a, b)));
            }
        }
    }
    pairs
}

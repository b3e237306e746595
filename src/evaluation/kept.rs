//! Lists that are kept after they were judged, for whoever looks closer.

use serde::{Deserialize, Serialize};

/// The lists of the evaluated users, or of an even sample where there are
/// more than are to be kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserLists {
    /// The length of a list; shorter where fewer items are left.
    pub k: usize,
    /// Places in [`super::PerUser::users`], ascending.
    pub places: Vec<u32>,
    /// Dense item indices, best first, parallel to `places`; none for a user
    /// whom the model cannot serve.
    pub items: Vec<Vec<u32>>,
}

impl UserLists {
    /// Room for `kept` of the lists of `users` users, of length `k`.
    pub(super) fn new(users: usize, kept: usize, k: usize) -> Self {
        let kept = if k > 0 { kept.min(users) } else { 0 };
        let place = |i: usize| (i * users / kept.max(1)) as u32;
        Self {
            k,
            places: (0..kept).map(place).collect(),
            items: vec![Vec::new(); kept],
        }
    }

    /// Keeps the list of a user if it is among those that are kept.
    pub(super) fn put(&mut self, place: usize, items: Vec<u32>) {
        if let Ok(i) = self.places.binary_search(&(place as u32)) {
            self.items[i] = items;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// How often each item stands among the first `k` of the lists.
    pub fn counts(&self, k: usize, num_items: usize) -> Vec<u64> {
        let mut counts = vec![0; num_items];
        for list in &self.items {
            for &item in list.iter().take(k) {
                counts[item as usize] += 1;
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_even_and_takes_only_its_own() {
        let mut lists = UserLists::new(10, 4, 2);
        assert_eq!(lists.places, [0, 2, 5, 7]);
        for place in 0..10 {
            lists.put(place, vec![place as u32, 1]);
        }
        assert_eq!(
            lists.items,
            [vec![0, 1], vec![2, 1], vec![5, 1], vec![7, 1]]
        );
        assert_eq!(lists.counts(1, 8), [1, 0, 1, 0, 0, 1, 0, 1]);
        assert_eq!(UserLists::new(3, 10, 2).places, [0, 1, 2]);
        assert!(UserLists::new(3, 10, 0).is_empty());
    }
}

//! User-sorted interactions in compressed sparse rows.

use crate::data::times::{Times, TimesView};
use crate::ids::UserIdx;
use anyhow::{Context, Result, bail};
use rayon::prelude::*;

/// Interactions grouped by user; inside a user in time order, ties and logs
/// without timestamps by input row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interactions {
    /// `offsets[u]..offsets[u + 1]` are the positions of user `u`.
    pub offsets: Vec<usize>,
    /// Dense item indices.
    pub items: Vec<u32>,
    /// Rating, event weight or count, where the data has one.
    pub weights: Option<Vec<f32>>,
    /// Unix seconds, where the data has them.
    pub timestamps: Option<Times>,
    pub num_items: usize,
}

impl Interactions {
    /// No interactions of `num_users` users.
    pub fn empty(num_users: usize, num_items: usize) -> Self {
        Self {
            offsets: vec![0; num_users + 1],
            num_items,
            ..Self::default()
        }
    }

    pub fn num_users(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Positions of a user's interactions, empty for a user out of range.
    pub fn range(&self, user: UserIdx) -> std::ops::Range<usize> {
        let u = user.0 as usize;
        if u + 1 < self.offsets.len() {
            self.offsets[u]..self.offsets[u + 1]
        } else {
            0..0
        }
    }

    /// A user's items in time order.
    pub fn items_of(&self, user: UserIdx) -> &[u32] {
        &self.items[self.range(user)]
    }

    /// A user's times, parallel to [`Self::items_of`].
    pub fn times_of(&self, user: UserIdx) -> Option<TimesView<'_>> {
        let range = self.range(user);
        self.timestamps.as_ref().map(|times| times.view(range))
    }

    /// A user's weights, parallel to [`Self::items_of`].
    pub fn weights_of(&self, user: UserIdx) -> Option<&[f32]> {
        let range = self.range(user);
        self.weights.as_deref().map(|w| &w[range])
    }

    /// Weights that are labels: 1 for a click, 0 for what was shown and not
    /// clicked.
    ///
    /// # Errors
    /// No weights, or others.
    pub fn labels(&self) -> Result<&[f32]> {
        let weights = self.weights.as_deref().context(
            "the data has no ratings: name the column of ratings or clicks in `data.rating`",
        )?;
        match weights.iter().find(|w| **w != 0.0 && **w != 1.0) {
            None => Ok(weights),
            Some(other) => bail!(
                "a rating of {other} is no label: say in `data.clean.click_threshold` from which \
                 rating on it is a click"
            ),
        }
    }

    /// Number of interactions of each item.
    pub fn item_counts(&self) -> Vec<u32> {
        let mut counts = vec![0; self.num_items];
        for &item in &self.items {
            counts[item as usize] += 1;
        }
        counts
    }

    /// The user of each position.
    pub fn user_column(&self) -> Vec<u32> {
        let mut users = Vec::with_capacity(self.len());
        for u in 0..self.num_users() {
            users.resize(self.offsets[u + 1], u as u32);
        }
        users
    }

    /// Groups rows by user; `order` lists the row numbers in the order that
    /// they shall have inside their user. `weights` and `timestamps` are
    /// parallel to `users` and `items`.
    pub fn from_rows(
        order: &[u32],
        rows: &RowColumns<'_>,
        num_users: usize,
        num_items: usize,
    ) -> Self {
        let mut offsets = vec![0usize; num_users + 1];
        for &row in order {
            offsets[rows.users[row as usize] as usize + 1] += 1;
        }
        for u in 0..num_users {
            offsets[u + 1] += offsets[u];
        }
        let mut next = offsets.clone();
        let mut source = vec![0u32; order.len()];
        for &row in order {
            let slot = &mut next[rows.users[row as usize] as usize];
            source[*slot] = row;
            *slot += 1;
        }
        let pick = |row: &u32| *row as usize;
        Self {
            offsets,
            items: source.iter().map(|r| rows.items[pick(r)]).collect(),
            weights: rows
                .weights
                .map(|w| source.iter().map(|r| w[pick(r)]).collect()),
            timestamps: rows.timestamps.map(|t| Times::gather(t, &source)),
            num_items,
        }
    }

    /// Those whose position is to be kept, without weights and timestamps.
    pub fn filtered(&self, keep: impl Fn(usize) -> bool) -> Self {
        let mut kept = Self {
            offsets: vec![0],
            num_items: self.num_items,
            ..Self::default()
        };
        for bounds in self.offsets.windows(2) {
            let places = (bounds[0]..bounds[1]).filter(|place| keep(*place));
            kept.items.extend(places.map(|place| self.items[place]));
            kept.offsets.push(kept.items.len());
        }
        kept
    }

    /// The same interactions with each user's items sorted by index, for
    /// membership tests by binary search; without timestamps.
    pub fn sorted_by_item(&self) -> Self {
        let mut sorted = Self {
            offsets: self.offsets.clone(),
            items: self.items.clone(),
            weights: self.weights.clone(),
            timestamps: None,
            num_items: self.num_items,
        };
        let mut users = Vec::with_capacity(self.num_users());
        let mut items = &mut sorted.items[..];
        let mut weights = sorted.weights.as_deref_mut();
        for bounds in self.offsets.windows(2) {
            let len = bounds[1] - bounds[0];
            let of_user = items.split_off_mut(..len);
            let weights_of_user = weights.as_mut().and_then(|w| w.split_off_mut(..len));
            users.extend(of_user.map(|items| (items, weights_of_user)));
        }
        users
            .into_par_iter()
            .with_min_len(64)
            .for_each(|(items, weights)| match weights {
                None => items.sort_unstable(),
                Some(weights) => sort_both(items, weights),
            });
        sorted
    }
}

/// Sorts items and their weights by item, equal ones in their order.
fn sort_both(items: &mut [u32], weights: &mut [f32]) {
    let mut rows: Vec<(u32, f32)> = items.iter().copied().zip(weights.iter().copied()).collect();
    rows.sort_by_key(|row| row.0);
    for ((item, weight), row) in items.iter_mut().zip(weights).zip(rows) {
        (*item, *weight) = row;
    }
}

/// Parallel columns of interaction rows.
#[derive(Clone, Copy, Debug)]
pub struct RowColumns<'a> {
    pub users: &'a [u32],
    pub items: &'a [u32],
    pub weights: Option<&'a [f32]>,
    pub timestamps: Option<&'a [i64]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_whom_nothing_is_kept_stay() {
        let log = Interactions {
            offsets: vec![0, 2, 2, 3, 5],
            items: vec![4, 0, 1, 2, 3],
            num_items: 6,
            ..Interactions::default()
        };
        let kept = log.filtered(|place| place % 2 == 1);
        assert_eq!(kept.offsets, [0, 1, 1, 1, 2]);
        assert_eq!((kept.items, kept.num_items), (vec![0, 2], 6));
    }

    #[test]
    fn groups_by_user_and_keeps_the_given_order() {
        let rows = RowColumns {
            users: &[1, 0, 1, 1],
            items: &[5, 2, 3, 4],
            weights: Some(&[1.0, 2.0, 3.0, 4.0]),
            timestamps: None,
        };
        let log = Interactions::from_rows(&[3, 0, 1], &rows, 3, 6);
        assert_eq!(log.offsets, [0, 1, 3, 3]);
        assert_eq!(log.items_of(UserIdx(1)), [4, 5]);
        assert_eq!(log.weights_of(UserIdx(1)), Some(&[4.0, 1.0][..]));
        assert_eq!(log.items_of(UserIdx(2)), [0u32; 0]);
        assert_eq!(log.items_of(UserIdx(9)), [0u32; 0]);
        assert_eq!(log.user_column(), [0, 1, 1]);
        let sorted = log.sorted_by_item();
        assert_eq!(sorted.items, [2, 4, 5]);
        assert_eq!(sorted.weights, Some(vec![2.0, 4.0, 1.0]));
    }
}

//! The examples of a step, gathered by user.

use crate::kernels::groups::{Grouper, Groups};

/// The examples of a step; where steps go row by row, those of a user next to
/// each other.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The user of each example.
    pub users: Vec<u32>,
    /// Row-major `[positive, negative, ...]` of each example.
    pub items: Vec<u32>,
    /// What each example is to score, for losses with targets; else empty.
    pub targets: Vec<f32>,
    pub by_user: Groups,
    /// Over the places of `items`.
    pub by_item: Groups,
    pub grouper: Grouper,
}

impl Batch {
    /// Items of an example.
    pub fn width(&self) -> usize {
        self.items.len() / self.users.len().max(1)
    }

    /// Gathers the places of the items, once they are final.
    pub fn group_items(&mut self) {
        self.grouper.group(&self.items, &mut self.by_item);
    }
}

/// Makes batches; holds what they have in common.
#[derive(Clone, Debug)]
pub struct Batcher {
    /// Absent where examples stay in the order of the draws.
    users: Option<Grouper>,
    num_items: usize,
    drawn_users: Vec<u32>,
    drawn_items: Vec<u32>,
    drawn_targets: Vec<f32>,
}

impl Batcher {
    pub fn new(num_users: usize, num_items: usize) -> Self {
        Self {
            users: Some(Grouper::new(num_users)),
            num_items,
            drawn_users: Vec::new(),
            drawn_items: Vec::new(),
            drawn_targets: Vec::new(),
        }
    }

    /// For steps that take the examples one by one ([`super::Settings::hogwild`]).
    pub fn in_order(num_items: usize) -> Self {
        Self {
            users: None,
            ..Self::new(0, num_items)
        }
    }

    /// A batch without examples, for [`Self::fill`].
    pub fn empty(&self) -> Batch {
        Batch {
            grouper: Grouper::new(self.num_items),
            ..Batch::default()
        }
    }

    /// Fills a batch with `len` examples of `width` items. `draw` writes
    /// users and items; `targets` come in the same order, or not at all.
    pub fn fill(
        &mut self,
        batch: &mut Batch,
        (len, width): (usize, usize),
        draw: impl FnOnce(&mut [u32], &mut [u32]),
        targets: impl Iterator<Item = f32>,
    ) {
        let Some(grouper) = &mut self.users else {
            batch.users.resize(len, 0);
            batch.items.resize(len * width, 0);
            draw(&mut batch.users, &mut batch.items);
            batch.targets.clear();
            batch.targets.extend(targets);
            return;
        };
        self.drawn_users.resize(len, 0);
        self.drawn_items.resize(len * width, 0);
        draw(&mut self.drawn_users, &mut self.drawn_items);
        self.drawn_targets.clear();
        self.drawn_targets.extend(targets);
        grouper.group(&self.drawn_users, &mut batch.by_user);
        let places = || batch.by_user.places.iter().map(|&place| place as usize);
        batch.users.clear();
        batch.users.extend(places().map(|p| self.drawn_users[p]));
        batch.items.clear();
        for place in places() {
            let row = &self.drawn_items[place * width..(place + 1) * width];
            batch.items.extend_from_slice(row);
        }
        batch.targets.clear();
        if !self.drawn_targets.is_empty() {
            let targets = places().map(|place| self.drawn_targets[place]);
            batch.targets.extend(targets);
        }
    }
}

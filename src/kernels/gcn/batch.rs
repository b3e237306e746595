//! The examples of a step, as rows of the graph.

use crate::kernels::groups::{Grouper, Groups};
use crate::kernels::propagate::Graph;

/// The examples of a step.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The row of each example's user.
    pub users: Vec<u32>,
    /// The rows of each example's items, `[positive, negative, ...]`.
    pub items: Vec<u32>,
    /// The distinct rows of users, then items. The `g`-th of them has the slot
    /// `g + 1`; their places are those of `users`, then those of `items`.
    pub groups: Groups,
    /// The slot of each row of the graph, 0 outside the batch.
    pub slots: Vec<u32>,
    grouper: Grouper,
    looked_up: Vec<u32>,
}

impl Batch {
    pub fn new(graph: &Graph) -> Self {
        Self {
            users: Vec::new(),
            items: Vec::new(),
            groups: Groups::default(),
            slots: vec![0; graph.num_nodes()],
            grouper: Grouper::new(graph.num_nodes()),
            looked_up: Vec::new(),
        }
    }

    /// Takes over examples: users, and `width` items of each.
    pub fn fill(&mut self, graph: &Graph, users: &[u32], items: &[u32]) {
        for &row in &self.groups.rows {
            self.slots[row as usize] = 0;
        }
        let (rows, first) = (graph.rows(), graph.num_users());
        let user_rows = users.iter().map(|&user| rows[user as usize]);
        let item_rows = items.iter().map(|&item| rows[first + item as usize]);
        self.users.clear();
        self.users.extend(user_rows);
        self.items.clear();
        self.items.extend(item_rows);
        self.looked_up.clear();
        self.looked_up.extend(&self.users);
        self.looked_up.extend(&self.items);
        self.grouper.group(&self.looked_up, &mut self.groups);
        for (slot, &row) in (1..).zip(&self.groups.rows) {
            self.slots[row as usize] = slot;
        }
    }

    /// Items of an example.
    pub fn width(&self) -> usize {
        self.items.len() / self.users.len().max(1)
    }

    /// The slots of the distinct users, and of the distinct positives.
    pub fn to_contrast(&self) -> [Vec<u32>; 2] {
        let (examples, width) = (self.users.len(), self.width());
        let is_user = |place: &u32| (*place as usize) < examples;
        let is_positive =
            |place: &u32| !is_user(place) && (*place as usize - examples).is_multiple_of(width);
        let slots = |of: &dyn Fn(&u32) -> bool| {
            let groups =
                (0..self.groups.len()).filter(|&g| self.groups.places_of(g).iter().any(of));
            groups.map(|g| g as u32 + 1).collect()
        };
        [slots(&is_user), slots(&is_positive)]
    }
}

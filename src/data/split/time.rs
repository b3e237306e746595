//! Rows in time order, and by user.

use crate::data::dataset::Log;
use rayon::prelude::*;

/// Row numbers in time order, ties by input row; in input order where there
/// are no timestamps.
pub(super) fn time_order(log: &Log) -> Vec<u32> {
    let mut order: Vec<u32> = (0..log.len() as u32).collect();
    if let Some(times) = &log.timestamps {
        order.par_sort_unstable_by_key(|&row| (times[row as usize], row));
    }
    order
}

/// Row numbers grouped by user.
pub(super) struct UserRows {
    offsets: Vec<usize>,
    rows: Vec<u32>,
}

impl UserRows {
    /// Keeps `order` inside each user.
    pub fn new(log: &Log, order: &[u32], num_users: usize) -> Self {
        let mut offsets = vec![0usize; num_users + 1];
        for &user in &log.users {
            offsets[user as usize + 1] += 1;
        }
        for u in 0..num_users {
            offsets[u + 1] += offsets[u];
        }
        let mut next = offsets.clone();
        let mut rows = vec![0; order.len()];
        for &row in order {
            let slot = &mut next[log.users[row as usize] as usize];
            rows[*slot] = row;
            *slot += 1;
        }
        Self { offsets, rows }
    }

    pub fn num_users(&self) -> usize {
        self.offsets.len() - 1
    }

    pub fn of(&self, user: usize) -> &[u32] {
        &self.rows[self.offsets[user]..self.offsets[user + 1]]
    }

    /// Of all pairs of consecutive interactions of one user, the share whose
    /// timestamps are equal, so that their order is only that of the input;
    /// `None` without timestamps, 0 without pairs.
    pub fn tie_rate(&self, log: &Log) -> Option<f64> {
        let times = log.timestamps.as_deref()?;
        let (mut ties, mut pairs) = (0usize, 0usize);
        for user in 0..self.num_users() {
            for pair in self.of(user).windows(2) {
                pairs += 1;
                ties += usize::from(times[pair[0] as usize] == times[pair[1] as usize]);
            }
        }
        Some(ties as f64 / pairs.max(1) as f64)
    }
}

//! Training users like somebody that training never saw.

use crate::data::interactions::Interactions;
use crate::ids::UserIdx;

/// How many similar users stand in for a new one.
const NEIGHBORS: usize = 50;

/// Finds training users by overlap of histories.
pub struct Neighbors {
    /// `offsets[i]..offsets[i + 1]` are the users of item `i`.
    offsets: Vec<usize>,
    users: Vec<u32>,
    /// Interactions of each user.
    lengths: Vec<u32>,
}

impl Neighbors {
    pub fn new(train: &Interactions) -> Self {
        let mut offsets = vec![0usize; train.num_items + 1];
        for &item in &train.items {
            offsets[item as usize + 1] += 1;
        }
        for i in 0..train.num_items {
            offsets[i + 1] += offsets[i];
        }
        let mut next = offsets.clone();
        let mut users = vec![0; train.len()];
        let mut lengths = vec![0; train.num_users()];
        for u in 0..train.num_users() as u32 {
            let items = train.items_of(UserIdx(u));
            lengths[u as usize] = items.len() as u32;
            for &item in items {
                users[next[item as usize]] = u;
                next[item as usize] += 1;
            }
        }
        Self {
            offsets,
            users,
            lengths,
        }
    }

    /// Users and weights (summing to 1): the users with the largest cosine
    /// between their histories and this one, weighted by it. Where nobody
    /// shares an item, everybody with the same weight: the average user.
    pub fn blend(&self, history: &[u32]) -> Vec<(u32, f32)> {
        let mut overlap = vec![0u32; self.lengths.len()];
        for &item in history {
            for &user in &self.users[self.offsets[item as usize]..self.offsets[item as usize + 1]] {
                overlap[user as usize] += 1;
            }
        }
        let mut similar: Vec<(f32, u32)> = overlap
            .iter()
            .zip(0u32..)
            .filter(|(o, _)| **o > 0)
            .map(|(&o, u)| (o as f32 / (self.lengths[u as usize] as f32).sqrt(), u))
            .collect();
        similar.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        similar.truncate(NEIGHBORS);
        if similar.is_empty() {
            similar = (0u32..)
                .zip(&self.lengths)
                .filter(|(_, l)| **l > 0)
                .map(|(u, _)| (1.0, u))
                .collect();
        }
        let total: f32 = similar.iter().map(|s| s.0).sum();
        similar
            .into_iter()
            .map(|(weight, user)| (user, weight / total))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn train() -> Interactions {
        Interactions {
            offsets: vec![0, 2, 3, 3],
            items: vec![0, 1, 2],
            num_items: 4,
            ..Interactions::default()
        }
    }

    #[test]
    fn users_who_share_items_are_found() {
        assert_eq!(Neighbors::new(&train()).blend(&[1, 0]), [(0, 1.0)]);
    }

    #[test]
    fn nobody_in_common_gives_the_average_of_those_with_interactions() {
        let neighbors = Neighbors::new(&train());
        assert_eq!(neighbors.blend(&[]), [(0, 0.5), (1, 0.5)]);
        assert_eq!(neighbors.blend(&[3]), [(0, 0.5), (1, 0.5)]);
    }
}

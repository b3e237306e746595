//! Training users like somebody that training never saw, and what is learned of
//! them blended for that one.

use crate::data::interactions::Interactions;
use crate::ids::UserIdx;
use crate::params::host;
use anyhow::Result;
use burn::tensor::{Tensor, TensorData};

/// How many similar users stand in for a new one.
const NEIGHBORS: usize = 50;

/// Training users and their weights, which sum to 1.
pub type Blend = Vec<(u32, f32)>;

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

    /// The users with the largest cosine between their histories and this one,
    /// weighted by it. Where nobody shares an item, everybody with the same
    /// weight: the average user.
    pub fn blend(&self, history: &[u32]) -> Blend {
        self.nearest(history).unwrap_or_else(|| {
            let known = (0u32..).zip(&self.lengths).filter(|(_, l)| **l > 0);
            normalized(known.map(|(user, _)| (1.0, user)).collect())
        })
    }

    /// As [`Self::blend`], absent where nobody shares an item.
    pub fn nearest(&self, history: &[u32]) -> Option<Blend> {
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
        (!similar.is_empty()).then(|| normalized(similar))
    }
}

fn normalized(similar: Vec<(f32, u32)>) -> Blend {
    let total: f32 = similar.iter().map(|s| s.0).sum();
    let weights = similar.into_iter();
    weights.map(|(s, user)| (user, s / total)).collect()
}

/// Replaces the rows `[queries, columns]` that have a blend by that weighted
/// sum of what `rows_of` has of training users, `[users, columns]`.
///
/// # Errors
/// A device that fails.
pub fn blend_rows(
    rows: Tensor<2>,
    blends: &[Option<Blend>],
    rows_of: impl FnOnce(&[u32]) -> Tensor<2>,
) -> Result<Tensor<2>> {
    let ([count, columns], device) = (rows.dims(), rows.device());
    let blended = blends.iter().flatten().flatten();
    let mut sources: Vec<u32> = blended.map(|(user, _)| *user).collect();
    if sources.is_empty() {
        return Ok(rows);
    }
    sources.sort_unstable();
    sources.dedup();
    let taken = host(rows_of(&sources))?;
    let mut values = host(rows)?;
    for (row, blend) in values.chunks_mut(columns).zip(blends) {
        let Some(blend) = blend else { continue };
        row.fill(0.0);
        for &(user, weight) in blend {
            let place = sources.partition_point(|s| *s < user);
            let source = &taken[place * columns..][..columns];
            for (value, s) in row.iter_mut().zip(source) {
                *value += weight * s;
            }
        }
    }
    let values = TensorData::new(values, [count, columns]);
    Ok(Tensor::from_data(values, &device))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn train() -> Interactions {
        Interactions {
            offsets: vec![0, 2, 3, 3],
            items: vec![0, 1, 2],
            num_items: 4,
            ..Interactions::default()
        }
    }

    /// What is learned of a user here is ten times its number.
    #[test]
    fn blends_are_weighted_sums_of_rows() {
        let device = Device::flex();
        let rows = Tensor::from_data(TensorData::new(vec![7.0f32, 8.0, 9.0], [3, 1]), &device);
        let blends = [None, Some(vec![(5, 0.25), (2, 0.75)]), Some(vec![(9, 1.0)])];
        let rows_of = |users: &[u32]| {
            assert_eq!(users, [2, 5, 9]);
            let values = vec![20.0f32, 50.0, 90.0];
            Tensor::from_data(TensorData::new(values, [3, 1]), &device)
        };
        let blended = blend_rows(rows, &blends, rows_of).unwrap();
        assert_eq!(host(blended).unwrap(), [7.0, 27.5, 90.0]);
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
        assert_eq!(neighbors.nearest(&[3]), None);
    }
}

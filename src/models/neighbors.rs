//! Training users like somebody that training never saw, and what is learned of
//! them blended for that one.

use crate::data::interactions::Interactions;
use crate::ids::UserIdx;
use crate::params::host;
use anyhow::Result;
use burn::tensor::{Tensor, TensorData};
use std::sync::Arc;

/// How many similar users stand in for a new one.
const NEIGHBORS: usize = 50;

/// Training users among whom they are looked for, at most, evenly spaced: a new
/// user would otherwise cost what the log is long.
const POOL: usize = 50_000;

/// Training users who stand for all of them, at most, evenly spaced.
const TYPICAL: usize = 4096;

/// Whose rows stand in for that of somebody new.
#[derive(Clone, Debug, PartialEq)]
pub enum Blend {
    /// Training users and their weights, which sum to 1.
    Of(Vec<(u32, f32)>),
    /// All of these alike, who are the same in each blend of a model.
    Average(Arc<[u32]>),
}

/// Finds training users by overlap of histories.
pub struct Neighbors {
    /// Those who may be found.
    pool: Vec<u32>,
    /// Interactions of each of them.
    lengths: Vec<u32>,
    /// `offsets[i]..offsets[i + 1]` are those who have item `i`.
    offsets: Vec<usize>,
    /// Their places in the pool.
    places: Vec<u32>,
    typical: Arc<[u32]>,
}

impl Neighbors {
    pub fn new(train: &Interactions) -> Self {
        let items_of = |user: u32| train.items_of(UserIdx(user));
        let mut pool: Vec<u32> = (0..train.num_users() as u32)
            .filter(|&user| !items_of(user).is_empty())
            .collect();
        let typical = evenly_spaced(&pool, TYPICAL).into();
        pool = evenly_spaced(&pool, POOL);
        let mut offsets = vec![0usize; train.num_items + 1];
        for &item in pool.iter().flat_map(|&user| items_of(user)) {
            offsets[item as usize + 1] += 1;
        }
        for i in 0..train.num_items {
            offsets[i + 1] += offsets[i];
        }
        let mut next = offsets.clone();
        let mut places = vec![0; offsets[train.num_items]];
        for (&user, place) in pool.iter().zip(0..) {
            for &item in items_of(user) {
                places[next[item as usize]] = place;
                next[item as usize] += 1;
            }
        }
        let lengths = pool.iter().map(|&user| items_of(user).len() as u32);
        Self {
            lengths: lengths.collect(),
            pool,
            offsets,
            places,
            typical,
        }
    }

    /// The users with the largest cosine between their histories and this one,
    /// weighted by it. Where nobody shares an item, the average user.
    pub fn blend(&self, history: &[u32]) -> Blend {
        let average = || Blend::Average(self.typical.clone());
        self.nearest(history).unwrap_or_else(average)
    }

    /// As [`Self::blend`], absent where nobody shares an item.
    pub fn nearest(&self, history: &[u32]) -> Option<Blend> {
        let mut overlap = vec![0u32; self.pool.len()];
        for &item in history {
            let range = self.offsets[item as usize]..self.offsets[item as usize + 1];
            for &place in &self.places[range] {
                overlap[place as usize] += 1;
            }
        }
        let of = overlap.iter().zip(&self.lengths).zip(&self.pool);
        let mut similar: Vec<(f32, u32)> = of
            .filter(|((overlap, _), _)| **overlap > 0)
            .map(|((&overlap, &length), &user)| (overlap as f32 / (length as f32).sqrt(), user))
            .collect();
        let nearer = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if similar.len() > NEIGHBORS {
            similar.select_nth_unstable_by(NEIGHBORS, nearer);
            similar.truncate(NEIGHBORS);
        }
        similar.sort_unstable_by(nearer);
        (!similar.is_empty()).then(|| Blend::Of(normalized(similar)))
    }
}

/// At most so many of them.
fn evenly_spaced(users: &[u32], most: usize) -> Vec<u32> {
    let count = users.len().min(most);
    let place = |i: usize| users[i * users.len() / count];
    (0..count).map(place).collect()
}

fn normalized(similar: Vec<(f32, u32)>) -> Vec<(u32, f32)> {
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
    rows_of: impl Fn(&[u32]) -> Tensor<2>,
) -> Result<Tensor<2>> {
    let ([count, columns], device) = (rows.dims(), rows.device());
    if blends.iter().all(Option::is_none) {
        return Ok(rows);
    }
    let sources = sources(blends);
    let taken = match sources.is_empty() {
        true => Vec::new(),
        false => host(rows_of(&sources))?,
    };
    let average = average(blends, columns, &rows_of)?;
    let mut values = host(rows)?;
    for (row, blend) in values.chunks_mut(columns).zip(blends) {
        match blend {
            None => {}
            Some(Blend::Average(_)) => row.copy_from_slice(&average),
            Some(Blend::Of(users)) => {
                row.fill(0.0);
                for &(user, weight) in users {
                    let place = sources.partition_point(|s| *s < user);
                    let source = &taken[place * columns..][..columns];
                    for (value, s) in row.iter_mut().zip(source) {
                        *value += weight * s;
                    }
                }
            }
        }
    }
    let values = TensorData::new(values, [count, columns]);
    Ok(Tensor::from_data(values, &device))
}

/// The users whose rows are summed, each once, by number.
fn sources(blends: &[Option<Blend>]) -> Vec<u32> {
    let weighted = blends.iter().flatten().filter_map(|blend| match blend {
        Blend::Of(users) => Some(users),
        Blend::Average(_) => None,
    });
    let mut sources: Vec<u32> = weighted.flatten().map(|(user, _)| *user).collect();
    sources.sort_unstable();
    sources.dedup();
    sources
}

/// The mean of the rows of those who stand for all, if any blend is that; zero
/// where there are none.
fn average(
    blends: &[Option<Blend>],
    columns: usize,
    rows_of: impl Fn(&[u32]) -> Tensor<2>,
) -> Result<Vec<f32>> {
    let users = blends.iter().flatten().find_map(|blend| match blend {
        Blend::Average(users) => Some(users),
        Blend::Of(_) => None,
    });
    match users {
        Some(users) if !users.is_empty() => host(rows_of(users).mean_dim(0)),
        _ => Ok(vec![0.0; columns]),
    }
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
        let rows = Tensor::from_data(TensorData::new(vec![7.0f32; 5], [5, 1]), &device);
        let average = || Some(Blend::Average(Arc::from([1, 2, 6])));
        let blends = [
            None,
            Some(Blend::Of(vec![(5, 0.25), (2, 0.75)])),
            average(),
            Some(Blend::Of(vec![(9, 1.0)])),
            average(),
        ];
        let rows_of = |users: &[u32]| {
            assert!(users == [2, 5, 9] || users == [1, 2, 6]);
            let values: Vec<f32> = users.iter().map(|&user| 10.0 * user as f32).collect();
            Tensor::from_data(TensorData::new(values, [3, 1]), &device)
        };
        let blended = blend_rows(rows, &blends, rows_of).unwrap();
        assert_eq!(host(blended).unwrap(), [7.0, 27.5, 30.0, 90.0, 30.0]);
    }

    #[test]
    fn users_who_share_items_are_found() {
        assert_eq!(
            Neighbors::new(&train()).blend(&[1, 0]),
            Blend::Of(vec![(0, 1.0)])
        );
    }

    #[test]
    fn nobody_in_common_gives_the_average_of_those_with_interactions() {
        let neighbors = Neighbors::new(&train());
        let average = Blend::Average(Arc::from([0, 1]));
        assert_eq!(neighbors.blend(&[]), average);
        assert_eq!(neighbors.blend(&[3]), average);
        assert_eq!(neighbors.nearest(&[3]), None);
    }

    #[test]
    fn of_many_users_some_are_looked_at() {
        assert_eq!(evenly_spaced(&[3, 5, 7, 9, 11], 2), [3, 7]);
        assert_eq!(evenly_spaced(&[3, 5], 4), [3, 5]);
        assert_eq!(evenly_spaced(&[], 4), [0; 0]);
        // User `u` has item `u % 3`.
        let users = 2 * POOL;
        let train = Interactions {
            offsets: (0..=users).collect(),
            items: (0..users as u32).map(|u| u % 3).collect(),
            num_items: 3,
            ..Interactions::default()
        };
        let neighbors = Neighbors::new(&train);
        assert_eq!(neighbors.places.len(), POOL);
        let Blend::Of(found) = neighbors.blend(&[1]) else {
            panic!("a third of all have the item");
        };
        assert_eq!(found.len(), NEIGHBORS);
        assert!(found.iter().all(|(user, _)| user % 3 == 1));
    }
}

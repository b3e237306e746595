//! The nearest neighbors of every item, as a sparse matrix.

use super::ItemKnn;
use crate::data::interactions::Interactions;
use crate::tensors::NamedTensors;
use anyhow::{Result, ensure};
use rayon::prelude::*;

/// Sparse rows of similarities: row `i` lists, by item index, the items `j`
/// that have `i` among their nearest neighbors, with `sim(i, j)`. Each item
/// is in at most `neighbors` rows, which bounds the memory.
///
/// As in RecBole's `ItemKNN`, where `W` keeps the largest entries of each
/// column and scores are `R W`. Ties go to the lower item index.
pub(super) struct Neighbors {
    offsets: Vec<usize>,
    items: Vec<u32>,
    similarities: Vec<f32>,
}

/// A sparse matrix of interactions with one entry for each distinct pair.
struct Matrix {
    offsets: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
}

/// Dense sums for one item at a time, and which of them are in use.
struct Accumulator {
    sums: Vec<f64>,
    touched: Vec<u32>,
}

impl Neighbors {
    /// `sim(i, j) = r_i . r_j / (|r_i| |r_j| + shrinkage + 1e-6)` over the
    /// users' columns `r`, which hold 1 where there was an interaction, or
    /// the sum of its weights.
    pub fn of(train: &Interactions, spec: &ItemKnn) -> Result<Self> {
        ensure!(
            !spec.weighted || train.weights.is_some(),
            "weighted = true needs a rating or weight column, which this data does not have: \
             set weighted = false"
        );
        let users = Matrix::from_interactions(train, spec.weighted);
        let items = users.transposed(train.num_items);
        let norms: Vec<f64> = (0..train.num_items).map(|i| items.norm(i)).collect();
        let columns: Vec<Vec<(u32, f32)>> = (0..train.num_items)
            .into_par_iter()
            .map_init(
                || Accumulator::new(train.num_items),
                |sums, j| {
                    sums.co_occurrences(j, &items, &users);
                    sums.take_nearest(spec.neighbors, |i| {
                        norms[i as usize] * norms[j] + spec.shrinkage + 1e-6
                    })
                },
            )
            .collect();
        Ok(Self::from_columns(&columns))
    }

    fn from_columns(columns: &[Vec<(u32, f32)>]) -> Self {
        let entries = columns.iter().map(Vec::len).sum();
        let mut offsets = vec![0usize; columns.len() + 1];
        for &(i, _) in columns.iter().flatten() {
            offsets[i as usize + 1] += 1;
        }
        accumulate(&mut offsets);
        let mut next = offsets.clone();
        let (mut items, mut similarities) = (vec![0; entries], vec![0.0; entries]);
        for (j, column) in columns.iter().enumerate() {
            for &(i, similarity) in column {
                let slot = next[i as usize];
                items[slot] = j as u32;
                similarities[slot] = similarity;
                next[i as usize] += 1;
            }
        }
        Self {
            offsets,
            items,
            similarities,
        }
    }

    pub fn num_items(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The items that have `item` as a neighbor, and their similarities.
    pub fn row(&self, item: u32) -> (&[u32], &[f32]) {
        let range = self.offsets[item as usize]..self.offsets[item as usize + 1];
        (&self.items[range.clone()], &self.similarities[range])
    }

    /// `sim(i, j)` where `i` is a neighbor of `j`.
    pub fn similarity(&self, i: u32, j: u32) -> Option<f32> {
        let (items, similarities) = self.row(i);
        let position = items.binary_search(&j).ok()?;
        Some(similarities[position])
    }

    pub fn to_tensors(&self) -> NamedTensors {
        let mut named = NamedTensors::default();
        let offsets = self.offsets.iter().map(|&o| o as i64).collect();
        named.insert_i64("offsets", offsets);
        named.insert_u32("items", self.items.clone());
        let shape = [self.similarities.len()];
        named.insert_f32("similarities", &shape, self.similarities.clone());
        named
    }

    /// # Errors
    /// Tensors that do not form the rows of `num_items` items.
    pub fn from_tensors(named: &NamedTensors, num_items: usize) -> Result<Self> {
        let items = named.u32("items")?.to_vec();
        let similarities = named.f32("similarities", &[items.len()])?.to_vec();
        let offsets = named.i64("offsets")?;
        ensure!(
            offsets.len() == num_items + 1
                && offsets.first() == Some(&0)
                && offsets.last() == Some(&(items.len() as i64))
                && offsets.is_sorted()
                && items.iter().all(|&i| (i as usize) < num_items),
            "tensors `offsets` and `items` are not the neighbors of {num_items} items"
        );
        Ok(Self {
            offsets: offsets.iter().map(|&o| o as usize).collect(),
            items,
            similarities,
        })
    }
}

impl Matrix {
    /// One row for each user, columns ascending; repeated interactions count
    /// once, or with the sum of their weights.
    fn from_interactions(train: &Interactions, weighted: bool) -> Self {
        let mut matrix = Self {
            offsets: vec![0],
            columns: Vec::with_capacity(train.len()),
            values: Vec::with_capacity(train.len()),
        };
        let mut row: Vec<(u32, f32)> = Vec::new();
        for ends in train.offsets.windows(2) {
            let weight = |p: usize| match &train.weights {
                Some(weights) if weighted => weights[p],
                _ => 1.0,
            };
            row.clear();
            row.extend((ends[0]..ends[1]).map(|p| (train.items[p], weight(p))));
            row.sort_by_key(|&(item, _)| item);
            for same in row.chunk_by(|a, b| a.0 == b.0) {
                let sum = same.iter().map(|&(_, w)| w).sum();
                matrix.columns.push(same[0].0);
                matrix.values.push(if weighted { sum } else { 1.0 });
            }
            matrix.offsets.push(matrix.columns.len());
        }
        matrix
    }

    fn transposed(&self, num_columns: usize) -> Self {
        let mut offsets = vec![0usize; num_columns + 1];
        for &column in &self.columns {
            offsets[column as usize + 1] += 1;
        }
        accumulate(&mut offsets);
        let mut next = offsets.clone();
        let mut columns = vec![0; self.columns.len()];
        let mut values = vec![0.0; self.values.len()];
        for row in 0..self.offsets.len() - 1 {
            for (column, value) in self.row(row) {
                let slot = next[column as usize];
                columns[slot] = row as u32;
                values[slot] = value;
                next[column as usize] += 1;
            }
        }
        Self {
            offsets,
            columns,
            values,
        }
    }

    fn row(&self, row: usize) -> impl Iterator<Item = (u32, f32)> {
        let range = self.offsets[row]..self.offsets[row + 1];
        let values = self.values[range.clone()].iter().copied();
        self.columns[range].iter().copied().zip(values)
    }

    fn norm(&self, row: usize) -> f64 {
        let squares = self.row(row).map(|(_, v)| f64::from(v) * f64::from(v));
        squares.sum::<f64>().sqrt()
    }
}

impl Accumulator {
    fn new(num_items: usize) -> Self {
        Self {
            sums: vec![0.0; num_items],
            touched: Vec::new(),
        }
    }

    /// Sums `r_i . r_item` for every other item that shares a user.
    fn co_occurrences(&mut self, item: usize, items: &Matrix, users: &Matrix) {
        for (user, value) in items.row(item) {
            for (other, other_value) in users.row(user as usize) {
                let sum = &mut self.sums[other as usize];
                if *sum == 0.0 {
                    self.touched.push(other);
                }
                *sum += f64::from(value) * f64::from(other_value);
            }
        }
        self.sums[item] = 0.0;
    }

    /// The largest positive similarities, and a clean slate.
    fn take_nearest(&mut self, count: usize, denominator: impl Fn(u32) -> f64) -> Vec<(u32, f32)> {
        let sums = &mut self.sums;
        let similarity = |i: u32| {
            let sum = std::mem::take(&mut sums[i as usize]);
            (i, (sum / denominator(i)) as f32)
        };
        let mut nearest: Vec<(u32, f32)> = self.touched.drain(..).map(similarity).collect();
        nearest.retain(|&(_, similarity)| similarity > 0.0);
        let best_first =
            |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0));
        if nearest.len() > count {
            nearest.select_nth_unstable_by(count, best_first);
            nearest.truncate(count);
        }
        nearest
    }
}

/// Counts to offsets.
fn accumulate(offsets: &mut [usize]) {
    for i in 1..offsets.len() {
        offsets[i] += offsets[i - 1];
    }
}

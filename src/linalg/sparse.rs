//! Sparse matrices of interactions.

use super::memory::ensure_fits;
use crate::data::interactions::Interactions;
use anyhow::Result;
use rayon::prelude::*;

/// Compressed sparse rows with one entry for each distinct pair, columns
/// ascending inside a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sparse {
    pub offsets: Vec<usize>,
    pub columns: Vec<u32>,
    pub values: Vec<f32>,
}

impl Sparse {
    /// One row for each user; repeated interactions count once, or with the
    /// sum of their weights.
    pub fn from_interactions(train: &Interactions, weighted: bool) -> Self {
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

    /// From rows with ascending columns.
    pub fn from_rows(rows: Vec<Vec<(u32, f32)>>) -> Self {
        let entries = rows.iter().map(Vec::len).sum();
        let mut matrix = Self {
            offsets: vec![0],
            columns: Vec::with_capacity(entries),
            values: Vec::with_capacity(entries),
        };
        for row in rows {
            let (columns, values): (Vec<u32>, Vec<f32>) = row.into_iter().unzip();
            matrix.columns.extend(columns);
            matrix.values.extend(values);
            matrix.offsets.push(matrix.columns.len());
        }
        matrix
    }

    pub fn num_rows(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    pub fn transposed(&self, num_columns: usize) -> Self {
        let mut offsets = vec![0usize; num_columns + 1];
        for &column in &self.columns {
            offsets[column as usize + 1] += 1;
        }
        accumulate(&mut offsets);
        let mut next = offsets.clone();
        let mut columns = vec![0; self.columns.len()];
        let mut values = vec![0.0; self.values.len()];
        for row in 0..self.num_rows() {
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

    /// Columns and values of a row.
    pub fn row(&self, row: usize) -> impl Iterator<Item = (u32, f32)> {
        let range = self.offsets[row]..self.offsets[row + 1];
        let values = self.values[range.clone()].iter().copied();
        self.columns[range].iter().copied().zip(values)
    }

    /// The columns of a row.
    pub fn columns_of(&self, row: usize) -> &[u32] {
        &self.columns[self.offsets[row]..self.offsets[row + 1]]
    }

    /// The values of a row.
    pub fn values_of(&self, row: usize) -> &[f32] {
        &self.values[self.offsets[row]..self.offsets[row + 1]]
    }

    /// Entries in a row.
    pub fn row_len(&self, row: usize) -> usize {
        self.offsets[row + 1] - self.offsets[row]
    }

    /// The Euclidean norm of a row.
    pub fn norm(&self, row: usize) -> f64 {
        let squares = self.row(row).map(|(_, v)| f64::from(v) * f64::from(v));
        squares.sum::<f64>().sqrt()
    }

    /// The sum of a row.
    pub fn row_sum(&self, row: usize) -> f64 {
        self.row(row).map(|(_, v)| f64::from(v)).sum()
    }

    /// The same pairs with other values, from row, column and value.
    pub fn map(mut self, value: impl Fn(usize, u32, f32) -> f32) -> Self {
        for row in 0..self.num_rows() {
            for at in self.offsets[row]..self.offsets[row + 1] {
                self.values[at] = value(row, self.columns[at], self.values[at]);
            }
        }
        self
    }
}

/// The pairs of columns of `users` that share a row, with their inner products
/// (`X' X`); `items` is the transpose.
///
/// # Errors
/// More pairs than the memory has room for.
pub fn gram(users: &Sparse, items: &Sparse) -> Result<Sparse> {
    let num_items = items.num_rows();
    let lengths = (0..users.num_rows()).map(|u| users.row_len(u) as u64);
    let pairs: u64 = lengths.map(|len| len * len).sum();
    let pairs = pairs.min((num_items * num_items) as u64);
    // While rows are put together, they are there twice.
    ensure_fits(
        pairs * 16,
        &format!("up to {pairs} pairs of items that share a user"),
        "leave out users with very long histories (data.clean.max_user_interactions) or rare \
         items (data.clean.min_item_interactions)",
    )?;
    let rows: Vec<Vec<(u32, f32)>> = (0..num_items)
        .into_par_iter()
        .map_init(
            || Sums::new(num_items),
            |sums, item| {
                sums.add_product(items.row(item), users);
                let mut row: Vec<_> = sums.drain().map(|(at, sum)| (at, sum as f32)).collect();
                row.sort_unstable_by_key(|entry| entry.0);
                row
            },
        )
        .collect();
    Ok(Sparse::from_rows(rows))
}

/// Dense sums that are zero where nothing was added, and where something was.
/// Used over and over, so that a round costs what it adds.
#[derive(Clone, Debug)]
pub struct Sums {
    sums: Vec<f64>,
    touched: Vec<u32>,
}

impl Sums {
    pub fn new(len: usize) -> Self {
        Self {
            sums: vec![0.0; len],
            touched: Vec::new(),
        }
    }

    #[inline]
    pub fn add(&mut self, at: u32, amount: f64) {
        let sum = &mut self.sums[at as usize];
        if *sum == 0.0 {
            self.touched.push(at);
        }
        *sum += amount;
    }

    /// Adds `rows[c] value` for each column `c` of a row of another matrix.
    pub fn add_product(&mut self, row: impl Iterator<Item = (u32, f32)>, rows: &Sparse) {
        for (column, value) in row {
            for (at, other) in rows.row(column as usize) {
                self.add(at, f64::from(value) * f64::from(other));
            }
        }
    }

    /// What is not zero, in the order in which it was first added to; all is
    /// zero afterwards.
    pub fn drain(&mut self) -> impl Iterator<Item = (u32, f64)> + '_ {
        let sums = &mut self.sums;
        let taken = self.touched.drain(..);
        // A sum that came back to zero on its way was touched twice.
        taken
            .map(|at| (at, std::mem::take(&mut sums[at as usize])))
            .filter(|(_, sum)| *sum != 0.0)
    }
}

/// Counts to offsets.
pub fn accumulate(offsets: &mut [usize]) {
    for i in 1..offsets.len() {
        offsets[i] += offsets[i - 1];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gram_matrix_holds_the_pairs_that_share_a_row() {
        let users = Sparse {
            offsets: vec![0, 2, 4, 4],
            columns: vec![0, 2, 1, 2],
            values: vec![2.0, 4.0, 4.0, 5.0],
        };
        let gram = gram(&users, &users.transposed(4)).unwrap();
        assert_eq!(gram.offsets, [0, 2, 4, 7, 7]);
        assert_eq!(gram.columns, [0, 2, 1, 2, 0, 1, 2]);
        assert_eq!(gram.values, [4.0, 8.0, 16.0, 20.0, 8.0, 20.0, 41.0]);
    }

    #[test]
    fn repeated_pairs_are_one_entry_and_transposing_twice_changes_nothing() {
        let train = Interactions {
            offsets: vec![0, 3, 3, 5],
            items: vec![2, 0, 2, 1, 2],
            weights: Some(vec![1.0, 2.0, 3.0, 4.0, 5.0]),
            num_items: 4,
            ..Interactions::default()
        };
        let plain = Sparse::from_interactions(&train, false);
        assert_eq!(plain.offsets, [0, 2, 2, 4]);
        assert_eq!(plain.columns, [0, 2, 1, 2]);
        assert_eq!(plain.values, [1.0; 4]);
        let weighted = Sparse::from_interactions(&train, true);
        assert_eq!(weighted.values, [2.0, 4.0, 4.0, 5.0]);
        assert_eq!(weighted.norm(0), 20f64.sqrt());
        let items = weighted.transposed(4);
        assert_eq!(items.columns_of(2), [0, 2]);
        assert_eq!(items.transposed(3), weighted);
        let scaled = weighted.map(|row, column, value| value * (row as f32 + column as f32));
        assert_eq!(scaled.values, [0.0, 8.0, 12.0, 20.0]);
    }
}

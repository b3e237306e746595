//! What neighbor models and sparse linear models have in common: a score is a
//! sum of weights from the items of the history to the item.

use crate::linalg::sparse::accumulate;
use crate::model::{Fitted, ModelData, Query, Recommender, ScoreForm, SparseRow};
use crate::tensors::NamedTensors;
use anyhow::{Result, ensure};
use rayon::prelude::*;

/// `score(u, j)` = sum of `B_ij` over the distinct items `i` of the history.
///
/// Row `i` lists, by item index, the items `j` that have a weight from `i`.
#[derive(Clone, Debug)]
pub(super) struct ItemWeights {
    offsets: Vec<usize>,
    items: Vec<u32>,
    weights: Vec<f32>,
}

/// The `i` and `B_ij` of one `j`, in any order.
pub(super) type Column = Vec<(u32, f32)>;

impl ItemWeights {
    pub fn from_columns(columns: &[Column]) -> Self {
        let entries = columns.iter().map(Vec::len).sum();
        let mut offsets = vec![0usize; columns.len() + 1];
        for &(i, _) in columns.iter().flatten() {
            offsets[i as usize + 1] += 1;
        }
        accumulate(&mut offsets);
        let mut next = offsets.clone();
        let (mut items, mut weights) = (vec![0; entries], vec![0.0; entries]);
        for (j, column) in columns.iter().enumerate() {
            for &(i, weight) in column {
                let slot = next[i as usize];
                items[slot] = j as u32;
                weights[slot] = weight;
                next[i as usize] += 1;
            }
        }
        Self {
            offsets,
            items,
            weights,
        }
    }

    /// What a model of weights alone is when it is fitted.
    pub fn fitted(self) -> Fitted {
        Fitted::at_once(Box::new(self))
    }

    /// What it is when it is loaded.
    ///
    /// # Errors
    /// As [`Self::from_tensors`].
    pub fn loaded(weights: &NamedTensors, data: ModelData<'_>) -> Result<Box<dyn Recommender>> {
        let model = Self::from_tensors(weights, data.train.num_items)?;
        Ok(Box::new(model))
    }

    /// The items that have a weight from `item`, and the weights.
    fn row(&self, item: u32) -> (&[u32], &[f32]) {
        let range = self.offsets[item as usize]..self.offsets[item as usize + 1];
        (&self.items[range.clone()], &self.weights[range])
    }

    /// `B_ij`, zero where there is none.
    pub fn weight(&self, i: u32, j: u32) -> f32 {
        let (items, weights) = self.row(i);
        items.binary_search(&j).map_or(0.0, |place| weights[place])
    }

    /// # Errors
    /// Tensors that do not form the rows of `num_items` items.
    pub fn from_tensors(named: &NamedTensors, num_items: usize) -> Result<Self> {
        let items = named.u32("items")?.to_vec();
        let weights = named.f32("similarities", &[items.len()])?.to_vec();
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
            weights,
        })
    }
}

/// Keeps the entries with the largest values of `by`; ties go to the lower
/// index. What is left has no order.
pub(super) fn keep_largest(entries: &mut Column, count: usize, by: impl Fn(f32) -> f32) {
    if entries.len() > count {
        let best_first = |a: &(u32, f32), b: &(u32, f32)| {
            by(b.1).total_cmp(&by(a.1)).then_with(|| a.0.cmp(&b.0))
        };
        entries.select_nth_unstable_by(count, best_first);
        entries.truncate(count);
    }
}

impl Recommender for ItemWeights {
    fn num_items(&self) -> usize {
        self.offsets.len() - 1
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<()> {
        let rows = scores.par_chunks_mut(self.num_items().max(1));
        queries.par_iter().zip(rows).try_for_each(|(query, row)| {
            row.fill(0.0);
            for item in query.distinct_items(self.num_items())? {
                let (items, weights) = self.row(item);
                for (&j, &weight) in items.iter().zip(weights) {
                    row[j as usize] += weight;
                }
            }
            Ok(())
        })
    }

    fn score_pairs(&self, queries: &[Query<'_>], items: &[u32]) -> Result<Vec<f32>> {
        let pairs = queries.par_iter().zip(items);
        pairs
            .map(|(query, &item)| {
                let history = query.distinct_items(self.num_items())?;
                let sum = |sum, &i: &u32| sum + self.weight(i, item);
                Ok(history.iter().fold(0.0, sum))
            })
            .collect()
    }

    fn score_form(&self) -> Result<ScoreForm> {
        Ok(ScoreForm::Sparse)
    }

    fn sparse_scores(&self, query: &Query<'_>, row: &mut SparseRow) -> Result<()> {
        for item in query.distinct_items(self.num_items())? {
            let (items, weights) = self.row(item);
            for (&j, &weight) in items.iter().zip(weights) {
                row.add(j, weight);
            }
        }
        Ok(())
    }

    fn weights(&self) -> Result<NamedTensors> {
        let mut named = NamedTensors::default();
        let offsets = self.offsets.iter().map(|&o| o as i64).collect();
        named.insert_i64("offsets", offsets);
        named.insert_u32("items", self.items.clone());
        let shape = [self.weights.len()];
        named.insert_f32("similarities", &shape, self.weights.clone());
        Ok(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_sum_the_weights_from_the_distinct_items_of_the_history() {
        let columns = [vec![(2, 1.0), (1, 0.5)], vec![], vec![(0, -2.0)]];
        let model = ItemWeights::from_columns(&columns);
        let query = Query {
            history: &[2, 1, 2, 0],
            ..Query::default()
        };
        let mut row = [f32::NAN; 3];
        model.score(&[query], &mut row).unwrap();
        assert_eq!(row, [1.5, 0.0, -2.0]);
        let pairs = model.score_pairs(&[query; 3], &[0, 1, 2]).unwrap();
        assert_eq!(pairs, row);
    }

    #[test]
    fn an_item_outside_the_catalog_is_an_error() {
        let model = ItemWeights::from_columns(&[vec![], vec![]]);
        let query = Query {
            history: &[2],
            ..Query::default()
        };
        assert!(model.score(&[query], &mut [0.0; 2]).is_err());
    }

    #[test]
    fn of_equal_entries_the_lower_index_stays() {
        let mut entries = vec![(4, 1.0), (1, -3.0), (2, 1.0), (3, 2.0)];
        keep_largest(&mut entries, 3, f32::abs);
        entries.sort_by_key(|e| e.0);
        assert_eq!(entries, [(1, -3.0), (2, 1.0), (3, 2.0)]);
    }
}

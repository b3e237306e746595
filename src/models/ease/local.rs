//! The regression of each item on a few others.

use super::Ease;
use crate::linalg::{Cholesky, Sparse, sparse};
use crate::models::item_weights::{Column, keep_largest};
use anyhow::{Context, Result};
use rayon::prelude::*;

/// A place that is not taken.
const NONE: u32 = u32::MAX;

/// For each item `j` the weights from its candidates `C`, the items with the
/// largest cosine to it: `(G_CC + regularization I) b = G_Cj` with the Gram
/// matrix `G = X' X`, which is the regression of EASE when all other weights
/// into `j` are held at zero.
///
/// # Errors
/// A sparse Gram matrix that does not fit into memory.
pub(super) fn columns(users: &Sparse, items: &Sparse, spec: &Ease) -> Result<Vec<Column>> {
    let gram = sparse::gram(users, items)?;
    let num_items = items.num_rows();
    let columns: Vec<Option<Column>> = (0..num_items)
        .into_par_iter()
        .map_init(
            || vec![NONE; num_items],
            |places, j| {
                let chosen = candidates(&gram, items, j, spec.candidates);
                let mut column = solve(&gram, j, &chosen, spec.regularization, places)?;
                if spec.top_weights > 0 {
                    keep_largest(&mut column, spec.top_weights, f32::abs);
                }
                Some(column)
            },
        )
        .collect();
    let columns: Option<_> = columns.into_iter().collect();
    columns.context("the Gram matrix has no inverse: raise model.regularization")
}

/// The items with the largest cosine to `j`, by index.
fn candidates(gram: &Sparse, items: &Sparse, j: usize, count: usize) -> Vec<u32> {
    let cosine = |(i, both): (u32, f32)| (i, both / (items.row_len(i as usize) as f32).sqrt());
    let others = gram.row(j).filter(|(i, _)| *i as usize != j);
    let mut entries: Column = others.map(cosine).collect();
    keep_largest(&mut entries, count, |cosine| cosine);
    let mut chosen: Vec<u32> = entries.into_iter().map(|(i, _)| i).collect();
    chosen.sort_unstable();
    chosen
}

/// `places` is all [`NONE`] before and after.
fn solve(
    gram: &Sparse,
    j: usize,
    chosen: &[u32],
    regularization: f64,
    places: &mut [u32],
) -> Option<Column> {
    let size = chosen.len();
    for (place, &i) in (0u32..).zip(chosen) {
        places[i as usize] = place;
    }
    let mut matrix = vec![0.0; size * size];
    for (row, &i) in matrix.chunks_exact_mut(size.max(1)).zip(chosen) {
        for (column, value) in gram.row(i as usize) {
            let place = places[column as usize];
            if place != NONE {
                row[place as usize] = f64::from(value);
            }
        }
        row[places[i as usize] as usize] += regularization;
    }
    let mut solution = vec![0.0; size];
    for (column, value) in gram.row(j) {
        let place = places[column as usize];
        if place != NONE {
            solution[place as usize] = f64::from(value);
        }
    }
    for &i in chosen {
        places[i as usize] = NONE;
    }
    Cholesky::new(matrix, size)?.solve(&mut solution);
    let weights = solution.iter().map(|w| *w as f32);
    Some(chosen.iter().copied().zip(weights).collect())
}

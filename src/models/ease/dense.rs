//! The weights between all pairs of items.

use crate::kernels::simd::{self, Isa, Job, flat};
use crate::linalg::Symmetric;
use crate::linalg::symmetric::TILE;
use crate::model::{Query, Recommender};
use crate::models::item_weights::{ItemWeights, keep_largest};
use crate::tensors::NamedTensors;
use anyhow::{Result, ensure};
use rayon::prelude::*;

/// Fewer items of histories in a block than this do not pay for turning a
/// tile around.
const FEW: usize = 16;

/// `B_ij = -P_ij / P_jj`, kept as the symmetric `-P`, which takes half of the
/// memory of `B`, and the `1 / P_jj`.
pub(super) struct Dense {
    /// `-P`
    inverse: Symmetric,
    scale: Vec<f32>,
}

/// An item of a history: which history, and the item's place in its block.
type Hit = (u32, u32);

impl Dense {
    pub fn new(inverse: Symmetric) -> Self {
        let scale = (0..inverse.size()).map(|j| -1.0 / inverse.get(j, j));
        Self {
            scale: scale.collect(),
            inverse,
        }
    }

    /// # Errors
    /// Tensors of another catalog.
    pub fn from_tensors(named: &NamedTensors, num_items: usize) -> Result<Self> {
        ensure!(
            named.i64(SIZE)? == [num_items as i64],
            "the weights are those of {:?} items, not of {num_items}",
            named.i64(SIZE)?
        );
        let mut inverse = Symmetric::zeros(num_items);
        for block in 0..inverse.blocks() {
            let shape = shape_of(&inverse, block);
            let values = named.f32(&name_of(block), &shape)?;
            inverse.set_block_row(block, values)?;
        }
        Ok(Self::new(inverse))
    }

    /// The weights of largest magnitude into each item.
    pub fn pruned(&self, top: usize) -> ItemWeights {
        let size = self.inverse.size();
        let columns: Vec<_> = (0..size)
            .into_par_iter()
            .map_init(
                || vec![0.0; size],
                |row, j| {
                    self.inverse.copy_row(j, row);
                    let others = (0u32..).zip(&*row).filter(|(i, _)| *i as usize != j);
                    let mut column = others.map(|(i, p)| (i, p * self.scale[j])).collect();
                    keep_largest(&mut column, top, f32::abs);
                    column.shrink_to_fit();
                    column
                },
            )
            .collect();
        ItemWeights::from_columns(&columns)
    }

    /// Scores of some histories. Each tile is read once for all of them.
    fn score_group(&self, histories: &[Vec<u32>], scores: &mut [f32]) {
        let width = self.num_items();
        scores.fill(0.0);
        let mut hits: Vec<Vec<Hit>> = vec![Vec::new(); self.inverse.blocks()];
        for (query, history) in (0u32..).zip(histories) {
            for &item in history {
                hits[item as usize / TILE].push((query, item % TILE as u32));
            }
        }
        let mut turned = vec![0.0; TILE * TILE];
        for i in 0..hits.len() {
            for j in 0..=i {
                let tile = flat(self.inverse.tile(i, j));
                let (rows, columns) = (self.inverse.rows_of(i), self.inverse.rows_of(j));
                add_rows(tile, &hits[i], &mut scores[j * TILE..], width, columns);
                if i == j || hits[j].is_empty() {
                    continue;
                }
                if hits[j].len() < FEW {
                    add_columns(tile, &hits[j], &mut scores[i * TILE..], width, rows);
                } else {
                    turn(tile, &mut turned);
                    add_rows(&turned, &hits[j], &mut scores[i * TILE..], width, rows);
                }
            }
        }
        for (history, row) in histories.iter().zip(scores.chunks_exact_mut(width)) {
            // An item says nothing of itself.
            for &item in history {
                row[item as usize] -= self.inverse.get(item as usize, item as usize);
            }
            for (score, scale) in row.iter_mut().zip(&self.scale) {
                *score *= scale;
            }
        }
    }
}

fn add_rows(tile: &[f32], hits: &[Hit], scores: &mut [f32], width: usize, columns: usize) {
    simd::run(AddRows {
        tile,
        hits,
        scores,
        width,
        columns,
    });
}

/// Adds the rows of a tile to the first columns of the hits' rows of scores.
struct AddRows<'a> {
    tile: &'a [f32],
    hits: &'a [Hit],
    scores: &'a mut [f32],
    width: usize,
    columns: usize,
}

impl Job for AddRows<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        for &(query, place) in self.hits {
            let row = &self.tile[place as usize * TILE..][..TILE];
            let scores = &mut self.scores[query as usize * self.width..][..self.columns];
            for (score, weight) in scores.iter_mut().zip(row) {
                *score += weight;
            }
        }
    }
}

fn add_columns(tile: &[f32], hits: &[Hit], scores: &mut [f32], width: usize, rows: usize) {
    for &(query, place) in hits {
        let scores = &mut scores[query as usize * width..][..rows];
        let column = tile[place as usize..].iter().step_by(TILE);
        for (score, weight) in scores.iter_mut().zip(column) {
            *score += weight;
        }
    }
}

fn turn(tile: &[f32], turned: &mut [f32]) {
    for (r, row) in turned.chunks_exact_mut(TILE).enumerate() {
        for (value, from) in row.iter_mut().zip(tile[r..].iter().step_by(TILE)) {
            *value = *from;
        }
    }
}

/// The number of items.
const SIZE: &str = "num_items";

fn name_of(block: usize) -> String {
    format!("negated_inverse.{block:05}")
}

/// Tiles, rows of a tile, columns of a tile.
fn shape_of(inverse: &Symmetric, block: usize) -> [usize; 3] {
    [inverse.block_row(block).len() / (TILE * TILE), TILE, TILE]
}

impl Recommender for Dense {
    fn num_items(&self) -> usize {
        self.inverse.size()
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<()> {
        let width = self.num_items();
        let histories = queries.par_iter().map(|query| query.distinct_items(width));
        let histories: Vec<Vec<u32>> = histories.collect::<Result<_>>()?;
        let height = queries.len().div_ceil(rayon::current_num_threads()).max(1);
        scores
            .par_chunks_mut((height * width).max(1))
            .zip(histories.par_chunks(height))
            .for_each(|(scores, histories)| self.score_group(histories, scores));
        Ok(())
    }

    fn score_pairs(&self, queries: &[Query<'_>], items: &[u32]) -> Result<Vec<f32>> {
        let pairs = queries.par_iter().zip(items);
        pairs
            .map(|(query, &item)| {
                let j = item as usize;
                let history = query.distinct_items(self.num_items())?;
                let others = history.iter().filter(|i| **i != item);
                let sum: f32 = others.map(|&i| self.inverse.get(i as usize, j)).sum();
                Ok(sum * self.scale[j])
            })
            .collect()
    }

    /// A tensor for each row of tiles, so that writing one to disk takes
    /// little memory.
    fn weights(&self) -> Result<NamedTensors> {
        let mut named = NamedTensors::default();
        named.insert_i64(SIZE, vec![self.num_items() as i64]);
        for block in 0..self.inverse.blocks() {
            let values = self.inverse.block_row(block).to_vec();
            named.insert_f32(&name_of(block), &shape_of(&self.inverse, block), values);
        }
        Ok(named)
    }
}

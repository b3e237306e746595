//! Softmax cross-entropy over the whole catalog.
//!
//! Blocks of hidden rows meet tiles of items; a running maximum and sum stand
//! for the tiles that are gone, and the way back computes them again. A
//! catalog of one tile is kept instead.

use super::RowGradients;
use crate::kernels::gemm::{Left, Right, Size, To, add_part};
use crate::kernels::simd::{Isa, Job, Lane, WIDTH, add, dot, exp, flat, flat_mut, largest};
use crate::kernels::table::Table;

/// Hidden rows of a block.
const ROWS: usize = 32;

/// Lanes of items in a tile: with the rows of a block, half a MiB.
const TILE: usize = 256;

/// The loss of some hidden rows, each of which has one item for its class.
pub struct Full<'a> {
    /// `[targets.len(), d]`
    pub hidden: &'a [Lane],
    pub targets: &'a [u32],
    /// `[items, d]`; rows from `num_items` on are no classes.
    pub items: &'a Table,
    /// [`transpose`] of the classes.
    pub transposed: &'a [Lane],
    pub num_items: usize,
    /// Of a row in the mean.
    pub scale: f32,
    /// The share of the target that is spread evenly over the classes.
    pub smoothing: f32,
    /// [`mean`] of the classes, where some of it is.
    pub mean: &'a [Lane],
    /// Added to.
    pub to_hidden: &'a mut [Lane],
    /// Added to.
    pub to_items: &'a mut RowGradients,
}

/// The mean of the first `num_items` rows of a table, as one row.
pub fn mean(items: &Table, num_items: usize) -> Vec<Lane> {
    let width = items.per_row();
    let mut sum = vec![Lane::ZERO; width];
    for row in items.lanes().chunks_exact(width).take(num_items) {
        add(&mut sum, row);
    }
    let share = 1.0 / num_items as f32;
    flat_mut(&mut sum).iter_mut().for_each(|x| *x *= share);
    sum
}

/// The first `num_items` rows of a table as columns, each row of the result
/// padded to whole lanes with zeros.
pub fn transpose(items: &Table, num_items: usize, into: &mut Vec<Lane>) {
    use rayon::prelude::*;
    let (width, lanes) = (items.per_row(), num_items.div_ceil(WIDTH));
    into.resize(width * WIDTH * lanes, Lane::ZERO);
    let from = flat(items.lanes());
    into.par_chunks_mut(lanes.max(1))
        .enumerate()
        .for_each(|(column, row)| {
            let values = from.iter().skip(column).step_by(width * WIDTH);
            for (to, value) in flat_mut(row).iter_mut().zip(values.take(num_items)) {
                *to = *value;
            }
        });
}

/// Memory of a block.
struct Block<'a> {
    hidden: &'a [Lane],
    targets: &'a [u32],
    logits: Vec<Lane>,
    most: [f32; ROWS],
    sum: [f32; ROWS],
}

impl Job for Full<'_> {
    /// The sum of the rows' losses.
    type Output = f64;

    #[inline(always)]
    fn call<S: Isa>(mut self) -> f64 {
        let width = self.items.per_row();
        let lanes = self.num_items.div_ceil(WIDTH);
        // Before any other row has a gradient.
        self.to_items.first_rows_mut(self.num_items);
        let mut block = Block {
            hidden: &[],
            targets: &[],
            logits: vec![Lane::ZERO; ROWS * lanes.min(TILE)],
            most: [0.0; ROWS],
            sum: [0.0; ROWS],
        };
        let mut loss = 0.0;
        for (number, targets) in self.targets.chunks(ROWS).enumerate() {
            let from = number * ROWS * width;
            block.hidden = &self.hidden[from..from + targets.len() * width];
            block.targets = targets;
            loss += self.block::<S>(&mut block, from);
        }
        loss
    }
}

impl Full<'_> {
    /// `from` is the block's first lane.
    #[inline(always)]
    fn block<S: Isa>(&mut self, block: &mut Block<'_>, from: usize) -> f64 {
        let lanes = self.num_items.div_ceil(WIDTH);
        block.most = [f32::NEG_INFINITY; ROWS];
        block.sum = [0.0; ROWS];
        for first in (0..lanes).step_by(TILE) {
            self.logits::<S>(block, first);
            add_powers(block, TILE.min(lanes - first));
        }
        let width = self.items.per_row();
        let mut loss = 0.0;
        for (row, &target) in block.targets.iter().enumerate() {
            let hidden = &block.hidden[row * width..][..width];
            let mut logit = dot::<S>(hidden, self.items.row(target));
            if self.smoothing > 0.0 {
                let even = dot::<S>(hidden, self.mean);
                logit = (1.0 - self.smoothing) * logit + self.smoothing * even;
            }
            let normalizer = block.most[row] + block.sum[row].ln();
            block.most[row] = normalizer;
            loss += f64::from(normalizer - logit);
        }
        for first in (0..lanes).step_by(TILE) {
            if lanes > TILE {
                self.logits::<S>(block, first);
            }
            self.way_back::<S>(block, first, from);
        }
        loss
    }

    /// The block's scores of the tile that begins at lane `first`.
    #[inline(always)]
    fn logits<S: Isa>(&self, block: &mut Block<'_>, first: usize) {
        let lanes = self.num_items.div_ceil(WIDTH);
        let tile = TILE.min(lanes - first);
        let (rows, depth) = (block.targets.len(), self.items.per_row() * WIDTH);
        let logits = &mut block.logits[..rows * tile];
        logits.fill(Lane::ZERO);
        let left = Left {
            values: flat(block.hidden),
            row: depth,
            depth: 1,
        };
        let right = Right {
            lanes: &self.transposed[first..],
            row: lanes,
        };
        let to = To {
            lanes: logits,
            row: tile,
        };
        let size = Size {
            rows,
            depth,
            width: tile,
        };
        add_part::<S>(left, right, to, size);
        let classes = (self.num_items - first * WIDTH).min(tile * WIDTH);
        for row in logits.chunks_exact_mut(tile) {
            flat_mut(row)[classes..].fill(f32::NEG_INFINITY);
        }
    }

    /// Adds the gradients by way of a tile, whose scores stand in the block.
    #[inline(always)]
    fn way_back<S: Isa>(&mut self, block: &mut Block<'_>, first: usize, from: usize) {
        let width = self.items.per_row();
        let lanes = self.num_items.div_ceil(WIDTH);
        let tile = TILE.min(lanes - first);
        let rows = block.targets.len();
        let classes = (self.num_items - first * WIDTH).min(tile * WIDTH);
        let slopes = &mut block.logits[..rows * tile];
        let spread = self.smoothing * self.scale / self.num_items as f32;
        for (row, slopes) in slopes.chunks_exact_mut(tile).enumerate() {
            let normalizer = block.most[row];
            for lane in slopes.iter_mut() {
                for x in &mut lane.0 {
                    *x = exp(*x - normalizer) * self.scale - spread;
                }
            }
            let place = (block.targets[row] as usize).wrapping_sub(first * WIDTH);
            if let Some(slope) = flat_mut(slopes)[..classes].get_mut(place) {
                *slope -= (1.0 - self.smoothing) * self.scale;
            }
        }
        let size = Size {
            rows,
            depth: classes,
            width,
        };
        let own = Left {
            values: flat(slopes),
            row: tile * WIDTH,
            depth: 1,
        };
        let items = Right {
            lanes: &self.items.lanes()[first * WIDTH * width..],
            row: width,
        };
        let to = To {
            lanes: &mut self.to_hidden[from..],
            row: width,
        };
        add_part::<S>(own, items, to, size);
        let size = Size {
            rows: classes,
            depth: rows,
            width,
        };
        let turned = Left {
            row: 1,
            depth: tile * WIDTH,
            ..own
        };
        let hidden = Right {
            lanes: block.hidden,
            row: width,
        };
        let to = To {
            lanes: &mut self.to_items.first_rows_mut(self.num_items)[first * WIDTH * width..],
            row: width,
        };
        add_part::<S>(turned, hidden, to, size);
    }
}

/// Takes a tile's scores into the running maximum and sum of each row.
#[inline(always)]
fn add_powers(block: &mut Block<'_>, tile: usize) {
    let rows = block.logits.chunks_exact(tile).take(block.targets.len());
    for (row, logits) in rows.enumerate() {
        let most = largest(logits).max(block.most[row]);
        let mut sum = Lane::ZERO;
        for lane in logits {
            for i in 0..WIDTH {
                sum.0[i] += exp(lane.0[i] - most);
            }
        }
        let before = block.sum[row] * exp(block.most[row] - most);
        block.sum[row] = before + sum.sum();
        block.most[row] = most;
    }
}

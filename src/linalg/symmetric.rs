//! A dense symmetric matrix that is stored once.

use super::sparse::Sparse;
use crate::kernels::simd::{Lane, WIDTH, flat, flat_mut};
use crate::kernels::table::zeros;
use anyhow::{Result, ensure};
use rayon::prelude::*;

/// Rows and columns of a tile: 256 KiB, so that three of them fit the second
/// cache of a core.
pub const TILE: usize = 256;

/// Lanes in a row of a tile.
pub const LANES: usize = TILE / WIDTH;

const PER_TILE: usize = TILE * LANES;

/// The lower triangle in square tiles, block row by block row: tile `(I, J)`
/// with `J <= I` is the `I (I + 1) / 2 + J`-th, its values row-major. Half of
/// the memory of a square matrix, and what is near in the matrix is near in
/// memory. Tiles on the diagonal hold both of their triangles, except while
/// the matrix is being inverted. What pads the last tiles is zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Symmetric {
    size: usize,
    lanes: Vec<Lane>,
}

impl Symmetric {
    /// Bytes of a matrix of `size` rows, less a little that inverting it needs.
    pub fn bytes(size: usize) -> u64 {
        let blocks = size.div_ceil(TILE) as u64;
        blocks * (blocks + 1) / 2 * (PER_TILE * size_of::<Lane>()) as u64
    }

    pub fn zeros(size: usize) -> Self {
        let blocks = size.div_ceil(TILE);
        Self {
            size,
            lanes: zeros(blocks * (blocks + 1) / 2 * PER_TILE),
        }
    }

    /// `X' X + diagonal I` over the columns of `users`; `items` is its
    /// transpose.
    pub fn gram(users: &Sparse, items: &Sparse, diagonal: f32) -> Self {
        let size = items.num_rows();
        let mut matrix = Self::zeros(size);
        // The longest rows first, so that no thread is left with one at the end.
        matrix.block_rows_mut().into_par_iter().rev().for_each_init(
            || vec![0.0; size],
            |sums, (block, tiles)| {
                for i in block * TILE..size.min((block + 1) * TILE) {
                    let sums = &mut sums[..=i];
                    sums.fill(0.0);
                    for (user, value) in items.row(i) {
                        let user = user as usize;
                        let entries = users.columns_of(user).iter().zip(users.values_of(user));
                        for (&j, other) in entries.take_while(|(j, _)| **j as usize <= i) {
                            sums[j as usize] += value * other;
                        }
                    }
                    sums[i] += diagonal;
                    for (tile, part) in tiles.chunks_exact_mut(PER_TILE).zip(sums.chunks(TILE)) {
                        flat_mut(tile)[i % TILE * TILE..][..part.len()].copy_from_slice(part);
                    }
                }
            },
        );
        matrix.mirror_diagonal_tiles();
        matrix
    }

    /// Rows.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Rows of tiles.
    pub fn blocks(&self) -> usize {
        self.size.div_ceil(TILE)
    }

    /// Rows of the matrix in a row of tiles.
    pub fn rows_of(&self, block: usize) -> usize {
        TILE.min(self.size - block * TILE)
    }

    pub fn get(&self, i: usize, j: usize) -> f32 {
        let (i, j) = (i.max(j), i.min(j));
        let tile = self.tile(i / TILE, j / TILE);
        flat(tile)[i % TILE * TILE + j % TILE]
    }

    /// A tile on or below the diagonal.
    pub fn tile(&self, i: usize, j: usize) -> &[Lane] {
        let start = (i * (i + 1) / 2 + j) * PER_TILE;
        &self.lanes[start..start + PER_TILE]
    }

    /// The tiles of a block row, up to the diagonal.
    pub fn block_row(&self, block: usize) -> &[f32] {
        let start = block * (block + 1) / 2 * PER_TILE;
        flat(&self.lanes[start..start + (block + 1) * PER_TILE])
    }

    /// Puts the tiles of a block row in their place.
    ///
    /// # Errors
    /// Not as many values as it has.
    pub fn set_block_row(&mut self, block: usize, values: &[f32]) -> Result<()> {
        let start = block * (block + 1) / 2 * PER_TILE;
        let lanes = &mut self.lanes[start..start + (block + 1) * PER_TILE];
        ensure!(
            values.len() == lanes.len() * WIDTH,
            "block row {block} of a symmetric matrix has another size"
        );
        flat_mut(lanes).copy_from_slice(values);
        Ok(())
    }

    /// Writes row `i` of the whole matrix into `row`.
    pub fn copy_row(&self, i: usize, row: &mut [f32]) {
        for (block, part) in row.chunks_mut(TILE).enumerate() {
            let own = i / TILE;
            if block <= own {
                let from = &flat(self.tile(own, block))[i % TILE * TILE..];
                part.copy_from_slice(&from[..part.len()]);
            } else {
                let column = flat(self.tile(block, own)).iter().skip(i % TILE);
                for (value, from) in part.iter_mut().zip(column.step_by(TILE)) {
                    *value = *from;
                }
            }
        }
    }

    /// All tiles in their order, each with its place, to be changed by
    /// threads.
    pub(super) fn tiles_mut(
        &mut self,
    ) -> impl IndexedParallelIterator<Item = ((usize, usize), &mut [Lane])> {
        self.lanes
            .par_chunks_exact_mut(PER_TILE)
            .enumerate()
            .map(|(number, tile)| (place(number), tile))
    }

    pub(super) fn mirror_diagonal_tiles(&mut self) {
        self.tiles_mut().for_each(|((i, j), tile)| {
            if i == j {
                let values = flat_mut(tile);
                for r in 0..TILE {
                    for c in r + 1..TILE {
                        values[r * TILE + c] = values[c * TILE + r];
                    }
                }
            }
        });
    }

    fn block_rows_mut(&mut self) -> Vec<(usize, &mut [Lane])> {
        let mut rest = &mut self.lanes[..];
        (0..self.size.div_ceil(TILE))
            .map(|block| {
                let (row, others) = std::mem::take(&mut rest).split_at_mut((block + 1) * PER_TILE);
                rest = others;
                (block, row)
            })
            .collect()
    }
}

/// Row and column of the tile of this number.
fn place(number: usize) -> (usize, usize) {
    let mut row = ((2.0 * number as f64 + 0.25).sqrt() - 0.5) as usize;
    // The root may be off by one where it is nearly whole.
    while row * (row + 1) / 2 > number {
        row -= 1;
    }
    while (row + 1) * (row + 2) / 2 <= number {
        row += 1;
    }
    (row, number - row * (row + 1) / 2)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::data::interactions::Interactions;
    use crate::seed::Seed;

    pub fn random(users: usize, num_items: usize) -> Interactions {
        let mut rng = Seed(4).stream("test");
        let mut train = Interactions {
            offsets: vec![0],
            num_items,
            ..Interactions::default()
        };
        for _ in 0..users {
            let items = (0..num_items as u32).filter(|_| rng.below(20) == 0);
            train.items.extend(items);
            train.offsets.push(train.items.len());
        }
        train
    }

    #[test]
    fn tiles_are_numbered_row_by_row() {
        let places: Vec<_> = (0..6).map(place).collect();
        assert_eq!(places, [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]);
        for row in [1_000usize, 40_000, 3_000_000] {
            let first = row * (row + 1) / 2;
            assert_eq!(place(first), (row, 0));
            assert_eq!(place(first - 1), (row - 1, row - 1));
        }
    }

    #[test]
    fn the_gram_matrix_counts_users_in_common() {
        let train = random(50, 300);
        let users = Sparse::from_interactions(&train, false);
        let items = users.transposed(300);
        let gram = Symmetric::gram(&users, &items, 2.5);
        let mut row = vec![f32::NAN; 300];
        for i in 0..300usize {
            gram.copy_row(i, &mut row);
            for j in 0..300usize {
                let both = items.columns_of(i).iter();
                let both = both.filter(|u| items.columns_of(j).contains(u)).count();
                let expected = both as f32 + if i == j { 2.5 } else { 0.0 };
                assert_eq!(gram.get(i, j), expected, "{i} {j}");
                assert_eq!(row[j], expected);
            }
        }
        let mut copy = Symmetric::zeros(300);
        for block in 0..gram.blocks() {
            copy.set_block_row(block, gram.block_row(block)).unwrap();
        }
        assert_eq!(copy, gram);
        assert!(copy.set_block_row(0, &[0.0]).is_err());
    }
}

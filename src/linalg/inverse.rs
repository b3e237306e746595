//! The inverse of a symmetric positive definite matrix, in its place.

use super::cholesky::Cholesky;
use super::packed::{AddProduct, BLOCK, Extent, pack_left, pack_right};
use super::symmetric::{Symmetric, TILE};
use crate::kernels::simd::{self, Lane, WIDTH, flat, flat_mut};
use anyhow::{Context, Result};
use rayon::prelude::*;

impl Symmetric {
    /// Replaces the matrix by minus its inverse.
    ///
    /// By the sweep operator (Goodnight: A Tutorial on the SWEEP Operator, The
    /// American Statistician 33, 1979) on blocks of [`TILE`] pivots: with the
    /// Cholesky factor `L` of the pivot block `A_KK` and `W = A_:K L'^-1`,
    ///
    /// ```text
    /// A_ij -= W_i W_j',   A_iK = W_i L^-1,   A_KK = -L'^-1 L^-1
    /// ```
    ///
    /// for all `i, j` outside of `K`, which keeps the matrix symmetric. That
    /// takes `n^3` operations, as many as a Cholesky factorization that is
    /// turned into the inverse afterwards, and they are all of one kind, a
    /// product of tiles. The Schur complements, and so the pivots, are those of
    /// the Cholesky factorization. Beside the matrix there are four block
    /// columns. Factors of pivot blocks are computed in float64.
    ///
    /// `progress` is told how many of how many block rows are done.
    ///
    /// # Errors
    /// A matrix that is not positive definite.
    pub fn invert_negated(&mut self, mut progress: impl FnMut(usize, usize)) -> Result<()> {
        let blocks = self.blocks();
        let mut panel = Panel::new(blocks);
        for pivot in 0..blocks {
            let roots = Roots::of(self, pivot)?;
            panel.fill(self, pivot, &roots);
            self.update(pivot, &panel, &roots);
            progress(pivot + 1, blocks);
        }
        self.mirror_diagonal_tiles();
        Ok(())
    }

    fn update(&mut self, pivot: usize, panel: &Panel, roots: &Roots) {
        let size = self.size();
        let rows_of = |block: usize| TILE.min(size - block * TILE);
        let depth = rows_of(pivot);
        self.tiles_mut().for_each(|((i, j), tile)| {
            if i == pivot && j == pivot {
                tile.copy_from_slice(&roots.inverse);
            } else if j == pivot {
                tile.copy_from_slice(&panel.blocks[i].swept);
            } else if i == pivot {
                let from = flat(&panel.blocks[j].swept);
                transpose(from, flat_mut(tile));
            } else {
                simd::run(AddProduct {
                    left: &panel.blocks[i].left,
                    right: &panel.blocks[j].right,
                    to: tile,
                    extent: Extent {
                        rows: rows_of(i),
                        columns: rows_of(j),
                        depth,
                        lower: i == j,
                    },
                });
            }
        });
    }
}

/// What comes of the pivot block.
struct Roots {
    /// `L'^-1`, packed as a right operand.
    transposed: Vec<Lane>,
    /// `-L^-1`, packed as a right operand.
    negated: Vec<Lane>,
    /// `-(L L')^-1`, a tile.
    inverse: Vec<Lane>,
}

impl Roots {
    fn of(matrix: &Symmetric, pivot: usize) -> Result<Self> {
        let rows = matrix.rows_of(pivot);
        let tile = flat(matrix.tile(pivot, pivot));
        // The lower triangle by columns is the upper one by rows.
        let upper = (0..rows * rows).map(|at| f64::from(tile[at % rows * TILE + at / rows]));
        let factor = Cholesky::new(upper.collect(), rows)
            .context("a matrix that is to be inverted is not positive definite")?;
        let root = factor.inverse_factor();
        let at = |r: usize, c: usize| match r < rows && c <= r {
            true => root[r * rows + c] as f32,
            false => 0.0,
        };
        let block = || vec![Lane::ZERO; BLOCK];
        let (mut left, mut transposed, mut negated) = (block(), block(), block());
        pack_left(&mut left, |r, k| at(k, r));
        pack_right(&mut transposed, |k, c| at(c, k));
        pack_right(&mut negated, |k, c| -at(k, c));
        let mut inverse = block();
        simd::run(AddProduct {
            left: &left,
            right: &negated,
            to: &mut inverse,
            extent: Extent {
                rows,
                columns: rows,
                depth: rows,
                lower: false,
            },
        });
        Ok(Self {
            transposed,
            negated,
            inverse,
        })
    }
}

/// The block column of the pivots, a block for each block row.
struct Panel {
    blocks: Vec<PanelBlock>,
}

struct PanelBlock {
    /// `-W_i`, packed as a left operand.
    left: Vec<Lane>,
    /// `W_i'`, packed as a right operand.
    right: Vec<Lane>,
    /// The new `A_iK`, a tile.
    swept: Vec<Lane>,
    /// `W_i`, a tile.
    product: Vec<Lane>,
}

impl Panel {
    fn new(blocks: usize) -> Self {
        let block = || vec![Lane::ZERO; BLOCK];
        let new = |_| PanelBlock {
            left: block(),
            right: block(),
            swept: block(),
            product: block(),
        };
        Self {
            blocks: (0..blocks).map(new).collect(),
        }
    }

    fn fill(&mut self, matrix: &Symmetric, pivot: usize, roots: &Roots) {
        let depth = matrix.rows_of(pivot);
        let blocks = self.blocks.par_iter_mut().enumerate();
        blocks.filter(|(i, _)| *i != pivot).for_each(|(i, block)| {
            let extent = Extent {
                rows: matrix.rows_of(i),
                columns: depth,
                depth,
                lower: false,
            };
            if i > pivot {
                let tile = flat(matrix.tile(i, pivot));
                pack_left(&mut block.left, |r, k| tile[r * TILE + k]);
            } else {
                let tile = flat(matrix.tile(pivot, i));
                pack_left(&mut block.left, |r, k| tile[k * TILE + r]);
            }
            block.product.fill(Lane([0.0; WIDTH]));
            simd::run(AddProduct {
                left: &block.left,
                right: &roots.transposed,
                to: &mut block.product,
                extent,
            });
            let product = flat(&block.product);
            pack_left(&mut block.left, |r, k| -product[r * TILE + k]);
            pack_right(&mut block.right, |k, c| product[c * TILE + k]);
            block.swept.fill(Lane([0.0; WIDTH]));
            simd::run(AddProduct {
                left: &block.left,
                right: &roots.negated,
                to: &mut block.swept,
                extent,
            });
        });
    }
}

fn transpose(from: &[f32], to: &mut [f32]) {
    for (r, row) in to.chunks_exact_mut(TILE).enumerate() {
        for (value, from) in row.iter_mut().zip(from[r..].iter().step_by(TILE)) {
            *value = *from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::sparse::Sparse;
    use crate::linalg::symmetric::tests::random;

    /// Against the definition in float64: `A P = I`.
    #[test]
    fn inverses_match_float64() {
        for size in [1, 5, 256, 300, 700] {
            let users = Sparse::from_interactions(&random(400, size), false);
            let items = users.transposed(size);
            let gram = Symmetric::gram(&users, &items, 5.0);
            let matrix = (0..size * size).map(|at| f64::from(gram.get(at / size, at % size)));
            let exact = Cholesky::new(matrix.collect(), size).unwrap();
            let mut inverse = gram.clone();
            let mut steps = 0;
            inverse.invert_negated(|_, of| steps = of).unwrap();
            assert_eq!(steps, size.div_ceil(TILE));
            for j in (0..size).step_by(7) {
                let mut column = vec![0.0; size];
                column[j] = -1.0;
                exact.solve(&mut column);
                for (i, exact) in column.iter().enumerate() {
                    let found = f64::from(inverse.get(i, j));
                    assert!(
                        (found - exact).abs() < 1e-6,
                        "{size} {i} {j} {found} {exact}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_matrix_without_an_inverse_is_an_error() {
        let mut zero = Symmetric::zeros(3);
        let error = zero.invert_negated(|_, _| ()).unwrap_err().to_string();
        assert!(error.contains("positive definite"), "{error}");
    }
}

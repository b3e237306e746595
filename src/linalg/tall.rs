//! Matrices of many rows and few columns.

use super::sparse::Sparse;
use crate::kernels::gemm::{Left, add_product};
use crate::kernels::simd::{self, Isa, Job, Lane, WIDTH, add_scaled, flat, flat_mut};
use crate::kernels::table::Table;
use rayon::prelude::*;

/// Rows that a thread takes at a time.
const ROWS: usize = 64;

/// Parts of an inner product of columns, at most: their number bounds the
/// memory, and does not depend on the threads, so that neither do the sums.
const PARTS: usize = 64;

/// A matrix of many rows; what pads them to whole lanes is zero.
#[derive(Clone, Debug)]
pub struct Tall {
    pub table: Table,
    rows: usize,
    columns: usize,
}

impl Tall {
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self {
            table: Table::zeros(rows, columns),
            rows,
            columns,
        }
    }

    /// From values row by row.
    pub fn from_values(rows: usize, columns: usize, values: &[f32]) -> Self {
        let mut tall = Self::zeros(rows, columns);
        if columns > 0 {
            tall.table.put(0, columns, values);
        }
        tall
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Values row by row.
    pub fn values(&self) -> Vec<f32> {
        self.table.take(0, self.columns)
    }

    /// `matrix * self`
    pub fn left_multiplied(&self, matrix: &Sparse) -> Self {
        let mut product = Self::zeros(matrix.num_rows(), self.columns);
        let width = product.table.per_row();
        let chunks = product
            .table
            .lanes_mut()
            .par_chunks_mut((ROWS * width).max(1));
        chunks.enumerate().for_each(|(chunk, to)| {
            simd::run(Gather {
                matrix,
                from: &self.table,
                first: chunk * ROWS,
                to,
            });
        });
        product
    }

    /// `self' self`, row-major.
    pub fn gram(&self) -> Vec<f64> {
        let width = self.table.per_row();
        let rows = self.rows.div_ceil(PARTS).max(8 * ROWS);
        let chunks = self.table.lanes().par_chunks((rows * width).max(1));
        let parts: Vec<Vec<Lane>> = chunks
            .map(|chunk| {
                let mut sums = vec![Lane::ZERO; width * WIDTH * width];
                for rows in chunk.chunks(ROWS * width) {
                    let left = Left {
                        values: flat(rows),
                        row: 1,
                        depth: width * WIDTH,
                    };
                    simd::run(Product(left, rows, &mut sums, width));
                }
                sums
            })
            .collect();
        let mut gram = vec![0.0; self.columns * self.columns];
        for part in &parts {
            let rows = flat(part).chunks_exact(width * WIDTH);
            for (to, row) in gram.chunks_exact_mut(self.columns.max(1)).zip(rows) {
                for (sum, value) in to.iter_mut().zip(row) {
                    *sum += f64::from(*value);
                }
            }
        }
        gram
    }

    /// `self * right'` for a matrix of as many columns, whose rows become the
    /// columns of the product.
    pub fn right_multiplied(&self, right: &[f64]) -> Self {
        let columns = right.len() / self.columns.max(1);
        let mut turned = Table::zeros(self.columns, columns);
        let width = turned.per_row();
        for (row, k) in turned.lanes_mut().chunks_exact_mut(width.max(1)).zip(0..) {
            for (value, c) in flat_mut(row).iter_mut().zip(0..columns) {
                *value = right[c * self.columns + k] as f32;
            }
        }
        let mut product = Self::zeros(self.rows, columns);
        let own = self.table.per_row();
        product
            .table
            .lanes_mut()
            .par_chunks_mut((ROWS * width).max(1))
            .zip(self.table.lanes().par_chunks((ROWS * own).max(1)))
            .for_each(|(to, rows)| {
                let left = Left {
                    values: flat(rows),
                    row: own * WIDTH,
                    depth: 1,
                };
                simd::run(Product(left, turned.lanes(), to, width));
            });
        product
    }

    /// `factor * self + other_factor * other`
    pub fn combined(mut self, factor: f32, other: &Self, other_factor: f32) -> Self {
        let lanes = self.table.lanes_mut().par_iter_mut();
        lanes.zip(other.table.lanes()).for_each(|(to, from)| {
            for (to, from) in to.0.iter_mut().zip(from.0) {
                *to = factor * *to + other_factor * from;
            }
        });
        self
    }
}

struct Product<'a>(Left<'a>, &'a [Lane], &'a mut [Lane], usize);

impl Job for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        add_product::<S>(self.0, self.1, self.2, self.3);
    }
}

struct Gather<'a> {
    matrix: &'a Sparse,
    from: &'a Table,
    first: usize,
    to: &'a mut [Lane],
}

impl Job for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let rows = self.to.chunks_exact_mut(self.from.per_row());
        for (row, to) in (self.first..).zip(rows) {
            for (column, value) in self.matrix.row(row) {
                add_scaled::<S>(to, value, self.from.row(column));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn products_are_those_of_the_definition() {
        let mut rng = Seed(3).stream("test");
        let (rows, columns) = (200, 19);
        let values: Vec<f32> = (0..rows * columns).map(|_| rng.normal()).collect();
        let at = |r: usize, c: usize| f64::from(values[r * columns + c]);
        let tall = Tall::from_values(rows, columns, &values);
        let gram = tall.gram();
        for i in 0..columns {
            for j in 0..columns {
                let exact: f64 = (0..rows).map(|r| at(r, i) * at(r, j)).sum();
                assert!((gram[i * columns + j] - exact).abs() < 1e-3);
            }
        }
        let right: Vec<f64> = (0..3 * columns).map(|k| (k % 7) as f64).collect();
        let product = tall.right_multiplied(&right);
        assert_eq!((product.rows(), product.columns()), (rows, 3));
        for (place, value) in product.values().iter().enumerate() {
            let (r, c) = (place / 3, place % 3);
            let exact: f64 = (0..columns)
                .map(|k| at(r, k) * right[c * columns + k])
                .sum();
            assert!((f64::from(*value) - exact).abs() < 1e-3);
        }
        let matrix = Sparse {
            offsets: vec![0, 0, 2],
            columns: vec![1, 150],
            values: vec![2.0, -1.0],
        };
        let product = tall.left_multiplied(&matrix).values();
        for c in 0..columns {
            assert_eq!(product[c], 0.0);
            let exact = 2.0 * at(1, c) - at(150, c);
            assert!((f64::from(product[columns + c]) - exact).abs() < 1e-5);
        }
    }
}

//! Cholesky factors of small dense matrices, in float64.

use crate::kernels::simd::{self, Isa, Job};

/// `A = R' R` of a symmetric positive definite matrix, `R` upper triangular.
#[derive(Clone, Debug)]
pub struct Cholesky {
    size: usize,
    /// Row-major; what lies below the diagonal means nothing.
    upper: Vec<f64>,
}

impl Cholesky {
    /// Factors a matrix of `size` rows, of which the upper triangle is read.
    /// `None` where it is not positive definite (or not finite).
    pub fn new(matrix: Vec<f64>, size: usize) -> Option<Self> {
        assert_eq!(matrix.len(), size * size, "a square matrix");
        let mut upper = matrix;
        simd::run(Factor(&mut upper, size)).then_some(Self { size, upper })
    }

    /// `R'^-1`, lower triangular, row-major, with zeros above the diagonal:
    /// `A^-1` is its transpose times itself.
    pub fn inverse_factor(&self) -> Vec<f64> {
        let mut inverse = vec![0.0; self.size * self.size];
        simd::run(InverseFactor(self, &mut inverse));
        inverse
    }

    /// Replaces `b` by the solution of `A x = b`.
    pub fn solve(&self, b: &mut [f64]) {
        assert_eq!(b.len(), self.size, "as many sides as the matrix has rows");
        simd::run(Solve(self, b));
    }

    fn row(&self, row: usize) -> &[f64] {
        &self.upper[row * self.size..(row + 1) * self.size]
    }
}

/// Row by row, each taken off the rows below it: whole rows at a time, which
/// become vector instructions.
struct Factor<'a>(&'a mut [f64], usize);

impl Job for Factor<'_> {
    type Output = bool;

    #[inline(always)]
    fn call<S: Isa>(self) -> bool {
        let Self(upper, size) = self;
        for k in 0..size {
            let (done, below) = upper.split_at_mut((k + 1) * size);
            let pivots = &mut done[k * size..];
            let pivot = pivots[k];
            if !(pivot > 0.0 && pivot.is_finite()) {
                return false;
            }
            let root = pivot.sqrt();
            for value in &mut pivots[k..] {
                *value /= root;
            }
            for (row, i) in below.chunks_exact_mut(size).zip(k + 1..) {
                subtract(&mut row[i..], pivots[i], &pivots[i..]);
            }
        }
        true
    }
}

struct InverseFactor<'a>(&'a Cholesky, &'a mut [f64]);

impl Job for InverseFactor<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let Self(factor, inverse) = self;
        let size = factor.size;
        for i in 0..size {
            let (done, rest) = inverse.split_at_mut(i * size);
            let row = &mut rest[..=i];
            row[i] = 1.0;
            for (k, solved) in done.chunks_exact(size).enumerate() {
                subtract(&mut row[..=k], factor.upper[k * size + i], &solved[..=k]);
            }
            let pivot = factor.upper[i * size + i];
            for value in row {
                *value /= pivot;
            }
        }
    }
}

struct Solve<'a, 'b>(&'a Cholesky, &'b mut [f64]);

impl Job for Solve<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let Self(factor, b) = self;
        for i in 0..factor.size {
            let row = factor.row(i);
            b[i] /= row[i];
            let (solved, rest) = b.split_at_mut(i + 1);
            subtract(rest, solved[i], &row[i + 1..]);
        }
        for i in (0..factor.size).rev() {
            let row = factor.row(i);
            let (head, solved) = b.split_at_mut(i + 1);
            let known: f64 = row[i + 1..].iter().zip(&*solved).map(|(r, x)| r * x).sum();
            head[i] = (head[i] - known) / row[i];
        }
    }
}

/// `to -= factor * row`
#[inline(always)]
fn subtract(to: &mut [f64], factor: f64, row: &[f64]) {
    for (to, value) in to.iter_mut().zip(row) {
        *to -= factor * value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    fn positive_definite(size: usize) -> Vec<f64> {
        let mut rng = Seed(5).stream("test");
        let x: Vec<f64> = (0..size * size).map(|_| f64::from(rng.normal())).collect();
        let product = |i: usize, j: usize| {
            let sum: f64 = (0..size).map(|k| x[k * size + i] * x[k * size + j]).sum();
            sum + if i == j { 1.0 } else { 0.0 }
        };
        (0..size * size)
            .map(|at| product(at / size, at % size))
            .collect()
    }

    #[test]
    fn solutions_and_inverse_belong_to_the_matrix() {
        let size = 37;
        let matrix = positive_definite(size);
        let factor = Cholesky::new(matrix.clone(), size).unwrap();
        let expected: Vec<f64> = (0..size).map(|i| i as f64 - 7.5).collect();
        let times = |x: &[f64]| -> Vec<f64> {
            let rows = matrix.chunks(size);
            rows.map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum())
                .collect()
        };
        let mut found = times(&expected);
        factor.solve(&mut found);
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-9, "{a} {b}");
        }
        let root = factor.inverse_factor();
        for j in 0..size {
            let column: Vec<f64> = (0..size)
                .map(|i| {
                    (0..size)
                        .map(|k| root[k * size + i] * root[k * size + j])
                        .sum()
                })
                .collect();
            for (i, value) in times(&column).iter().enumerate() {
                let unit = if i == j { 1.0 } else { 0.0 };
                assert!((value - unit).abs() < 1e-9, "{i} {j} {value}");
            }
        }
    }

    #[test]
    fn what_is_not_positive_definite_has_no_factor() {
        assert!(Cholesky::new(vec![1.0, 2.0, 2.0, 1.0], 2).is_none());
        assert!(Cholesky::new(vec![f64::NAN], 1).is_none());
    }
}

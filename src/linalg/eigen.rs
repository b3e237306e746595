//! Eigenvalues and eigenvectors of small symmetric matrices, in float64.

use crate::kernels::simd::{self, Isa, Job};

/// Sweeps; eight are usual, and each squares what is left.
const MAX_SWEEPS: usize = 40;

/// The least that can be asked of [`eigen`].
pub const EXACT: f64 = 1e-13;

/// Eigenvalues, the largest first, and eigenvectors.
#[derive(Clone, Debug)]
pub struct Eigen {
    pub values: Vec<f64>,
    /// Row `k` is the eigenvector of `values[k]`.
    pub vectors: Vec<f64>,
}

/// By cyclic Jacobi rotations (Golub, Van Loan: Matrix Computations, section
/// 8.5), which are quick where the matrix is nearly diagonal, until what lies
/// off the diagonal is at most `rest` of the whole. `matrix` has `size` rows.
pub fn eigen(matrix: Vec<f64>, size: usize, rest: f64) -> Eigen {
    assert_eq!(matrix.len(), size * size, "a square matrix");
    let mut vectors = vec![0.0; size * size];
    for i in 0..size {
        vectors[i * size + i] = 1.0;
    }
    let (mut matrix, mut rotated) = (matrix, vectors);
    simd::run(Sweeps {
        matrix: &mut matrix,
        vectors: &mut rotated,
        size,
        rest,
    });
    let mut order: Vec<usize> = (0..size).collect();
    let value = |i: &usize| matrix[i * size + i];
    order.sort_by(|a, b| value(b).total_cmp(&value(a)).then(a.cmp(b)));
    let rows = order.iter().flat_map(|i| &rotated[i * size..][..size]);
    Eigen {
        vectors: rows.copied().collect(),
        values: order.iter().map(value).collect(),
    }
}

struct Sweeps<'a> {
    matrix: &'a mut [f64],
    vectors: &'a mut [f64],
    size: usize,
    rest: f64,
}

impl Job for Sweeps<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let size = self.size;
        let whole: f64 = self.matrix.iter().map(|a| a * a).sum();
        let small = self.rest * whole.sqrt() / size.max(1) as f64;
        for _ in 0..MAX_SWEEPS {
            let mut rotated = false;
            for p in 0..size {
                for q in p + 1..size {
                    if self.matrix[p * size + q].abs() > small {
                        rotate(self.matrix, self.vectors, size, p, q);
                        rotated = true;
                    }
                }
            }
            if !rotated {
                break;
            }
        }
    }
}

/// Turns rows and columns `p < q` so that their common element is zero.
#[inline(always)]
fn rotate(matrix: &mut [f64], vectors: &mut [f64], size: usize, p: usize, q: usize) {
    let (pp, qq) = (matrix[p * size + p], matrix[q * size + q]);
    let pq = matrix[p * size + q];
    let theta = (qq - pp) / (2.0 * pq);
    let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    turn_rows(matrix, size, p, q, cosine, sine);
    // By symmetry the columns are the rows.
    for k in 0..size {
        matrix[k * size + p] = matrix[p * size + k];
        matrix[k * size + q] = matrix[q * size + k];
    }
    matrix[p * size + p] = pp - tangent * pq;
    matrix[q * size + q] = qq + tangent * pq;
    matrix[p * size + q] = 0.0;
    matrix[q * size + p] = 0.0;
    turn_rows(vectors, size, p, q, cosine, sine);
}

#[inline(always)]
fn turn_rows(rows: &mut [f64], size: usize, p: usize, q: usize, cosine: f64, sine: f64) {
    let (head, tail) = rows.split_at_mut(q * size);
    let (row_p, row_q) = (&mut head[p * size..][..size], &mut tail[..size]);
    for (a, b) in row_p.iter_mut().zip(row_q) {
        (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn the_matrix_is_put_together_again() {
        let size = 30;
        let mut rng = Seed(6).stream("test");
        let mut matrix = vec![0.0; size * size];
        for i in 0..size {
            for j in 0..=i {
                let value = f64::from(rng.normal());
                matrix[i * size + j] = value;
                matrix[j * size + i] = value;
            }
        }
        let Eigen { values, vectors } = eigen(matrix.clone(), size, EXACT);
        assert!(values.is_sorted_by(|a, b| a >= b));
        for i in 0..size {
            for j in 0..size {
                let part = |k: usize| values[k] * vectors[k * size + i] * vectors[k * size + j];
                let sum: f64 = (0..size).map(part).sum();
                assert!((sum - matrix[i * size + j]).abs() < 1e-11);
                let product = |k: usize| vectors[i * size + k] * vectors[j * size + k];
                let product: f64 = (0..size).map(product).sum();
                let unit = if i == j { 1.0 } else { 0.0 };
                assert!((product - unit).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn no_rows_and_zeros_are_no_trouble() {
        assert!(eigen(Vec::new(), 0, EXACT).values.is_empty());
        assert_eq!(eigen(vec![0.0; 4], 2, EXACT).values, [0.0, 0.0]);
    }
}

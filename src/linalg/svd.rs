//! The leading right singular vectors of a large sparse matrix.

use super::cholesky::Cholesky;
use super::sparse::Sparse;
use super::tall::Tall;
use crate::kernels::eigen::{Eigen, eigen};
use crate::seed::Rng;

/// Columns beyond the rank that is asked for: the more, the faster the last
/// vectors settle.
const SPARE: usize = 48;

/// Rounds, at most, and the relative change of the singular values below which
/// they end.
const MAX_ROUNDS: usize = 30;
const TOLERANCE: f64 = 1e-5;

/// How much the largest direction may outgrow the smallest in a round: float32
/// loses a direction that is a millionth of another.
const MAX_GROWTH: f64 = 1e4;

const MAX_DEGREE: usize = 6;

/// Directions with less of the whole than this are rounding.
const NEGLIGIBLE: f64 = 1e-6;

/// `A = U S V'`, of which `U` can be had as `A V S^-1`.
#[derive(Clone, Debug)]
pub struct Leading {
    /// `S`, the largest first; fewer than asked for where the matrix has not
    /// as many.
    pub singular_values: Vec<f64>,
    /// `V`, columns of the matrix x singular values.
    pub vectors: Tall,
}

/// Finds the `rank` leading right singular vectors of `matrix`; `transposed`
/// is its transpose.
///
/// By randomized subspace iteration (Halko, Martinsson, Tropp: Finding
/// Structure with Randomness, SIAM Review 2011) with the Rayleigh-Ritz
/// procedure after each round, whose power is a Chebyshev polynomial of `A' A`
/// that is small on the part of the spectrum that is not wanted (Zhou, Saad,
/// Tiago, Chelikowsky: Self-Consistent-Field Calculations Using
/// Chebyshev-Filtered Subspace Iteration, 2006).
pub fn leading(matrix: &Sparse, transposed: &Sparse, rank: usize, rng: &mut Rng) -> Leading {
    let (rows, columns) = (matrix.num_rows(), transposed.num_rows());
    let width = (rank + SPARE).min(rows).min(columns);
    let start: Vec<f32> = (0..columns * width).map(|_| rng.normal()).collect();
    let apply = |x: &Tall| x.left_multiplied(matrix).left_multiplied(transposed);
    let mut basis = apply(&Tall::from_values(columns, width, &start));
    let mut values: Vec<f64> = Vec::new();
    for _ in 0..MAX_ROUNDS {
        let found = ritz(&orthonormal(orthonormal(basis)), matrix);
        let settled = settled(&values, &found.singular_values, rank);
        values = found.singular_values;
        basis = found.vectors;
        if settled || basis.columns() == 0 {
            break;
        }
        basis = filtered(basis, &values, &apply);
    }
    // The last round may have ended with a filter.
    let mut last = ritz(&orthonormal(orthonormal(basis)), matrix);
    let smallest = NEGLIGIBLE.sqrt() * last.singular_values.first().unwrap_or(&0.0);
    let real = last.singular_values.iter().filter(|s| **s > smallest);
    let kept = real.count().min(rank);
    last.singular_values.truncate(kept);
    let from = last.vectors.values();
    let width = last.vectors.columns().max(1);
    let cut: Vec<f32> = from
        .chunks(width)
        .flat_map(|r| &r[..kept])
        .copied()
        .collect();
    Leading {
        vectors: Tall::from_values(columns, kept.max(1), &cut),
        singular_values: last.singular_values,
    }
}

fn settled(old: &[f64], new: &[f64], rank: usize) -> bool {
    let pairs = old.iter().zip(new).take(rank);
    !old.is_empty() && pairs.clone().all(|(a, b)| (a - b).abs() <= TOLERANCE * b)
}

/// The best approximations of singular vectors inside of the span of an
/// orthonormal basis.
fn ritz(basis: &Tall, matrix: &Sparse) -> Leading {
    let gram = basis.left_multiplied(matrix).gram();
    let Eigen { values, vectors } = eigen(gram, basis.columns());
    Leading {
        singular_values: values.iter().map(|v| v.max(0.0).sqrt()).collect(),
        vectors: basis.right_multiplied(&vectors),
    }
}

/// An orthonormal basis of the columns' span: from the Cholesky factor of their
/// products, or, where some are next to nothing beside the others, without
/// those directions (Stathopoulos, Wu: A Block Orthogonalization Procedure with
/// Constant Synchronization Requirements, 2002).
fn orthonormal(block: Tall) -> Tall {
    let size = block.columns();
    let mut gram = block.gram();
    let inverse_norm = |i: usize| match gram[i * size + i] {
        square if square > 0.0 => 1.0 / square.sqrt(),
        _ => 0.0,
    };
    let scale: Vec<f64> = (0..size).map(inverse_norm).collect();
    for (i, row) in gram.chunks_exact_mut(size.max(1)).enumerate() {
        for (value, other) in row.iter_mut().zip(&scale) {
            *value *= scale[i] * other;
        }
    }
    if let Some(factor) = Cholesky::new(gram.clone(), size)
        && factor.smallest_pivot() > NEGLIGIBLE
    {
        let mut turned = factor.inverse_factor();
        for row in turned.chunks_exact_mut(size.max(1)) {
            for (value, scale) in row.iter_mut().zip(&scale) {
                *value *= scale;
            }
        }
        return block.right_multiplied(&turned);
    }
    let Eigen { values, vectors } = eigen(gram, size);
    let largest = values.first().copied().unwrap_or(0.0);
    let mut turned = Vec::with_capacity(vectors.len());
    for (value, vector) in values.iter().zip(vectors.chunks_exact(size.max(1))) {
        if *value > NEGLIGIBLE * largest {
            let entries = vector.iter().zip(&scale);
            turned.extend(entries.map(|(v, s)| v * s / value.sqrt()));
        }
    }
    block.right_multiplied(&turned)
}

/// A Chebyshev polynomial of `A' A` that stays within one below the smallest
/// of the values and grows above it.
fn filtered(basis: Tall, values: &[f64], apply: &impl Fn(&Tall) -> Tall) -> Tall {
    let square = |v: Option<&f64>| v.map_or(0.0, |v| v * v);
    let (largest, bound) = (square(values.first()), square(values.last()));
    if bound <= NEGLIGIBLE * largest {
        return apply(&basis);
    }
    let top = 2.0 * largest / bound - 1.0;
    let mut growth = [1.0, top];
    let to_bound = (2.0 / bound) as f32;
    // T_0 = x, T_1 = M x, T_k+1 = 2 M T_k - T_k-1 with M = 2 A'A / bound - 1.
    let mut older = basis;
    let mut newer = apply(&older).combined(to_bound, &older, -1.0);
    for _ in 1..MAX_DEGREE {
        growth = [growth[1], 2.0 * top * growth[1] - growth[0]];
        if growth[1] > MAX_GROWTH {
            break;
        }
        let mapped = apply(&newer).combined(2.0 * to_bound, &newer, -2.0);
        older = std::mem::replace(&mut newer, mapped.combined(1.0, &older, -1.0));
    }
    newer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::symmetric::tests::random;
    use crate::seed::Seed;

    /// Singular values and projector of the dense matrix in float64.
    fn reference(matrix: &Sparse, columns: usize) -> Eigen {
        let mut gram = vec![0.0; columns * columns];
        for row in 0..matrix.num_rows() {
            for (i, a) in matrix.row(row) {
                for (j, b) in matrix.row(row) {
                    gram[i as usize * columns + j as usize] += f64::from(a) * f64::from(b);
                }
            }
        }
        eigen(gram, columns)
    }

    fn assert_leading(matrix: &Sparse, columns: usize, rank: usize, expected: usize) {
        let exact = reference(matrix, columns);
        let mut rng = Seed(1).stream("init");
        let found = leading(matrix, &matrix.transposed(columns), rank, &mut rng);
        assert_eq!(found.singular_values.len(), expected);
        let vectors = found.vectors.values();
        for (k, value) in found.singular_values.iter().enumerate() {
            let root = exact.values[k].sqrt();
            assert!((value - root).abs() < 1e-4 * root, "{k} {value} {root}");
        }
        // V V' is the same whatever the signs.
        for i in 0..columns {
            for j in 0..columns {
                let own = |k: usize| {
                    f64::from(vectors[i * expected + k]) * f64::from(vectors[j * expected + k])
                };
                let other =
                    |k: usize| exact.vectors[k * columns + i] * exact.vectors[k * columns + j];
                let own: f64 = (0..expected).map(own).sum();
                let other: f64 = (0..expected).map(other).sum();
                assert!((own - other).abs() < 5e-3, "{i} {j} {own} {other}");
            }
        }
    }

    #[test]
    fn the_leading_vectors_are_those_of_float64() {
        let matrix = Sparse::from_interactions(&random(300, 120), false);
        // Columns of falling weight, so that there are gaps in the spectrum.
        let matrix = matrix.map(|_, column, value| value * 0.97f32.powi(column as i32));
        assert_leading(&matrix, 120, 20, 20);
    }

    #[test]
    fn a_rank_that_is_not_there_is_cut_short() {
        let matrix = Sparse {
            offsets: vec![0, 2, 4, 5, 6],
            columns: vec![0, 1, 0, 1, 2, 2],
            values: vec![1.0; 6],
        };
        assert_leading(&matrix, 4, 10, 2);
    }

    #[test]
    fn an_empty_matrix_has_no_vectors() {
        let matrix = Sparse {
            offsets: vec![0, 0],
            ..Sparse::default()
        };
        let mut rng = Seed(1).stream("init");
        let found = leading(&matrix, &matrix.transposed(3), 2, &mut rng);
        assert!(found.singular_values.is_empty());
        assert_eq!(found.vectors.values(), [0.0; 3]);
    }
}

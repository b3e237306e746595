//! Eigenvalues and eigenvectors of a small symmetric matrix.
//!
//! Householder's reduction to a tridiagonal matrix and implicit QL steps, as in
//! Bowdler, Martin, Reinsch & Wilkinson, "The QR and QL algorithms for
//! symmetric matrices", Numerische Mathematik 1968 (EISPACK's `tred2` and
//! `tql2`), arranged so that every inner loop runs along a row.

use super::simd::{self, Isa, Job};

/// Steps for one eigenvalue; two or three are usual.
const MOST_STEPS: usize = 60;

/// Eigenvalues, the largest first, and eigenvectors, in float64:
/// `a = vectors^T diag(values) vectors`.
#[derive(Clone, Debug)]
pub struct Eigen {
    pub values: Vec<f64>,
    /// Row `k` is the eigenvector of `values[k]`; rows are orthonormal.
    pub vectors: Vec<f64>,
}

/// Decomposes a symmetric row-major matrix of `size` rows.
///
/// # Panics
/// When the matrix does not have that size.
pub fn eigen(matrix: Vec<f64>, size: usize) -> Eigen {
    assert_eq!(matrix.len(), size * size, "a square matrix");
    let Eigen { values, vectors } = simd::run(Decompose { n: size, matrix });
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]).then(a.cmp(&b)));
    let rows = order.iter().flat_map(|&k| &vectors[k * size..][..size]);
    Eigen {
        vectors: rows.copied().collect(),
        values: order.iter().map(|&k| values[k]).collect(),
    }
}

struct Decompose {
    n: usize,
    matrix: Vec<f64>,
}

impl Job for Decompose {
    /// In no order.
    type Output = Eigen;

    #[inline(always)]
    fn call<S: Isa>(self) -> Eigen {
        let Self { n, matrix: mut a } = self;
        let (mut values, mut beside, scales) = tridiagonal(&mut a, n);
        let mut vectors = transformation(&a, &scales, n);
        diagonal(&mut values, &mut beside, &mut vectors, n);
        Eigen { values, vectors }
    }
}

/// In place; row `k` then holds, right of the diagonal, the vector of the
/// `k`-th reflection `1 - scale v v^T`. Returns the diagonal, what lies beside
/// it, and the scales.
#[inline(always)]
fn tridiagonal(a: &mut [f64], n: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let (mut scales, mut beside) = (vec![0.0; n], vec![0.0; n]);
    let (mut product, mut v) = (vec![0.0; n], vec![0.0; n]);
    for k in 0..n.saturating_sub(2) {
        let m = n - k - 1;
        let (done, rest) = a.split_at_mut((k + 1) * n);
        let x = &mut done[k * n + k + 1..];
        let norm = dot(x, x).sqrt();
        if norm == 0.0 {
            continue;
        }
        let image = if x[0] > 0.0 { -norm } else { norm };
        x[0] -= image;
        let scale = 2.0 / dot(x, x);
        (scales[k], beside[k]) = (scale, image);
        let (v, product) = (&mut v[..m], &mut product[..m]);
        v.copy_from_slice(x);
        for (row, p) in rest.chunks_exact(n).zip(product.iter_mut()) {
            *p = scale * dot(&row[k + 1..], v);
        }
        let along = scale / 2.0 * dot(product, v);
        add(product, -along, v);
        for (i, row) in rest.chunks_exact_mut(n).enumerate() {
            let (first, second) = (v[i], product[i]);
            for ((a, v), p) in row[k + 1..].iter_mut().zip(&*v).zip(&*product) {
                *a -= first * p + second * v;
            }
        }
    }
    if n > 1 {
        beside[n - 2] = a[(n - 2) * n + n - 1];
    }
    let diagonal = (0..n).map(|k| a[k * n + k]).collect();
    (diagonal, beside, scales)
}

/// The product of the reflections, transposed: its rows turn into the
/// eigenvectors.
#[inline(always)]
fn transformation(a: &[f64], scales: &[f64], n: usize) -> Vec<f64> {
    let mut q = vec![0.0; n * n];
    for k in 0..n {
        q[k * n + k] = 1.0;
    }
    let mut product = vec![0.0; n];
    for k in (0..n.saturating_sub(2)).rev() {
        let v = &a[k * n + k + 1..(k + 1) * n];
        let product = &mut product[k + 1..];
        product.fill(0.0);
        for (i, &v) in v.iter().enumerate() {
            add(product, v, &q[(k + 1 + i) * n + k + 1..(k + 2 + i) * n]);
        }
        for (i, &v) in v.iter().enumerate() {
            let row = &mut q[(k + 1 + i) * n + k + 1..(k + 2 + i) * n];
            add(row, -scales[k] * v, product);
        }
    }
    let mut transposed = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..n {
            transposed[j * n + i] = q[i * n + j];
        }
    }
    transposed
}

/// Implicit QL steps with rotations of the rows of `z`.
#[inline(always)]
fn diagonal(d: &mut [f64], e: &mut [f64], z: &mut [f64], n: usize) {
    for l in 0..n {
        for _ in 0..MOST_STEPS {
            let negligible = |&m: &usize| {
                m + 1 == n || e[m].abs() <= f64::EPSILON * (d[m].abs() + d[m + 1].abs())
            };
            let m = (l..n).find(negligible).unwrap_or(l);
            if m == l {
                break;
            }
            step(d, e, z, n, l..m);
        }
    }
}

/// One step on the block `block.start..=block.end`.
#[inline(always)]
fn step(d: &mut [f64], e: &mut [f64], z: &mut [f64], n: usize, block: std::ops::Range<usize>) {
    let (l, m) = (block.start, block.end);
    let half = (d[l + 1] - d[l]) / (2.0 * e[l]);
    let radius = half.hypot(1.0).copysign(half);
    let mut g = d[m] - d[l] + e[l] / (half + radius);
    let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
    for i in (l..m).rev() {
        let (f, b) = (s * e[i], c * e[i]);
        let r = f.hypot(g);
        e[i + 1] = r;
        if r == 0.0 {
            d[i + 1] -= p;
            e[m] = 0.0;
            return;
        }
        (s, c) = (f / r, g / r);
        let q = d[i + 1] - p;
        let t = (d[i] - q) * s + 2.0 * c * b;
        p = s * t;
        d[i + 1] = q + p;
        g = c * t - b;
        let (upper, lower) = z[i * n..(i + 2) * n].split_at_mut(n);
        for (x, y) in upper.iter_mut().zip(lower) {
            let (a, b) = (*x, *y);
            *y = s * a + c * b;
            *x = c * a - s * b;
        }
    }
    d[l] -= p;
    e[l] = g;
    e[m] = 0.0;
}

/// Sums in eight places, which a compiler can keep in one register.
#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (left, right) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest = left.remainder().iter().zip(right.remainder());
    let tail: f64 = rest.map(|(a, b)| a * b).sum();
    for (a, b) in left.zip(right) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum::<f64>() + tail
}

/// `to += factor * row`
#[inline(always)]
fn add(to: &mut [f64], factor: f64, row: &[f64]) {
    for (to, row) in to.iter_mut().zip(row) {
        *to += factor * row;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    fn check(n: usize, rank: usize) {
        let mut rng = Seed(n as u64).stream("test");
        let rows: Vec<Vec<f64>> = (0..rank)
            .map(|_| (0..n).map(|_| f64::from(rng.normal())).collect())
            .collect();
        let at = |i: usize, j: usize| rows.iter().map(|r| r[i] * r[j]).sum::<f64>();
        let matrix: Vec<f64> = (0..n * n).map(|p| at(p / n, p % n)).collect();
        let eigen = eigen(matrix.clone(), n);
        assert!(eigen.values.is_sorted_by(|a, b| a >= b));
        let row = |k: usize| &eigen.vectors[k * n..(k + 1) * n];
        let scale = 1.0 + rank as f64;
        for i in 0..n {
            for j in 0..n {
                let unit = if i == j { 1.0 } else { 0.0 };
                assert!(
                    (dot(row(i), row(j)) - unit).abs() < 1e-10,
                    "{n}: rows {i}, {j}"
                );
                let again: f64 = (0..n)
                    .map(|k| eigen.values[k] * row(k)[i] * row(k)[j])
                    .sum();
                assert!(
                    (again - matrix[i * n + j]).abs() < 1e-9 * scale,
                    "{n}: {i}, {j}"
                );
            }
        }
        assert!(eigen.values.iter().all(|v| *v > -1e-9 * scale));
    }

    #[test]
    fn vectors_are_orthonormal_and_make_the_matrix_again() {
        for (n, rank) in [
            (1, 1),
            (2, 2),
            (3, 1),
            (7, 9),
            (16, 4),
            (33, 40),
            (64, 64),
            (70, 12),
        ] {
            check(n, rank);
        }
        check(5, 0);
    }

    /// With eigenvalues of either sign.
    #[test]
    fn the_matrix_is_put_together_again() {
        let size = 30;
        let mut rng = Seed::fresh().stream("test");
        let mut matrix = vec![0.0; size * size];
        for i in 0..size {
            for j in 0..=i {
                let value = f64::from(rng.normal());
                matrix[i * size + j] = value;
                matrix[j * size + i] = value;
            }
        }
        let Eigen { values, vectors } = eigen(matrix.clone(), size);
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
        assert!(eigen(Vec::new(), 0).values.is_empty());
        assert_eq!(eigen(vec![0.0; 4], 2).values, [0.0, 0.0]);
    }
}

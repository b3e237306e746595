//! Small symmetric positive definite systems.

use crate::kernels::gemm::{Left, add_product_from};
use crate::kernels::simd::{Isa, Lane, WIDTH, add_scaled, dot, flat, flat_mut};

/// Memory of a factorization.
#[derive(Default)]
pub struct Factor {
    /// The columns of a block of rows, negated.
    panel: Vec<Lane>,
    /// One over the diagonal of the factor.
    inverses: Vec<f32>,
}

impl Factor {
    /// Factors `a = U^T U` in place. `a` has `n` rows of `width` lanes, is
    /// complete on and above the diagonal and in its diagonal blocks, and zero
    /// in the columns from `n` on. Below the diagonal, old numbers stay.
    ///
    /// A matrix that is not positive definite gives numbers that are not
    /// finite.
    #[inline(always)]
    pub fn factor<S: Isa>(&mut self, a: &mut [Lane], n: usize, width: usize) {
        self.inverses.clear();
        for start in (0..n).step_by(WIDTH) {
            let (rows, first) = (WIDTH.min(n - start), start / WIDTH);
            let (done, rest) = a.split_at_mut(start * width);
            let block = &mut rest[..rows * width];
            self.panel.clear();
            self.panel.extend(done.chunks_exact(width).map(|row| {
                let mut lane = row[first];
                lane.0.iter_mut().for_each(|x| *x = -*x);
                lane
            }));
            let left = Left {
                values: flat(&self.panel),
                row: 1,
                depth: WIDTH,
            };
            add_product_from::<S>(left, done, block, width, first);
            self.factor_block::<S>(block, width, first);
        }
    }

    /// Rows that stand beside no earlier ones.
    #[inline(always)]
    fn factor_block<S: Isa>(&mut self, block: &mut [Lane], width: usize, first: usize) {
        for k in 0..block.len() / width {
            let (row, below) = block[k * width..].split_at_mut(width);
            let row = &mut row[first..];
            let inverse = 1.0 / row[0].0[k].sqrt();
            self.inverses.push(inverse);
            flat_mut(row).iter_mut().for_each(|x| *x *= inverse);
            for (i, other) in below.chunks_exact_mut(width).enumerate() {
                add_scaled::<S>(&mut other[first..], -row[0].0[k + 1 + i], row);
            }
        }
    }

    /// Puts `U^-T right` in place of `right`, `width` lanes; returns its
    /// square, which is `right^T a^-1 right`.
    #[inline(always)]
    pub fn forward<S: Isa>(&self, a: &[Lane], right: &mut [Lane], width: usize) -> f64 {
        let mut square = 0.0;
        for (k, (row, inverse)) in a.chunks_exact(width).zip(&self.inverses).enumerate() {
            let (first, place) = (k / WIDTH, k % WIDTH);
            let value = right[first].0[place] * inverse;
            // What the row has at earlier places of the lane must not count.
            let before = right[first];
            add_scaled::<S>(&mut right[first..], -value, &row[first..]);
            right[first].0[..place].copy_from_slice(&before.0[..place]);
            right[first].0[place] = value;
            square += f64::from(value) * f64::from(value);
        }
        square
    }

    /// Writes `U^-1 right` to `solution`, both of `width` lanes.
    #[inline(always)]
    pub fn backward<S: Isa>(&self, a: &[Lane], right: &[Lane], solution: &mut [Lane]) {
        let width = right.len();
        solution.fill(Lane::ZERO);
        let rows = a.chunks_exact(width).zip(&self.inverses).enumerate();
        for (k, (row, inverse)) in rows.rev() {
            let (first, place) = (k / WIDTH, k % WIDTH);
            // Zeros stand at `k` and before it.
            let later = dot::<S>(&row[first..], &solution[first..]);
            solution[first].0[place] = (right[first].0[place] - later) * inverse;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::{self, Job, Portable};
    use crate::seed::Seed;

    struct Solve<'a>(&'a mut [Lane], &'a mut [Lane], usize);

    impl Job for Solve<'_> {
        type Output = (Vec<Lane>, f64);

        #[inline(always)]
        fn call<S: Isa>(self) -> Self::Output {
            let Self(a, right, n) = self;
            let width = right.len();
            let mut factor = Factor::default();
            factor.factor::<S>(a, n, width);
            let square = factor.forward::<S>(a, right, width);
            let mut solution = vec![Lane::ZERO; width];
            factor.backward::<S>(a, right, &mut solution);
            (solution, square)
        }
    }

    /// The solution put into the system gives the right side again.
    #[test]
    fn systems_are_solved() {
        let mut rng = Seed::fresh().stream("test");
        for n in [1, 2, 15, 16, 17, 31, 40, 64, 77] {
            let width = usize::div_ceil(n, WIDTH);
            let rows: Vec<Vec<f64>> = (0..n)
                .map(|_| (0..n).map(|_| f64::from(rng.normal())).collect())
                .collect();
            let at = |i: usize, j: usize| {
                let ridge = if i == j { 5.0 } else { 0.0 };
                ridge + rows.iter().map(|r| r[i] * r[j]).sum::<f64>()
            };
            let mut a = vec![Lane::ZERO; n * width];
            let mut right = vec![Lane::ZERO; width];
            for i in 0..n {
                flat_mut(&mut right)[i] = rng.normal();
                for j in 0..n {
                    flat_mut(&mut a)[i * width * WIDTH + j] = at(i, j) as f32;
                }
            }
            let given: Vec<f32> = flat(&right)[..n].to_vec();
            let (mut b, mut again) = (a.clone(), right.clone());
            let portable = Solve(&mut b, &mut again, n).call::<Portable>();
            let fast = simd::run(Solve(&mut a, &mut right, n));
            for (solution, square) in [portable, fast] {
                let x = flat(&solution);
                for (i, given) in given.iter().enumerate() {
                    let value: f64 = (0..n).map(|j| at(i, j) * f64::from(x[j])).sum();
                    assert!(
                        (value - f64::from(*given)).abs() < 2e-3,
                        "{n}: {value} {given}"
                    );
                }
                let product: f64 = (0..n).map(|i| f64::from(given[i] * x[i])).sum();
                assert!(
                    (product - square).abs() < 1e-3 * (1.0 + square),
                    "{n}: {product} {square}"
                );
                assert!(x[n..].iter().all(|x| *x == 0.0));
            }
        }
    }
}

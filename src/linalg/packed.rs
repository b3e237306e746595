//! Products of square blocks whose operands were copied into the order in
//! which the kernel reads them.

use super::symmetric::{LANES, TILE};
use crate::kernels::simd::{Isa, Job, Lane, WIDTH, flat_mut};

/// Rows of a strip of the left operand.
pub const ROWS: usize = 8;

/// Lanes of a strip of the right operand.
const COLUMNS: usize = 2;

/// Columns of a strip of the right operand.
pub const STRIP: usize = COLUMNS * WIDTH;

/// Lanes of a packed block, which are those of a tile.
pub const BLOCK: usize = TILE * LANES;

/// Copies a left operand: strip by strip of [`ROWS`] rows, depth by depth.
/// `at(row, depth)` must be defined up to [`TILE`].
#[inline(always)]
pub fn pack_left(to: &mut [Lane], at: impl Fn(usize, usize) -> f32) {
    let strips = flat_mut(to).chunks_exact_mut(ROWS * TILE);
    for (strip, first) in strips.zip((0..).step_by(ROWS)) {
        for (k, values) in strip.chunks_exact_mut(ROWS).enumerate() {
            for (r, value) in values.iter_mut().enumerate() {
                *value = at(first + r, k);
            }
        }
    }
}

/// Copies a right operand: strip by strip of [`STRIP`] columns, depth by
/// depth. `at(depth, column)` must be defined up to [`TILE`].
#[inline(always)]
pub fn pack_right(to: &mut [Lane], at: impl Fn(usize, usize) -> f32) {
    let strips = flat_mut(to).chunks_exact_mut(STRIP * TILE);
    for (strip, first) in strips.zip((0..).step_by(STRIP)) {
        for (k, values) in strip.chunks_exact_mut(STRIP).enumerate() {
            for (c, value) in values.iter_mut().enumerate() {
                *value = at(k, first + c);
            }
        }
    }
}

/// How much of a block is computed; the rest stays as it is.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    pub rows: usize,
    pub columns: usize,
    pub depth: usize,
    /// Only what lies on and below the diagonal (and a little above it).
    pub lower: bool,
}

/// `to += left * right` of packed blocks; `to` is a tile.
pub struct AddProduct<'a> {
    pub left: &'a [Lane],
    pub right: &'a [Lane],
    pub to: &'a mut [Lane],
    pub extent: Extent,
}

impl Job for AddProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let Extent {
            rows,
            columns,
            depth,
            lower,
        } = self.extent;
        assert!(
            self.left.len() == BLOCK && self.right.len() == BLOCK && self.to.len() == BLOCK,
            "packed blocks"
        );
        assert!(
            rows <= TILE && columns <= TILE && depth <= TILE,
            "an extent inside of a block"
        );
        for column in (0..columns).step_by(STRIP) {
            let first = if lower { column / ROWS * ROWS } else { 0 };
            for row in (first..rows).step_by(ROWS) {
                // SAFETY: strips of whole blocks, as was just checked.
                unsafe {
                    let left = self.left.as_ptr().cast::<f32>().add(row * TILE);
                    let right = self.right.as_ptr().add(column / WIDTH * TILE);
                    let to = self.to.as_mut_ptr().add(row * LANES + column / WIDTH);
                    strip::<S>(left, right, to, depth);
                }
            }
        }
    }
}

/// One strip of rows by one of columns, in tiles that fit the registers.
///
/// # Safety
/// The pointers must be to strips of packed blocks and into a tile.
#[inline(always)]
unsafe fn strip<S: Isa>(left: *const f32, right: *const Lane, to: *mut Lane, depth: usize) {
    // SAFETY: the tiles divide the strip.
    unsafe {
        if S::TILE == (ROWS, COLUMNS) {
            tile::<S, ROWS, COLUMNS>(left, right, to, depth);
        } else {
            for row in (0..ROWS).step_by(4) {
                for column in 0..COLUMNS {
                    let to = to.add(row * LANES + column);
                    tile::<S, 4, 1>(left.add(row), right.add(column), to, depth);
                }
            }
        }
    }
}

/// # Safety
/// As [`strip`].
#[inline(always)]
unsafe fn tile<S: Isa, const R: usize, const C: usize>(
    left: *const f32,
    right: *const Lane,
    to: *mut Lane,
    depth: usize,
) {
    let mut sums = [[S::zero(); C]; R];
    // SAFETY: the caller's promise covers every element that is named below.
    unsafe {
        for k in 0..depth {
            let mut columns = [S::zero(); C];
            for (c, column) in columns.iter_mut().enumerate() {
                *column = S::load(&*right.add(k * COLUMNS + c));
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let factor = S::splat(*left.add(k * ROWS + r));
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = S::madd(factor, column, *sum);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (c, sum) in sums.iter().enumerate() {
                let to = &mut *to.add(r * LANES + c);
                S::store(S::add(S::load(to), *sum), to);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::{self, Portable, flat};
    use crate::seed::Seed;

    #[test]
    fn products_match_the_sums_of_the_definition() {
        let mut rng = Seed(2).stream("test");
        let mut draw = || -> Vec<f32> { (0..TILE * TILE).map(|_| rng.normal()).collect() };
        let (a, b) = (draw(), draw());
        let (mut left, mut right) = (vec![Lane::ZERO; BLOCK], vec![Lane::ZERO; BLOCK]);
        pack_left(&mut left, |r, k| a[r * TILE + k]);
        pack_right(&mut right, |k, c| b[k * TILE + c]);
        let extent = |rows, columns, depth, lower| Extent {
            rows,
            columns,
            depth,
            lower,
        };
        for extent in [
            extent(256, 256, 256, false),
            extent(40, 64, 9, false),
            extent(256, 256, 100, true),
        ] {
            let mut fast = vec![Lane([0.5; WIDTH]); BLOCK];
            let mut portable = fast.clone();
            let job = |to| AddProduct {
                left: &left,
                right: &right,
                to,
                extent,
            };
            simd::run(job(&mut fast));
            job(&mut portable).call::<Portable>();
            for r in 0..extent.rows {
                for c in 0..extent.columns {
                    if extent.lower && c > r {
                        continue;
                    }
                    let product =
                        |k: usize| f64::from(a[r * TILE + k]) * f64::from(b[k * TILE + c]);
                    let exact = 0.5 + (0..extent.depth).map(product).sum::<f64>();
                    for sums in [&fast, &portable] {
                        let sum = f64::from(flat(sums)[r * TILE + c]);
                        assert!((sum - exact).abs() < 1e-4, "{r} {c} {sum} {exact}");
                    }
                }
            }
            let untouched = flat(&fast)[(TILE - 1) * TILE + TILE - 1];
            assert_eq!(untouched == 0.5, extent.rows < TILE);
        }
    }
}

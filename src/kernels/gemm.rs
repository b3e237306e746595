//! Products of small matrices for kernels on the CPU: layers of a network over
//! a chunk of examples, whose operands stay in the nearest caches.
//!
//! Every element is one sum in the order of the depth, whatever tile it falls
//! into.

use super::simd::{Isa, Lane, WIDTH};

/// The left operand, `rows x depth`, of numbers in a slice: element `(r, k)`
/// lies at `r * row + k * depth`. A transposed matrix is one with its steps
/// exchanged.
#[derive(Clone, Copy)]
pub struct Left<'a> {
    pub values: &'a [f32],
    pub row: usize,
    pub depth: usize,
}

/// `to += left * right`, where `right` has `depth` rows and `to` some rows of
/// `width` lanes each.
///
/// # Panics
/// When the operands do not fit each other.
#[inline(always)]
pub fn add_product<S: Isa>(left: Left<'_>, right: &[Lane], to: &mut [Lane], width: usize) {
    let rows = to.len() / width;
    add_columns::<S>(left, right, to, width, 0, |_| rows);
}

/// As [`add_product`], in the lanes from `first` on alone.
///
/// # Panics
/// When the operands do not fit each other.
#[inline(always)]
pub fn add_product_from<S: Isa>(
    left: Left<'_>,
    right: &[Lane],
    to: &mut [Lane],
    width: usize,
    first: usize,
) {
    let rows = to.len() / width;
    add_columns::<S>(left, right, to, width, first, |_| rows);
}

/// As [`add_product`] for a symmetric result: only lanes that hold an element
/// on or above the diagonal, and some below it.
///
/// # Panics
/// When the operands do not fit each other.
#[inline(always)]
pub fn add_upper<S: Isa>(left: Left<'_>, right: &[Lane], to: &mut [Lane], width: usize) {
    let rows = to.len() / width;
    add_columns::<S>(left, right, to, width, 0, |end| rows.min(end * WIDTH));
}

/// The product in the lanes from `first` on; lanes that end at `e` have
/// `rows_until(e)` rows.
#[inline(always)]
fn add_columns<S: Isa>(
    left: Left<'_>,
    right: &[Lane],
    to: &mut [Lane],
    width: usize,
    first: usize,
    rows_until: impl Fn(usize) -> usize,
) {
    if to.is_empty() || right.is_empty() {
        return;
    }
    let (depth, rows) = (right.len() / width, to.len() / width);
    assert!(
        right.len() == depth * width && to.len() == rows * width,
        "matrices of {width} lanes a row"
    );
    let last = (rows - 1) * left.row + (depth - 1) * left.depth;
    assert!(last < left.values.len(), "a left operand of that size");
    let mut column = first;
    while column < width {
        let columns = S::TILE.1.min(width - column);
        let rows = rows_until(column + columns);
        let mut at = Place {
            left,
            right,
            width,
            column,
            row: 0,
        };
        while at.row < rows {
            let fitting = rows - at.row >= S::TILE.0;
            // SAFETY: rows, columns and depth are inside of the operands, as
            // was just checked, and a tile is as large as `fitting` and
            // `columns` say.
            unsafe {
                match (S::TILE.0, fitting, columns) {
                    (8, true, 2) => tile::<S, 8, 2>(at, depth, to),
                    (8, true, _) => tile::<S, 8, 1>(at, depth, to),
                    (_, true, _) => tile::<S, 4, 1>(at, depth, to),
                    (_, false, 2) => tile::<S, 1, 2>(at, depth, to),
                    (_, false, _) => tile::<S, 1, 1>(at, depth, to),
                }
            }
            at.row += if fitting { S::TILE.0 } else { 1 };
        }
        column += columns;
    }
}

/// Where a tile lies.
#[derive(Clone, Copy)]
struct Place<'a> {
    left: Left<'a>,
    right: &'a [Lane],
    width: usize,
    row: usize,
    column: usize,
}

/// # Safety
/// The operands must hold `ROWS` rows and `COLUMNS` lanes from `at` on.
#[inline(always)]
unsafe fn tile<S: Isa, const ROWS: usize, const COLUMNS: usize>(
    at: Place<'_>,
    depth: usize,
    to: &mut [Lane],
) {
    let mut sums = [[S::zero(); COLUMNS]; ROWS];
    // SAFETY: the caller's promise covers every element that is named below.
    unsafe {
        let to = to.as_mut_ptr().add(at.row * at.width + at.column);
        for (r, sums) in sums.iter_mut().enumerate() {
            for (c, sum) in sums.iter_mut().enumerate() {
                *sum = S::load(&*to.add(r * at.width + c));
            }
        }
        let left = at.left.values.as_ptr().add(at.row * at.left.row);
        let right = at.right.as_ptr().add(at.column);
        for k in 0..depth {
            let mut columns = [S::zero(); COLUMNS];
            for (c, column) in columns.iter_mut().enumerate() {
                *column = S::load(&*right.add(k * at.width + c));
            }
            let left = left.add(k * at.left.depth);
            for (r, sums) in sums.iter_mut().enumerate() {
                let factor = S::splat(*left.add(r * at.left.row));
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = S::madd(factor, column, *sum);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (c, sum) in sums.iter().enumerate() {
                S::store(*sum, &mut *to.add(r * at.width + c));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::{self, Job, Portable, flat};
    use crate::seed::{Rng, Seed};

    struct Product<'a>(Left<'a>, &'a [Lane], &'a mut [Lane], usize);

    impl Job for Product<'_> {
        type Output = ();

        #[inline(always)]
        fn call<S: Isa>(self) {
            add_product::<S>(self.0, self.1, self.2, self.3);
        }
    }

    fn lanes(rng: &mut Rng, count: usize) -> Vec<Lane> {
        let lane = |_| Lane(std::array::from_fn(|_| rng.normal()));
        (0..count).map(lane).collect()
    }

    #[test]
    fn products_match_the_sums_of_the_definition() {
        let mut rng = Seed(2).stream("test");
        for (rows, depth, width) in [(1, 1, 1), (8, 3, 2), (13, 17, 3), (29, 64, 4), (4, 5, 1)] {
            let left = lanes(&mut rng, rows * depth);
            let right = lanes(&mut rng, depth * width);
            let start = lanes(&mut rng, rows * width);
            // Row by row, and column by column.
            for (row, step) in [(depth, 1), (1, rows)] {
                let operand = Left {
                    values: flat(&left),
                    row,
                    depth: step,
                };
                let (mut fast, mut portable) = (start.clone(), start.clone());
                simd::run(Product(operand, &right, &mut fast, width));
                Product(operand, &right, &mut portable, width).call::<Portable>();
                for r in 0..rows {
                    for c in 0..width * WIDTH {
                        let product = |k: usize| {
                            let a = f64::from(operand.values[r * row + k * step]);
                            a * f64::from(flat(&right)[k * width * WIDTH + c])
                        };
                        let at = r * width * WIDTH + c;
                        let exact =
                            f64::from(flat(&start)[at]) + (0..depth).map(product).sum::<f64>();
                        for sums in [&fast, &portable] {
                            let sum = f64::from(flat(sums)[at]);
                            assert!((sum - exact).abs() < 1e-4, "{sum} {exact}");
                        }
                    }
                }
            }
        }
    }
}

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

/// Rows of lanes inside of a larger matrix: row `r` begins at `r * row`.
#[derive(Clone, Copy)]
pub struct Right<'a> {
    pub lanes: &'a [Lane],
    pub row: usize,
}

/// As [`Right`], to add to.
pub struct To<'a> {
    pub lanes: &'a mut [Lane],
    pub row: usize,
}

/// Rows and depth of the left operand, and lanes in a row of the right one.
#[derive(Clone, Copy)]
pub struct Size {
    pub rows: usize,
    pub depth: usize,
    pub width: usize,
}

/// `to += left * right`, where `right` has `depth` rows and `to` some rows of
/// `width` lanes each.
///
/// # Panics
/// When the operands do not fit each other.
#[inline(always)]
pub fn add_product<S: Isa>(left: Left<'_>, right: &[Lane], to: &mut [Lane], width: usize) {
    add_whole::<S>(left, right, to, width, 0, |rows, _| rows);
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
    add_whole::<S>(left, right, to, width, first, |rows, _| rows);
}

/// As [`add_product`] for a symmetric result: only lanes that hold an element
/// on or above the diagonal, and some below it.
///
/// # Panics
/// When the operands do not fit each other.
#[inline(always)]
pub fn add_upper<S: Isa>(left: Left<'_>, right: &[Lane], to: &mut [Lane], width: usize) {
    add_whole::<S>(left, right, to, width, 0, |rows, end| rows.min(end * WIDTH));
}

/// [`add_columns`] of whole matrices of `width` lanes a row.
#[inline(always)]
fn add_whole<S: Isa>(
    left: Left<'_>,
    right: &[Lane],
    to: &mut [Lane],
    width: usize,
    first: usize,
    rows_until: impl Fn(usize, usize) -> usize,
) {
    if to.is_empty() || right.is_empty() {
        return;
    }
    let size = Size {
        rows: to.len() / width,
        depth: right.len() / width,
        width,
    };
    assert!(
        right.len() == size.depth * width && to.len() == size.rows * width,
        "matrices of {width} lanes a row"
    );
    let right = Right {
        lanes: right,
        row: width,
    };
    let to = To {
        lanes: to,
        row: width,
    };
    add_columns::<S>(left, right, to, size, first, rows_until);
}

/// [`add_product`] for parts of larger matrices.
///
/// # Panics
/// When the operands do not hold that size.
#[inline(always)]
pub fn add_part<S: Isa>(left: Left<'_>, right: Right<'_>, to: To<'_>, size: Size) {
    add_columns::<S>(left, right, to, size, 0, |rows, _| rows);
}

/// The product in the lanes from `first` on; of `rows` rows, lanes that end at
/// `e` have the first `rows_until(rows, e)`.
#[inline(always)]
fn add_columns<S: Isa>(
    left: Left<'_>,
    right: Right<'_>,
    to: To<'_>,
    size: Size,
    first: usize,
    rows_until: impl Fn(usize, usize) -> usize,
) {
    let Size { rows, depth, width } = size;
    if rows == 0 || depth == 0 || width == 0 {
        return;
    }
    let last = (rows - 1) * left.row + (depth - 1) * left.depth;
    assert!(last < left.values.len(), "a left operand of that size");
    assert!(
        (depth - 1) * right.row + width <= right.lanes.len(),
        "a right operand of that size"
    );
    assert!(
        (rows - 1) * to.row + width <= to.lanes.len(),
        "a result of that size"
    );
    let mut column = first;
    while column < width {
        let columns = S::TILE.1.min(width - column);
        let rows = rows_until(rows, column + columns);
        let mut at = Place {
            left,
            right,
            column,
            row: 0,
        };
        while at.row < rows {
            let fitting = S::TILE.0.min(rows - at.row);
            // SAFETY: rows, columns and depth are inside of the operands, as
            // was just checked, and a tile is as large as `fitting` and
            // `columns` say.
            let height = unsafe {
                match (fitting, columns) {
                    (8, 2) => tile::<S, 8, 2>(at, depth, to.lanes, to.row),
                    (8, _) => tile::<S, 8, 1>(at, depth, to.lanes, to.row),
                    (4.., 2) => tile::<S, 4, 2>(at, depth, to.lanes, to.row),
                    (4.., _) => tile::<S, 4, 1>(at, depth, to.lanes, to.row),
                    (_, 2) => tile::<S, 1, 2>(at, depth, to.lanes, to.row),
                    (_, _) => tile::<S, 1, 1>(at, depth, to.lanes, to.row),
                }
            };
            at.row += height;
        }
        column += columns;
    }
}

/// Where a tile lies.
#[derive(Clone, Copy)]
struct Place<'a> {
    left: Left<'a>,
    right: Right<'a>,
    row: usize,
    column: usize,
}

/// Returns its rows.
///
/// The loops count by hand: iterators over arrays of vectors keep the arrays in
/// memory as soon as one of their functions is not inlined, which makes this
/// several times slower.
///
/// # Safety
/// The operands must hold `ROWS` rows and `COLUMNS` lanes from `at` on.
#[inline(always)]
unsafe fn tile<S: Isa, const ROWS: usize, const COLUMNS: usize>(
    at: Place<'_>,
    depth: usize,
    to: &mut [Lane],
    to_row: usize,
) -> usize {
    let mut sums = [[S::zero(); COLUMNS]; ROWS];
    // SAFETY: the caller's promise covers every element that is named below.
    unsafe {
        let to = to.as_mut_ptr().add(at.row * to_row + at.column);
        let mut r = 0;
        while r < ROWS {
            let mut c = 0;
            while c < COLUMNS {
                sums[r][c] = S::load(&*to.add(r * to_row + c));
                c += 1;
            }
            r += 1;
        }
        let left = at.left.values.as_ptr().add(at.row * at.left.row);
        let right = at.right.lanes.as_ptr().add(at.column);
        for k in 0..depth {
            let mut columns = [S::zero(); COLUMNS];
            let mut c = 0;
            while c < COLUMNS {
                columns[c] = S::load(&*right.add(k * at.right.row + c));
                c += 1;
            }
            let left = left.add(k * at.left.depth);
            let mut r = 0;
            while r < ROWS {
                let factor = S::splat(*left.add(r * at.left.row));
                let mut c = 0;
                while c < COLUMNS {
                    sums[r][c] = S::madd(factor, columns[c], sums[r][c]);
                    c += 1;
                }
                r += 1;
            }
        }
        let mut r = 0;
        while r < ROWS {
            let mut c = 0;
            while c < COLUMNS {
                S::store(sums[r][c], &mut *to.add(r * to_row + c));
                c += 1;
            }
            r += 1;
        }
    }
    ROWS
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
        let mut rng = Seed::fresh().stream("test");
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

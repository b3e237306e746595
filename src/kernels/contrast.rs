//! InfoNCE between two views of the same nodes (van den Oord et al., 2018),
//! with its gradients: the mean over `i` of
//!
//! `-ln (e^(cos(a_i, b_i) / t) / sum_j e^(cos(a_i, b_j) / t))`.
//!
//! The square of all pairs is worked on in blocks that stay in the caches, and
//! a cosine is computed once. The blocks, and so the order of every sum, do
//! not depend on the number of threads.

use super::gemm::{Left, add_product};
use super::simd::{self, Isa, Job, Lane, WIDTH, add_scaled, dot, exp, flat, flat_mut, ln};
use rayon::prelude::*;
use std::ops::Range;

/// Rows of `a` in a block.
const ROWS: usize = 32;

/// Rows of `b` in a block, and the lanes that their cosines take.
const COLUMNS: usize = 64;
const COLUMN_LANES: usize = COLUMNS / WIDTH;

/// Parts of `a` that have sums of their own for the gradient of `b`.
const PARTS: usize = 16;

/// The lowest temperature at which no sum of exponentials of cosines can
/// leave the range of the numbers.
pub const LOWEST_TEMPERATURE: f64 = 0.025;

/// What is computed.
#[derive(Clone, Copy, Debug)]
pub struct Contrast {
    pub temperature: f32,
    /// What value and gradients are multiplied by.
    pub weight: f32,
}

/// Memory that calls use again.
#[derive(Default)]
pub struct Space {
    a: Vec<Lane>,
    b: Vec<Lane>,
    norms_a: Vec<f32>,
    norms_b: Vec<f32>,
    panels: Vec<Lane>,
    sums: Vec<Lane>,
    losses: Vec<f64>,
}

impl Contrast {
    /// The weighted loss of two views, row `i` of one belonging to row `i` of
    /// the other, all `per_row` lanes wide. `to_a` and `to_b` are filled with
    /// the gradients.
    ///
    /// # Panics
    /// When the four do not have one size.
    pub fn loss(
        &self,
        [a, b]: [&[Lane]; 2],
        per_row: usize,
        [to_a, to_b]: [&mut [Lane]; 2],
        space: &mut Space,
    ) -> f64 {
        let sizes = [b.len(), to_a.len(), to_b.len()];
        assert!(sizes == [a.len(); 3], "views of one size");
        if a.is_empty() {
            return 0.0;
        }
        let count = a.len() / per_row;
        let padded = count.next_multiple_of(COLUMNS);
        space.b.clear();
        space.b.resize(padded * per_row, Lane::ZERO);
        space.a.resize(a.len(), Lane::ZERO);
        normalize(a, per_row, &mut space.a, &mut space.norms_a);
        normalize(b, per_row, &mut space.b[..b.len()], &mut space.norms_b);
        transpose(&space.b, per_row, &mut space.panels);
        let per_part = count.div_ceil(PARTS).next_multiple_of(ROWS);
        let parts = count.div_ceil(per_part);
        space.sums.clear();
        space.sums.resize(parts * padded * per_row, Lane::ZERO);
        space.losses.clear();
        space.losses.resize(parts, 0.0);
        let pairs = Pairs {
            a: &space.a,
            b: &space.b,
            panels: &space.panels,
            per_row,
            count,
            temperature: self.temperature,
        };
        to_a.par_chunks_mut(per_part * per_row)
            .zip(space.sums.par_chunks_mut(padded * per_row))
            .zip(&mut space.losses)
            .enumerate()
            .for_each(|(part, ((to_a, sums), loss))| {
                let first = part * per_part;
                *loss = simd::run(Part {
                    pairs: &pairs,
                    rows: first..(first + per_part).min(count),
                    to_a,
                    sums,
                });
            });
        let scale = self.weight / (count as f32 * self.temperature);
        let sides = [
            (&space.a, &space.b, &space.norms_a, to_a, None),
            (
                &space.b,
                &space.a,
                &space.norms_b,
                to_b,
                Some((&space.sums[..], padded * per_row)),
            ),
        ];
        for (own, other, norms, to, sums) in sides {
            finish(own, other, norms, per_row, to, sums, scale);
        }
        space.losses.iter().sum::<f64>() * f64::from(self.weight) / count as f64
    }
}

struct Normalize<'a> {
    from: &'a [Lane],
    per_row: usize,
    to: &'a mut [Lane],
    norms: &'a mut [f32],
}

impl Job for Normalize<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let rows = self.from.chunks_exact(self.per_row);
        let rows = rows.zip(self.to.chunks_exact_mut(self.per_row));
        for ((from, to), norm) in rows.zip(self.norms) {
            *norm = dot::<S>(from, from).sqrt().max(1e-12);
            to.fill(Lane::ZERO);
            add_scaled::<S>(to, 1.0 / *norm, from);
        }
    }
}

/// Rows of length one, and how long they were.
fn normalize(from: &[Lane], per_row: usize, to: &mut [Lane], norms: &mut Vec<f32>) {
    norms.resize(from.len() / per_row, 0.0);
    let chunk = COLUMNS * per_row;
    from.par_chunks(chunk)
        .zip(to.par_chunks_mut(chunk))
        .zip(norms.par_chunks_mut(COLUMNS))
        .for_each(|((from, to), norms)| {
            simd::run(Normalize {
                from,
                per_row,
                to,
                norms,
            });
        });
}

/// For each [`COLUMNS`] rows of `b` their transpose, `[columns of b, COLUMNS]`.
fn transpose(b: &[Lane], per_row: usize, panels: &mut Vec<Lane>) {
    panels.resize(b.len(), Lane::ZERO);
    let chunk = COLUMNS * per_row;
    let blocks = b.par_chunks(chunk).zip(panels.par_chunks_mut(chunk));
    blocks.for_each(|(rows, panel)| {
        let (rows, panel) = (flat(rows), flat_mut(panel));
        for (column, row) in rows.chunks_exact(per_row * WIDTH).enumerate() {
            for (k, value) in row.iter().enumerate() {
                panel[k * COLUMNS + column] = *value;
            }
        }
    });
}

/// Both views, of length one.
struct Pairs<'a> {
    a: &'a [Lane],
    /// Padded with zeros to whole panels.
    b: &'a [Lane],
    panels: &'a [Lane],
    per_row: usize,
    count: usize,
    temperature: f32,
}

/// Some rows of `a` against all of `b`. Fills `to_a` with
/// `sum_j p_ij b_j - b_i` and adds `sum_i p_ij a_i` to `sums`, where `p` are
/// the softmax's probabilities.
struct Part<'a> {
    pairs: &'a Pairs<'a>,
    rows: Range<usize>,
    to_a: &'a mut [Lane],
    sums: &'a mut [Lane],
}

impl Job for Part<'_> {
    type Output = f64;

    #[inline(always)]
    fn call<S: Isa>(self) -> f64 {
        let per_row = self.pairs.per_row;
        let tile = ROWS * COLUMN_LANES;
        let tiles = self.pairs.count.div_ceil(COLUMNS);
        let mut exponentials = vec![Lane::ZERO; tiles * tile];
        let mut scaled = vec![Lane::ZERO; ROWS * per_row];
        let mut loss = 0.0;
        let blocks = self.to_a.chunks_mut(ROWS * per_row);
        for (first, to_a) in self.rows.step_by(ROWS).zip(blocks) {
            let rows = to_a.len() / per_row;
            let own = &self.pairs.a[first * per_row..][..to_a.len()];
            let mut totals = [Lane::ZERO; ROWS];
            to_a.fill(Lane::ZERO);
            for (panel, tile) in exponentials.chunks_exact_mut(tile).enumerate() {
                let tile = &mut tile[..rows * COLUMN_LANES];
                self.pairs.exponentials::<S>(own, panel, tile, &mut totals);
                let b = &self.pairs.b[panel * COLUMNS * per_row..][..COLUMNS * per_row];
                let left = Left {
                    values: flat(tile),
                    row: COLUMNS,
                    depth: 1,
                };
                add_product::<S>(left, b, to_a, per_row);
            }
            for (row, total) in totals[..rows].iter().enumerate() {
                let total = total.sum();
                let place = row * per_row..(row + 1) * per_row;
                let (a, b) = (
                    &own[place.clone()],
                    &self.pairs.b[(first + row) * per_row..][..per_row],
                );
                let to = &mut to_a[place.clone()];
                flat_mut(to).iter_mut().for_each(|x| *x /= total);
                add_scaled::<S>(to, -1.0, b);
                scaled[place.clone()].fill(Lane::ZERO);
                add_scaled::<S>(&mut scaled[place], 1.0 / total, a);
                let cosine = dot::<S>(a, b);
                loss += f64::from(ln(total) + (1.0 - cosine) / self.pairs.temperature);
            }
            let tiles = exponentials.chunks_exact(tile);
            for (tile, sums) in tiles.zip(self.sums.chunks_exact_mut(COLUMNS * per_row)) {
                let left = Left {
                    values: flat(tile),
                    row: 1,
                    depth: COLUMNS,
                };
                add_product::<S>(left, &scaled[..rows * per_row], sums, per_row);
            }
        }
        loss
    }
}

impl Pairs<'_> {
    /// `e^((cos - 1) / t)` of some rows of `a` with a panel of `b`, and their
    /// sums added to `totals`. No exponent is above 0, so no row needs its
    /// largest one to be found first.
    #[inline(always)]
    fn exponentials<S: Isa>(
        &self,
        own: &[Lane],
        panel: usize,
        tile: &mut [Lane],
        totals: &mut [Lane; ROWS],
    ) {
        tile.fill(Lane::ZERO);
        let left = Left {
            values: flat(own),
            row: self.per_row * WIDTH,
            depth: 1,
        };
        let size = COLUMNS * self.per_row;
        let right = &self.panels[panel * size..][..size];
        add_product::<S>(left, right, tile, COLUMN_LANES);
        let sharpness = 1.0 / self.temperature;
        let left_out = ((panel + 1) * COLUMNS).saturating_sub(self.count);
        for (row, total) in tile.chunks_exact_mut(COLUMN_LANES).zip(totals) {
            for lane in row.iter_mut() {
                for x in &mut lane.0 {
                    *x = exp((*x - 1.0) * sharpness);
                }
            }
            // What pads the last panel is nobody's.
            flat_mut(row)[COLUMNS - left_out..].fill(0.0);
            for lane in row.iter() {
                for (total, x) in total.0.iter_mut().zip(&lane.0) {
                    *total += x;
                }
            }
        }
    }
}

struct Finish<'a> {
    own: &'a [Lane],
    other: &'a [Lane],
    norms: &'a [f32],
    per_row: usize,
    to: &'a mut [Lane],
    /// The parts' sums, where the gradient is made of those, the first of
    /// them from this row on, and how far they are apart.
    sums: Option<(&'a [Lane], usize)>,
    scale: f32,
}

impl Job for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let per_row = self.per_row;
        for (row, to) in self.to.chunks_exact_mut(per_row).enumerate() {
            let place = row * per_row..(row + 1) * per_row;
            let own = &self.own[place.clone()];
            if let Some((sums, apart)) = self.sums {
                to.fill(Lane::ZERO);
                for part in (0..sums.len()).step_by(apart) {
                    let sum = &sums[part + place.start..][..per_row];
                    add_scaled::<S>(to, 1.0, sum);
                }
                add_scaled::<S>(to, -1.0, &self.other[place]);
            }
            // Through the division by the length.
            let along = dot::<S>(to, own);
            add_scaled::<S>(to, -along, own);
            let scale = self.scale / self.norms[row];
            flat_mut(to).iter_mut().for_each(|x| *x *= scale);
        }
    }
}

fn finish(
    own: &[Lane],
    other: &[Lane],
    norms: &[f32],
    per_row: usize,
    to: &mut [Lane],
    sums: Option<(&[Lane], usize)>,
    scale: f32,
) {
    let chunk = COLUMNS * per_row;
    to.par_chunks_mut(chunk)
        .enumerate()
        .for_each(|(number, to)| {
            let first = number * chunk;
            simd::run(Finish {
                own: &own[first..],
                other: &other[first..],
                norms: &norms[number * COLUMNS..],
                per_row,
                to,
                sums: sums.map(|(sums, apart)| (&sums[first..], apart)),
                scale,
            });
        });
}

#[cfg(test)]
mod tests;

//! Rows divided by their lengths, so that inner products are cosines.

use crate::kernels::simd::{self, Isa, Job, Lane, add_scaled, dot, flat_mut};
use crate::losses::SMALLEST_SQUARE;
use rayon::prelude::*;

/// Rows that a thread takes at a time.
const CHUNK: usize = 256;

/// One over the length of a row.
#[inline(always)]
pub fn inverse<S: Isa>(row: &[Lane]) -> f32 {
    1.0 / (dot::<S>(row, row) + SMALLEST_SQUARE).sqrt()
}

/// Turns the gradient by `row` over its length into that by `row`.
#[inline(always)]
pub fn through<S: Isa>(gradient: &mut [Lane], row: &[Lane]) {
    let inverse = inverse::<S>(row);
    let along = inverse * inverse * dot::<S>(gradient, row);
    add_scaled::<S>(gradient, -along, row);
    flat_mut(gradient).iter_mut().for_each(|g| *g *= inverse);
}

/// One over the length of each of these rows of a table of `per_row` lanes.
pub fn inverses(lanes: &[Lane], per_row: usize, rows: &[u32], scales: &mut Vec<f32>) {
    scales.resize(rows.len(), 0.0);
    let chunks = scales.par_chunks_mut(CHUNK);
    chunks
        .zip(rows.par_chunks(CHUNK))
        .for_each(|(scales, rows)| {
            simd::run(Inverses {
                lanes,
                per_row,
                rows,
                scales,
            });
        });
}

struct Inverses<'a> {
    lanes: &'a [Lane],
    per_row: usize,
    rows: &'a [u32],
    scales: &'a mut [f32],
}

impl Job for Inverses<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        for (scale, &row) in self.scales.iter_mut().zip(self.rows) {
            let row = &self.lanes[row as usize * self.per_row..][..self.per_row];
            *scale = inverse::<S>(row);
        }
    }
}

/// Divides each of the rows of `columns` numbers by its length.
pub fn to_unit(values: &mut [f32], columns: usize) {
    values.par_chunks_mut(columns.max(1)).for_each(|row| {
        let square: f32 = row.iter().map(|x| x * x).sum();
        let scale = 1.0 / (square + SMALLEST_SQUARE).sqrt();
        row.iter_mut().for_each(|x| *x *= scale);
    });
}

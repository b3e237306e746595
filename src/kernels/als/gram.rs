//! Sums over a whole side.

use super::{Pairs, Settings};
use crate::kernels::gemm::{Left, add_upper};
use crate::kernels::simd::{self, Isa, Job, Lane, WIDTH, dot, flat, flat_mut};
use crate::kernels::table::Table;
use rayon::prelude::*;

/// Parts of a table whose products are added up on their own. Their number
/// must not depend on the threads.
const PARTS: usize = 32;

/// `V^T V`, `dim` rows of a table row's lanes each.
pub fn gram(table: &Table, dim: usize) -> Vec<Lane> {
    let per_row = table.per_row();
    let part = table.num_rows().div_ceil(PARTS).max(1) * per_row;
    let parts: Vec<Vec<Lane>> = table
        .lanes()
        .par_chunks(part)
        .map(|rows| simd::run(Products { rows, dim, per_row }))
        .collect();
    let mut sums = vec![Lane::ZERO; dim * per_row];
    let stride = per_row * WIDTH;
    let to = flat_mut(&mut sums);
    for r in 0..dim {
        for c in r..dim {
            let place = r * stride + c;
            let sum: f64 = parts.iter().map(|p| f64::from(flat(p)[place])).sum();
            to[place] = sum as f32;
            to[c * stride + r] = sum as f32;
        }
    }
    sums
}

/// The products of some rows, on and above the diagonal.
struct Products<'a> {
    rows: &'a [Lane],
    dim: usize,
    per_row: usize,
}

impl Job for Products<'_> {
    type Output = Vec<Lane>;

    #[inline(always)]
    fn call<S: Isa>(self) -> Vec<Lane> {
        let mut sums = vec![Lane::ZERO; self.dim * self.per_row];
        let left = Left {
            values: flat(self.rows),
            row: 1,
            depth: self.per_row * WIDTH,
        };
        add_upper::<S>(left, self.rows, &mut sums, self.per_row);
        sums
    }
}

/// A side's own part of the regularizer; `others` are the rows of the other
/// one.
pub fn penalty(settings: &Settings, table: &Table, pairs: &Pairs, others: usize) -> f64 {
    let per_row = table.per_row();
    let rows: Vec<f64> = table
        .lanes()
        .par_chunks(per_row.max(1))
        .enumerate()
        .with_min_len(256)
        .map(|(row, lanes)| {
            let count = pairs.offsets[row + 1] - pairs.offsets[row];
            let square = f64::from(simd::run(Square(lanes)));
            settings.strength(count, others) * square
        })
        .collect();
    rows.iter().sum()
}

struct Square<'a>(&'a [Lane]);

impl Job for Square<'_> {
    type Output = f32;

    #[inline(always)]
    fn call<S: Isa>(self) -> f32 {
        dot::<S>(self.0, self.0)
    }
}

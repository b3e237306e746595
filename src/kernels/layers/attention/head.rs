//! The heads of each sequence, and the products that they are made of.

use super::Attend;
use crate::kernels::gemm::{Left, Right, Size, To};
use crate::kernels::layers::Product;
use crate::kernels::layers::ages::Ages;
use crate::kernels::simd::{self, Lane, WIDTH, flat, flat_mut};
use std::ops::Range;

/// Queries of a block.
const BLOCK: usize = 32;

/// A head of a sequence.
#[derive(Clone, Copy)]
pub struct Head {
    start: usize,
    len: usize,
    pub number: usize,
    /// Lanes in a row, and lanes of the head in it.
    width: usize,
    own: usize,
    causal: bool,
}

impl Head {
    /// Lanes in a row of weights.
    pub fn lanes(&self) -> usize {
        self.len.div_ceil(WIDTH)
    }

    fn blocks(self) -> impl Iterator<Item = Range<usize>> {
        let ends = move |from: usize| from..(from + BLOCK).min(self.len);
        (0..self.len).step_by(BLOCK).map(ends)
    }

    /// Keys that the query of a place sees.
    #[inline(always)]
    pub fn keys(&self, place: usize) -> usize {
        if self.causal { place + 1 } else { self.len }
    }

    pub fn scale(&self) -> f32 {
        1.0 / ((self.own * WIDTH) as f32).sqrt()
    }

    /// Adds the bias of the distance between query and key.
    pub fn add_bias(&self, weights: &mut [Lane], bias: &[f32]) {
        let rows = weights.chunks_exact_mut(self.lanes());
        for (place, row) in rows.enumerate() {
            let keys = &mut flat_mut(row)[..self.keys(place)];
            for (key, weight) in keys.iter_mut().enumerate() {
                *weight += bias[place.abs_diff(key)];
            }
        }
    }

    /// The way back of [`Self::add_bias`].
    pub fn add_slopes(&self, slopes: &[Lane], to: &mut [f32]) {
        for (place, row) in slopes.chunks_exact(self.lanes()).enumerate() {
            for (key, slope) in flat(row)[..self.keys(place)].iter().enumerate() {
                to[place.abs_diff(key)] += slope;
            }
        }
    }

    /// Adds the bias of each key's age, under a causal mask.
    pub fn add_ages(&self, weights: &mut [Lane], ages: &Ages, bias: &[f32]) {
        for (place, row) in weights.chunks_exact_mut(self.lanes()).enumerate() {
            for (weight, &bucket) in flat_mut(row).iter_mut().zip(ages.row(place)) {
                *weight += bias[usize::from(bucket)];
            }
        }
    }

    /// The way back of [`Self::add_ages`].
    pub fn add_age_slopes(&self, slopes: &[Lane], ages: &Ages, to: &mut [f32]) {
        for (place, row) in slopes.chunks_exact(self.lanes()).enumerate() {
            for (slope, &bucket) in flat(row).iter().zip(ages.row(place)) {
                to[usize::from(bucket)] += slope;
            }
        }
    }

    /// Keys that some query of the block sees.
    fn seen(&self, block: &Range<usize>) -> usize {
        if self.causal { block.end } else { self.len }
    }

    /// The first lane of a place.
    fn at(&self, place: usize) -> usize {
        (self.start + place) * self.width + self.number * self.own
    }

    /// The head's columns of rows, as a left operand from a place on.
    fn left<'a>(&self, rows: &'a [Lane], place: usize) -> Left<'a> {
        Left {
            values: &flat(rows)[self.at(place) * WIDTH..],
            row: self.width * WIDTH,
            depth: 1,
        }
    }

    fn right<'a>(&self, rows: &'a [Lane], place: usize) -> Right<'a> {
        Right {
            lanes: &rows[self.at(place)..],
            row: self.width,
        }
    }

    fn to<'a>(&self, rows: &'a mut [Lane], place: usize) -> To<'a> {
        To {
            lanes: &mut rows[self.at(place)..],
            row: self.width,
        }
    }

    /// The head's columns as rows, padded to whole lanes.
    fn transposed(&self, rows: &[Lane]) -> Vec<Lane> {
        let stride = self.lanes() * WIDTH;
        let mut lanes = vec![Lane::ZERO; self.own * WIDTH * self.lanes()];
        let to = flat_mut(&mut lanes);
        for place in 0..self.len {
            let row = &flat(rows)[self.at(place) * WIDTH..][..self.own * WIDTH];
            for (c, value) in row.iter().enumerate() {
                to[c * stride + place] = *value;
            }
        }
        lanes
    }

    /// `left * transposed(right)`, as far as queries see keys.
    pub fn inner(&self, left: &[Lane], right: &[Lane]) -> Vec<Lane> {
        let lanes = self.lanes();
        let mut inner = vec![Lane::ZERO; self.len * lanes];
        let transposed = self.transposed(right);
        for block in self.blocks() {
            simd::run(Product {
                left: self.left(left, block.start),
                right: Right {
                    lanes: &transposed,
                    row: lanes,
                },
                to: To {
                    lanes: &mut inner[block.start * lanes..],
                    row: lanes,
                },
                size: Size {
                    rows: block.len(),
                    depth: self.own * WIDTH,
                    width: self.seen(&block).div_ceil(WIDTH),
                },
            });
        }
        inner
    }

    /// `to += weights * rows`
    pub fn gather(&self, weights: &[Lane], rows: &[Lane], to: &mut [Lane]) {
        let lanes = self.lanes();
        for block in self.blocks() {
            let left = Left {
                values: &flat(weights)[block.start * lanes * WIDTH..],
                row: lanes * WIDTH,
                depth: 1,
            };
            simd::run(Product {
                left,
                right: self.right(rows, 0),
                to: self.to(to, block.start),
                size: Size {
                    rows: block.len(),
                    depth: self.seen(&block),
                    width: self.own,
                },
            });
        }
    }

    /// `to += transposed(weights) * rows`
    pub fn scatter(&self, weights: &[Lane], rows: &[Lane], to: &mut [Lane]) {
        let lanes = self.lanes();
        for keys in self.blocks() {
            let first = if self.causal { keys.start } else { 0 };
            let left = Left {
                values: &flat(weights)[first * lanes * WIDTH + keys.start..],
                row: 1,
                depth: lanes * WIDTH,
            };
            simd::run(Product {
                left,
                right: self.right(rows, first),
                to: self.to(to, keys.start),
                size: Size {
                    rows: keys.len(),
                    depth: self.len - first,
                    width: self.own,
                },
            });
        }
    }
}

/// The heads of all sequences.
pub fn heads(bounds: &[usize], width: usize, attend: Attend) -> impl Iterator<Item = Head> {
    bounds.windows(2).flat_map(move |b| {
        let (start, len) = (b[0], b[1] - b[0]);
        (0..attend.heads).map(move |number| Head {
            start,
            len,
            number,
            width,
            own: width / attend.heads,
            causal: attend.causal,
        })
    })
}

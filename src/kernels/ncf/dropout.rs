//! The masks of [`crate::tape::Tape::dropout`], a part at a time.

use crate::seed::{BLOCKS, Rng};

/// Words of a call of [`Rng::blocks`].
const WORDS: usize = 4 * BLOCKS;

/// Elements whose masks the tape draws from a run of blocks of their own.
const RUN: usize = 1024;

/// The masks of one matrix.
#[derive(Clone, Copy)]
pub struct Mask<'a> {
    stream: &'a Rng,
    /// The stream's block that the first element's word is in.
    start: u64,
    /// Elements whose word is below this are dropped.
    limit: u32,
    /// What the others are multiplied by.
    keep: f32,
}

/// Hands out the masks of a step, matrix after matrix.
pub struct Masks<'a> {
    next: Mask<'a>,
}

impl<'a> Masks<'a> {
    pub fn new(stream: &'a Rng, rate: f64) -> Self {
        let limit = (rate * f64::from(1u32 << 24)).ceil();
        Self {
            next: Mask {
                stream,
                start: 0,
                limit: limit as u32,
                keep: 1.0 / (1.0 - rate) as f32,
            },
        }
    }

    /// The mask of the next matrix, which has `len` elements.
    pub fn take(&mut self, len: usize) -> Mask<'a> {
        let mask = self.next;
        self.next.start += (len.div_ceil(RUN) * (RUN / 4)) as u64;
        mask
    }
}

impl Mask<'_> {
    pub fn keep(self) -> f32 {
        self.keep
    }

    /// The factors of `len` elements from `first` on; `to` may become longer.
    #[inline(always)]
    pub fn fill(self, first: usize, len: usize, to: &mut Vec<f32>) {
        let skipped = first % 4;
        to.clear();
        to.resize((skipped + len).next_multiple_of(WORDS), 0.0);
        let start = self.start + (first / 4) as u64;
        for (position, factors) in (start..).step_by(BLOCKS).zip(to.chunks_exact_mut(WORDS)) {
            let words = self.stream.blocks(position, 1);
            let words = words.map(|words| {
                words.map(|word| {
                    if word >> 8 < self.limit {
                        0.0
                    } else {
                        self.keep
                    }
                })
            });
            for (block, factors) in factors.chunks_exact_mut(4).enumerate() {
                for (factor, words) in factors.iter_mut().zip(&words) {
                    *factor = words[block];
                }
            }
        }
        if skipped > 0 {
            to.drain(..skipped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::host;
    use crate::seed::Seed;
    use crate::tape::{Tape, Updates};
    use burn::tensor::{Device, Tensor};

    #[test]
    fn masks_are_those_of_the_tape_wherever_they_begin() {
        let stream = Seed(3).stream("dropout");
        let mut tape = Tape::training(&Device::flex(), Updates::Rows);
        tape.begin(stream.clone());
        let mut masks = Masks::new(&stream, 0.3);
        for (rows, columns) in [(5, 7), (70, 30), (40, 33)] {
            let ones: Tensor<2> = Tensor::ones([rows, columns], &Device::flex().autodiff());
            let tensor = host(tape.dropout(ones, 0.3).inner()).unwrap();
            let mask = masks.take(rows * columns);
            let mut factors = Vec::new();
            for first in [0, 1, columns, 3 * columns + 2] {
                let len = rows * columns - first;
                mask.fill(first, len, &mut factors);
                assert_eq!(factors[..len], tensor[first..]);
            }
        }
    }
}

//! Factors of dropout for sequences side by side.

use super::Batch;
use super::batch::Sequence;
#[cfg(feature = "wgpu")]
use crate::device::{Family, family};
use crate::kernels::layers::DropoutStream;
#[cfg(feature = "wgpu")]
use crate::kernels::padded::{Draw, Site, Sites};
use crate::kernels::simd::{Lane, WIDTH, flat};
use crate::seed::Rng;
use crate::tape::Tape;
use burn::tensor::Tensor;
use rayon::prelude::*;
use std::ops::Range;

/// What is dropped in a batch. Each use of dropout has a number of its own in
/// each graph on the host: that of earlier uses on rows, and on attention one
/// for each sequence and head.
pub(super) struct Dropout<'a> {
    stream: Rng,
    batch: &'a Batch<'a>,
    /// Uses on rows so far.
    rows: usize,
    /// Heads of uses on attention so far.
    heads: usize,
    #[cfg(feature = "wgpu")]
    sites: Option<Sites>,
}

impl<'a> Dropout<'a> {
    /// From the step's own stream.
    pub fn new(stream: Rng, batch: &'a Batch<'a>) -> Self {
        Self {
            stream,
            batch,
            rows: 0,
            heads: 0,
            #[cfg(feature = "wgpu")]
            sites: None,
        }
    }

    /// Factors for the next rows of so many columns.
    pub fn of_rows(&mut self, tape: &Tape, columns: usize, rate: f32) -> Tensor<3> {
        #[cfg(feature = "wgpu")]
        if let Some((sites, draw)) = self.on_device(tape, rate) {
            let factors = sites.of_rows(&draw, columns);
            self.rows += 1;
            return Tensor::from_inner(factors);
        }
        let factors = self.rows_on_host(columns, rate);
        self.rows += 1;
        let shape = [self.batch.len(), self.batch.length, columns];
        tape.floats(factors, shape)
    }

    /// Normals of this deviation for the next rows of so many columns: drawn
    /// on the host for any device.
    pub fn normals(&mut self, tape: &Tape, columns: usize, deviation: f32) -> Tensor<3> {
        let draw = |from: DropoutStream<'_>, site, lanes| from.normals(site, lanes, deviation);
        let normals = self.of_sequences(columns, draw);
        self.rows += 1;
        let shape = [self.batch.len(), self.batch.length, columns];
        tape.floats(normals, shape)
    }

    /// Factors for the next weights of attention, one for each sequence and
    /// head.
    pub fn of_attention(&mut self, tape: &Tape, heads: usize, rate: f32) -> Tensor<4> {
        #[cfg(feature = "wgpu")]
        if let Some((sites, draw)) = self.on_device(tape, rate) {
            let factors = sites.of_attention(&draw, heads);
            self.heads += heads;
            return Tensor::from_inner(factors);
        }
        let factors = self.attention_on_host(heads, rate);
        self.heads += heads;
        let length = self.batch.length;
        tape.floats(factors, [self.batch.len(), heads, length, length])
    }

    /// Where the device draws by itself.
    #[cfg(feature = "wgpu")]
    fn on_device(&mut self, tape: &Tape, rate: f32) -> Option<(&Sites, Draw<'_>)> {
        let device = tape.device();
        if family(device) != Family::Gpu {
            return None;
        }
        let batch = self.batch;
        let sites = self.sites.get_or_insert_with(|| {
            let of = |s: &Sequence| Site {
                graph: s.part,
                number: s.number,
                sequences: batch.parts[s.part].sequences.len(),
                start: s.start,
                len: s.len,
            };
            let sites: Vec<Site> = batch.sequences.iter().map(of).collect();
            Sites::new(&sites, batch.length, &device.clone().inner())
        });
        let draw = Draw {
            stream: &self.stream,
            rate,
            rows: self.rows,
            heads: self.heads,
        };
        Some((sites, draw))
    }

    /// The number of the next use in the graph of a sequence.
    fn site(&self, sequence: &Sequence) -> usize {
        let sequences = self.batch.parts[sequence.part].sequences.len();
        self.rows + self.heads * sequences
    }

    fn stream_of(&self, sequence: &Sequence) -> DropoutStream<'_> {
        DropoutStream {
            stream: &self.stream,
            graph: sequence.part as u64,
        }
    }

    fn rows_on_host(&self, columns: usize, rate: f32) -> Vec<f32> {
        self.of_sequences(columns, |from, site, lanes| from.factors(site, lanes, rate))
    }

    /// What `draw` draws for the next use on the rows of each sequence, from
    /// the number of the use and the lanes of its part.
    fn of_sequences(
        &self,
        columns: usize,
        draw: impl Fn(DropoutStream<'_>, u64, Range<usize>) -> Vec<Lane> + Sync,
    ) -> Vec<f32> {
        let (batch, width) = (self.batch, columns / WIDTH);
        let mut drawn = vec![0.0; batch.len() * batch.length * columns];
        drawn
            .par_chunks_exact_mut(batch.length * columns)
            .zip(&batch.sequences)
            .for_each(|(to, sequence)| {
                let site = self.site(sequence) as u64;
                let lanes = sequence.start * width..(sequence.start + sequence.len) * width;
                let own = draw(self.stream_of(sequence), site, lanes);
                to[(batch.length - sequence.len) * columns..].copy_from_slice(flat(&own));
            });
        drawn
    }

    fn attention_on_host(&self, heads: usize, rate: f32) -> Vec<f32> {
        let (batch, length) = (self.batch, self.batch.length);
        let mut factors = vec![0.0; batch.len() * heads * length * length];
        factors
            .par_chunks_exact_mut(length * length)
            .enumerate()
            .for_each(|(at, to)| {
                let (sequence, head) = (&batch.sequences[at / heads], at % heads);
                let site = self.site(sequence) + sequence.number * heads + head;
                let (len, lanes) = (sequence.len, sequence.len.div_ceil(WIDTH));
                let from = self.stream_of(sequence);
                let drawn = from.factors(site as u64, 0..len * lanes, rate);
                let rows = to.chunks_exact_mut(length).skip(length - len);
                for (to, row) in rows.zip(drawn.chunks_exact(lanes)) {
                    to[length - len..].copy_from_slice(&flat(row)[..len]);
                }
            });
        factors
    }
}

//! Windows of histories that a GPU reads by itself: the log is uploaded once,
//! and a step is told where its windows lie. What is read, what is predicted
//! and what negatives that is held against are the items that the host would
//! have put side by side.

mod gpu;
mod table;

pub use table::{Block, Draws, Window};

use super::examples::pack;
use super::gpu::upload;
use super::layers::bucket_starts;
use super::padded::buckets_of;
use crate::data::times::Times;
use crate::device::ensure_fits;
use crate::sampling::NegativeSampler;
use anyhow::Result;
use burn::tensor::{Device, Int, Tensor, TensorData};
use gpu::{Launch, Sizes};
use table::{Piece, Side, Table};

/// What a training reads.
pub struct Source<'a> {
    /// In the order of time inside each user.
    pub items: &'a [u32],
    /// When each of them happened, for models that want to know.
    pub times: Option<&'a Times>,
    pub num_items: usize,
    /// For losses with negatives.
    pub sampler: Option<&'a NegativeSampler>,
    /// See [`NegativeSampler::log_expected`].
    pub log_expected: Option<&'a [f32]>,
}

/// The log of training interactions on a device.
pub struct DeviceLog {
    items: Tensor<1, Int>,
    /// The low and the high word of each time.
    times: Option<Tensor<1, Int>>,
    /// Least ages of buckets.
    starts: Tensor<1, Int>,
    /// [`pack`]ed.
    positives: Tensor<1, Int>,
    reals: Tensor<1>,
    log_expected: Option<Tensor<1>>,
    sizes: Sizes,
    device: Device,
}

impl DeviceLog {
    /// # Errors
    /// More than the device holds in one buffer.
    pub fn new(source: &Source<'_>, device: &Device) -> Result<Self> {
        let what = "the log of training interactions";
        // A time has two words.
        ensure_fits(device, what, 8 * source.items.len())?;
        let packed = source
            .sampler
            .map(|sampler| pack(sampler.positives(), Some(sampler), None));
        // An empty buffer cannot be bound.
        let (words, reals) = packed.as_ref().map_or((&[0][..], &[0.0][..]), |packed| {
            (&packed.words[..], &packed.reals[..])
        });
        ensure_fits(device, what, 4 * words.len())?;
        let positives = source.sampler.map(NegativeSampler::positives);
        Ok(Self {
            items: upload(source.items.iter().copied(), device),
            times: source.times.map(|times| time_words(times, device)),
            starts: upload(bucket_starts().iter().map(|&start| start as u32), device),
            positives: upload(words.iter().copied(), device),
            reals: floats(reals, device),
            log_expected: source.log_expected.map(|values| floats(values, device)),
            sizes: Sizes {
                users: positives.map_or(0, |log| log.num_users()),
                interactions: positives.map_or(0, |log| log.len()),
                items: source.num_items,
                popularity: packed.is_some_and(|packed| packed.popularity),
            },
            device: device.clone(),
        })
    }

    /// How often items are expected among negatives, as logarithms:
    /// `[ids.len()]`, of no item where an id is below 0.
    pub fn expected(&self, ids: Tensor<1, Int>) -> Option<Tensor<1>> {
        let all = self.log_expected.clone()?;
        Some(all.select(0, ids.clamp_min(0)))
    }

    /// The windows of a step. `draws` says what negatives there are; `None` for
    /// none.
    ///
    /// # Panics
    /// On negatives where the source had no sampler.
    pub fn step(&self, blocks: &[Block], draws: Option<&Draws<'_>>) -> StepWindows<'_> {
        assert!(
            draws.is_none() || self.sizes.users > 0,
            "negatives of a log without a sampler"
        );
        let table = Table::new(blocks, draws);
        StepWindows {
            log: self,
            words: upload(table.words.iter().copied(), &self.device),
            table,
        }
    }
}

/// The windows of a step, side by side in blocks.
pub struct StepWindows<'a> {
    log: &'a DeviceLog,
    words: Tensor<1, Int>,
    table: Table,
}

impl StepWindows<'_> {
    /// The items of the pieces, one after the other, with -1 where there is
    /// none: of each block those that are read `[windows, length]`, those that
    /// are predicted `[windows, predictions]`, and the negatives, `[windows,
    /// predictions, count]` or, where they are shared, `[windows, count]`.
    /// A masked item is read as that after the last of the catalog.
    pub fn ids(&self) -> Tensor<1, Int> {
        self.written(&self.table.pieces)
    }

    /// How many ids each piece has.
    pub fn sizes(&self) -> Vec<usize> {
        self.table.pieces.iter().map(|piece| piece.len).collect()
    }

    /// The column of each prediction of a block, -1 where there is none:
    /// `[windows * predictions]`.
    pub fn picks(&self, block: usize) -> Tensor<1, Int> {
        self.written(std::slice::from_ref(&self.table.sides[block].picks))
    }

    fn written(&self, pieces: &[Piece]) -> Tensor<1, Int> {
        let launch = Launch {
            of: self.log.sizes,
            first: pieces[0].at,
            count: pieces.iter().map(|piece| piece.len).sum(),
        };
        gpu::write_ids(
            [&self.log.items, &self.log.positives, &self.words].map(Tensor::clone),
            self.log.reals.clone(),
            launch,
        )
    }

    /// Where the predictions of a block are among `[windows, predictions]`; and
    /// for each of those places, which prediction it is, or how many there are
    /// where it is none.
    pub fn taken(&self, block: usize) -> (Tensor<1, Int>, Tensor<1, Int>) {
        gpu::find_taken(self.words.clone(), self.side(block))
    }

    /// See [`age_buckets`](super::padded::age_buckets). It is asked when an
    /// item happens, or with `next` when the one after it does.
    ///
    /// # Panics
    /// Where the source had no times.
    pub fn buckets(&self, block: usize, next: bool) -> Tensor<1, Int> {
        let times = self.log.times.clone().expect("a log with times");
        let side = self.side(block);
        let times = gpu::read_times(times, self.words.clone(), side, next);
        buckets_of(self.log.starts.clone(), times, side.length)
    }

    fn side(&self, block: usize) -> Side {
        self.table.sides[block]
    }
}

fn time_words(times: &Times, device: &Device) -> Tensor<1, Int> {
    let halves = |time: i64| [time as u32, (time >> 32) as u32];
    upload(times.iter().flat_map(halves), device)
}

fn floats(values: &[f32], device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

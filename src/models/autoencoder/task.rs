//! Batches of users.

use super::recommender::Autoencoder;
use crate::data::interactions::Interactions;
#[cfg(feature = "wgpu")]
use crate::device::{Family, family};
use crate::ids::UserIdx;
#[cfg(feature = "wgpu")]
use crate::kernels::bags::{DeviceHistories, Wanted};
use crate::model::Recommender;
use crate::model::distinct;
use crate::params::Param;
use crate::seed::{Permutation, Rng, Seed};
use crate::tape::{Bags, Tape};
use crate::training::Trainable;
use anyhow::Result;
#[cfg(feature = "wgpu")]
use burn::tensor::Device;
use burn::tensor::{Int, Tensor};
use std::ops::Range;

/// The users that have items, each with its distinct ones, in an order of
/// their own in each epoch.
pub struct Histories {
    offsets: Vec<usize>,
    items: Vec<u32>,
    num_items: usize,
    order: Permutation,
}

impl Histories {
    pub fn new(train: &Interactions) -> Self {
        let mut histories = Self {
            offsets: vec![0],
            items: Vec::with_capacity(train.len()),
            num_items: train.num_items,
            order: Permutation::new(0, &mut Seed(0).stream("shuffle")),
        };
        for user in (0..train.num_users() as u32).map(UserIdx) {
            let items = distinct(train.items_of(user));
            if !items.is_empty() {
                histories.items.extend(items);
                histories.offsets.push(histories.items.len());
            }
        }
        histories
    }

    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Where the items of the user at a place of the epoch are.
    fn range(&self, place: usize) -> Range<usize> {
        let user = self.order.at(place as u32) as usize;
        self.offsets[user]..self.offsets[user + 1]
    }
}

/// Some users, as they are and as the encoder sees them.
pub struct Batch {
    pub clean: Bags,
    /// Less what dropout took; on a GPU its sizes are still those of `clean`.
    pub corrupted: Bags,
    /// `[users, 1]`: one over the root of a user's items (the length of the
    /// input before dropout).
    pub scales: Tensor<2>,
    /// The same with what dropout's survivors are scaled up by.
    pub corrupted_scales: Tensor<2>,
    /// `[users, longest history]`: the items of each user, and after them any.
    pub positives: Tensor<2, Int>,
    /// The same shape: 1 where there is an item, 0 after them.
    pub present: Tensor<2>,
    /// Steps before this one in the whole training.
    pub step: u64,
    pub epoch: usize,
    /// Of this batch alone.
    pub noise: Rng,
}

/// One over the root of each bag's size, 0 for an empty one.
pub fn scales(bags: &Bags) -> Vec<f32> {
    let scale = |size: usize| {
        if size == 0 {
            0.0
        } else {
            1.0 / (size as f32).sqrt()
        }
    };
    bags.sizes().map(scale).collect()
}

/// An autoencoder in training.
pub struct Task {
    pub model: Autoencoder,
    pub histories: Histories,
    pub batch_size: usize,
    pub seed: Seed,
    pub epoch: usize,
    pub on_device: OnDevice,
}

/// What a device holds of a training. Only GPUs do: for any other, and for
/// histories that no buffer of the GPU holds, the host puts each batch together.
#[derive(Default)]
pub struct OnDevice {
    /// Once it was asked for.
    #[cfg(feature = "wgpu")]
    histories: Option<Option<DeviceHistories>>,
}

#[cfg(feature = "wgpu")]
impl OnDevice {
    /// Uploads the histories, in the first step.
    pub fn hold(&mut self, histories: &Histories, device: &Device) {
        let upload = || {
            if family(device) != Family::Gpu {
                return None;
            }
            DeviceHistories::new(&histories.items, device).ok()
        };
        self.histories.get_or_insert_with(upload);
    }

    fn histories(&self) -> Option<&DeviceHistories> {
        self.histories.as_ref()?.as_ref()
    }
}

/// Bags of a batch, with what they are padded to.
struct Read {
    clean: Bags,
    corrupted: Bags,
    positives: Tensor<2, Int>,
    present: Tensor<2>,
}

impl Task {
    pub fn new(model: Autoencoder, train: &Interactions, batch_size: usize, seed: Seed) -> Self {
        Self {
            model,
            histories: Histories::new(train),
            batch_size,
            seed,
            epoch: 0,
            on_device: OnDevice::default(),
        }
    }

    /// The users at these places of the epoch's order.
    pub fn batch(&self, tape: &Tape, places: Range<usize>) -> Batch {
        let steps = self.histories.len().div_ceil(self.batch_size);
        let step = (self.epoch * steps + places.start / self.batch_size) as u64;
        let dropout = self.model.network.dropout(self.epoch);
        let stream = self.seed.indexed("corruption", step);
        let users = places.len();
        let read = self.read(tape, places, stream, dropout);
        let (scales, keep) = (scales(&read.clean), 1.0 / (1.0 - dropout) as f32);
        Batch {
            corrupted: read.corrupted,
            corrupted_scales: tape.floats(scales.iter().map(|s| keep * s).collect(), [users, 1]),
            scales: tape.floats(scales, [users, 1]),
            positives: read.positives,
            present: read.present,
            clean: read.clean,
            step,
            epoch: self.epoch,
            noise: self.seed.indexed("noise", step),
        }
    }

    fn read(&self, tape: &Tape, places: Range<usize>, stream: Rng, dropout: f64) -> Read {
        #[cfg(feature = "wgpu")]
        if let Some(held) = self.on_device.histories() {
            return self.read_on_device(held, tape, places, &stream, dropout);
        }
        // Only GPUs read by themselves.
        #[cfg(not(feature = "wgpu"))]
        let _ = &self.on_device;
        self.read_on_host(tape, places, stream, dropout)
    }

    /// A word of the stream belongs to each item, unless nothing is dropped.
    fn read_on_host(
        &self,
        tape: &Tape,
        places: Range<usize>,
        mut stream: Rng,
        dropout: f64,
    ) -> Read {
        let (mut offsets, mut items) = (vec![0], Vec::new());
        let (mut kept_offsets, mut kept) = (vec![0], Vec::new());
        for place in places {
            let history = &self.histories.items[self.histories.range(place)];
            items.extend_from_slice(history);
            offsets.push(items.len());
            let stays = |_: &&u32| dropout == 0.0 || f64::from(stream.uniform()) >= dropout;
            kept.extend(history.iter().filter(stays).copied());
            kept_offsets.push(kept.len());
        }
        let catalog = self.histories.num_items;
        let clean = Bags::new(offsets, items, catalog);
        let (positives, present) = clean.padded();
        let shape = [clean.len(), positives.len() / clean.len().max(1)];
        Read {
            corrupted: Bags::new(kept_offsets, kept, catalog),
            positives: tape.ints(&positives).reshape(shape),
            present: tape.floats(present, shape),
            clean,
        }
    }

    #[cfg(feature = "wgpu")]
    fn read_on_device(
        &self,
        held: &DeviceHistories,
        tape: &Tape,
        places: Range<usize>,
        stream: &Rng,
        dropout: f64,
    ) -> Read {
        let (mut first, mut offsets) = (Vec::new(), vec![0]);
        for range in places.map(|place| self.histories.range(place)) {
            first.push(range.start);
            offsets.push(offsets[offsets.len() - 1] + range.len());
        }
        let step = held.bags(&Wanted {
            first: &first,
            offsets: &offsets,
            stream,
            dropout,
        });
        let catalog = self.histories.num_items;
        Read {
            clean: Bags::on_device(offsets.clone(), step.clean, catalog),
            corrupted: Bags::on_device(offsets, step.corrupted, catalog),
            positives: Tensor::from_inner(step.positives),
            present: tape.constant_of(step.present),
        }
    }
}

impl Trainable for Task {
    fn params(&self) -> Vec<&Param> {
        self.model.network.params()
    }

    fn params_mut(&mut self) -> Vec<&mut Param> {
        self.model.network.params_mut()
    }

    fn num_examples(&self) -> usize {
        self.histories.len()
    }

    fn begin_epoch(&mut self, seed: Seed, epoch: usize) {
        let mut shuffle = seed.indexed("shuffle", epoch as u64);
        self.histories.order = Permutation::new(self.histories.len() as u32, &mut shuffle);
        self.epoch = epoch;
        self.model.network.begin_epoch(epoch);
    }

    fn loss(&mut self, tape: &mut Tape, places: Range<usize>) -> Result<Tensor<1>> {
        #[cfg(feature = "wgpu")]
        self.on_device
            .hold(&self.histories, &tape.device().clone().inner());
        let batch = self.batch(tape, places);
        Ok(self.model.network.loss(tape, &batch))
    }

    fn recommender(&self) -> &dyn Recommender {
        &self.model
    }
}

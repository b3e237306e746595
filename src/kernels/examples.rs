//! Training examples that a GPU draws by itself: the interactions are uploaded
//! once, and a step is told where in the epoch it begins. Order and negatives
//! are those that the host draws ([`crate::seed::Permutation`],
//! [`NegativeSampler`]).

pub mod draw;

use super::gpu::{cubes, empty_beside, upload};
use crate::data::interactions::Interactions;
use crate::device::ensure_fits;
use crate::sampling::NegativeSampler;
use crate::seed::{Permutation, Rng};
use anyhow::Result;
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{DType, Device, Int, Shape, Tensor, TensorData};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use std::ops::Range;

/// Interactions as the kernels read them.
pub struct Packed {
    /// Where the items of each user begin and where the last ones end, the user
    /// of each interaction, its item, and for draws by popularity the other item
    /// of each slot of the alias method.
    pub words: Vec<u32>,
    /// The thresholds of the slots, or the ratings; never empty, since an empty
    /// buffer cannot be bound.
    pub reals: Vec<f32>,
    /// Whether negatives are drawn by popularity.
    pub popularity: bool,
}

/// `log` is sorted by item inside each user.
pub fn pack(
    log: &Interactions,
    sampler: Option<&NegativeSampler>,
    ratings: Option<&[f32]>,
) -> Packed {
    let alias = sampler.and_then(NegativeSampler::alias);
    let mut words: Vec<u32> = log.offsets.iter().map(|&o| o as u32).collect();
    words.extend(log.user_column());
    words.extend(&log.items);
    let mut reals = ratings.map(<[f32]>::to_vec).unwrap_or_default();
    if let Some((thresholds, others)) = alias {
        words.extend(others);
        reals = thresholds.to_vec();
    }
    reals.resize(reals.len().max(1), 0.0);
    Packed {
        words,
        reals,
        popularity: alias.is_some(),
    }
}

/// What an epoch draws from: [`Permutation::words`], then [`Rng::words`].
pub fn epoch_words(order: &Permutation, stream: &Rng) -> Vec<u32> {
    let mut words = order.words().to_vec();
    words.extend(stream.words());
    words
}

/// The interactions on a device.
pub struct DeviceExamples {
    words: Tensor<1, Int>,
    reals: Tensor<1>,
    sizes: Sizes,
    /// The words of the epoch that are on the device.
    epoch: Option<(Vec<u32>, Tensor<1, Int>)>,
    device: Device,
}

/// What a launch must know of the interactions.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    users: usize,
    items: usize,
    interactions: usize,
    /// Items of an example: the positive and its negatives.
    width: usize,
    popularity: bool,
}

/// The examples of a launch.
#[derive(Clone, Copy, Debug)]
struct Places {
    first: usize,
    count: usize,
    of: Sizes,
}

impl DeviceExamples {
    /// `log` is sorted by item inside each user.
    ///
    /// # Errors
    /// More than the device holds in one buffer.
    pub fn new(
        log: &Interactions,
        sampler: &NegativeSampler,
        width: usize,
        device: &Device,
    ) -> Result<Self> {
        let packed = pack(log, Some(sampler), None);
        let what = "the log of training interactions";
        ensure_fits(device, what, 4 * packed.words.len())?;
        let reals = packed.reals.len();
        Ok(Self {
            words: upload(packed.words, device),
            reals: Tensor::from_data(TensorData::new(packed.reals, [reals]), device),
            sizes: Sizes {
                users: log.num_users(),
                items: log.num_items,
                interactions: log.len(),
                width,
                popularity: packed.popularity,
            },
            epoch: None,
            device: device.clone(),
        })
    }

    /// Users `[places]` and items `[places * width]` of the examples at these
    /// places of an epoch, whose order and negatives these are: what
    /// `Examples::fill` gives.
    ///
    /// # Panics
    /// When the epoch has fewer places.
    pub fn draw(
        &mut self,
        (order, stream): (&Permutation, &Rng),
        places: Range<usize>,
    ) -> (Tensor<1, Int>, Tensor<1, Int>) {
        assert!(places.end <= self.sizes.interactions, "places of the epoch");
        let words = epoch_words(order, stream);
        if self.epoch.as_ref().is_none_or(|(old, _)| *old != words) {
            let on_device = upload(words.iter().copied(), &self.device);
            self.epoch = Some((words, on_device));
        }
        let (_, epoch) = self.epoch.as_ref().expect("it was just made");
        let (users, items) = Dispatch::draw_examples(
            self.words.clone().into_dispatch(),
            self.reals.clone().into_dispatch(),
            epoch.clone().into_dispatch(),
            Places {
                first: places.start,
                count: places.len(),
                of: self.sizes,
            },
        );
        (Tensor::from_dispatch(users), Tensor::from_dispatch(items))
    }
}

/// Users and items.
fn drawn(places: &Places) -> (TensorSpec, TensorSpec) {
    let ints = |len: usize| TensorSpec::new(Shape::new([len]), DType::I32);
    (ints(places.count), ints(places.count * places.of.width))
}

#[backend_extension(Cube, Fusion)]
trait ExampleOps: Backend {
    #[fusion(meta = |_words, _reals, _epoch, places| drawn(places))]
    fn draw_examples(
        words: IntTensor<Self>,
        reals: FloatTensor<Self>,
        epoch: IntTensor<Self>,
        places: Places,
    ) -> (IntTensor<Self>, IntTensor<Self>);
}

impl ExampleOps for CubeBackend {
    fn draw_examples(
        words: IntTensor<Self>,
        reals: FloatTensor<Self>,
        epoch: IntTensor<Self>,
        places: Places,
    ) -> (IntTensor<Self>, IntTensor<Self>) {
        let (words, reals) = (into_contiguous(words), into_contiguous(reals));
        let epoch = into_contiguous(epoch);
        let of = places.of;
        let count = places.count * of.width;
        let users = empty_beside(&words, Shape::new([places.count]), words.dtype);
        let items = empty_beside(&words, Shape::new([count]), words.dtype);
        let client = words.client.clone();
        let (cubes, dim) = cubes(&client, count);
        let num_items = of.items as u32;
        // SAFETY: the kernel checks its own bounds, and places are those of the
        // epoch; ids were checked when the data was read.
        unsafe {
            kernel::draw_examples::launch_unchecked(
                &client,
                cubes,
                dim,
                words.into_buffer_arg(),
                reals.into_buffer_arg(),
                epoch.into_buffer_arg(),
                users.clone().into_buffer_arg(),
                items.clone().into_buffer_arg(),
                of.users as u32,
                num_items,
                of.interactions as u32,
                num_items.wrapping_neg() % num_items,
                places.first as u32,
                places.count as u32,
                of.width as u32,
                of.popularity,
            );
        }
        (users, items)
    }
}

mod kernel {
    use super::draw::{log_of, negative, shuffled};
    use cubecl::prelude::*;

    /// A unit for each item of each example.
    #[cube(launch_unchecked)]
    pub fn draw_examples(
        log: &[u32],
        reals: &[f32],
        epoch: &[u32],
        users: &mut [u32],
        items: &mut [u32],
        num_users: u32,
        num_items: u32,
        interactions: u32,
        threshold: u32,
        first: u32,
        count: u32,
        width: u32,
        #[comptime] popularity: bool,
    ) {
        let unit = ABSOLUTE_POS as u32;
        if unit < count * width {
            let at = log_of(num_users, interactions, num_items, threshold);
            let (example, place) = (unit / width, unit % width);
            let order = first + example;
            let row = shuffled(epoch, order) as usize;
            let user = log[at.users_at + row];
            let mut item = log[at.items_at + row];
            if place == 0 {
                users[example as usize] = user;
            } else {
                let number = order * (width - 1);
                let low = number + (place - 1);
                let mut high = order.mul_hi(width - 1);
                if low < number {
                    high += 1u32;
                }
                item = negative(log, reals, epoch, user, low, high, &at, popularity);
            }
            items[unit as usize] = item;
        }
    }
}

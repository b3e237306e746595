//! One training step of matrix factorization on a GPU, in two kernels and
//! without the host: the interactions, the tables and the losses stay there.
//!
//! The first kernel draws and scores the examples of the step and chains the
//! places that look up the same row; the second walks each chain and updates
//! its row. Nothing costs in proportion to a table, and the result does not
//! depend on the order in which the GPU's units happen to run.

mod forward;
mod sizes;
mod update;

use super::{Goal, Settings};
use crate::data::interactions::Interactions;
use crate::device::{client, ensure_fits};
use crate::kernels::examples::{epoch_words, pack};
use crate::kernels::gpu::{Formula, NumbersLaunch, UNITS};
use crate::kernels::update::Hyper;
use crate::sampling::NegativeSampler;
use crate::seed::{Permutation, Rng};
use anyhow::{Result, anyhow};
use burn::tensor::Device;
use cubecl::prelude::*;
use cubecl::server::Handle;
use forward::{LossNumbersLaunch, Objective, Plan, SizesLaunch};
use sizes::{batch_len, columns, cube_count, kept, losses_len, objective, values_len};
use std::ops::Range;
use update::{BatchSizesLaunch, SideRowsLaunch};

/// Steps whose losses are kept.
pub const KEPT_LOSSES: u64 = 64;

/// Items of an example that the kernels have room for.
const MOST_ITEMS: usize = 512;

/// Buffers that the second kernel binds.
const BINDINGS: u32 = 12;

/// The weights of a side and its optimizer's states, row-major with the bias
/// as the last column.
pub struct HostSide {
    pub weights: Vec<f32>,
    pub states: Vec<Vec<f32>>,
}

/// What kernels are made for.
#[derive(Clone, Copy)]
pub struct Shape {
    pub dim: usize,
    pub num_users: usize,
    pub num_items: usize,
    /// Items of an example: the positive and its negatives.
    pub width: usize,
    pub batch_size: usize,
    /// Mean and deviation of the ratings, for losses with targets.
    pub scale: (f32, f32),
}

/// A side on the device.
struct Side {
    weights: Handle,
    states: Vec<Handle>,
    len: usize,
}

/// The training interactions on the device.
struct Log {
    words: Handle,
    reals: Handle,
    sizes: [usize; 2],
    interactions: usize,
    popularity: bool,
}

/// Both tables and all that a step needs, on the device.
pub struct DeviceFactors {
    client: Client,
    settings: Settings,
    objective: Objective,
    shape: Shape,
    users: Side,
    items: Side,
    log: Option<Log>,
    /// The words of the epoch that are on the device.
    epoch: Option<(Vec<u32>, Handle)>,
    batch: Handle,
    values: Handle,
    heads: Handle,
    losses: Handle,
}

impl DeviceFactors {
    /// `None` for what the kernels cannot do, and on a device that they are
    /// not for.
    pub fn new(
        device: &Device,
        settings: Settings,
        shape: Shape,
        users: &HostSide,
        items: &HostSide,
    ) -> Option<Self> {
        let client = client(device)?;
        let objective = objective(settings.goal)?;
        let possible = !settings.rows.cosine
            && settings.gradient_clip == 0.0
            && shape.width <= MOST_ITEMS
            && client.properties().hardware.max_bindings >= BINDINGS;
        if !possible {
            return None;
        }
        let (capacity, kept) = (shape.batch_size, kept(&settings, &shape));
        let columns = columns(&settings, &shape);
        let upload = |side: &HostSide| Side {
            weights: client.create_from_slice(f32::as_bytes(&side.weights)),
            states: side
                .states
                .iter()
                .map(|state| client.create_from_slice(f32::as_bytes(state)))
                .collect(),
            len: side.weights.len(),
        };
        let heads = vec![0u32; shape.num_users + shape.num_items];
        Some(Self {
            users: upload(users),
            items: upload(items),
            log: None,
            epoch: None,
            batch: client.empty(4 * batch_len(capacity, kept)),
            values: client.empty(4 * values_len(capacity, kept, columns)),
            heads: client.create_from_slice(u32::as_bytes(&heads)),
            losses: client.empty(4 * losses_len()),
            client,
            settings,
            objective,
            shape,
        })
    }

    /// Uploads the interactions, sorted by item inside each user, unless they
    /// are there.
    ///
    /// # Errors
    /// More than the device holds in one buffer.
    pub fn load(
        &mut self,
        device: &Device,
        log: &Interactions,
        sampler: Option<&NegativeSampler>,
    ) -> Result<()> {
        if self.log.is_some() {
            return Ok(());
        }
        let ratings = log.weights.as_deref();
        let ratings = ratings.filter(|_| self.settings.goal == Goal::Mse);
        let packed = pack(log, sampler, ratings);
        let (words, reals) = (packed.words, packed.reals);
        ensure_fits(device, "the log of training interactions", 4 * words.len())?;
        self.log = Some(Log {
            sizes: [words.len(), reals.len()],
            words: self.client.create_from_slice(u32::as_bytes(&words)),
            reals: self.client.create_from_slice(f32::as_bytes(&reals)),
            interactions: log.items.len(),
            popularity: packed.popularity,
        });
        Ok(())
    }

    /// Takes up the order and the negatives of an epoch.
    pub fn begin_epoch(&mut self, order: &Permutation, stream: &Rng) {
        let words = epoch_words(order, stream);
        if self.epoch.as_ref().is_none_or(|(old, _)| *old != words) {
            let handle = self.client.create_from_slice(u32::as_bytes(&words));
            self.epoch = Some((words, handle));
        }
    }

    /// One step on the examples at these places of the epoch; its loss comes
    /// as the `slot`-th of [`Self::losses`].
    ///
    /// # Panics
    /// Before [`Self::load`] and [`Self::begin_epoch`], and when there are
    /// more places than the shape says or the epoch has.
    pub fn step(&self, places: Range<usize>, hyper: &Hyper, slot: usize) {
        let log = self.log.as_ref().expect("the interactions are loaded");
        assert!(
            places.len() <= self.shape.batch_size && places.end <= log.interactions,
            "a step must fit the batch and the epoch"
        );
        let plan = self.plan(log);
        self.forward(log, plan, &places);
        self.update(plan, places.len(), hyper, slot);
    }

    fn plan(&self, log: &Log) -> Plan {
        Plan {
            objective: self.objective,
            dim: self.shape.dim,
            biases: self.settings.rows.bias.is_some(),
            width: self.shape.width,
            kept: kept(&self.settings, &self.shape),
            popularity: log.popularity,
        }
    }

    fn forward(&self, log: &Log, plan: Plan, places: &Range<usize>) {
        let (_, epoch) = self.epoch.as_ref().expect("an epoch has begun");
        let (shape, examples) = (self.shape, places.len());
        let (temperature, smoothing) = match self.settings.goal {
            Goal::Softmax {
                temperature,
                smoothing,
            } => (temperature, smoothing),
            Goal::Bce { smoothing } => (1.0, smoothing),
            Goal::Mse | Goal::Bpr | Goal::Ccl { .. } => (1.0, 0.0),
        };
        let num_items = shape.num_items as u32;
        let sizes = SizesLaunch::new(
            shape.num_users as u32,
            num_items,
            log.interactions as u32,
            shape.batch_size as u32,
            places.start as u32,
            examples as u32,
            num_items.wrapping_neg() % num_items,
        );
        let numbers = LossNumbersLaunch::new(
            1.0 / self.settings.goal.divisor(examples, plan.kept),
            smoothing,
            temperature,
            shape.scale.0,
            shape.scale.1,
            self.settings.user_regularization / examples as f32,
            self.settings.item_regularization / examples as f32,
        );
        // SAFETY: lengths are those of the buffers; the kernel keeps to the
        // step's places, and ids were checked when the data was read.
        unsafe {
            forward::forward::launch_unchecked(
                &self.client,
                cube_count(examples.div_ceil(plan.examples())),
                CubeDim::new_1d(UNITS as u32),
                BufferArg::from_raw_parts(log.words.clone(), log.sizes[0]),
                BufferArg::from_raw_parts(log.reals.clone(), log.sizes[1]),
                BufferArg::from_raw_parts(epoch.clone(), 16),
                BufferArg::from_raw_parts(self.users.weights.clone(), self.users.len),
                BufferArg::from_raw_parts(self.items.weights.clone(), self.items.len),
                self.batch_arg(plan),
                self.values_arg(plan),
                self.heads_arg(),
                sizes,
                numbers,
                plan,
            );
        }
    }

    fn update(&self, plan: Plan, examples: usize, hyper: &Hyper, slot: usize) {
        let sizes = BatchSizesLaunch::new(
            self.shape.num_users as u32,
            self.shape.batch_size as u32,
            examples as u32,
            slot as u32,
            self.settings.item_regularization / examples as f32,
        );
        let rows_per_cube = UNITS / plan.row_lanes();
        // SAFETY: as in `forward`.
        unsafe {
            update::update::launch_unchecked(
                &self.client,
                cube_count((examples * (plan.kept + 1)).div_ceil(rows_per_cube)),
                CubeDim::new_1d(UNITS as u32),
                self.side_arg(&self.users),
                self.side_arg(&self.items),
                self.batch_arg(plan),
                self.values_arg(plan),
                self.heads_arg(),
                BufferArg::from_raw_parts(self.losses.clone(), losses_len()),
                sizes,
                NumbersLaunch::of(hyper),
                plan,
                Formula::of(hyper),
            );
        }
    }

    fn batch_arg(&self, plan: Plan) -> BufferArg {
        let len = batch_len(self.shape.batch_size, plan.kept);
        // SAFETY: the buffer was made with this length.
        unsafe { BufferArg::from_raw_parts(self.batch.clone(), len) }
    }

    fn values_arg(&self, plan: Plan) -> BufferArg {
        let len = values_len(self.shape.batch_size, plan.kept, plan.columns());
        // SAFETY: the buffer was made with this length.
        unsafe { BufferArg::from_raw_parts(self.values.clone(), len) }
    }

    fn heads_arg(&self) -> BufferArg {
        let len = self.shape.num_users + self.shape.num_items;
        // SAFETY: the buffer was made with this length.
        unsafe { BufferArg::from_raw_parts(self.heads.clone(), len) }
    }

    fn side_arg(&self, side: &Side) -> SideRowsLaunch {
        // SAFETY: weights and states have one length; four bytes hold the one
        // number of a state that the formula does not keep.
        let arg = |handle: &Handle| unsafe { BufferArg::from_raw_parts(handle.clone(), side.len) };
        let second = side.states.get(1).map_or_else(
            || unsafe { BufferArg::from_raw_parts(self.client.empty(4), 1) },
            arg,
        );
        SideRowsLaunch::new(arg(&side.weights), arg(&side.states[0]), second)
    }

    /// The losses of the last [`KEPT_LOSSES`] steps; waits for the device.
    ///
    /// # Errors
    /// A device that fails.
    pub fn losses(&self) -> Result<Vec<f64>> {
        let parts = self.read(&self.losses)?;
        let sums = parts
            .chunks_exact(UNITS)
            .map(|parts| parts.iter().map(|&p| f64::from(p)).sum());
        Ok(sums.collect())
    }

    /// Users and items as they are; waits for the device.
    ///
    /// # Errors
    /// A device that fails.
    pub fn download(&self) -> Result<[HostSide; 2]> {
        let side = |side: &Side| -> Result<HostSide> {
            let states = side.states.iter().map(|state| self.read(state));
            Ok(HostSide {
                weights: self.read(&side.weights)?,
                states: states.collect::<Result<_>>()?,
            })
        };
        Ok([side(&self.users)?, side(&self.items)?])
    }

    fn read(&self, handle: &Handle) -> Result<Vec<f32>> {
        let bytes = self
            .client
            .read_one(handle.clone())
            .map_err(|e| anyhow!("cannot read from the device: {e}"))?;
        Ok(f32::from_bytes(&bytes).to_vec())
    }
}

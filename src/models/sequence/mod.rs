//! What all models of sequences share: windows of histories, the output layer
//! over the catalog, one causal (or cloze) pass for each window, and serving
//! anybody from a history alone.
//!
//! A model is a [`Body`]: from the embeddings of a sequence to a hidden row
//! for each place. The score of an item after a history is the inner product
//! of the last hidden row with the item's embedding, which is the input
//! embedding, too; or with `cosine`, of both at length one, over a
//! temperature.
//!
//! A body is written once, in the words of [`Layers`]. On the host
//! [`crate::kernels::layers`] computes them, and [`step`] goes through graphs
//! of some windows each in parallel; elsewhere they are operations on
//! [`tensors`], whole batches at a time. Both see the same windows, negatives
//! and dropout, so that they agree but for rounding.

pub mod bert4rec;
mod cosine;
mod decay;
mod examples;
pub mod gru4rec;
pub mod hstu;
mod network;
pub mod nextitnet;
mod on_device;
mod part;
mod recommender;
pub mod sasrec;
mod setup;
mod step;
mod task;
mod tensors;
#[cfg(test)]
mod tests;
mod updates;

use crate::data::interactions::Interactions;
use crate::device::{self, is_host};
use crate::footprint::{Footprint, Workload};
use crate::kernels::layers::{Layers, Layout, Var};
use crate::model::{FitContext, Fitted, ModelData, ModelSpec, Recommender};
use crate::params::load_all;
use crate::seed::Seed;
use crate::tensors::NamedTensors;
use crate::training;
use anyhow::Result;
use burn::tensor::Device;
use network::Network;
use part::Clock;
use recommender::SequenceRecommender;
use setup::{NegativesFor, SequenceLoss, Setup};
use task::SequenceTask;

/// What to change where a model does not fit.
const SHORTER: &str = "set a smaller model.embedding_dim or model.max_length, or a loss with sampled \
                       negatives, or drop rare items (data.clean.min_item_interactions)";

/// What is a model's own.
pub trait Body: Send + Sync {
    /// From the embeddings of the sequences' items, a row for each place, to
    /// hidden rows of that shape.
    fn forward(&self, layers: &mut dyn Layers, items: Var) -> Var;

    /// Rows that a graph should hold: enough for products of matrices to be
    /// efficient, few enough for the caches.
    fn rows(&self) -> usize {
        192
    }

    /// For a model that looks both ways: the share of a window's items that
    /// are masked and predicted (cloze task). Others predict the next item at
    /// every place.
    fn cloze(&self) -> Option<f64> {
        None
    }

    /// Which times its attention counts ages by.
    fn clock(&self) -> Clock {
        Clock::None
    }
}

/// Makes a body, and lists its weights.
type MakeBody = dyn Fn(&Setup, &mut Layout) -> Box<dyn Body> + Send + Sync;

/// A model of sequences with its parameters, not yet fitted.
struct Spec {
    setup: Setup,
    body: Box<MakeBody>,
}

impl Spec {
    /// To be trained, or without a seed all zero, to be loaded.
    fn network(
        &self,
        train: &Interactions,
        seed: Option<Seed>,
        device: &Device,
    ) -> Result<Network> {
        let mut layout = Layout::default();
        let body = (self.body)(&self.setup, &mut layout);
        Ok(Network::new(
            self.setup,
            body,
            layout,
            train.num_items,
            seed,
            device,
        ))
    }
}

impl Spec {
    /// Bytes of a step by operations on tensors: of all of its places at once.
    fn step_on_device(&self, work: &Workload<'_>, layout: &Layout) -> u64 {
        let (dim, longest) = (self.setup.embedding_dim, self.setup.max_length);
        let (dim, longest) = (dim as u64, longest as u64);
        let places = work.training.batch_size as u64 + longest;
        let gradients = 4 * (work.items() * dim + layout.floats());
        // About thirty rows and ten rows of attention weights of a block's
        // layers for each place.
        let block = 4 * (30 * dim + 10 * longest);
        let layers = places * block * layout.entries.len() as u64 / 8;
        let scores = match self.setup.loss {
            SequenceLoss::CrossEntropy => {
                4 * 4 * (tensors::SCORES as u64).min(places * work.items())
            }
            _ => 3 * 4 * places * (1 + work.training.negatives as u64) * dim,
        };
        2 * gradients + layers + scores
    }

    /// # Errors
    /// A step or a table that a buffer of the device does not hold.
    fn ensure_fits(&self, context: &FitContext<'_>) -> Result<()> {
        let (config, device) = (context.training, context.device);
        let row = self.setup.embedding_dim * size_of::<f32>();
        let items = context.data.train.num_items + 1;
        device::ensure_fits(device, "the table of item embeddings", items * row)?;
        if self.setup.loss == SequenceLoss::CrossEntropy || is_host(device) {
            return Ok(());
        }
        let draws = match self.setup.negatives_for {
            NegativesFor::Position => config.batch_size,
            // Where all windows are full.
            NegativesFor::Sequence => config.batch_size.div_ceil(self.setup.max_length),
        };
        device::ensure_fits(
            device,
            "what `training.batch_size` and `training.negatives` need",
            draws * config.negatives * row,
        )
    }

    /// Bytes of a step's gradients on the host: of its segments, and of their
    /// sum.
    fn gradients(&self, work: &Workload<'_>, layout: &Layout) -> u64 {
        let row = 4 * self.setup.embedding_dim as u64;
        let tables = if self.setup.cosine { 2 } else { 1 };
        let dense = 4 * layout.floats();
        let whole = tables * work.items() * row;
        if self.setup.loss == SequenceLoss::CrossEntropy {
            let each = whole + dense;
            return each * step::segments(each as usize) as u64 + each;
        }
        let segments = step::segments(dense as usize) as u64;
        let config = work.training;
        let places = (config.batch_size + self.setup.max_length) as u64;
        let draws = match self.setup.negatives_for {
            NegativesFor::Position => places,
            NegativesFor::Sequence => places.div_ceil(2),
        } * config.negatives as u64;
        // What is touched; twice, as vectors grow.
        let touched = 2 * row * (2 * places + draws);
        let stamps = 8 * tables * work.items();
        segments * (stamps + dense + whole.min(touched / segments)) + whole.min(touched) + dense
    }

    fn with_histories(&self, work: &Workload<'_>, mut footprint: Footprint) -> Footprint {
        let histories = 12 * work.pairs();
        footprint.fitting += histories;
        footprint.ranking += histories;
        footprint
    }
}

impl ModelSpec for Spec {
    fn unused_training_keys(&self) -> Vec<String> {
        self.setup.unused_training_keys()
    }

    fn footprint(&self, work: &Workload<'_>) -> Footprint {
        let mut layout = Layout::default();
        let body = (self.body)(&self.setup, &mut layout);
        let dim = self.setup.embedding_dim as u64;
        let table = work.items() * dim * 4;
        let floats = work.items() * dim + layout.floats();
        if !is_host(work.device) {
            let step = self.step_on_device(work, &layout);
            return self.with_histories(work, work.trained(floats, step, SHORTER));
        }
        let segments = self.gradients(work, &layout);
        let rows = (body.rows() + self.setup.max_length) as u64;
        let threads = work.threads as u64;
        // About thirty rows of a block's layers for each place.
        let graphs = threads * rows * dim * 4 * 30 * layout.entries.len() as u64 / 8;
        let scores = match self.setup.loss {
            SequenceLoss::CrossEntropy => table + threads * rows * work.items() * 4,
            _ => threads * rows * (1 + work.training.negatives as u64) * dim * 4,
        };
        let step = segments + graphs + scores;
        self.with_histories(work, work.trained(floats, step, SHORTER))
    }

    fn fit(&self, context: FitContext<'_>) -> Result<Fitted> {
        let (train, config) = (context.data.train, context.training);
        self.setup.check(config)?;
        self.ensure_fits(&context)?;
        let mut network = self.network(train, Some(context.seed), context.device)?;
        let max_norm = self.setup.embeddings.max_norm;
        network.items.keep_within(max_norm);
        let recommender = SequenceRecommender::new(network);
        let mut task = SequenceTask::new(recommender, train, config, context.seed)?;
        let summary = training::fit(&mut task, context)?;
        Ok(Fitted {
            model: Box::new(task.into_recommender()),
            summary,
        })
    }

    fn load(
        &self,
        weights: &NamedTensors,
        data: ModelData<'_>,
        device: &Device,
    ) -> Result<Box<dyn Recommender>> {
        let mut network = self.network(data.train, None, device)?;
        load_all(network.params_mut(), weights)?;
        Ok(Box::new(SequenceRecommender::new(network)))
    }
}

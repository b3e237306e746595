//! What all models of user-item pairs share: examples, negatives, losses,
//! and serving users that training never saw.

mod drawn;
mod examples;
mod in_batch;
mod objective;
mod recommender;
mod task;

pub use drawn::Drawn;
pub use examples::Examples;
pub use in_batch::InBatch;
pub use objective::{MARGIN, NEGATIVE_WEIGHT, Objective, check_ccl};
pub use recommender::Scale;

use crate::data::interactions::Interactions;
use crate::device;
use crate::footprint::{Footprint, SMALLER_EMBEDDINGS, Workload};
use crate::kernels::mf::Goal;
use crate::losses::Loss;
use crate::model::{FitContext, Fitted, ItemVectors, ModelData, QueryVectors, Recommender};
use crate::optim::Optimizer;
use crate::params::{Param, load_all};
use crate::sampling::NegativeSampler;
use crate::seed::Seed;
use crate::tape::{Ids, Tape};
use crate::tensors::NamedTensors;
use crate::training::{self, FusedStep, StepLoss, TrainingConfig};
use anyhow::{Result, bail, ensure};
use burn::tensor::{Device, Tensor};
use recommender::PairRecommender;
use std::ops::Range;
use std::sync::Arc;
use task::PairTask;

/// A network that scores user-item pairs.
pub trait PairNetwork: Send + Sync {
    fn params(&self) -> Vec<&Param>;

    fn params_mut(&mut self) -> Vec<&mut Param>;

    /// Scores `[users.len(), width]`; `items` is row-major of that shape. The
    /// second value is the regularizer, a mean over the users of the batch.
    fn scores(&self, tape: &mut Tape, users: &Ids, items: &Ids) -> (Tensor<2>, Option<Tensor<1>>);

    /// Every user against every item of the batch, `[batch, batch]`, where
    /// that is cheap: models whose score is an inner product.
    fn cross_scores(
        &self,
        _: &mut Tape,
        _: &[u32],
        _: &[u32],
    ) -> Option<(Tensor<2>, Option<Tensor<1>>)> {
        None
    }

    /// Every user against every item, `[batch, items]`, where that is cheap;
    /// `positives` are what the regularizer counts of the items.
    fn catalog_scores(
        &self,
        _: &mut Tape,
        _users: &[u32],
        _positives: &[u32],
    ) -> Option<(Tensor<2>, Option<Tensor<1>>)> {
        None
    }

    /// The tables with a row for each user.
    fn user_tables(&self) -> Vec<&Param>;

    /// Scores of the catalog `[queries, items]`, on the device, for users given
    /// as rows of the user tables, one tensor `[queries, columns]` a table.
    fn tile(&self, rows: &[Tensor<2>]) -> Tensor<2>;

    /// Queries whose tile, with what it takes to make it, fits the memory.
    fn tile_height(&self) -> usize;

    /// [`Self::tile`] in tiles of that height; `scores` is `[queries, items]`.
    ///
    /// # Errors
    /// A device that fails.
    fn score_rows(&self, rows: &[Tensor<2>], scores: &mut [f32]) -> Result<()> {
        score_by_tiles(self, rows, scores)
    }

    /// Item vectors, where scores are inner products with them.
    ///
    /// # Errors
    /// A device that fails.
    fn item_vectors(&self) -> Result<Option<ItemVectors>> {
        Ok(None)
    }

    /// What goes with [`Self::item_vectors`] for users given as rows of the
    /// user tables, row-major, one array a table.
    ///
    /// # Errors
    /// A device that fails.
    fn query_vectors(&self, _: Vec<Vec<f32>>) -> Result<QueryVectors> {
        bail!("the scores of this network are not inner products")
    }

    /// Kernels that train this network, from its weights and the optimizer's
    /// state as they are; `None` where the plain operations must do.
    ///
    /// # Errors
    /// A device that fails.
    fn fuse(&self, _: &Fuse<'_>) -> Result<Option<Box<dyn FusedPairs>>> {
        Ok(None)
    }
}

/// See [`PairNetwork::score_rows`].
///
/// # Errors
/// A device that fails.
pub fn score_by_tiles<N: PairNetwork + ?Sized>(
    network: &N,
    rows: &[Tensor<2>],
    scores: &mut [f32],
) -> Result<()> {
    let queries = rows[0].dims()[0];
    let items = scores.len() / queries;
    let tiles = scores.chunks_mut(network.tile_height() * items);
    for (range, scores) in tile_ranges(queries, network.tile_height()).zip(tiles) {
        let tile = network.tile(&slice_rows(rows, range));
        scores.copy_from_slice(&crate::params::host(tile)?);
    }
    Ok(())
}

fn tile_ranges(queries: usize, height: usize) -> impl Iterator<Item = Range<usize>> {
    let from = (0..queries).step_by(height);
    from.map(move |from| from..(from + height).min(queries))
}

fn slice_rows(rows: &[Tensor<2>], range: Range<usize>) -> Vec<Tensor<2>> {
    rows.iter()
        .map(|t| t.clone().slice([range.clone(), 0..t.dims()[1]]))
        .collect()
}

/// What fused kernels are made for.
pub struct Fuse<'a> {
    pub objective: Objective,
    pub config: &'a TrainingConfig,
    pub optimizer: &'a Optimizer,
    pub scale: Option<Scale>,
    pub device: &'a Device,
    /// Of the run: step `n` takes its dropout from
    /// `seed.indexed("dropout", n - 1)`.
    pub seed: Seed,
}

impl Fuse<'_> {
    /// What the kernels minimize; `None` for a loss that they do not know.
    pub fn goal(&self) -> Option<Goal> {
        // Kernels know nothing of the probabilities of items.
        if self.objective.corrects(self.config.negative_sampling) {
            return None;
        }
        self.objective.goal(self.config.label_smoothing)
    }
}

/// Weights and optimizer state in the form that fused kernels train.
pub trait FusedPairs: Send + Sync {
    /// One step on the examples at these places.
    ///
    /// # Errors
    /// A device that fails.
    fn step(
        &mut self,
        examples: &Examples,
        places: Range<usize>,
        step: FusedStep,
    ) -> Result<StepLoss>;

    /// Brings parameters and optimizer up to date.
    ///
    /// # Errors
    /// A device that fails.
    fn write_back(&mut self, params: Vec<&mut Param>, optimizer: &mut Optimizer) -> Result<()>;
}

/// What a network of pairs takes: tables of so many columns for users and for
/// items, and so many numbers for each pair that a step looks at. What other
/// weights it has is small beside its tables.
pub fn footprint(work: &Workload<'_>, columns: u64, wide: u64, loss: Loss) -> Footprint {
    let training = work.training;
    let batch = training.batch_size as u64;
    let per_example = match loss {
        Loss::Mse => 1,
        Loss::InBatchSoftmax => 1 + batch / wide.max(1),
        Loss::FullSoftmax => 1 + work.items() / wide.max(1),
        Loss::Bce | Loss::Bpr | Loss::Softmax | Loss::Ccl => 1 + training.negatives as u64,
    };
    // Forward, backward, and the rows' updates.
    let activations = 6 * 4 * batch * per_example * wide;
    // The log by item, the user and the place of each example.
    let examples = 16 * work.pairs() + work.items() * 8;
    let floats = (work.users() + work.items()) * columns;
    let mut footprint = work.trained(floats, activations, SMALLER_EMBEDDINGS);
    footprint.fitting += examples;
    footprint.ranking += examples;
    footprint
}

/// Fits a network of pairs.
///
/// # Errors
/// Data that the loss cannot use, and what [`training::fit`] reports.
pub fn fit(
    network: Box<dyn PairNetwork>,
    objective: Objective,
    context: FitContext<'_>,
) -> Result<Fitted> {
    ensure_params_fit(network.params(), context.device)?;
    let train = context.data.train;
    let scale = rating_scale(objective.loss, train, context.training.normalize_ratings)?;
    let config = context.training;
    let log = Arc::new(train.sorted_by_item());
    if objective.loss == Loss::FullSoftmax {
        let (batch, items) = (config.batch_size, train.num_items);
        let what = format!("the scores of `training.batch_size = {batch}` users");
        device::ensure_fits(context.device, &what, 4 * batch * items)?;
    }
    let sampler = if matches!(objective.loss, Loss::Mse | Loss::FullSoftmax) {
        None
    } else {
        let (sampling, alpha) = (config.negative_sampling, config.popularity_alpha);
        Some(NegativeSampler::new(log.clone(), sampling, alpha)?)
    };
    let corrected = objective.corrects(config.negative_sampling);
    let log_expected = sampler.as_ref().filter(|_| corrected).map(|sampler| {
        let of_items = sampler.log_expected(config.negatives);
        Tensor::from_floats(&of_items[..], context.device)
    });
    let mut task = PairTask {
        log_expected,
        examples: Examples::new(log.clone(), sampler, config.negatives),
        drawn: Drawn::default(),
        in_batch: InBatch::new(train, objective.logq_correction),
        recommender: PairRecommender::new(network, log, scale, context.device),
        objective,
        config,
        device: context.device,
        seed: context.seed,
        fused: None,
    };
    let summary = training::fit(&mut task, context)?;
    Ok(Fitted {
        model: Box::new(task.recommender),
        summary,
    })
}

/// # Errors
/// A parameter that is larger than what the device can hold in one piece.
pub fn ensure_params_fit(params: Vec<&Param>, device: &Device) -> Result<()> {
    params.into_iter().try_for_each(|param| {
        let [rows, columns] = param.shape();
        let what = format!("the table `{}` of {rows} rows", param.name());
        device::ensure_fits(device, &what, 4 * rows * columns)
    })
}

fn rating_scale(loss: Loss, train: &Interactions, normalize: bool) -> Result<Option<Scale>> {
    if loss != Loss::Mse {
        ensure!(
            !normalize,
            "`training.normalize_ratings` is for `loss = \"mse\"`"
        );
        return Ok(None);
    }
    let ratings = train.weights.as_deref();
    let ratings = ratings.ok_or_else(|| {
        anyhow::anyhow!("`loss = \"mse\"` needs ratings: name their column in `data.rating`, or use `bpr`, `bce` or `softmax`")
    })?;
    Ok(Some(Scale::of(ratings, normalize)))
}

/// Makes a fitted network again.
///
/// # Errors
/// Weights that are missing or of another shape.
pub fn load(
    mut network: Box<dyn PairNetwork>,
    weights: &NamedTensors,
    data: ModelData<'_>,
    device: &Device,
) -> Result<Box<dyn Recommender>> {
    ensure_params_fit(network.params(), device)?;
    load_all(network.params_mut(), weights)?;
    let scale = if Scale::is_in(weights) {
        Some(Scale::load(weights)?)
    } else {
        None
    };
    Ok(Box::new(PairRecommender::new(
        network,
        Arc::new(data.train.sorted_by_item()),
        scale,
        device,
    )))
}

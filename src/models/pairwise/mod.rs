//! What all models of user-item pairs share: examples, negatives, losses,
//! and serving users that training never saw.

mod recommender;
mod task;

use crate::data::interactions::Interactions;
use crate::losses::Loss;
use crate::model::{Factors, FitContext, Fitted, ModelData, Recommender};
use crate::params::Param;
use crate::sampling::NegativeSampler;
use crate::tape::Tape;
use crate::tensors::NamedTensors;
use crate::training::{self, Loop};
use anyhow::{Result, ensure};
use burn::tensor::{Device, Tensor};
use recommender::{PairRecommender, SCALE, Scale};
use task::PairTask;

/// A network that scores user-item pairs.
pub trait PairNetwork: Send + Sync {
    fn params(&self) -> Vec<&Param>;

    fn params_mut(&mut self) -> Vec<&mut Param>;

    /// Scores `[users.len(), width]`; `items` is row-major of that shape. The
    /// second value is the regularizer, a mean over the users of the batch.
    fn scores(
        &self,
        tape: &mut Tape,
        users: &[u32],
        items: &[u32],
    ) -> (Tensor<2>, Option<Tensor<1>>);

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

    /// The tables with a row for each user.
    fn user_tables(&self) -> Vec<&Param>;

    /// Scores the catalog for users given as rows of the user tables, one
    /// tensor `[queries, columns]` a table; `scores` is `[queries, items]`.
    ///
    /// # Errors
    /// A device that fails.
    fn score_rows(&self, rows: &[Tensor<2>], scores: &mut [f32]) -> Result<()>;

    /// See [`Recommender::factors`].
    fn factors(&self) -> Option<Factors> {
        None
    }
}

/// What a pair model is trained for.
#[derive(Clone, Copy, Debug)]
pub struct Objective {
    pub loss: Loss,
    /// Divides scores before a softmax.
    pub temperature: f64,
    /// Learn from the highest-scored of an example's negatives alone.
    pub hardest_negative: bool,
    /// Subtracts the log-probability of an item from its score as an in-batch
    /// negative, which are drawn by popularity.
    pub logq_correction: bool,
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
    let train = context.data.train;
    let scale = rating_scale(objective.loss, train, context.training.normalize_ratings)?;
    let sampler = if objective.loss == Loss::Mse {
        None
    } else {
        let config = context.training;
        Some(NegativeSampler::new(
            train,
            config.negative_sampling,
            config.popularity_alpha,
        )?)
    };
    let total = train.len().max(1) as f32;
    let counts = train.item_counts();
    let mut task = PairTask {
        users: train.user_column(),
        order: Vec::new(),
        negatives: context.seed.stream("negatives"),
        log_probabilities: counts
            .iter()
            .map(|&c| (c.max(1) as f32 / total).ln())
            .collect(),
        recommender: PairRecommender::new(network, train, scale, context.device),
        objective,
        config: context.training,
        sampler,
    };
    let around = Loop {
        config: context.training,
        device: context.device,
        seed: context.seed,
        observer: context.observer,
        validate: context.validate,
        checkpoints: context.checkpoints,
    };
    let summary = training::fit(&mut task, around)?;
    Ok(Fitted {
        model: Box::new(task.recommender),
        summary,
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
    for param in network.params_mut() {
        param.load(weights, "")?;
    }
    let scale = if weights.tensors.contains_key(SCALE) {
        let s = weights.f32(SCALE, &[4])?;
        Some(Scale {
            mean: s[0],
            deviation: s[1],
            lowest: s[2],
            highest: s[3],
        })
    } else {
        None
    };
    Ok(Box::new(PairRecommender::new(
        network, data.train, scale, device,
    )))
}

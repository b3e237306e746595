//! What all models of user-item pairs share: examples, negatives, losses,
//! and serving users that training never saw.

use crate::data::interactions::Interactions;
use crate::losses::{self, Loss};
use crate::model::{Factors, FitContext, Fitted, ModelData, Query, Recommender};
use crate::models::neighbors::Neighbors;
use crate::params::{Param, Tape, host};
use crate::sampling::NegativeSampler;
use crate::seed::{Rng, Seed};
use crate::tensors::NamedTensors;
use crate::training::{self, Loop, Trainable, TrainingConfig};
use anyhow::{Result, ensure};
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::OnceLock;

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
    /// Subtracts the log-probability of an item from its score as an in-batch
    /// negative, which are drawn by popularity.
    pub logq_correction: bool,
}

/// From a network's score to the scale of the data.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scale {
    mean: f32,
    deviation: f32,
    lowest: f32,
    highest: f32,
}

impl Scale {
    fn of(ratings: &[f32], normalize: bool) -> Self {
        let n = ratings.len().max(1) as f64;
        let mean = ratings.iter().map(|&r| f64::from(r)).sum::<f64>() / n;
        let variance = ratings
            .iter()
            .map(|&r| (f64::from(r) - mean).powi(2))
            .sum::<f64>()
            / n;
        let deviation = if normalize && variance > 0.0 {
            variance.sqrt()
        } else {
            1.0
        };
        Self {
            mean: mean as f32,
            deviation: deviation as f32,
            lowest: ratings.iter().copied().fold(f32::INFINITY, f32::min),
            highest: ratings.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        }
    }
}

const SCALE: &str = "rating_scale";

/// A fitted network with what serving needs of the training data.
pub struct PairRecommender {
    network: Box<dyn PairNetwork>,
    train: Interactions,
    scale: Option<Scale>,
    device: Device,
    neighbors: OnceLock<Neighbors>,
}

impl PairRecommender {
    fn new(
        network: Box<dyn PairNetwork>,
        train: &Interactions,
        scale: Option<Scale>,
        device: &Device,
    ) -> Self {
        Self {
            network,
            train: train.clone(),
            scale,
            device: device.clone(),
            neighbors: OnceLock::new(),
        }
    }

    /// Rows of the user tables: a known user's own, for anybody else the mean
    /// over the most similar training users.
    fn rows(&self, queries: &[Query<'_>]) -> Result<Vec<Tensor<2>>> {
        let ids: Vec<i32> = queries
            .iter()
            .map(|q| q.user.map_or(0, |u| u.0 as i32))
            .collect();
        let ids = Tensor::from_data(TensorData::new(ids, [queries.len()]), &self.device);
        let tables = self.network.user_tables();
        let known = tables.iter().map(|t| t.value().select(0, ids.clone()));
        if queries.iter().all(|q| q.user.is_some()) {
            return Ok(known.collect());
        }
        let neighbors = self.neighbors.get_or_init(|| Neighbors::new(&self.train));
        let blends: Vec<Option<Vec<(u32, f32)>>> = queries
            .par_iter()
            .map(|q| q.user.is_none().then(|| neighbors.blend(q.history)))
            .collect();
        tables
            .iter()
            .zip(known.collect::<Vec<_>>())
            .map(|(table, rows)| blend_rows(&table.host()?, rows, &blends, &self.device))
            .collect()
    }
}

/// Replaces the rows that have a blend by that weighted sum of table rows.
fn blend_rows(
    table: &[f32],
    rows: Tensor<2>,
    blends: &[Option<Vec<(u32, f32)>>],
    device: &Device,
) -> Result<Tensor<2>> {
    let [count, columns] = rows.dims();
    let mut values = host(rows)?;
    for (row, blend) in values.chunks_mut(columns).zip(blends) {
        let Some(blend) = blend else { continue };
        row.fill(0.0);
        for &(user, weight) in blend {
            let source = &table[user as usize * columns..][..columns];
            for (value, s) in row.iter_mut().zip(source) {
                *value += weight * s;
            }
        }
    }
    Ok(Tensor::from_data(
        TensorData::new(values, [count, columns]),
        device,
    ))
}

impl Recommender for PairRecommender {
    fn num_items(&self) -> usize {
        self.train.num_items
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<()> {
        if queries.is_empty() {
            return Ok(());
        }
        self.network.score_rows(&self.rows(queries)?, scores)?;
        if let Some(scale) = self.scale {
            scores
                .par_iter_mut()
                .for_each(|s| *s = scale.mean + scale.deviation * *s);
        }
        Ok(())
    }

    /// Ratings are clipped to the range of the training data.
    fn score_pairs(&self, queries: &[Query<'_>], items: &[u32]) -> Result<Vec<f32>> {
        let mut values = Vec::with_capacity(items.len());
        for (queries, items) in queries.chunks(8192).zip(items.chunks(8192)) {
            values.extend(self.score_chunk(queries, items)?);
        }
        if let Some(scale) = self.scale {
            for value in &mut values {
                *value = (scale.mean + scale.deviation * *value).clamp(scale.lowest, scale.highest);
            }
        }
        Ok(values)
    }

    fn predicts_ratings(&self) -> bool {
        self.scale.is_some()
    }

    fn factors(&self) -> Option<Factors> {
        self.network.factors()
    }

    fn weights(&self) -> Result<NamedTensors> {
        let mut weights = NamedTensors::default();
        for param in self.network.params() {
            param.store(&mut weights, "")?;
        }
        if let Some(s) = self.scale {
            weights.insert_f32(SCALE, &[4], vec![s.mean, s.deviation, s.lowest, s.highest]);
        }
        Ok(weights)
    }
}

impl PairRecommender {
    fn score_chunk(&self, queries: &[Query<'_>], items: &[u32]) -> Result<Vec<f32>> {
        if let Some(users) = queries
            .iter()
            .map(|q| q.user.map(|u| u.0))
            .collect::<Option<Vec<_>>>()
        {
            let (scores, _) =
                self.network
                    .scores(&mut Tape::inference(&self.device), &users, items);
            return host(scores);
        }
        let mut row = vec![0.0; self.num_items()];
        let score = |(query, &item): (&Query<'_>, &u32)| {
            self.network
                .score_rows(&self.rows(std::slice::from_ref(query))?, &mut row)?;
            Ok(row[item as usize])
        };
        queries.iter().zip(items).map(score).collect()
    }
}

/// The examples of a pair model: all training interactions, in an order of
/// their own in each epoch.
struct PairTask<'a> {
    recommender: PairRecommender,
    objective: Objective,
    config: &'a TrainingConfig,
    users: Vec<u32>,
    order: Vec<u32>,
    sampler: Option<NegativeSampler>,
    negatives: Rng,
    log_probabilities: Vec<f32>,
}

impl PairTask<'_> {
    fn examples(&self, places: Range<usize>) -> (Vec<u32>, Vec<u32>) {
        let rows = &self.order[places];
        let users = rows.iter().map(|&r| self.users[r as usize]).collect();
        let items = rows
            .iter()
            .map(|&r| self.recommender.train.items[r as usize])
            .collect();
        (users, items)
    }

    /// Row-major `[positive, negative, ...]` of each example.
    fn with_negatives(&self, first: usize, users: &[u32], items: &[u32]) -> Vec<u32> {
        let sampler = self
            .sampler
            .as_ref()
            .expect("losses that sample have a sampler");
        let width = self.config.negatives + 1;
        let mut all = vec![0; items.len() * width];
        all.par_chunks_mut(width).enumerate().for_each(|(i, row)| {
            row[0] = items[i];
            for (k, slot) in row[1..].iter_mut().enumerate() {
                let number = ((first + i) * self.config.negatives + k) as u64;
                *slot = sampler.draw(&self.negatives, number, users[i]);
            }
        });
        all
    }

    fn mse(
        &self,
        tape: &mut Tape,
        places: Range<usize>,
        users: &[u32],
        items: &[u32],
    ) -> (Tensor<1>, Option<Tensor<1>>) {
        let scale = self.recommender.scale.expect("mse has a scale");
        let ratings = self
            .recommender
            .train
            .weights
            .as_deref()
            .expect("mse has ratings");
        let targets: Vec<f32> = self.order[places]
            .iter()
            .map(|&r| (ratings[r as usize] - scale.mean) / scale.deviation)
            .collect();
        let (scores, penalty) = self.recommender.network.scores(tape, users, items);
        let targets = tape.floats(targets, [users.len(), 1]);
        (losses::mse(scores, targets), penalty)
    }

    fn in_batch(
        &self,
        tape: &mut Tape,
        users: &[u32],
        items: &[u32],
    ) -> (Tensor<1>, Option<Tensor<1>>) {
        let (scores, penalty) = self
            .recommender
            .network
            .cross_scores(tape, users, items)
            .expect("checked when the model was built");
        let batch = users.len();
        let mask = tape.floats(self.in_batch_mask(users, items), [batch, batch]);
        let mut diagonal = vec![0.0; batch * batch];
        diagonal
            .iter_mut()
            .step_by(batch + 1)
            .for_each(|d| *d = 1.0);
        let diagonal = tape.floats(diagonal, [batch, batch]);
        let scores = scores / self.objective.temperature;
        (
            losses::in_batch_softmax(scores, mask, diagonal, self.config.label_smoothing),
            penalty,
        )
    }

    /// What is added to each in-batch score: a large negative number where
    /// the column is another positive of the row's user.
    fn in_batch_mask(&self, users: &[u32], items: &[u32]) -> Vec<f32> {
        let sampler = self
            .sampler
            .as_ref()
            .expect("in-batch softmax has a sampler");
        let mut columns: Vec<(u32, u32)> = items.iter().copied().zip(0..).collect();
        columns.sort_unstable();
        let batch = users.len();
        let mut mask = vec![0.0; batch * batch];
        mask.par_chunks_mut(batch).enumerate().for_each(|(i, row)| {
            if self.objective.logq_correction {
                for (value, &item) in row.iter_mut().zip(items) {
                    *value = -self.log_probabilities[item as usize];
                }
            }
            for &positive in sampler.positives_of(users[i]) {
                let from = columns.partition_point(|c| c.0 < positive);
                for &(_, column) in columns[from..].iter().take_while(|c| c.0 == positive) {
                    if column as usize != i {
                        row[column as usize] = losses::MASKED;
                    }
                }
            }
        });
        mask
    }
}

impl Trainable for PairTask<'_> {
    fn params(&self) -> Vec<&Param> {
        self.recommender.network.params()
    }

    fn params_mut(&mut self) -> Vec<&mut Param> {
        self.recommender.network.params_mut()
    }

    fn num_examples(&self) -> usize {
        self.users.len()
    }

    fn begin_epoch(&mut self, seed: Seed, epoch: usize) {
        self.order = (0..self.users.len() as u32).collect();
        seed.indexed("shuffle", epoch as u64)
            .shuffle(&mut self.order);
        self.negatives = seed.indexed("negatives", epoch as u64);
    }

    fn loss(&mut self, tape: &mut Tape, places: Range<usize>) -> Tensor<1> {
        let (users, items) = self.examples(places.clone());
        let smoothing = self.config.label_smoothing;
        let (loss, penalty) = match self.objective.loss {
            Loss::Mse => self.mse(tape, places, &users, &items),
            Loss::InBatchSoftmax => self.in_batch(tape, &users, &items),
            sampled => {
                let all = self.with_negatives(places.start, &users, &items);
                let (scores, penalty) = self.recommender.network.scores(tape, &users, &all);
                let loss = match sampled {
                    Loss::Bce => losses::bce(scores, smoothing),
                    Loss::Bpr => losses::bpr(scores),
                    _ => losses::softmax(scores / self.objective.temperature, smoothing),
                };
                (loss, penalty)
            }
        };
        match penalty {
            Some(penalty) => loss + penalty,
            None => loss,
        }
    }

    fn recommender(&self) -> &dyn Recommender {
        &self.recommender
    }
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

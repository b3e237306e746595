//! A fitted network of pairs: known users by their rows, others by the rows
//! of training users like them.

use super::{PairNetwork, slice_rows, tile_ranges};
use crate::data::interactions::Interactions;
use crate::device::{Family, family};
use crate::kernels::top_k::{List, Masks, top_k};
use crate::model::{Query, QueryVectors, Recommender, ScoreForm};
use crate::models::neighbors::{Blend, Neighbors, blend_rows};
use crate::params::host;
use crate::tape::{Ids, Tape};
use crate::tensors::NamedTensors;
use anyhow::{Context, Result};
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;
use std::sync::{Arc, OnceLock};

/// From a network's score to the scale of the data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    pub mean: f32,
    pub deviation: f32,
    pub lowest: f32,
    pub highest: f32,
}

impl Scale {
    pub fn of(ratings: &[f32], normalize: bool) -> Self {
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

    /// From a rating to what the network is trained on.
    pub fn normalized(&self, rating: f32) -> f32 {
        (rating - self.mean) / self.deviation
    }

    /// Whether a model was saved with a scale.
    pub fn is_in(weights: &NamedTensors) -> bool {
        weights.tensors.contains_key(SCALE)
    }

    /// # Errors
    /// A tensor that is missing or of another shape.
    pub fn load(weights: &NamedTensors) -> Result<Self> {
        let s = weights.f32(SCALE, &[4])?;
        Ok(Self {
            mean: s[0],
            deviation: s[1],
            lowest: s[2],
            highest: s[3],
        })
    }

    pub fn store(&self, weights: &mut NamedTensors) {
        let values = vec![self.mean, self.deviation, self.lowest, self.highest];
        weights.insert_f32(SCALE, &[4], values);
    }
}

const SCALE: &str = "rating_scale";

/// A fitted network with what serving needs of the training data.
pub struct PairRecommender {
    pub network: Box<dyn PairNetwork>,
    /// What the model was fitted on, in any order inside a user.
    train: Arc<Interactions>,
    pub scale: Option<Scale>,
    device: Device,
    neighbors: OnceLock<Neighbors>,
}

impl PairRecommender {
    pub fn new(
        network: Box<dyn PairNetwork>,
        train: Arc<Interactions>,
        scale: Option<Scale>,
        device: &Device,
    ) -> Self {
        Self {
            network,
            train,
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
        let blends: Vec<Option<Blend>> = queries
            .par_iter()
            .map(|q| q.user.is_none().then(|| neighbors.blend(q.history)))
            .collect();
        tables
            .iter()
            .zip(known.collect::<Vec<_>>())
            .map(|(table, rows)| {
                let rows_of = |users: &[u32]| {
                    let ids: Vec<i32> = users.iter().map(|&user| user as i32).collect();
                    let ids = TensorData::new(ids, [users.len()]);
                    let ids = Tensor::from_data(ids, &self.device);
                    table.value().select(0, ids)
                };
                blend_rows(rows, &blends, rows_of)
            })
            .collect()
    }
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

    fn score_form(&self) -> Result<ScoreForm> {
        if family(&self.device) == Family::Gpu {
            return Ok(ScoreForm::OnDevice);
        }
        let Some(mut items) = self.network.item_vectors()? else {
            return Ok(ScoreForm::Rows);
        };
        if let (Some(scale), Some(biases)) = (self.scale, &mut items.biases) {
            biases.iter_mut().for_each(|b| *b *= scale.deviation);
        }
        Ok(ScoreForm::InnerProducts(items))
    }

    fn query_vectors(&self, queries: &[Query<'_>]) -> Result<QueryVectors> {
        let rows = self.rows(queries)?.into_iter().map(host);
        let mut users = self.network.query_vectors(rows.collect::<Result<_>>()?)?;
        if let Some(scale) = self.scale {
            users.vectors.iter_mut().for_each(|v| *v *= scale.deviation);
            for offset in &mut users.offsets {
                *offset = scale.mean + scale.deviation * *offset;
            }
        }
        Ok(users)
    }

    fn pick_best(&self, queries: &[Query<'_>], masks: Masks<'_>, k: usize) -> Result<Vec<List>> {
        let rows = self.rows(queries)?;
        let mut lists = Vec::with_capacity(queries.len());
        for range in tile_ranges(queries.len(), self.network.tile_height()) {
            let mut tile = self.network.tile(&slice_rows(&rows, range.clone()));
            if let Some(scale) = self.scale {
                tile = tile * scale.deviation + scale.mean;
            }
            let masked = &masks.masked[range];
            let picked = top_k(tile, Masks { masked, ..masks }, k)?;
            lists.extend(picked.context("this device does not rank lists of this length")?);
        }
        Ok(lists)
    }

    fn weights(&self) -> Result<NamedTensors> {
        let mut weights = NamedTensors::default();
        for param in self.network.params() {
            param.store(&mut weights, "")?;
        }
        if let Some(scale) = self.scale {
            scale.store(&mut weights);
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
            let (users, items) = (Ids::Host(users), Ids::from(items));
            let mut tape = Tape::inference(&self.device);
            let (scores, _) = self.network.scores(&mut tape, &users, &items);
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

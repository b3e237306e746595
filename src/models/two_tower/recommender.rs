//! Fitted towers: anybody with a history or features is served.

use super::towers::Towers;
use crate::device::{Family, family};
use crate::kernels::top_k::{List, Masks, top_k_in_tiles};
use crate::model::{ItemVectors, Query, QueryVectors, Recommender, ScoreForm};
use crate::params::{Param, host};
use crate::tape::Tape;
use crate::tensors::NamedTensors;
use anyhow::{Result, ensure};
use burn::tensor::{Device, Tensor};
use std::sync::OnceLock;

/// Users or items that go through a tower at a time.
const CHUNK: usize = 1 << 12;

/// Scores of a tile of queries and items.
const TILE: usize = 1 << 24;

/// Towers with what serving needs.
pub struct TwoTower {
    pub towers: Towers,
    num_items: usize,
    device: Device,
    /// The items' vectors as columns, made of the towers when they are first
    /// asked for.
    catalog: OnceLock<Tensor<2>>,
}

impl TwoTower {
    pub fn new(towers: Towers, num_items: usize, device: &Device) -> Self {
        Self {
            towers,
            num_items,
            device: device.clone(),
            catalog: OnceLock::new(),
        }
    }

    /// What was made of the parameters is made anew after this.
    pub fn params_mut(&mut self) -> Vec<&mut Param> {
        self.catalog.take();
        self.towers.params_mut()
    }

    /// `[queries, output_dim]`
    fn users(&self, queries: &[Query<'_>]) -> Result<Tensor<2>> {
        let known =
            |query: &Query<'_>| query.history.iter().all(|i| (*i as usize) < self.num_items);
        ensure!(
            queries.iter().all(known),
            "a history holds an item outside the catalog of {} items",
            self.num_items
        );
        let nobody = self.towers.users.side().nobody();
        let number = |q: &Query<'_>| q.profile.or(q.user).map_or(nobody, |user| user.0);
        let users: Vec<u32> = queries.iter().map(number).collect();
        let histories = queries.iter().map(|q| q.history.to_vec());
        let mut tape = Tape::inference(&self.device);
        Ok(self.towers.users(&mut tape, &users, histories).vectors)
    }

    /// `[items, output_dim]`
    fn items(&self, items: &[u32]) -> Tensor<2> {
        let mut tape = Tape::inference(&self.device);
        self.towers.items(&mut tape, items, None).vectors
    }

    /// `[output_dim, items]`
    fn catalog(&self) -> Tensor<2> {
        let make = || {
            let items: Vec<u32> = (0..self.num_items as u32).collect();
            let chunks = items.chunks(CHUNK).map(|items| self.items(items));
            Tensor::cat(chunks.collect(), 0).transpose()
        };
        self.catalog.get_or_init(make).clone()
    }

    /// `[queries, items]`
    fn tile(&self, queries: &[Query<'_>]) -> Result<Tensor<2>> {
        Ok(self.users(queries)?.matmul(self.catalog()))
    }
}

impl Recommender for TwoTower {
    fn num_items(&self) -> usize {
        self.num_items
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<()> {
        let tiles = scores.chunks_mut(CHUNK * self.num_items.max(1));
        for (queries, scores) in queries.chunks(CHUNK).zip(tiles) {
            scores.copy_from_slice(&host(self.tile(queries)?)?);
        }
        Ok(())
    }

    fn score_pairs(&self, queries: &[Query<'_>], items: &[u32]) -> Result<Vec<f32>> {
        let mut scores = Vec::with_capacity(items.len());
        for (queries, items) in queries.chunks(CHUNK).zip(items.chunks(CHUNK)) {
            let products = self.users(queries)? * self.items(items);
            scores.extend(host(products.sum_dim(1))?);
        }
        Ok(scores)
    }

    fn score_form(&self) -> Result<ScoreForm> {
        if family(&self.device) == Family::Gpu {
            return Ok(ScoreForm::OnDevice);
        }
        let vectors = self.catalog().transpose();
        Ok(ScoreForm::InnerProducts(ItemVectors {
            dim: vectors.dims()[1],
            vectors: host(vectors)?,
            biases: None,
        }))
    }

    fn query_vectors(&self, queries: &[Query<'_>]) -> Result<QueryVectors> {
        let mut vectors = Vec::new();
        for queries in queries.chunks(CHUNK) {
            vectors.extend(host(self.users(queries)?)?);
        }
        Ok(QueryVectors {
            vectors,
            offsets: vec![0.0; queries.len()],
        })
    }

    fn pick_best(&self, queries: &[Query<'_>], masks: Masks<'_>, k: usize) -> Result<Vec<List>> {
        let height = (TILE / self.num_items.max(1)).clamp(1, CHUNK);
        top_k_in_tiles(queries, height, masks, k, |queries| self.tile(queries))
    }

    fn weights(&self) -> Result<NamedTensors> {
        let mut weights = NamedTensors::default();
        for param in self.towers.params() {
            param.store(&mut weights, "")?;
        }
        Ok(weights)
    }
}

//! A fitted model of features: anybody with features is served.

use super::Loss;
use super::network::{Network, Split};
use crate::device::{Family, family};
use crate::kernels::top_k::{List, Masks, top_k_in_tiles};
use crate::model::{ItemVectors, Query, QueryVectors, Recommender, ScoreForm};
use crate::params::{Param, host};
use crate::tape::Tape;
use crate::tensors::NamedTensors;
use anyhow::{Context, Result};
use burn::tensor::{Device, Tensor};
use std::sync::OnceLock;

/// Pairs that go through the network at a time.
const PAIRS: usize = 1 << 14;

/// The same where a GPU ranks.
const PAIRS_ON_GPU: usize = 1 << 16;

/// Scores of a tile of queries and items.
const TILE: usize = 1 << 24;

/// A network with what serving needs.
pub struct FeatureRecommender {
    pub network: Network,
    loss: Loss,
    num_items: usize,
    device: Device,
    /// Made of the parameters when it is first asked for.
    catalog: OnceLock<Catalog>,
}

/// The items for a GPU that ranks.
enum Catalog {
    /// Where scores are inner products.
    Vectors(Box<Split>),
    /// Fields `[items, fields, width]`.
    Fields(Box<Tensor<3>>),
}

impl FeatureRecommender {
    pub fn new(network: Network, loss: Loss, num_items: usize, device: &Device) -> Self {
        Self {
            network,
            loss,
            num_items,
            device: device.clone(),
            catalog: OnceLock::new(),
        }
    }

    /// What was made of the parameters is made anew after this.
    pub fn params_mut(&mut self) -> Vec<&mut Param> {
        self.catalog.take();
        self.network.params_mut()
    }

    /// The number of a query's user among those that have features. One
    /// without training interactions has no id there.
    fn entity(&self, query: &Query<'_>) -> u32 {
        let user = query.profile.or(query.user);
        user.map_or(self.network.users.side().nobody(), |user| user.0)
    }

    fn score_entities(&self, users: &[u32], items: &[u32]) -> Result<Vec<f32>> {
        let mut scores = Vec::with_capacity(items.len());
        for (users, items) in users.chunks(PAIRS).zip(items.chunks(PAIRS)) {
            let mut tape = Tape::inference(&self.device);
            let (chunk, _) = self.network.scores(&mut tape, (users, items), None);
            scores.extend(host(chunk)?);
        }
        Ok(scores)
    }

    /// The items' side, where scores are inner products.
    fn item_vectors(&self) -> Result<Option<ItemVectors>> {
        let items: Vec<u32> = (0..self.num_items as u32).collect();
        let mut tape = Tape::inference(&self.device);
        let Some(split) = self.network.split(&mut tape, &self.network.items, &items) else {
            return Ok(None);
        };
        Ok(Some(ItemVectors {
            dim: split.vectors.dims()[1],
            vectors: host(split.vectors)?,
            biases: Some(host(split.offsets)?),
        }))
    }

    /// The queries' side, where scores are inner products.
    fn query_side(&self, queries: &[Query<'_>]) -> Option<Split> {
        let users: Vec<u32> = queries.iter().map(|q| self.entity(q)).collect();
        let mut tape = Tape::inference(&self.device);
        let split = self.network.split(&mut tape, &self.network.users, &users)?;
        Some(Split {
            offsets: split.offsets + self.network.bias.value(),
            ..split
        })
    }

    fn catalog(&self) -> &Catalog {
        self.catalog.get_or_init(|| {
            let items: Vec<u32> = (0..self.num_items as u32).collect();
            let mut tape = Tape::inference(&self.device);
            let network = &self.network;
            match network.split(&mut tape, &network.items, &items) {
                Some(split) => Catalog::Vectors(Box::new(split)),
                None => {
                    let fields = network.items.embed(&mut tape, &items, None);
                    Catalog::Fields(Box::new(fields.expect("an item has an id")))
                }
            }
        })
    }

    /// Scores `[queries, items]`, on the device.
    fn tile(&self, queries: &[Query<'_>]) -> Result<Tensor<2>> {
        match self.catalog() {
            Catalog::Vectors(items) => {
                let users = self.query_side(queries).context("both sides split")?;
                let products = users.vectors.matmul(items.vectors.clone().transpose());
                Ok(products + users.offsets + items.offsets.clone().transpose())
            }
            Catalog::Fields(fields) => Ok(self.cross(queries, fields)),
        }
    }

    /// As many pairs at a time as the network takes.
    fn cross(&self, queries: &[Query<'_>], items: &Tensor<3>) -> Tensor<2> {
        let mut tape = Tape::inference(&self.device);
        let height = (PAIRS_ON_GPU / self.num_items.max(1)).max(1);
        let rows = queries.chunks(height).map(|queries| {
            let users: Vec<u32> = queries.iter().map(|q| self.entity(q)).collect();
            let users = self.network.users.embed(&mut tape, &users, None);
            let users = users.expect("a user has an id");
            let parts = items.clone().split(PAIRS_ON_GPU, 0).into_iter();
            let parts = parts.map(|items| self.network.cross(&mut tape, users.clone(), items));
            Tensor::cat(parts.collect(), 1)
        });
        Tensor::cat(rows.collect(), 0)
    }
}

impl Recommender for FeatureRecommender {
    fn num_items(&self) -> usize {
        self.num_items
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<()> {
        let items: Vec<u32> = (0..self.num_items as u32).collect();
        for (query, row) in queries.iter().zip(scores.chunks_mut(items.len().max(1))) {
            let users = vec![self.entity(query); items.len()];
            row.copy_from_slice(&self.score_entities(&users, &items)?);
        }
        Ok(())
    }

    fn score_pairs(&self, queries: &[Query<'_>], items: &[u32]) -> Result<Vec<f32>> {
        let users: Vec<u32> = queries.iter().map(|q| self.entity(q)).collect();
        self.score_entities(&users, items)
    }

    fn predicts_clicks(&self) -> bool {
        self.loss == Loss::Clicks
    }

    fn score_form(&self) -> Result<ScoreForm> {
        if family(&self.device) == Family::Gpu {
            return Ok(ScoreForm::OnDevice);
        }
        let vectors = self.item_vectors()?;
        Ok(vectors.map_or(ScoreForm::Rows, ScoreForm::InnerProducts))
    }

    fn query_vectors(&self, queries: &[Query<'_>]) -> Result<QueryVectors> {
        let split = self.query_side(queries);
        let split = split.context("the scores of this model are not inner products")?;
        Ok(QueryVectors {
            vectors: host(split.vectors)?,
            offsets: host(split.offsets)?,
        })
    }

    fn pick_best(&self, queries: &[Query<'_>], masks: Masks<'_>, k: usize) -> Result<Vec<List>> {
        let height = (TILE / self.num_items.max(1)).max(1);
        top_k_in_tiles(queries, height, masks, k, |queries| self.tile(queries))
    }

    fn weights(&self) -> Result<NamedTensors> {
        let mut weights = NamedTensors::default();
        for param in self.network.params() {
            param.store(&mut weights, "")?;
        }
        Ok(weights)
    }
}

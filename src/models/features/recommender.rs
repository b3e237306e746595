//! A fitted model of features: anybody with features is served.

use super::Loss;
use super::network::Network;
use crate::model::{ItemVectors, Query, QueryVectors, Recommender, ScoreForm};
use crate::params::host;
use crate::tape::Tape;
use crate::tensors::NamedTensors;
use anyhow::{Context, Result};
use burn::tensor::Device;

/// Pairs that go through the network at a time.
const PAIRS: usize = 1 << 14;

/// A network with what serving needs.
pub struct FeatureRecommender {
    pub network: Network,
    loss: Loss,
    num_items: usize,
    device: Device,
}

impl FeatureRecommender {
    pub fn new(network: Network, loss: Loss, num_items: usize, device: &Device) -> Self {
        Self {
            network,
            loss,
            num_items,
            device: device.clone(),
        }
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
        let vectors = self.item_vectors()?;
        Ok(vectors.map_or(ScoreForm::Rows, ScoreForm::InnerProducts))
    }

    fn query_vectors(&self, queries: &[Query<'_>]) -> Result<QueryVectors> {
        let users: Vec<u32> = queries.iter().map(|q| self.entity(q)).collect();
        let mut tape = Tape::inference(&self.device);
        let split = self.network.split(&mut tape, &self.network.users, &users);
        let split = split.context("the scores of this model are not inner products")?;
        Ok(QueryVectors {
            vectors: host(split.vectors)?,
            offsets: host(split.offsets + self.network.bias.value())?,
        })
    }

    fn weights(&self) -> Result<NamedTensors> {
        let mut weights = NamedTensors::default();
        for param in self.network.params() {
            param.store(&mut weights, "")?;
        }
        Ok(weights)
    }
}

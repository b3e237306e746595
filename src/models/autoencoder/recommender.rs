//! Scores of the catalog from histories.

use super::Network;
use super::task::scales;
use crate::device::{Family, family};
use crate::kernels::top_k::{List, Masks, top_k_in_tiles};
use crate::model::{ItemVectors, Query, QueryVectors, Recommender, ScoreForm};
use crate::params::host;
use crate::tape::{Bags, Tape};
use crate::tensors::NamedTensors;
use anyhow::Result;
use burn::tensor::{Device, Tensor};

/// Scores of a tile of queries and items.
const TILE: usize = 1 << 24;

/// A fitted autoencoder. Its scores are inner products of the last hidden
/// layer and the columns of the output layer, before the softmax.
pub struct Autoencoder {
    pub network: Box<dyn Network>,
    num_items: usize,
    device: Device,
}

impl Autoencoder {
    pub fn new(network: Box<dyn Network>, num_items: usize, device: &Device) -> Self {
        Self {
            network,
            num_items,
            device: device.clone(),
        }
    }

    /// Queries that go through the network at a time.
    fn tile_height(&self) -> usize {
        (TILE / self.num_items.max(1)).max(1)
    }

    /// `[queries, width]`
    fn hidden(&self, queries: &[Query<'_>]) -> Result<Tensor<2>> {
        let (mut offsets, mut items) = (vec![0], Vec::new());
        for query in queries {
            items.extend(query.distinct_items(self.num_items)?);
            offsets.push(items.len());
        }
        let mut tape = Tape::inference(&self.device);
        let bags = Bags::new(offsets, items, self.num_items);
        let scales = tape.floats(scales(&bags), [queries.len(), 1]);
        Ok(self.network.hidden(&mut tape, &bags, scales))
    }

    /// `[queries, items]`
    fn logits(&self, queries: &[Query<'_>]) -> Result<Tensor<2>> {
        let (weight, bias) = self.network.output();
        Ok(self.hidden(queries)?.matmul(weight.value()) + bias.value())
    }
}

impl Recommender for Autoencoder {
    fn num_items(&self) -> usize {
        self.num_items
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<()> {
        let height = self.tile_height();
        let tiles = scores.chunks_mut(height * self.num_items.max(1));
        for (queries, scores) in queries.chunks(height).zip(tiles) {
            scores.copy_from_slice(&host(self.logits(queries)?)?);
        }
        Ok(())
    }

    fn score_form(&self) -> Result<ScoreForm> {
        if family(&self.device) == Family::Gpu {
            return Ok(ScoreForm::OnDevice);
        }
        let (weight, bias) = self.network.output();
        Ok(ScoreForm::InnerProducts(ItemVectors {
            dim: weight.shape()[0],
            vectors: host(weight.value().transpose())?,
            biases: Some(bias.host()?),
        }))
    }

    fn query_vectors(&self, queries: &[Query<'_>]) -> Result<QueryVectors> {
        let mut vectors = Vec::new();
        for queries in queries.chunks(self.tile_height()) {
            vectors.extend(host(self.hidden(queries)?)?);
        }
        Ok(QueryVectors {
            vectors,
            offsets: vec![0.0; queries.len()],
        })
    }

    fn pick_best(&self, queries: &[Query<'_>], masks: Masks<'_>, k: usize) -> Result<Vec<List>> {
        let height = self.tile_height();
        top_k_in_tiles(queries, height, masks, k, |queries| self.logits(queries))
    }

    fn weights(&self) -> Result<NamedTensors> {
        let mut weights = NamedTensors::default();
        for param in self.network.params() {
            param.store(&mut weights, "")?;
        }
        Ok(weights)
    }
}

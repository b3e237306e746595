//! Trained embeddings and what their graph makes of them.
//!
//! Known users have the mean over layers that training gave them. Anybody else
//! is served as a node that has no embedding and that no item sees: its layer
//! `k` is `sum_i e_i^(k-1) / sqrt(|H| d_i)` over the items of its history `H`,
//! where `d_i` is an item's degree (He et al., eq. 3), and its vector is the
//! mean of these. The factor of `|H|` is the same for all items, so the order
//! of a list does not depend on it. Without a history that training knows, the
//! average of all users stands in.

use crate::data::interactions::Interactions;
use crate::device::{Family, ensure_fits, family};
use crate::kernels::gcn::{Embedded, Settings, embed};
use crate::kernels::lengths::to_unit;
use crate::kernels::propagate::Graph;
use crate::kernels::top_k::{List, Masks, top_k};
use crate::model::{ItemVectors, Query, QueryVectors, Recommender, ScoreForm};
use crate::params::{Param, host};
use crate::seed::Seed;
use crate::tensors::NamedTensors;
use anyhow::{Context, Result};
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;
use std::sync::{Arc, OnceLock};

/// Scores of a tile of queries and items.
const TILE: usize = 1 << 24;

pub struct GraphRecommender {
    users: Param,
    items: Param,
    graph: Arc<Graph>,
    layers: usize,
    first: bool,
    cosine: bool,
    device: Device,
    /// Made of the parameters when it is first asked for.
    vectors: OnceLock<Vectors>,
}

/// What is served.
struct Vectors {
    embedded: Embedded,
    /// The mean over the users with interactions.
    average: Vec<f32>,
    /// The items' vectors as columns, for scores in tiles.
    columns: OnceLock<Tensor<2>>,
}

impl GraphRecommender {
    /// To be trained, or without a seed all zero, to be loaded. Embeddings are
    /// uniform as Glorot & Bengio (AISTATS 2010) draw them, as in the papers.
    ///
    /// # Errors
    /// More nodes and edges than the kernels or the device hold.
    pub fn new(
        settings: &Settings,
        train: &Interactions,
        seed: Option<Seed>,
        device: &Device,
    ) -> Result<Self> {
        let graph = Graph::new(train)?;
        let nodes = graph.num_nodes();
        ensure_fits(
            device,
            "the table of users and items",
            4 * nodes * settings.columns,
        )?;
        ensure_fits(device, "the graph", 4 * (nodes + 1 + 2 * graph.num_edges()))?;
        let table = |name: &str, rows: usize| {
            Param::glorot(name, [rows, settings.columns], rows, seed, device)
        };
        Ok(Self {
            users: table("user_embedding", graph.num_users()),
            items: table("item_embedding", graph.num_items()),
            graph: Arc::new(graph),
            layers: settings.layers,
            first: settings.first,
            cosine: settings.cosine,
            device: device.clone(),
            vectors: OnceLock::new(),
        })
    }

    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    pub fn params(&self) -> Vec<&Param> {
        vec![&self.users, &self.items]
    }

    /// What was made of the parameters is made anew after this.
    pub fn params_mut(&mut self) -> Vec<&mut Param> {
        self.vectors.take();
        vec![&mut self.users, &mut self.items]
    }

    fn dim(&self) -> usize {
        self.users.shape()[1]
    }

    fn vectors(&self) -> Result<&Vectors> {
        if let Some(vectors) = self.vectors.get() {
            return Ok(vectors);
        }
        let mut embeddings = self.users.host()?;
        embeddings.extend(self.items.host()?);
        let (dim, graph) = (self.dim(), &self.graph);
        let mut embedded = embed(graph, &embeddings, dim, self.layers, self.first);
        let mut average = vec![0.0f64; dim];
        let mut users = 0.0;
        for (row, vector) in graph.rows().iter().zip(embedded.users.chunks_exact(dim)) {
            if graph.scale(*row as usize) > 0.0 {
                users += 1.0;
                average
                    .iter_mut()
                    .zip(vector)
                    .for_each(|(a, x)| *a += f64::from(*x));
            }
        }
        let average = average.iter().map(|a| (a / f64::max(users, 1.0)) as f32);
        let average = average.collect();
        if self.cosine {
            to_unit(&mut embedded.items, dim);
        }
        Ok(self.vectors.get_or_init(|| Vectors {
            embedded,
            average,
            columns: OnceLock::new(),
        }))
    }

    /// The vector of a query.
    fn vector(&self, vectors: &Vectors, query: &Query<'_>, to: &mut [f32]) -> Result<()> {
        let (dim, embedded) = (self.dim(), &vectors.embedded);
        if let Some(user) = query.user {
            let at = user.0 as usize * dim;
            to.copy_from_slice(&embedded.users[at..at + dim]);
            return Ok(());
        }
        let first = self.graph.num_users();
        let known = |item: &u32| {
            self.graph
                .scale(self.graph.rows()[first + *item as usize] as usize)
                > 0.0
        };
        let mut items = query.distinct_items(self.graph.num_items())?;
        items.retain(known);
        if items.is_empty() {
            to.copy_from_slice(&vectors.average);
            return Ok(());
        }
        let scale = (items.len() as f32).powf(-0.5);
        to.fill(0.0);
        for item in items {
            let passed_on = &embedded.passed_on[item as usize * dim..][..dim];
            to.iter_mut()
                .zip(passed_on)
                .for_each(|(to, x)| *to += scale * x);
        }
        Ok(())
    }

    fn all_vectors(&self, queries: &[Query<'_>]) -> Result<Vec<f32>> {
        let vectors = self.vectors()?;
        let mut all = vec![0.0; queries.len() * self.dim()];
        let rows = all.par_chunks_mut(self.dim());
        rows.zip(queries)
            .try_for_each(|(row, query)| self.vector(vectors, query, row))?;
        if self.cosine {
            to_unit(&mut all, self.dim());
        }
        Ok(all)
    }

    fn on_device(&self, values: Vec<f32>) -> Tensor<2> {
        let rows = values.len() / self.dim();
        Tensor::from_data(TensorData::new(values, [rows, self.dim()]), &self.device)
    }

    /// Scores in tiles of queries, `[queries, items]` each.
    fn tiles(&self, queries: &[Query<'_>]) -> Result<impl Iterator<Item = Tensor<2>>> {
        let height = self.tile_height();
        let users = self.all_vectors(queries)?;
        let vectors = self.vectors()?;
        let items = vectors.columns.get_or_init(|| {
            let rows = vectors.embedded.items.clone();
            self.on_device(rows).transpose()
        });
        let tiles: Vec<Vec<f32>> = users
            .chunks(height * self.dim())
            .map(<[f32]>::to_vec)
            .collect();
        Ok(tiles
            .into_iter()
            .map(move |users| self.on_device(users).matmul(items.clone())))
    }

    fn tile_height(&self) -> usize {
        (TILE / self.num_items().max(1)).max(1)
    }
}

impl Recommender for GraphRecommender {
    fn num_items(&self) -> usize {
        self.graph.num_items()
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<()> {
        if queries.is_empty() {
            return Ok(());
        }
        let rows = scores.chunks_mut(self.tile_height() * self.num_items());
        for (tile, scores) in self.tiles(queries)?.zip(rows) {
            scores.copy_from_slice(&host(tile)?);
        }
        Ok(())
    }

    fn score_pairs(&self, queries: &[Query<'_>], items: &[u32]) -> Result<Vec<f32>> {
        let (dim, vectors) = (self.dim(), self.vectors()?);
        let pairs = queries.par_iter().zip(items);
        let scores = pairs.map_init(
            || vec![0.0; dim],
            |user, (query, &item)| {
                self.vector(vectors, query, user)?;
                if self.cosine {
                    to_unit(user, dim);
                }
                let item = &vectors.embedded.items[item as usize * dim..][..dim];
                Ok(user.iter().zip(item).map(|(u, i)| u * i).sum())
            },
        );
        scores.collect()
    }

    fn score_form(&self) -> Result<ScoreForm> {
        if family(&self.device) == Family::Gpu {
            return Ok(ScoreForm::OnDevice);
        }
        Ok(ScoreForm::InnerProducts(ItemVectors {
            dim: self.dim(),
            vectors: self.vectors()?.embedded.items.clone(),
            biases: None,
        }))
    }

    fn query_vectors(&self, queries: &[Query<'_>]) -> Result<QueryVectors> {
        Ok(QueryVectors {
            vectors: self.all_vectors(queries)?,
            offsets: vec![0.0; queries.len()],
        })
    }

    fn pick_best(&self, queries: &[Query<'_>], masks: Masks<'_>, k: usize) -> Result<Vec<List>> {
        let mut lists = Vec::with_capacity(queries.len());
        let masked = masks.masked.chunks(self.tile_height());
        for (tile, masked) in self.tiles(queries)?.zip(masked) {
            let picked = top_k(tile, Masks { masked, ..masks }, k)?;
            lists.extend(picked.context("this device does not rank lists of this length")?);
        }
        Ok(lists)
    }

    fn weights(&self) -> Result<NamedTensors> {
        let mut weights = NamedTensors::default();
        for param in self.params() {
            param.store(&mut weights, "")?;
        }
        Ok(weights)
    }
}

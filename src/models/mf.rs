//! Matrix factorization: the score is the inner product of a user's and an
//! item's embedding, plus biases.
//!
//! With `loss = "bpr"` it is BPR-MF (Rendle et al., UAI 2009); with `mse` and
//! biases the biased factorization of Koren, Bell & Volinsky (Computer 2009),
//! whose regularizer is that of the rows in a batch; with `bce` the
//! implicit-feedback factorization that He et al. (WWW 2017) call a special
//! case of GMF; with a softmax the factorization of two-tower retrieval.

mod fused;
#[cfg(feature = "wgpu")]
mod fused_gpu;

use super::ModelEntry;
use super::pairwise::{self, Fuse, FusedPairs, Objective, PairNetwork};
use crate::data::interactions::Interactions;
use crate::footprint::{Footprint, Workload};
use crate::losses::Loss;
use crate::model::{
    FitContext, Fitted, ItemVectors, ModelData, ModelSpec, QueryVectors, Recommender,
};
use crate::params::Param;
use crate::seed::Seed;
use crate::tape::{Index, Tape};
use crate::tensors::NamedTensors;
use anyhow::{Context, Result, ensure};
use burn::tensor::{Device, Tensor};
use fused::SideParams;
use serde::{Deserialize, Serialize};

pub const ENTRY: ModelEntry = ModelEntry {
    name: "mf",
    summary: "matrix factorization: inner product of embeddings, optional biases; losses mse, bce, bpr, softmax",
    citation: "Rendle et al., BPR: Bayesian personalized ranking from implicit feedback, UAI 2009; \
               Koren, Bell & Volinsky, Matrix factorization techniques for recommender systems, Computer 2009",
    params: &[
        ("embedding_dim", "width of the embeddings"),
        ("biases", "add a bias for each user and item"),
        (
            "loss",
            "mse (ratings), bce, bpr, softmax (sampled), in_batch_softmax",
        ),
        (
            "regularization",
            "L2 on the embeddings and biases of a batch, per example",
        ),
        (
            "item_regularization_ratio",
            "regularization on the items' side, as a multiple of that",
        ),
        (
            "init_deviation",
            "deviation of the normal that embeddings start from",
        ),
        ("temperature", "divides scores before a softmax"),
        (
            "hardest_negative",
            "bpr: learn from the highest-scored of the negatives alone (dynamic negative sampling)",
        ),
        (
            "logq_correction",
            "corrects in-batch negatives for their popularity",
        ),
    ],
    gradient: true,
    defaults: super::params::defaults::<Mf>,
    build: |table| {
        let params: Mf = super::params::parse(table)?;
        params.validate()?;
        Ok(Box::new(params))
    },
};

/// Parameters of `mf`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mf {
    pub embedding_dim: usize,
    pub biases: bool,
    pub loss: Loss,
    pub regularization: f64,
    pub item_regularization_ratio: f64,
    pub init_deviation: f64,
    pub temperature: f64,
    pub hardest_negative: bool,
    pub logq_correction: bool,
}

impl Default for Mf {
    fn default() -> Self {
        Self {
            embedding_dim: 64,
            biases: false,
            loss: Loss::Bpr,
            regularization: 0.0,
            item_regularization_ratio: 1.0,
            init_deviation: 0.01,
            temperature: 1.0,
            hardest_negative: false,
            logq_correction: true,
        }
    }
}

impl Mf {
    fn validate(&self) -> Result<()> {
        ensure!(self.embedding_dim > 0, "`embedding_dim` must be at least 1");
        ensure!(
            self.regularization >= 0.0 && self.item_regularization_ratio >= 0.0,
            "`regularization` and `item_regularization_ratio` must not be negative"
        );
        ensure!(
            self.init_deviation > 0.0,
            "`init_deviation` must be above 0"
        );
        ensure!(self.temperature > 0.0, "`temperature` must be above 0");
        ensure!(
            !self.hardest_negative || self.loss == Loss::Bpr,
            "`hardest_negative` is for `loss = \"bpr\"`"
        );
        Ok(())
    }

    /// To be trained, or without a seed all zero, to be loaded.
    fn network(&self, train: &Interactions, seed: Option<Seed>, device: &Device) -> Network {
        let (users, items) = (train.num_users(), train.num_items);
        let table = |name: &str, rows: usize| {
            let shape = [rows, self.embedding_dim];
            let Some(seed) = seed else {
                return Param::zeros(name, shape, device);
            };
            let stream = seed.stream(&format!("init/{name}"));
            Param::normal(name, shape, self.init_deviation, &stream, device)
        };
        let bias =
            |name: &str, rows: usize| self.biases.then(|| Param::zeros(name, [rows, 1], device));
        Network {
            users: table("user_embedding", users),
            items: table("item_embedding", items),
            user_bias: bias("user_bias", users),
            item_bias: bias("item_bias", items),
            user_regularization: self.regularization,
            item_regularization: self.regularization * self.item_regularization_ratio,
        }
    }
}

impl ModelSpec for Mf {
    fn footprint(&self, work: &Workload<'_>) -> Footprint {
        let columns = self.embedding_dim as u64 + u64::from(self.biases);
        pairwise::footprint(work, columns, columns, self.loss)
    }

    fn fit(&self, context: FitContext<'_>) -> Result<Fitted> {
        let network = self.network(context.data.train, Some(context.seed), context.device);
        let objective = Objective {
            loss: self.loss,
            temperature: self.temperature,
            hardest_negative: self.hardest_negative,
            logq_correction: self.logq_correction,
        };
        pairwise::fit(Box::new(network), objective, context)
    }

    fn load(
        &self,
        weights: &NamedTensors,
        data: ModelData<'_>,
        device: &Device,
    ) -> Result<Box<dyn Recommender>> {
        let network = self.network(data.train, None, device);
        pairwise::load(Box::new(network), weights, data, device)
    }
}

struct Network {
    users: Param,
    items: Param,
    user_bias: Option<Param>,
    item_bias: Option<Param>,
    user_regularization: f64,
    item_regularization: f64,
}

/// The rows of a batch: embeddings, and biases where there are some.
struct Rows {
    vectors: Tensor<2>,
    biases: Option<Tensor<2>>,
}

impl Rows {
    fn squares(&self) -> Tensor<1> {
        let vectors = (self.vectors.clone() * self.vectors.clone()).sum();
        match &self.biases {
            Some(biases) => vectors + (biases.clone() * biases.clone()).sum(),
            None => vectors,
        }
    }
}

impl Network {
    fn rows(tape: &mut Tape, table: &Param, bias: Option<&Param>, index: &Index) -> Rows {
        Rows {
            vectors: tape.lookup(table, index),
            biases: bias.map(|b| tape.lookup(b, index)),
        }
    }

    fn look_up(&self, tape: &mut Tape, users: &[u32], items: &[u32]) -> (Rows, Rows) {
        let users = tape.index(users.to_vec(), self.users.shape()[0]);
        let items = tape.index(items.to_vec(), self.items.shape()[0]);
        (
            Self::rows(tape, &self.users, self.user_bias.as_ref(), &users),
            Self::rows(tape, &self.items, self.item_bias.as_ref(), &items),
        )
    }

    fn penalty(&self, users: &Rows, items: &Rows) -> Option<Tensor<1>> {
        let batch = users.vectors.dims()[0] as f64;
        let sides = [
            (users, self.user_regularization),
            (items, self.item_regularization),
        ];
        sides
            .into_iter()
            .filter(|(_, strength)| *strength > 0.0)
            .map(|(rows, strength)| rows.squares() * (strength / batch))
            .reduce(|a, b| a + b)
    }
}

/// Scores of a tile of queries and items.
const TILE: usize = 1 << 24;

impl PairNetwork for Network {
    fn params(&self) -> Vec<&Param> {
        [
            Some(&self.users),
            Some(&self.items),
            self.user_bias.as_ref(),
            self.item_bias.as_ref(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn params_mut(&mut self) -> Vec<&mut Param> {
        [
            Some(&mut self.users),
            Some(&mut self.items),
            self.user_bias.as_mut(),
            self.item_bias.as_mut(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn scores(
        &self,
        tape: &mut Tape,
        users: &[u32],
        items: &[u32],
    ) -> (Tensor<2>, Option<Tensor<1>>) {
        let (batch, dim) = (users.len(), self.users.shape()[1]);
        let width = items.len() / batch;
        let (u, i) = self.look_up(tape, users, items);
        let penalty = self.penalty(&u, &i);
        let products = u.vectors.reshape([batch, 1, dim]) * i.vectors.reshape([batch, width, dim]);
        let mut scores = products.sum_dim(2).reshape([batch, width]);
        if let (Some(user), Some(item)) = (u.biases, i.biases) {
            scores = scores + item.reshape([batch, width]) + user;
        }
        (scores, penalty)
    }

    fn cross_scores(
        &self,
        tape: &mut Tape,
        users: &[u32],
        items: &[u32],
    ) -> Option<(Tensor<2>, Option<Tensor<1>>)> {
        let (u, i) = self.look_up(tape, users, items);
        let penalty = self.penalty(&u, &i);
        let mut scores = u.vectors.matmul(i.vectors.transpose());
        if let (Some(user), Some(item)) = (u.biases, i.biases) {
            scores = scores + item.transpose() + user;
        }
        Some((scores, penalty))
    }

    fn user_tables(&self) -> Vec<&Param> {
        std::iter::once(&self.users)
            .chain(self.user_bias.as_ref())
            .collect()
    }

    fn tile(&self, rows: &[Tensor<2>]) -> Tensor<2> {
        let tile = rows[0].clone().matmul(self.items.value().transpose());
        match (rows.get(1), &self.item_bias) {
            (Some(user), Some(item)) => tile + item.value().transpose() + user.clone(),
            _ => tile,
        }
    }

    fn tile_height(&self) -> usize {
        (TILE / self.items.shape()[0].max(1)).max(1)
    }

    fn item_vectors(&self) -> Result<Option<ItemVectors>> {
        Ok(Some(ItemVectors {
            dim: self.items.shape()[1],
            vectors: self.items.host()?,
            biases: self.item_bias.as_ref().map(Param::host).transpose()?,
        }))
    }

    fn query_vectors(&self, rows: Vec<Vec<f32>>) -> Result<QueryVectors> {
        let mut rows = rows.into_iter();
        let vectors = rows.next().context("a table of user embeddings")?;
        let queries = vectors.len() / self.users.shape()[1];
        Ok(QueryVectors {
            vectors,
            offsets: rows.next().unwrap_or_else(|| vec![0.0; queries]),
        })
    }

    fn fuse(&self, around: &Fuse<'_>) -> Result<Option<Box<dyn FusedPairs>>> {
        let users = SideParams {
            embeddings: &self.users,
            biases: self.user_bias.as_ref(),
            regularization: self.user_regularization,
        };
        let items = SideParams {
            embeddings: &self.items,
            biases: self.item_bias.as_ref(),
            regularization: self.item_regularization,
        };
        fused::fuse(users, items, around)
    }
}

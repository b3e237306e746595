//! Matrix factorization: the score is the inner product of a user's and an
//! item's embedding, plus biases.
//!
//! With `loss = "bpr"` it is BPR-MF (Rendle et al., UAI 2009); with `mse` and
//! biases the biased factorization of Koren, Bell & Volinsky (Computer 2009),
//! whose regularizer is that of the rows in a batch; with `bce` the
//! implicit-feedback factorization that He et al. (WWW 2017) call a special
//! case of GMF; with a softmax the factorization of two-tower retrieval; with
//! `ccl` and cosines the MF-CCL of Mao et al. (SimpleX, CIKM 2021).

mod fused;
#[cfg(feature = "wgpu")]
mod fused_gpu;
mod network;
#[cfg(test)]
mod tests;

use super::embeddings::{self, Embeddings};
use super::pairwise::{self, Objective};
use super::{ModelEntry, params};
use crate::data::interactions::Interactions;
use crate::footprint::{Footprint, Workload};
use crate::losses::Loss;
use crate::model::{FitContext, Fitted, ModelData, ModelSpec, Recommender};
use crate::params::Param;
use crate::sampling::NegativeSampling;
use crate::seed::Seed;
use crate::tensors::NamedTensors;
use anyhow::{Result, ensure};
use burn::tensor::Device;
use network::Network;
use serde::{Deserialize, Serialize};

pub const ENTRY: ModelEntry = ModelEntry {
    name: "mf",
    summary: "matrix factorization: inner product of embeddings, optional biases; losses mse, bce, bpr, softmax, ccl",
    citation: "Rendle et al., BPR: Bayesian personalized ranking from implicit feedback, UAI 2009; \
               Koren, Bell & Volinsky, Matrix factorization techniques for recommender systems, Computer 2009; \
               Mao et al., SimpleX: a simple and strong baseline for collaborative filtering, CIKM 2021",
    params: &[
        ("embedding_dim", "width of the embeddings"),
        ("biases", "add a bias for each user and item"),
        (
            "loss",
            "mse (ratings), bce, bpr, softmax (sampled), in_batch_softmax, full_softmax (the \
             catalog), ccl (cosine contrastive loss)",
        ),
        (
            "cosine",
            "scores are cosines: embeddings are divided by their lengths",
        ),
        (
            "margin",
            "ccl: cosines of negatives below it are as good as any",
        ),
        ("negative_weight", "ccl: weight of the negatives' mean"),
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
            "in_batch_softmax, and softmax over negatives drawn by popularity: corrects scores for it",
        ),
        embeddings::L1,
        embeddings::MAX_NORM,
        embeddings::NOISE,
        embeddings::DROPOUT,
    ],
    gradient: true,
    defaults,
    build: |mut table| {
        let embeddings: Embeddings = params::take(&mut table, &defaults())?;
        embeddings.check()?;
        let params: Mf = params::parse(table)?;
        params.validate()?;
        Ok(Box::new(Spec { params, embeddings }))
    },
};

fn defaults() -> toml::Table {
    let mut all = params::defaults::<Mf>();
    all.extend(params::defaults::<Embeddings>());
    all
}

/// `mf` with its parameters.
struct Spec {
    params: Mf,
    embeddings: Embeddings,
}

/// Parameters of `mf`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mf {
    pub embedding_dim: usize,
    pub biases: bool,
    pub loss: Loss,
    pub cosine: bool,
    pub margin: f64,
    pub negative_weight: f64,
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
            cosine: false,
            margin: pairwise::MARGIN,
            negative_weight: pairwise::NEGATIVE_WEIGHT,
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
        ensure!(
            !(self.cosine && self.biases),
            "`cosine = true` leaves no room for `biases`"
        );
        ensure!(
            !(self.cosine && self.loss == Loss::Mse),
            "`cosine = true` cannot predict ratings: use a loss other than mse"
        );
        ensure!(
            self.logq_correction || matches!(self.loss, Loss::InBatchSoftmax | Loss::Softmax),
            "`logq_correction` is for `loss = \"in_batch_softmax\"` or `\"softmax\"`: leave it out"
        );
        ensure!(
            self.regularization > 0.0 || self.item_regularization_ratio == 1.0,
            "`item_regularization_ratio` multiplies `regularization`, which is 0: leave it out"
        );
        self.objective().check(self.cosine, "temperature")
    }

    fn objective(&self) -> Objective {
        Objective {
            loss: self.loss,
            temperature: self.temperature,
            hardest_negative: self.hardest_negative,
            margin: self.margin,
            negative_weight: self.negative_weight,
            logq_correction: self.logq_correction,
        }
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
            cosine: self.cosine,
            disturbance: Embeddings::default(),
        }
    }
}

impl ModelSpec for Spec {
    fn unused_training_keys(&self) -> Vec<String> {
        self.params.objective().unused_training_keys()
    }

    fn footprint(&self, work: &Workload<'_>) -> Footprint {
        let columns = self.params.embedding_dim as u64 + u64::from(self.params.biases);
        pairwise::footprint(work, columns, columns, self.params.loss)
    }

    fn fit(&self, context: FitContext<'_>) -> Result<Fitted> {
        let p = &self.params;
        let uniform = context.training.negative_sampling == NegativeSampling::Uniform;
        ensure!(
            p.logq_correction || p.loss == Loss::InBatchSoftmax || !uniform,
            "`logq_correction` changes nothing where negatives are drawn uniformly: leave it out, or \
             set `training.negative_sampling = \"popularity\"`"
        );
        let mut network =
            self.params
                .network(context.data.train, Some(context.seed), context.device);
        network.regularize(self.embeddings);
        pairwise::fit(Box::new(network), self.params.objective(), context)
    }

    fn load(
        &self,
        weights: &NamedTensors,
        data: ModelData<'_>,
        device: &Device,
    ) -> Result<Box<dyn Recommender>> {
        let network = self.params.network(data.train, None, device);
        pairwise::load(Box::new(network), weights, data, device)
    }
}

//! Graph models: embeddings that are propagated over the graph of users and
//! items, whose scores are inner products of what comes out.
//!
//! - `lightgcn` (He et al., SIGIR 2020): the mean of the embeddings and their
//!   layers, trained by BPR with L2 on the embeddings of the batch.
//! - `simgcl` (Yu et al., SIGIR 2022): the mean of the layers alone; two views
//!   with noise on every layer are contrasted (InfoNCE over the batch's
//!   distinct users, and over its distinct positives).
//! - `xsimgcl` (Yu et al., TKDE 2024): one noised view that recommends, too;
//!   its mean is contrasted with one of its layers.
//!
//! In place of BPR the scores may be trained by other losses, which is a model
//! of ours and not the papers'.
//!
//! Every node's gradient is used, so that an optimizer's step is one on all
//! embeddings, whatever `training.updates` says.
//!
//! A user that training never saw is a node without an embedding of its own:
//! what its layers are by the rule of propagation, from the items of its
//! history, which do not see it in turn ([`recommender`]).

mod recommender;
mod task;
mod tensors;

use super::pairwise::{self, Objective};
use super::{ModelEntry, params};
use crate::kernels::contrast::{Contrast, LOWEST_TEMPERATURE};
use crate::kernels::gcn::{Contrasting, Settings, Views};
use crate::losses::Loss;
use crate::model::{FitContext, Fitted, ModelData, ModelSpec, Recommender};
use crate::tensors::NamedTensors;
use anyhow::{Result, ensure};
use burn::tensor::Device;
use recommender::GraphRecommender;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const DIM: (&str, &str) = ("embedding_dim", "width of the embeddings");
const LAYERS: (&str, &str) = (
    "layers",
    "how far an embedding is propagated, in steps from user to item or back",
);
const REGULARIZATION: (&str, &str) = (
    "regularization",
    "L2 on the embeddings of a batch, per example; half of the weight decay of LightGCN's paper",
);
const WEIGHT: (&str, &str) = (
    "contrast_weight",
    "weight of the contrastive loss, a mean over the distinct users and items of a batch",
);
const TEMPERATURE: (&str, &str) = ("temperature", "divides cosines in the contrastive loss");
const NOISE: (&str, &str) = ("noise", "length of the noise on each layer of a node");
const LOSS: (&str, &str) = (
    "loss",
    "bpr as published; bce, softmax (sampled), full_softmax (the catalog), ccl (cosine contrastive \
     loss)",
);
const COSINE: (&str, &str) = (
    "cosine",
    "scores are cosines: what comes out of the graph is divided by its length",
);
const SOFTMAX: (&str, &str) = ("softmax_temperature", "divides scores before a softmax");
const MARGIN: (&str, &str) = (
    "margin",
    "ccl: cosines of negatives below it are as good as any",
);
const NEGATIVES: (&str, &str) = ("negative_weight", "ccl: weight of the negatives' mean");

pub const LIGHTGCN: ModelEntry = ModelEntry {
    name: "lightgcn",
    summary: "embeddings averaged over the layers of a graph of users and items; loss bpr",
    citation: "He et al., LightGCN: simplifying and powering graph convolution network for \
               recommendation, SIGIR 2020",
    params: &[
        DIM,
        LAYERS,
        REGULARIZATION,
        LOSS,
        COSINE,
        SOFTMAX,
        MARGIN,
        NEGATIVES,
    ],
    gradient: true,
    defaults: defaults::<LightGcn>,
    build: |table| {
        let (params, objective): (LightGcn, _) = parse(table)?;
        build(
            Settings {
                columns: params.embedding_dim,
                layers: params.layers,
                first: true,
                regularization: params.regularization as f32,
                gradient_clip: 0.0,
                contrast: None,
                cosine: objective.cosine,
            },
            objective,
        )
    },
};

pub const SIMGCL: ModelEntry = ModelEntry {
    name: "simgcl",
    summary: "graph layers with a contrast between two views with noise; loss bpr + InfoNCE",
    citation: "Yu et al., Are graph augmentations necessary? Simple graph contrastive learning \
               for recommendation, SIGIR 2022",
    params: &[
        DIM,
        LAYERS,
        REGULARIZATION,
        WEIGHT,
        TEMPERATURE,
        NOISE,
        LOSS,
        COSINE,
        SOFTMAX,
        MARGIN,
        NEGATIVES,
    ],
    gradient: true,
    defaults: defaults::<SimGcl>,
    build: |table| {
        let (params, objective): (SimGcl, _) = parse(table)?;
        build(
            Settings {
                columns: params.embedding_dim,
                layers: params.layers,
                first: false,
                regularization: params.regularization as f32,
                gradient_clip: 0.0,
                contrast: Some(contrasting(
                    Views::Two,
                    params.contrast_weight,
                    params.temperature,
                    params.noise,
                )?),
                cosine: objective.cosine,
            },
            objective,
        )
    },
};

pub const XSIMGCL: ModelEntry = ModelEntry {
    name: "xsimgcl",
    summary: "graph layers with noise and a contrast between layers; loss bpr + InfoNCE",
    citation: "Yu et al., XSimGCL: towards extremely simple graph contrastive learning for \
               recommendation, TKDE 2024",
    params: &[
        DIM,
        LAYERS,
        REGULARIZATION,
        WEIGHT,
        TEMPERATURE,
        NOISE,
        (
            "contrast_layer",
            "the layer, from 1, that the mean over layers is contrasted with",
        ),
        LOSS,
        COSINE,
        SOFTMAX,
        MARGIN,
        NEGATIVES,
    ],
    gradient: true,
    defaults: defaults::<XSimGcl>,
    build: |table| {
        let (params, objective): (XSimGcl, _) = parse(table)?;
        ensure!(
            (1..=params.layers).contains(&params.contrast_layer),
            "`contrast_layer` must be one of the {} layers",
            params.layers
        );
        build(
            Settings {
                columns: params.embedding_dim,
                layers: params.layers,
                first: false,
                regularization: params.regularization as f32,
                gradient_clip: 0.0,
                contrast: Some(contrasting(
                    Views::Layer(params.contrast_layer),
                    params.contrast_weight,
                    params.temperature,
                    params.noise,
                )?),
                cosine: objective.cosine,
            },
            objective,
        )
    },
};

/// The loss of scores, of all three.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LossParams {
    loss: Loss,
    cosine: bool,
    softmax_temperature: f64,
    margin: f64,
    negative_weight: f64,
}

impl Default for LossParams {
    fn default() -> Self {
        Self {
            loss: Loss::Bpr,
            cosine: false,
            softmax_temperature: 1.0,
            margin: pairwise::MARGIN,
            negative_weight: pairwise::NEGATIVE_WEIGHT,
        }
    }
}

impl LossParams {
    fn objective(&self) -> Objective {
        Objective {
            loss: self.loss,
            temperature: self.softmax_temperature,
            hardest_negative: false,
            margin: self.margin,
            negative_weight: self.negative_weight,
            logq_correction: false,
        }
    }
}

/// The parameters of a model, and those of its loss beside them.
fn defaults<T: Default + Serialize>() -> toml::Table {
    let mut all = params::defaults::<T>();
    all.extend(params::defaults::<LossParams>());
    all
}

/// Undoes what [`defaults`] does.
fn parse<T: DeserializeOwned>(mut table: toml::Table) -> Result<(T, LossParams)> {
    let keys = params::defaults::<LossParams>();
    let of_loss = keys.keys().filter_map(|key| table.remove_entry(key));
    let of_loss = params::parse(of_loss.collect())?;
    Ok((params::parse(table)?, of_loss))
}

/// Parameters of `lightgcn`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LightGcn {
    embedding_dim: usize,
    layers: usize,
    regularization: f64,
}

impl Default for LightGcn {
    fn default() -> Self {
        Self {
            embedding_dim: 64,
            layers: 3,
            regularization: 5e-5,
        }
    }
}

/// Parameters of `simgcl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SimGcl {
    embedding_dim: usize,
    layers: usize,
    regularization: f64,
    contrast_weight: f64,
    temperature: f64,
    noise: f64,
}

impl Default for SimGcl {
    fn default() -> Self {
        Self {
            embedding_dim: 64,
            layers: 2,
            regularization: 5e-5,
            contrast_weight: 0.05,
            temperature: 0.2,
            noise: 0.1,
        }
    }
}

/// Parameters of `xsimgcl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct XSimGcl {
    embedding_dim: usize,
    layers: usize,
    regularization: f64,
    contrast_weight: f64,
    temperature: f64,
    noise: f64,
    contrast_layer: usize,
}

impl Default for XSimGcl {
    fn default() -> Self {
        Self {
            embedding_dim: 64,
            layers: 2,
            regularization: 5e-5,
            contrast_weight: 0.1,
            temperature: 0.2,
            noise: 0.2,
            contrast_layer: 1,
        }
    }
}

fn contrasting(views: Views, weight: f64, temperature: f64, noise: f64) -> Result<Contrasting> {
    ensure!(
        weight >= 0.0 && weight.is_finite(),
        "`contrast_weight` must not be negative"
    );
    ensure!(
        temperature >= LOWEST_TEMPERATURE && temperature.is_finite(),
        "`temperature` must be at least {LOWEST_TEMPERATURE}"
    );
    ensure!(
        noise >= 0.0 && noise.is_finite(),
        "`noise` must not be negative"
    );
    Ok(Contrasting {
        views,
        loss: Contrast {
            temperature: temperature as f32,
            weight: weight as f32,
        },
        noise: noise as f32,
    })
}

fn build(settings: Settings, loss: LossParams) -> Result<Box<dyn ModelSpec>> {
    let objective = loss.objective();
    ensure!(
        !matches!(loss.loss, Loss::Mse | Loss::InBatchSoftmax),
        "graph models have no loss mse or in_batch_softmax: use bpr, bce, softmax, full_softmax or ccl"
    );
    objective.check(loss.cosine, "softmax_temperature")?;
    ensure!(settings.columns > 0, "`embedding_dim` must be at least 1");
    ensure!(settings.layers > 0, "`layers` must be at least 1");
    ensure!(
        settings.regularization >= 0.0 && settings.regularization.is_finite(),
        "`regularization` must not be negative"
    );
    Ok(Box::new(GraphModel {
        settings,
        objective,
    }))
}

/// Any of the three.
struct GraphModel {
    settings: Settings,
    objective: Objective,
}

impl ModelSpec for GraphModel {
    fn fit(&self, context: FitContext<'_>) -> Result<Fitted> {
        task::fit(self.settings, self.objective, context)
    }

    fn load(
        &self,
        weights: &NamedTensors,
        data: ModelData<'_>,
        device: &Device,
    ) -> Result<Box<dyn Recommender>> {
        let mut model = GraphRecommender::new(&self.settings, data.train, None, device)?;
        for param in model.params_mut() {
            param.load(weights, "")?;
        }
        Ok(Box::new(model))
    }
}

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

mod noise;
mod params;
mod recommender;
mod task;
mod tensors;

use super::ModelEntry;
use super::embeddings::{self, Embeddings};
use super::pairwise::Objective;
use super::params::{Parameter, joined};
use crate::footprint::{Footprint, SMALLER_EMBEDDINGS, Workload};
use crate::kernels::contrast::{Contrast, LOWEST_TEMPERATURE};
use crate::kernels::gcn::{Contrasting, Settings, Views};
use crate::losses::Loss;
use crate::model::{FitContext, Fitted, ModelData, ModelSpec, Recommender};
use crate::params::load_all;
use crate::tensors::NamedTensors;
use anyhow::{Result, ensure};
use burn::tensor::Device;
use params::{LightGcn, Shared, SimGcl, XSimGcl, defaults, parse};
use recommender::GraphRecommender;

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

/// What all three have beside their own parameters.
const SHARED: [Parameter; 9] = [
    LOSS,
    COSINE,
    SOFTMAX,
    MARGIN,
    NEGATIVES,
    embeddings::L1,
    embeddings::MAX_NORM,
    embeddings::NOISE,
    embeddings::DROPOUT,
];

const fn with_shared<const N: usize>(own: &[Parameter]) -> [Parameter; N] {
    joined(own, &SHARED)
}

pub const LIGHTGCN: ModelEntry = ModelEntry {
    name: "lightgcn",
    summary: "embeddings averaged over the layers of a graph of users and items; loss bpr",
    citation: "He et al., LightGCN: simplifying and powering graph convolution network for \
               recommendation, SIGIR 2020",
    params: &with_shared::<12>(&[DIM, LAYERS, REGULARIZATION]),
    gradient: true,
    defaults: defaults::<LightGcn>,
    build: |table| {
        let (LightGcn {}, shared) = parse(table)?;
        build(None, shared)
    },
};

pub const SIMGCL: ModelEntry = ModelEntry {
    name: "simgcl",
    summary: "graph layers with a contrast between two views with noise; loss bpr + InfoNCE",
    citation: "Yu et al., Are graph augmentations necessary? Simple graph contrastive learning \
               for recommendation, SIGIR 2022",
    params: &with_shared::<15>(&[DIM, LAYERS, REGULARIZATION, WEIGHT, TEMPERATURE, NOISE]),
    gradient: true,
    defaults: defaults::<SimGcl>,
    build: |table| {
        let (params, shared): (SimGcl, Shared) = parse(table)?;
        let contrast = contrasting(
            Views::Two,
            params.contrast_weight,
            params.temperature,
            params.noise,
        )?;
        build(Some(contrast), shared)
    },
};

pub const XSIMGCL: ModelEntry = ModelEntry {
    name: "xsimgcl",
    summary: "graph layers with noise and a contrast between layers; loss bpr + InfoNCE",
    citation: "Yu et al., XSimGCL: towards extremely simple graph contrastive learning for \
               recommendation, TKDE 2024",
    params: &with_shared::<16>(&[
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
    ]),
    gradient: true,
    defaults: defaults::<XSimGcl>,
    build: |table| {
        let (params, shared): (XSimGcl, Shared) = parse(table)?;
        ensure!(
            (1..=shared.size.layers).contains(&params.contrast_layer),
            "`contrast_layer` must be one of the {} layers",
            shared.size.layers
        );
        let contrast = contrasting(
            Views::Layer(params.contrast_layer),
            params.contrast_weight,
            params.temperature,
            params.noise,
        )?;
        build(Some(contrast), shared)
    },
};

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

fn build(contrast: Option<Contrasting>, shared: Shared) -> Result<Box<dyn ModelSpec>> {
    let Shared {
        size,
        loss,
        embeddings,
    } = shared;
    let settings = Settings {
        columns: size.embedding_dim,
        layers: size.layers,
        // Contrasted models leave the embeddings themselves out of the mean.
        first: contrast.is_none(),
        regularization: size.regularization as f32,
        gradient_clip: 0.0,
        contrast,
        cosine: loss.cosine,
    };
    let objective = loss.objective();
    embeddings.check()?;
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
        embeddings,
    }))
}

/// Any of the three.
struct GraphModel {
    settings: Settings,
    objective: Objective,
    embeddings: Embeddings,
}

impl ModelSpec for GraphModel {
    fn unused_training_keys(&self) -> Vec<String> {
        let mut unused = self.objective.unused_training_keys();
        unused.push("updates".into());
        unused
    }

    fn footprint(&self, work: &Workload<'_>) -> Footprint {
        let s = &self.settings;
        let nodes = work.users() + work.items();
        let floats = nodes * s.columns as u64;
        // Of each view its layers, their sum and its gradient.
        let views = if s.contrast.is_some() { 3 } else { 1 };
        let passes = views * (s.layers as u64 + 2) * floats * 4;
        let contrast = match s.contrast {
            // Similarities of a batch's users and items, and their gradient.
            Some(_) => 16 * (work.training.batch_size as u64).pow(2),
            None => 0,
        };
        let catalog = match self.objective.loss {
            // Scores of a batch, their softmax, and the gradients of both.
            Loss::FullSoftmax => 16 * work.training.batch_size as u64 * work.items(),
            _ => 0,
        };
        let passes = passes + catalog;
        let graph = 2 * work.pairs() * 8 + nodes * 8;
        let mut footprint = work.trained(floats, passes + contrast, SMALLER_EMBEDDINGS);
        let examples = 16 * work.pairs();
        footprint.fitting += graph + examples;
        footprint.ranking += graph + examples + 2 * floats * 4;
        footprint
    }

    fn fit(&self, context: FitContext<'_>) -> Result<Fitted> {
        task::fit(self.settings, self.objective, self.embeddings, context)
    }

    fn load(
        &self,
        weights: &NamedTensors,
        data: ModelData<'_>,
        device: &Device,
    ) -> Result<Box<dyn Recommender>> {
        let mut model = GraphRecommender::new(&self.settings, data.train, None, device)?;
        load_all(model.params_mut(), weights)?;
        Ok(Box::new(model))
    }
}

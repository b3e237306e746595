//! Dilated causal convolutions.
//!
//! Yuan et al., "A simple convolutional generative network for next item
//! recommendation", WSDM 2019: residual blocks of two convolutions, the second
//! with twice the dilation of the first, each followed by layer normalization
//! and ReLU (figure 3b).
//!
//! Departures: item embeddings are shared by input and output, where theirs are
//! two tables; dropout of the embeddings and of what a block adds, which theirs
//! does not have (`dropout = 0.0` for none).

use super::Body;
use super::sasrec::layer_norm;
use super::setup::{self, Setup, with_shared};
use crate::kernels::layers::{Activation, Init, Layers, Layout, Norm, Var, Weight};
use crate::models::ModelEntry;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

pub const ENTRY: ModelEntry = ModelEntry {
    name: "nextitnet",
    summary: "dilated causal convolutions over the history",
    citation: "Yuan et al.: A Simple Convolutional Generative Network for Next Item \
               Recommendation, WSDM 2019",
    params: &with_shared::<20>(&[
        (
            "dilations",
            "one residual block for each: the distance of what its first convolution looks at",
        ),
        ("kernel_size", "places that a convolution looks at"),
    ]),
    gradient: true,
    defaults: setup::defaults::<Params>,
    build: |table| setup::build::<Params>(table, check, body),
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Params {
    dilations: Vec<usize>,
    kernel_size: usize,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            dilations: vec![1, 4, 1, 4],
            kernel_size: 3,
        }
    }
}

fn check(params: &Params, _: &Setup) -> Result<()> {
    ensure!(
        !params.dilations.is_empty() && params.dilations.iter().all(|&d| d > 0),
        "`dilations` must list at least one block, each at least 1"
    );
    ensure!(params.kernel_size > 0, "`kernel_size` must be at least 1");
    Ok(())
}

struct NextItNet {
    dropout: f32,
    blocks: Vec<[Convolution; 2]>,
}

struct Convolution {
    dilation: usize,
    /// For each place that it looks at, from its own back.
    taps: Vec<Weight>,
    bias: Weight,
    norm: Norm,
}

pub(super) fn body(params: &Params, setup: &Setup, layout: &mut Layout) -> Box<dyn Body> {
    let dim = setup.embedding_dim;
    let mut convolution = |number: usize, dilation: usize| {
        let name = |part: &str| format!("convolutions.{number}.{part}");
        let taps = 0..params.kernel_size;
        Convolution {
            dilation,
            taps: taps
                .map(|tap| layout.matrix(&name(&format!("tap.{tap}")), dim, dim))
                .collect(),
            bias: layout.table(&name("bias"), 1, dim, Init::Zeros),
            norm: layer_norm(layout, &name("norm"), dim),
        }
    };
    let blocks = params.dilations.iter().enumerate();
    let blocks = blocks.map(|(number, &dilation)| {
        let first = convolution(2 * number, dilation);
        [first, convolution(2 * number + 1, 2 * dilation)]
    });
    Box::new(NextItNet {
        blocks: blocks.collect(),
        dropout: setup.dropout as f32,
    })
}

fn convolve(layers: &mut dyn Layers, x: Var, convolution: &Convolution) -> Var {
    let mut sum = layers.linear(x, convolution.taps[0], Some(convolution.bias));
    for (tap, &weight) in convolution.taps.iter().enumerate().skip(1) {
        let earlier = layers.shift(x, tap * convolution.dilation);
        let part = layers.linear(earlier, weight, None);
        sum = layers.sum(sum, part);
    }
    let normed = layers.norm(sum, convolution.norm);
    layers.activation(normed, Activation::Relu)
}

impl Body for NextItNet {
    fn forward(&self, layers: &mut dyn Layers, items: Var) -> Var {
        let mut x = layers.dropout(items, self.dropout);
        for block in &self.blocks {
            let mut inner = x;
            for convolution in block {
                inner = convolve(layers, inner, convolution);
            }
            let inner = layers.dropout(inner, self.dropout);
            x = layers.sum(x, inner);
        }
        x
    }
}

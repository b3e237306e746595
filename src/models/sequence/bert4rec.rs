//! Bidirectional self-attention, trained on a cloze task.
//!
//! Sun et al., "BERT4Rec: sequential recommendation with bidirectional encoder
//! representations from Transformer", CIKM 2019. Items of a window are masked
//! and predicted from both sides; once in eleven windows it is the last one
//! alone, as in their data. A history is served by a mask after it. Blocks
//! normalize after the residual, as BERT's.
//!
//! Departures: GELU is `x s(1.702 x)`, its approximation by a sigmoid; no bias
//! for each item in the last layer, so that scores are inner products; a masked item is masked, never swapped for another; places
//! count from the newest item back; windows are as many as `window_stride`
//! says, with new masks in each epoch.

use super::Body;
use super::sasrec::{check_heads, layer_norm};
use super::setup::{self, Setup, with_shared};
use crate::kernels::layers::{Activation, Attend, Init, Kernel, Layers, Layout, Norm, Var, Weight};
use crate::models::ModelEntry;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

pub const ENTRY: ModelEntry = ModelEntry {
    name: "bert4rec",
    summary: "self-attention in both directions, trained to fill in masked items",
    citation: "Sun et al.: BERT4Rec: Sequential Recommendation with Bidirectional Encoder \
               Representations from Transformer, CIKM 2019",
    params: &with_shared::<21>(&[
        ("blocks", "attention blocks, one after the other"),
        ("heads", "attention heads, each of a multiple of 16 columns"),
        ("mask_share", "share of a window's items that are masked"),
    ]),
    gradient: true,
    defaults: setup::defaults::<Params>,
    build: |table| setup::build::<Params>(table, check, body),
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Params {
    blocks: usize,
    heads: usize,
    mask_share: f64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            blocks: 2,
            heads: 2,
            mask_share: 0.2,
        }
    }
}

fn check(params: &Params, setup: &Setup) -> Result<()> {
    ensure!(params.blocks > 0, "`blocks` must be at least 1");
    ensure!(
        params.mask_share > 0.0 && params.mask_share < 1.0,
        "`mask_share` must lie between 0 and 1"
    );
    check_heads(params.heads, setup)
}

/// Width of the feed-forward net, in rows.
const INNER: usize = 4;

struct Bert4Rec {
    heads: usize,
    dropout: f32,
    mask_share: f64,
    places: Weight,
    first: Norm,
    blocks: Vec<Block>,
    /// Before the scores.
    output: Dense,
    last: Norm,
}

#[derive(Clone, Copy)]
struct Dense {
    weight: Weight,
    bias: Weight,
}

struct Block {
    qkv: [Dense; 3],
    output: Dense,
    attention: Norm,
    inner: Dense,
    outer: Dense,
    forward: Norm,
}

fn dense(layout: &mut Layout, name: &str, inputs: usize, outputs: usize) -> Dense {
    Dense {
        weight: layout.matrix(name, inputs, outputs),
        bias: layout.table(&format!("{name}_bias"), 1, outputs, Init::Zeros),
    }
}

pub(super) fn body(params: &Params, setup: &Setup, layout: &mut Layout) -> Box<dyn Body> {
    let dim = setup.embedding_dim;
    let init = Init::Normal(setup.init_deviation);
    let places = layout.table("places", setup.max_length, dim, init);
    let first = layer_norm(layout, "first_norm", dim);
    let mut block = |number: usize| {
        let name = |part: &str| format!("blocks.{number}.{part}");
        Block {
            qkv: ["query", "key", "value"].map(|part| dense(layout, &name(part), dim, dim)),
            output: dense(layout, &name("output"), dim, dim),
            attention: layer_norm(layout, &name("attention_norm"), dim),
            inner: dense(layout, &name("inner"), dim, INNER * dim),
            outer: dense(layout, &name("outer"), INNER * dim, dim),
            forward: layer_norm(layout, &name("forward_norm"), dim),
        }
    };
    Box::new(Bert4Rec {
        blocks: (0..params.blocks).map(&mut block).collect(),
        heads: params.heads,
        dropout: setup.dropout as f32,
        mask_share: params.mask_share,
        places,
        first,
        output: dense(layout, "output", dim, dim),
        last: layer_norm(layout, "last_norm", dim),
    })
}

fn apply(layers: &mut dyn Layers, x: Var, dense: Dense) -> Var {
    layers.linear(x, dense.weight, Some(dense.bias))
}

impl Bert4Rec {
    fn block(&self, layers: &mut dyn Layers, block: &Block, x: Var) -> Var {
        let qkv = block.qkv.map(|dense| apply(layers, x, dense));
        let attend = Attend {
            heads: self.heads,
            causal: false,
            kernel: Kernel::Softmax {
                dropout: self.dropout,
            },
        };
        let attended = layers.attention(qkv, attend);
        let attended = apply(layers, attended, block.output);
        let attended = layers.dropout(attended, self.dropout);
        let sum = layers.sum(x, attended);
        let x = layers.norm(sum, block.attention);
        let inner = apply(layers, x, block.inner);
        let inner = layers.activation(inner, Activation::Gelu);
        let outer = apply(layers, inner, block.outer);
        let outer = layers.dropout(outer, self.dropout);
        let sum = layers.sum(x, outer);
        layers.norm(sum, block.forward)
    }
}

impl Body for Bert4Rec {
    fn forward(&self, layers: &mut dyn Layers, items: Var) -> Var {
        let x = layers.add_places(items, self.places);
        let x = layers.norm(x, self.first);
        let mut x = layers.dropout(x, self.dropout);
        for block in &self.blocks {
            x = self.block(layers, block, x);
        }
        let x = apply(layers, x, self.output);
        let x = layers.activation(x, Activation::Gelu);
        layers.norm(x, self.last)
    }

    fn cloze(&self) -> Option<f64> {
        Some(self.mask_share)
    }
}

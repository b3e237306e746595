//! Self-attentive sequential recommendation.
//!
//! `block = "sasrec"` has the blocks of Kang & McAuley, ICDM 2018, as their code
//! puts them together: queries are normalized (keys and values are not), the
//! residual starts from the normalized rows, the feed-forward net is as wide as
//! the rows, and a last normalization follows. Places count from the newest
//! item back, which is what padding on the left does there.
//!
//! Departures from that code: embeddings of items are not multiplied by the
//! root of their width before places are added, and the layers of queries, keys
//! and values have no biases. The default loss is the cross-entropy over the
//! catalog; theirs is `bce` with one negative for each place.
//!
//! `block = "pre_norm"` normalizes the input of both halves and leaves the
//! residual alone (Xiong et al., ICML 2020).
//!
//! `block = "ligr"` is eSASRec (Tikhonovich et al., RecSys 2025): the blocks
//! of LiGR (Borisyuk et al., 2025), pre-norm with a learned gate on both
//! halves, `x + s(x G) f(norm(x))`, and a SwiGLU feed-forward net (Shazeer,
//! 2020) of four times the width.
//!
//! `loss = "gbce"` is gSASRec (Petrov & Macdonald, RecSys 2023) but for a
//! constant: all scores of `bce` and `gbce` are moved by `ln(beta / negatives)`,
//! `beta` being the power of the positive's probability (1 for `bce`), so that
//! they start at the odds that they will have on average. Ranks are those of
//! the scores without it.

use super::Body;
use super::setup::{self, Setup, with_shared};
use crate::kernels::layers::{Activation, Attend, Init, Kernel, Layers, Layout, Norm, Var, Weight};
use crate::kernels::simd::WIDTH;
use crate::models::ModelEntry;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

pub const ENTRY: ModelEntry = ModelEntry {
    name: "sasrec",
    summary: "self-attention over the history, one causal pass a sequence; eSASRec with \
              `block = \"ligr\"`",
    citation: "Kang, McAuley: Self-Attentive Sequential Recommendation, ICDM 2018; Tikhonovich \
               et al.: eSASRec, RecSys 2025",
    params: &with_shared::<21>(&[
        ("blocks", "attention blocks, one after the other"),
        ("heads", "attention heads, each of a multiple of 16 columns"),
        (
            "block",
            "sasrec (as published, less biases of attention and the scale of embeddings), pre_norm, \
             ligr (gated, SwiGLU: eSASRec)",
        ),
    ]),
    gradient: true,
    defaults: setup::defaults::<Params>,
    build: |table| setup::build::<Params>(table, check, body),
};

/// What a block computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Sasrec,
    PreNorm,
    Ligr,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Params {
    blocks: usize,
    heads: usize,
    block: Kind,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            blocks: 2,
            heads: 1,
            block: Kind::Sasrec,
        }
    }
}

fn check(params: &Params, setup: &Setup) -> Result<()> {
    ensure!(params.blocks > 0, "`blocks` must be at least 1");
    check_heads(params.heads, setup)
}

/// # Errors
/// Heads that are not of whole lanes.
pub fn check_heads(heads: usize, setup: &Setup) -> Result<()> {
    ensure!(
        heads > 0 && setup.embedding_dim.is_multiple_of(heads * WIDTH),
        "`heads = {heads}` must divide `embedding_dim = {}` into multiples of {WIDTH}",
        setup.embedding_dim
    );
    Ok(())
}

/// Widths of the feed-forward net of a LiGR block, in rows.
const LIGR_WIDTH: usize = 4;

struct Sasrec {
    kind: Kind,
    heads: usize,
    dropout: f32,
    places: Weight,
    blocks: Vec<Block>,
    last: Norm,
}

struct Block {
    attention: Norm,
    /// Query, key, value; output where the block has one.
    qkv: [Weight; 3],
    output: Option<Weight>,
    forward: Norm,
    /// First layer, second layer and their biases; a LiGR block has none of
    /// these but a gate.
    first: Weight,
    second: Weight,
    biases: Option<[Weight; 2]>,
    gate: Option<Weight>,
    /// Of both halves.
    gates: Option<[(Weight, Weight); 2]>,
}

/// A layer normalization.
pub fn layer_norm(layout: &mut Layout, name: &str, dim: usize) -> Norm {
    Norm {
        scale: layout.table(&format!("{name}.scale"), 1, dim, Init::Ones),
        shift: Some(layout.table(&format!("{name}.shift"), 1, dim, Init::Zeros)),
    }
}

pub(super) fn body(params: &Params, setup: &Setup, layout: &mut Layout) -> Box<dyn Body> {
    let dim = setup.embedding_dim;
    let init = Init::Normal(setup.init_deviation);
    let places = layout.table("places", setup.max_length, dim, init);
    let blocks = (0..params.blocks)
        .map(|number| block(params.block, number, dim, layout))
        .collect();
    Box::new(Sasrec {
        kind: params.block,
        heads: params.heads,
        dropout: setup.dropout as f32,
        places,
        blocks,
        last: layer_norm(layout, "last_norm", dim),
    })
}

fn block(kind: Kind, number: usize, dim: usize, layout: &mut Layout) -> Block {
    let name = |part: &str| format!("blocks.{number}.{part}");
    let ligr = kind == Kind::Ligr;
    let inner = if ligr { LIGR_WIDTH * dim } else { dim };
    let mut gate_of = |half: &str| {
        let weight = layout.matrix(&name(&format!("{half}_gate")), dim, dim);
        let bias = name(&format!("{half}_gate_bias"));
        (weight, layout.table(&bias, 1, dim, Init::Zeros))
    };
    let gates = ligr.then(|| [gate_of("attention"), gate_of("forward")]);
    Block {
        gates,
        attention: layer_norm(layout, &name("attention_norm"), dim),
        qkv: ["query", "key", "value"].map(|part| layout.matrix(&name(part), dim, dim)),
        output: (kind != Kind::Sasrec).then(|| layout.matrix(&name("output"), dim, dim)),
        forward: layer_norm(layout, &name("forward_norm"), dim),
        first: layout.matrix(&name("first"), dim, inner),
        gate: ligr.then(|| layout.matrix(&name("gate"), dim, inner)),
        second: layout.matrix(&name("second"), inner, dim),
        biases: (!ligr).then(|| {
            [("first_bias", inner), ("second_bias", dim)]
                .map(|(part, columns)| layout.table(&name(part), 1, columns, Init::Zeros))
        }),
    }
}

impl Sasrec {
    fn attention(&self, layers: &mut dyn Layers, block: &Block, queries: Var, keys: Var) -> Var {
        let [query, key, value] = block.qkv;
        let qkv = [
            layers.linear(queries, query, None),
            layers.linear(keys, key, None),
            layers.linear(keys, value, None),
        ];
        let attend = Attend {
            heads: self.heads,
            causal: true,
            kernel: Kernel::Softmax {
                dropout: self.dropout,
            },
        };
        let attended = layers.attention(qkv, attend);
        match block.output {
            Some(output) => layers.linear(attended, output, None),
            None => attended,
        }
    }

    fn feed_forward(&self, layers: &mut dyn Layers, block: &Block, x: Var) -> Var {
        let [first, second] = block.biases.map_or([None, None], |b| b.map(Some));
        let mut inner = layers.linear(x, block.first, first);
        inner = match block.gate {
            Some(gate) => {
                let open = layers.linear(x, gate, None);
                let open = layers.activation(open, Activation::Silu);
                layers.times(inner, open)
            }
            None => layers.activation(inner, Activation::Relu),
        };
        let inner = layers.dropout(inner, self.dropout);
        let outer = layers.linear(inner, block.second, second);
        layers.dropout(outer, self.dropout)
    }

    /// As published; see the top of this file for what is not.
    fn original(&self, layers: &mut dyn Layers, block: &Block, x: Var) -> Var {
        let queries = layers.norm(x, block.attention);
        let attended = self.attention(layers, block, queries, x);
        let x = layers.sum(queries, attended);
        let x = layers.norm(x, block.forward);
        let outer = self.feed_forward(layers, block, x);
        layers.sum(x, outer)
    }

    /// Pre-norm, gated where the block has gates.
    fn residual(&self, layers: &mut dyn Layers, block: &Block, x: Var) -> Var {
        let normed = layers.norm(x, block.attention);
        let attended = self.attention(layers, block, normed, normed);
        let attended = layers.dropout(attended, self.dropout);
        let x = gated_sum(layers, x, attended, block.gates.map(|g| g[0]));
        let normed = layers.norm(x, block.forward);
        let outer = self.feed_forward(layers, block, normed);
        gated_sum(layers, x, outer, block.gates.map(|g| g[1]))
    }
}

/// `x + y`, or `x + s(x W + b) y`.
fn gated_sum(layers: &mut dyn Layers, x: Var, y: Var, gate: Option<(Weight, Weight)>) -> Var {
    let Some((weight, bias)) = gate else {
        return layers.sum(x, y);
    };
    let open = layers.linear(x, weight, Some(bias));
    let open = layers.activation(open, Activation::Sigmoid);
    let y = layers.times(open, y);
    layers.sum(x, y)
}

impl Body for Sasrec {
    fn forward(&self, layers: &mut dyn Layers, items: Var) -> Var {
        let x = layers.add_places(items, self.places);
        let mut x = layers.dropout(x, self.dropout);
        for block in &self.blocks {
            x = match self.kind {
                Kind::Sasrec => self.original(layers, block, x),
                Kind::PreNorm | Kind::Ligr => self.residual(layers, block, x),
            };
        }
        layers.norm(x, self.last)
    }
}

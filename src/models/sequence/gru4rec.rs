//! Recurrent recommendation.
//!
//! Hidasi et al., "Session-based recommendations with recurrent neural
//! networks", ICLR 2016, with item embeddings shared by input and output as in
//! Hidasi & Karatzoglou, CIKM 2018 ("constrained embedding"). A gradient goes
//! through the whole window, not through one step of it, and windows begin
//! with a state of zeros. Of the losses, cross-entropy is theirs; TOP1 and
//! BPR-max, which rank sampled items, are not here.
//!
//! Departures: a linear layer takes the last states to rows as wide as items,
//! so that `hidden_dim` is free; theirs are as wide as items. The units are
//! those of cuDNN and PyTorch: the reset gate opens on the product `U h + b`,
//! where the paper's equation 3 multiplies the state before `U`, and the update
//! gate says what of the state stays, not what is new.

use super::Body;
use super::setup::{self, Setup, with_shared};
use crate::kernels::layers::{GruWeights, Init, Layers, Layout, Var, Weight};
use crate::kernels::simd::WIDTH;
use crate::models::ModelEntry;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

pub const ENTRY: ModelEntry = ModelEntry {
    name: "gru4rec",
    summary: "gated recurrent units over the history",
    citation: "Hidasi et al.: Session-based Recommendations with Recurrent Neural Networks, ICLR \
               2016; Hidasi, Karatzoglou: Recurrent Neural Networks with Top-k Gains for \
               Session-based Recommendations, CIKM 2018",
    params: &with_shared::<20>(&[
        ("layers", "recurrent layers, one after the other"),
        ("hidden_dim", "width of their states, a multiple of 16"),
    ]),
    gradient: true,
    defaults: setup::defaults::<Params>,
    build: |table| setup::build::<Params>(table, check, body),
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Params {
    layers: usize,
    hidden_dim: usize,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            layers: 1,
            hidden_dim: 128,
        }
    }
}

fn check(params: &Params, _: &Setup) -> Result<()> {
    ensure!(params.layers > 0, "`layers` must be at least 1");
    ensure!(
        params.hidden_dim > 0 && params.hidden_dim.is_multiple_of(WIDTH),
        "`hidden_dim = {}` must be a multiple of {WIDTH}",
        params.hidden_dim
    );
    Ok(())
}

struct Gru4Rec {
    dropout: f32,
    layers: Vec<Layer>,
    /// From states to rows as wide as items.
    output: Weight,
    output_bias: Weight,
}

struct Layer {
    input: Weight,
    input_bias: Weight,
    own: GruWeights,
}

pub(super) fn body(params: &Params, setup: &Setup, layout: &mut Layout) -> Box<dyn Body> {
    let (dim, hidden) = (setup.embedding_dim, params.hidden_dim);
    let mut layer = |number: usize| {
        let name = |part: &str| format!("layers.{number}.{part}");
        let inputs = if number == 0 { dim } else { hidden };
        Layer {
            input: layout.matrix(&name("input"), inputs, 3 * hidden),
            input_bias: layout.table(&name("input_bias"), 1, 3 * hidden, Init::Zeros),
            own: GruWeights {
                recurrent: layout.matrix(&name("recurrent"), hidden, 3 * hidden),
                bias: layout.table(&name("recurrent_bias"), 1, 3 * hidden, Init::Zeros),
            },
        }
    };
    Box::new(Gru4Rec {
        layers: (0..params.layers).map(&mut layer).collect(),
        dropout: setup.dropout as f32,
        output: layout.matrix("output", hidden, dim),
        output_bias: layout.table("output_bias", 1, dim, Init::Zeros),
    })
}

impl Body for Gru4Rec {
    fn forward(&self, layers: &mut dyn Layers, items: Var) -> Var {
        let mut x = items;
        for layer in &self.layers {
            x = layers.dropout(x, self.dropout);
            let gates = layers.linear(x, layer.input, Some(layer.input_bias));
            x = layers.gru(gates, layer.own);
        }
        x = layers.dropout(x, self.dropout);
        layers.linear(x, self.output, Some(self.output_bias))
    }

    /// Sequences of a graph go through the recurrence side by side, which is
    /// what makes it products of matrices.
    fn rows(&self) -> usize {
        1536
    }
}

//! Hierarchical sequential transduction units.
//!
//! Zhai et al., "Actions speak louder than words: trillion-parameter
//! sequential transducers for generative recommendations", ICML 2024,
//! equations 1 to 3: `U, V, Q, K = split(silu(norm(X) W))`, `A = silu(Q K' +
//! bias) / n`, `Y = norm(A V) * U` through a linear layer, plus `X`. `n` is
//! `max_length`.
//!
//! Departures: the bias is that of places alone, since a query here is an
//! order of items without times; the last rows are normalized by a layer norm
//! where their code divides rows and items by their length.

use super::Body;
use super::sasrec::{check_heads, layer_norm};
use super::setup::{self, Setup, with_shared};
use crate::kernels::layers::{Activation, Attend, Graph, Init, Kernel, Layout, Norm, Var, Weight};
use crate::models::ModelEntry;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

pub const ENTRY: ModelEntry = ModelEntry {
    name: "hstu",
    summary: "pointwise attention with gates and a bias for each distance, one causal pass a \
              sequence",
    citation: "Zhai et al.: Actions Speak Louder than Words: Trillion-Parameter Sequential \
               Transducers for Generative Recommendations, ICML 2024",
    params: &with_shared::<11>(&[
        ("blocks", "units, one after the other"),
        ("heads", "attention heads, each of a multiple of 16 columns"),
    ]),
    gradient: true,
    defaults: setup::defaults::<Params>,
    build: |table| setup::build::<Params>(table, check, body),
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Params {
    blocks: usize,
    heads: usize,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            blocks: 2,
            heads: 1,
        }
    }
}

fn check(params: &Params, setup: &Setup) -> Result<()> {
    ensure!(params.blocks > 0, "`blocks` must be at least 1");
    check_heads(params.heads, setup)
}

struct Hstu {
    heads: usize,
    length: f32,
    dropout: f32,
    places: Weight,
    units: Vec<Unit>,
    last: Norm,
}

struct Unit {
    before: Norm,
    /// Of queries, keys, values and gates.
    qkvu: [Weight; 4],
    bias: Weight,
    after: Norm,
    output: Weight,
    output_bias: Weight,
}

fn body(params: &Params, setup: &Setup, layout: &mut Layout) -> Box<dyn Body> {
    let dim = setup.embedding_dim;
    let init = Init::Normal(setup.init_deviation);
    let places = layout.table("places", setup.max_length, dim, init);
    let mut unit = |number: usize| {
        let name = |part: &str| format!("units.{number}.{part}");
        let parts = ["query", "key", "value", "gate"];
        let shape = (params.heads, setup.max_length);
        Unit {
            before: layer_norm(layout, &name("before"), dim),
            qkvu: parts.map(|part| layout.matrix(&name(part), dim, dim)),
            bias: layout.table(&name("distance_bias"), shape.0, shape.1, init),
            after: layer_norm(layout, &name("after"), dim),
            output: layout.matrix(&name("output"), dim, dim),
            output_bias: layout.table(&name("output_bias"), 1, dim, Init::Zeros),
        }
    };
    Box::new(Hstu {
        units: (0..params.blocks).map(&mut unit).collect(),
        heads: params.heads,
        length: setup.max_length as f32,
        dropout: setup.dropout as f32,
        places,
        last: layer_norm(layout, "last_norm", dim),
    })
}

impl Hstu {
    fn unit(&self, graph: &mut Graph<'_>, unit: &Unit, x: Var) -> Var {
        let normed = graph.norm(x, unit.before);
        let [q, k, v, gate] = unit.qkvu.map(|weight| {
            let sums = graph.linear(normed, weight, None);
            graph.activation(sums, Activation::Silu)
        });
        let attend = Attend {
            heads: self.heads,
            causal: true,
            kernel: Kernel::Silu {
                bias: unit.bias,
                length: self.length,
            },
        };
        let attended = graph.attention([q, k, v], attend);
        let attended = graph.norm(attended, unit.after);
        let gated = graph.times(attended, gate);
        let gated = graph.dropout(gated, self.dropout);
        let output = graph.linear(gated, unit.output, Some(unit.output_bias));
        graph.sum(x, output)
    }
}

impl Body for Hstu {
    fn forward(&self, graph: &mut Graph<'_>, items: Var) -> Var {
        let x = graph.add_places(items, self.places);
        let mut x = graph.dropout(x, self.dropout);
        for unit in &self.units {
            x = self.unit(graph, unit, x);
        }
        graph.norm(x, self.last)
    }
}

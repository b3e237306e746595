//! Hierarchical sequential transduction units.
//!
//! Zhai et al., "Actions speak louder than words: trillion-parameter
//! sequential transducers for generative recommendations", ICML 2024,
//! equations 1 to 3: `U, V, Q, K = split(silu(norm(X) W))`, `A = silu(Q K' +
//! bias) / n`, `Y = norm(A V) * U` through a linear layer, plus `X`. `n` is
//! `max_length`.
//!
//! The bias is that of places and, as in their public code, of ages in
//! buckets of `ln`. There a row knows when the next item happens, and when
//! judged the moment of the request: `clock = "request"`. The default,
//! `event`, measures ages from the row's own item, so that nothing of the
//! future is known.
//!
//! Their code scores by cosines over a temperature of .05: `cosine = true`.
//!
//! Departures: a bias for each head, where their code shares one; a layer norm
//! of the last rows, which theirs does not have; layer norms have a learned
//! scale and shift, theirs none. Their code multiplies embeddings of items by
//! the root of their width before it adds those of places, and counts places
//! from the oldest item on; here they are as they are, and places count from
//! the newest item back.

use super::Body;
use super::part::Clock;
use super::sasrec::{check_heads, layer_norm};
use super::setup::{self, Setup, with_shared};
use crate::kernels::layers::{
    Activation, Attend, BUCKETS, Init, Kernel, Layers, Layout, Norm, Var, Weight,
};
use crate::models::ModelEntry;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

pub const ENTRY: ModelEntry = ModelEntry {
    name: "hstu",
    summary: "pointwise attention with gates and a bias for each distance, one causal pass a \
              sequence",
    citation: "Zhai et al.: Actions Speak Louder than Words: Trillion-Parameter Sequential \
               Transducers for Generative Recommendations, ICML 2024",
    params: &with_shared::<21>(&[
        ("blocks", "units, one after the other"),
        ("heads", "attention heads, each of a multiple of 16 columns"),
        (
            "clock",
            "ages of items count from: event (the row's own), request (the next one's, when judged the \
             moment of the request, as in the public code), none (no bias by age)",
        ),
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
    clock: Clock,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            blocks: 2,
            heads: 1,
            clock: Clock::Event,
        }
    }
}

fn check(params: &Params, setup: &Setup) -> Result<()> {
    ensure!(params.blocks > 0, "`blocks` must be at least 1");
    check_heads(params.heads, setup)
}

struct Hstu {
    heads: usize,
    clock: Clock,
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
    by_age: Option<Weight>,
    after: Norm,
    output: Weight,
    output_bias: Weight,
}

pub(super) fn body(params: &Params, setup: &Setup, layout: &mut Layout) -> Box<dyn Body> {
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
            by_age: (params.clock != Clock::None)
                .then(|| layout.table(&name("age_bias"), params.heads, BUCKETS, init)),
            after: layer_norm(layout, &name("after"), dim),
            output: layout.matrix(&name("output"), dim, dim),
            output_bias: layout.table(&name("output_bias"), 1, dim, Init::Zeros),
        }
    };
    Box::new(Hstu {
        units: (0..params.blocks).map(&mut unit).collect(),
        heads: params.heads,
        clock: params.clock,
        length: setup.max_length as f32,
        dropout: setup.dropout as f32,
        places,
        last: layer_norm(layout, "last_norm", dim),
    })
}

impl Hstu {
    fn unit(&self, layers: &mut dyn Layers, unit: &Unit, x: Var) -> Var {
        let normed = layers.norm(x, unit.before);
        let [q, k, v, gate] = unit.qkvu.map(|weight| {
            let sums = layers.linear(normed, weight, None);
            layers.activation(sums, Activation::Silu)
        });
        let attend = Attend {
            heads: self.heads,
            causal: true,
            kernel: Kernel::Silu {
                bias: unit.bias,
                by_age: unit.by_age,
                length: self.length,
            },
        };
        let attended = layers.attention([q, k, v], attend);
        let attended = layers.norm(attended, unit.after);
        let gated = layers.times(attended, gate);
        let gated = layers.dropout(gated, self.dropout);
        let output = layers.linear(gated, unit.output, Some(unit.output_bias));
        layers.sum(x, output)
    }
}

impl Body for Hstu {
    fn forward(&self, layers: &mut dyn Layers, items: Var) -> Var {
        let x = layers.add_places(items, self.places);
        let mut x = layers.dropout(x, self.dropout);
        for unit in &self.units {
            x = self.unit(layers, unit, x);
        }
        layers.norm(x, self.last)
    }

    fn clock(&self) -> Clock {
        self.clock
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::interactions::Interactions;
    use crate::data::times::Times;
    use crate::event::Silent;
    use crate::model::{FitContext, ModelData, Query, Recommender};
    use crate::models;
    use crate::seed::Seed;
    use crate::training::MemorySink;
    use burn::tensor::Device;

    const ITEMS: usize = 8;

    fn log(timed: bool) -> Interactions {
        let users = 12;
        let items = (0..users * 6).map(|i| (i * 5 % ITEMS as i64) as u32);
        Interactions {
            offsets: (0..=users as usize).map(|u| u * 6).collect(),
            items: items.collect(),
            timestamps: timed.then(|| (0..users * 6).map(|i| i * i * 40).collect()),
            num_items: ITEMS,
            ..Interactions::default()
        }
    }

    fn fit(clock: &str, train: &Interactions) -> Result<Box<dyn Recommender>> {
        let table =
            format!("clock = '{clock}'\nembedding_dim = 16\nmax_length = 6\ninit_deviation = 0.5");
        let spec = models::build("hstu", toml::from_str(&table).unwrap()).unwrap();
        let data = ModelData {
            train,
            user_features: None,
            item_features: None,
        };
        let fitted = spec.fit(FitContext {
            data,
            training: &toml::from_str("epochs = 2\nlearning_rate = 0.05").unwrap(),
            device: &Device::flex(),
            seed: Seed(3),
            observer: &mut Silent,
            validate: None,
            checkpoints: &mut MemorySink::default(),
        })?;
        Ok(fitted.model)
    }

    fn scores(model: &dyn Recommender, times: [i64; 3], at: i64) -> Vec<f32> {
        let times = Times::from(times.to_vec());
        let query = Query {
            history: &[1, 4, 6],
            times: Some(times.view(0..3)),
            at: Some(at),
            ..Query::default()
        };
        let mut scores = vec![0.0; ITEMS];
        model.score(&[query], &mut scores).unwrap();
        scores
    }

    #[test]
    fn only_one_clock_knows_the_request() {
        for (clock, by_age, by_request) in [
            ("request", true, true),
            ("event", true, false),
            ("none", false, false),
        ] {
            let model = fit(clock, &log(true)).unwrap();
            let first = scores(&*model, [0, 50, 900], 1000);
            assert_eq!(model.knows_request_time(), by_request, "{clock}");
            let later = scores(&*model, [0, 50, 900], 90_000);
            assert_eq!(first != later, by_request, "{clock}");
            let other = scores(&*model, [0, 890, 900], 1000);
            assert_eq!(first != other, by_age, "{clock}");
        }
    }

    #[test]
    fn ages_need_timestamps() {
        let error = fit("event", &log(false)).err().unwrap().to_string();
        assert!(error.contains("model.clock"), "{error}");
        assert!(fit("none", &log(false)).is_ok());
    }
}

//! DCN-V2: cross layers with a full weight matrix, and a multi-layer perceptron
//! behind them or beside them.
//!
//! Wang et al., "DCN V2: improved deep & cross network and practical lessons for
//! web-scale learning to rank systems", WWW 2021: a cross layer is
//! `x0 * (W x + b) + x` (eq. 1), the stacked structure feeds the last one to
//! the perceptron, the parallel one concatenates both (section 3.3). Its
//! mixture of low-rank experts (section 3.4), which saves memory where inputs
//! are wide, is not here.

use super::ModelEntry;
use super::autoencoder::{Init, Linear};
use super::embeddings;
use super::features::{Common, Head, HeadSpec, Mlp, Spec, check, defaults, params, parse};
use crate::params::Param;
use crate::tape::Tape;
use anyhow::ensure;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

pub const ENTRY: ModelEntry = ModelEntry {
    name: "dcn_v2",
    summary: "DCN-V2 over ids and features: matrix cross layers and an MLP, stacked or parallel",
    citation: "Wang et al., DCN V2: improved deep & cross network and practical lessons for web-scale learning to rank systems, WWW 2021",
    params: &[
        params::EMBEDDING_DIM,
        (
            "cross_layers",
            "cross layers, each one degree of interaction",
        ),
        (
            "structure",
            "stacked (the MLP behind the cross layers) or parallel (beside them)",
        ),
        params::HIDDEN,
        params::DROPOUT,
        params::LOSS,
        params::FEATURES,
        params::ID_DROPOUT,
        params::REGULARIZATION,
        params::INIT_DEVIATION,
        embeddings::L1,
        embeddings::MAX_NORM,
        embeddings::NOISE,
        embeddings::DROPOUT,
    ],
    gradient: true,
    defaults: defaults::<Params>,
    build: |table| {
        let (common, p): (Common, Params) = parse(table)?;
        check(&p.hidden, p.dropout)?;
        ensure!(p.cross_layers > 0, "`cross_layers` must be at least 1");
        Spec::boxed(common, p)
    },
};

/// Where the perceptron stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Structure {
    #[default]
    Stacked,
    Parallel,
}

/// `dcn_v2`'s own parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    pub cross_layers: usize,
    pub structure: Structure,
    pub hidden: Vec<usize>,
    pub dropout: f64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            cross_layers: 2,
            structure: Structure::Stacked,
            hidden: vec![64, 64],
            dropout: 0.0,
        }
    }
}

impl HeadSpec for Params {
    const LINEAR: bool = false;

    fn head(&self, fields: usize, dim: usize, init: Init<'_>) -> Box<dyn Head> {
        Box::new(Dcn::new(self, fields * dim, init))
    }
}

struct Dcn {
    cross: Vec<Linear>,
    mlp: Mlp,
    output: Param,
    structure: Structure,
}

impl Dcn {
    fn new(params: &Params, input: usize, init: Init<'_>) -> Self {
        let layer = |number| Linear::new(&format!("cross_{number}"), [input, input], init);
        let last = params.hidden.last().copied().unwrap_or(input);
        let last = match params.structure {
            Structure::Stacked => last,
            Structure::Parallel => input + last,
        };
        Self {
            cross: (1..=params.cross_layers).map(layer).collect(),
            mlp: Mlp::new("mlp", input, &params.hidden, params.dropout, init),
            output: init.weight("output", [last, 1]),
            structure: params.structure,
        }
    }
}

impl Head for Dcn {
    fn params(&self) -> Vec<&Param> {
        let cross = self.cross.iter().flat_map(Linear::params);
        cross
            .chain(self.mlp.params())
            .chain([&self.output])
            .collect()
    }

    fn params_mut(&mut self) -> Vec<&mut Param> {
        let cross = self.cross.iter_mut().flat_map(Linear::params_mut);
        cross
            .chain(self.mlp.params_mut())
            .chain([&mut self.output])
            .collect()
    }

    fn forward(&self, tape: &mut Tape, fields: Tensor<3>) -> Tensor<2> {
        let [n, count, width] = fields.dims();
        let input = fields.reshape([n, count * width]);
        let mut crossed = input.clone();
        for layer in &self.cross {
            crossed = input.clone() * layer.forward(tape, crossed.clone()) + crossed;
        }
        let last = match self.structure {
            Structure::Stacked => self.mlp.forward(tape, crossed),
            Structure::Parallel => {
                let deep = self.mlp.forward(tape, input);
                Tensor::cat(vec![crossed, deep], 1)
            }
        };
        last.matmul(tape.param(&self.output))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::features::tests::{
        gradients_match, learns_the_labels, plain_linear, plain_mlp,
    };
    use burn::tensor::Device;

    fn plain(structure: Structure, input: &[f64], params: &[Vec<f64>]) -> f64 {
        let mut crossed = input.to_vec();
        for layer in params[..4].chunks(2) {
            let products = plain_linear(&crossed, layer);
            for ((c, p), x) in crossed.iter_mut().zip(products).zip(input) {
                *c += x * p;
            }
        }
        let last = match structure {
            Structure::Stacked => plain_mlp(&crossed, &params[4..8]),
            Structure::Parallel => [crossed, plain_mlp(input, &params[4..8])].concat(),
        };
        last.iter().zip(&params[8]).map(|(h, w)| h * w).sum()
    }

    #[test]
    fn scores_and_gradients_are_those_of_the_formula() {
        for structure in [Structure::Stacked, Structure::Parallel] {
            let params = Params {
                hidden: vec![5, 3],
                structure,
                ..Params::default()
            };
            let init = Init {
                seed: None,
                device: &Device::flex(),
            };
            let mut head = Dcn::new(&params, 6, init);
            gradients_match(&mut head, [3, 3, 2], &|fields, params| {
                plain(structure, fields, params)
            });
        }
    }

    #[test]
    fn labels_are_learned() {
        learns_the_labels("dcn_v2", "embedding_dim = 4\nhidden = [8]");
    }
}

//! DeepFM: a factorization machine and a multi-layer perceptron over the same
//! embeddings, added up.
//!
//! Guo et al., "DeepFM: a factorization-machine based neural network for CTR
//! prediction", IJCAI 2017, eqs. 1 to 4. A number is standardized and
//! multiplies its embedding; a list is one field, the mean of its members, and
//! has no pairs inside of it (see [`super::fm`]).

use super::ModelEntry;
use super::autoencoder::Init;
use super::embeddings;
use super::features::{Common, Head, HeadSpec, Mlp, Spec, check, defaults, params, parse};
use super::fm::sums;
use crate::params::Param;
use crate::tape::Tape;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

pub const ENTRY: ModelEntry = ModelEntry {
    name: "deep_fm",
    summary: "DeepFM over ids and features: a factorization machine and an MLP on shared embeddings",
    citation: "Guo et al., DeepFM: a factorization-machine based neural network for CTR prediction, IJCAI 2017",
    params: &[
        params::EMBEDDING_DIM,
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
        Spec::boxed(common, p)
    },
};

/// `deep_fm`'s own parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    pub hidden: Vec<usize>,
    pub dropout: f64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            hidden: vec![64, 64],
            dropout: 0.0,
        }
    }
}

impl HeadSpec for Params {
    const LINEAR: bool = true;

    fn head(&self, fields: usize, dim: usize, init: Init<'_>) -> Box<dyn Head> {
        Box::new(DeepFm::new(self, fields * dim, init))
    }
}

struct DeepFm {
    mlp: Mlp,
    output: Param,
}

impl DeepFm {
    fn new(params: &Params, input: usize, init: Init<'_>) -> Self {
        let last = params.hidden.last().copied().unwrap_or(input);
        Self {
            mlp: Mlp::new("mlp", input, &params.hidden, params.dropout, init),
            output: init.weight("mlp_output", [last, 1]),
        }
    }
}

impl Head for DeepFm {
    fn params(&self) -> Vec<&Param> {
        self.mlp.params().chain([&self.output]).collect()
    }

    fn params_mut(&mut self) -> Vec<&mut Param> {
        self.mlp.params_mut().chain([&mut self.output]).collect()
    }

    fn forward(&self, tape: &mut Tape, fields: Tensor<3>) -> Tensor<2> {
        let [n, count, width] = fields.dims();
        let embeddings = fields.clone().slice([0..n, 0..count, 1..width]);
        let hidden = self
            .mlp
            .forward(tape, embeddings.reshape([n, count * (width - 1)]));
        sums(fields).offsets + hidden.matmul(tape.param(&self.output))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::features::tests::{gradients_match, learns_the_labels, plain_mlp};
    use burn::tensor::Device;

    /// Half of the pairs in both orders, and the perceptron.
    fn plain(fields: &[f64], params: &[Vec<f64>]) -> f64 {
        let fields: Vec<&[f64]> = fields.chunks(3).collect();
        let mut score = fields.iter().map(|f| f[0]).sum::<f64>();
        for (i, a) in fields.iter().enumerate() {
            for b in fields.iter().skip(i + 1) {
                score += a[1] * b[1] + a[2] * b[2];
            }
        }
        let input: Vec<f64> = fields.iter().flat_map(|f| f[1..].to_vec()).collect();
        let hidden = plain_mlp(&input, &params[..4]);
        let output = hidden.iter().zip(&params[4]);
        score + output.map(|(h, w)| h * w).sum::<f64>()
    }

    #[test]
    fn scores_and_gradients_are_those_of_the_formula() {
        let params = Params {
            hidden: vec![5, 3],
            ..Params::default()
        };
        let init = Init {
            seed: None,
            device: &Device::flex(),
        };
        let mut head = DeepFm::new(&params, 8, init);
        gradients_match(&mut head, [3, 4, 3], &plain);
    }

    #[test]
    fn labels_are_learned() {
        learns_the_labels("deep_fm", "embedding_dim = 4\nhidden = [8]");
    }
}

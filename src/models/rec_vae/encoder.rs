//! The encoder: five layers, each of which sees the sum of all before it.

use super::LOG_TAU;
use crate::models::autoencoder::{Init, Linear};
use crate::params::Param;
use crate::tape::{Bags, Tape};
use burn::tensor::{Tensor, activation};

/// Layers after the first.
const LAYERS: usize = 4;

/// Keeps the division by a deviation finite; as in the authors' code.
const EPSILON: f64 = 0.1;

/// Users as bags of items, and what multiplies a bag's sum, `[users, 1]`.
pub struct Input<'a> {
    pub bags: &'a Bags,
    pub scales: Tensor<2>,
}

/// A normal for each element, `[users, latent]`.
pub struct Posterior {
    pub mean: Tensor<2>,
    pub log_variance: Tensor<2>,
}

impl Posterior {
    /// Element by element.
    pub fn log_density(&self, x: Tensor<2>) -> Tensor<2> {
        let distance = x - self.mean.clone();
        let squares = distance.clone() * distance / self.log_variance.clone().exp();
        (squares + self.log_variance.clone() + LOG_TAU) * -0.5
    }
}

/// Learned gain and offset of a layer norm, `[1, width]` each.
struct Norm {
    gain: Param,
    offset: Param,
}

impl Norm {
    fn apply(x: Tensor<2>, gain: Tensor<2>, offset: Tensor<2>) -> Tensor<2> {
        let centered = x.clone() - x.mean_dim(1);
        let variance = (centered.clone() * centered.clone()).mean_dim(1);
        centered / (variance + EPSILON).sqrt() * gain + offset
    }
}

pub struct Encoder {
    /// A row for each item: the first layer.
    items: Param,
    first_bias: Param,
    layers: Vec<Linear>,
    norms: Vec<Norm>,
    mean: Linear,
    log_variance: Linear,
}

/// How a pass reads the parameters.
enum Reader<'a> {
    Learning(&'a mut Tape),
    Constant(&'a Tape),
}

impl Reader<'_> {
    fn bag_sums(&mut self, table: &Param, bags: &Bags) -> Tensor<2> {
        match self {
            Self::Learning(tape) => tape.bag_sums(table, bags),
            Self::Constant(tape) => tape.constant_bag_sums(table, bags),
        }
    }

    fn param(&mut self, param: &Param) -> Tensor<2> {
        match self {
            Self::Learning(tape) => tape.param(param),
            Self::Constant(tape) => tape.constant(param),
        }
    }

    fn linear(&mut self, layer: &Linear, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Learning(tape) => layer.forward(tape, x),
            Self::Constant(tape) => layer.forward_constant(tape, x),
        }
    }
}

impl Encoder {
    /// `shape`: items, hidden, latent.
    pub fn new(prefix: &str, shape: [usize; 3], init: Init<'_>) -> Self {
        let [items, hidden, latent] = shape;
        let named = |name: &str| format!("{prefix}{name}");
        let layer = |name: &str, shape| Linear::new(&named(name), shape, init);
        let norm = |number: usize| Norm {
            gain: Param::new(
                &named(&format!("norm_{number}_gain")),
                [1, hidden],
                vec![1.0; hidden],
                init.device,
            ),
            offset: init.bias(&named(&format!("norm_{number}_offset")), hidden),
        };
        Self {
            items: init.weight(&named("item_embedding"), [items, hidden]),
            first_bias: init.bias(&named("first_bias"), hidden),
            layers: (0..LAYERS)
                .map(|i| layer(&format!("layer_{}", i + 2), [hidden, hidden]))
                .collect(),
            norms: (1..=LAYERS + 1).map(norm).collect(),
            mean: layer("mean", [hidden, latent]),
            log_variance: layer("log_variance", [hidden, latent]),
        }
    }

    pub fn forward(&self, tape: &mut Tape, input: Input<'_>) -> Posterior {
        self.pass(Reader::Learning(tape), input)
    }

    /// Without learning it.
    pub fn forward_constant(&self, tape: &Tape, input: Input<'_>) -> Posterior {
        self.pass(Reader::Constant(tape), input)
    }

    fn pass(&self, mut read: Reader<'_>, input: Input<'_>) -> Posterior {
        let sums = read.bag_sums(&self.items, input.bags) * input.scales;
        let first = sums + read.param(&self.first_bias);
        let mut last = self.norm(&mut read, 0, swish(first));
        let mut before = last.clone();
        for (number, layer) in self.layers.iter().enumerate() {
            let x = swish(read.linear(layer, last) + before.clone());
            last = self.norm(&mut read, number + 1, x);
            before = before + last.clone();
        }
        Posterior {
            mean: read.linear(&self.mean, last.clone()),
            log_variance: read.linear(&self.log_variance, last),
        }
    }

    fn norm(&self, read: &mut Reader<'_>, number: usize, x: Tensor<2>) -> Tensor<2> {
        let Norm { gain, offset } = &self.norms[number];
        Norm::apply(x, read.param(gain), read.param(offset))
    }

    /// Takes over what another one has learned.
    pub fn copy(&mut self, from: &Self) {
        for (to, from) in self.params_mut().into_iter().zip(from.params()) {
            to.update(|_| from.value());
        }
    }

    pub fn params(&self) -> Vec<&Param> {
        let mut params = vec![&self.items, &self.first_bias];
        params.extend(self.norms.iter().flat_map(|n| [&n.gain, &n.offset]));
        let linear = self.layers.iter().chain([&self.mean, &self.log_variance]);
        params.extend(linear.flat_map(Linear::params));
        params
    }

    pub fn params_mut(&mut self) -> Vec<&mut Param> {
        let mut params = vec![&mut self.items, &mut self.first_bias];
        let norms = self.norms.iter_mut();
        params.extend(norms.flat_map(|n| [&mut n.gain, &mut n.offset]));
        let outputs = [&mut self.mean, &mut self.log_variance];
        let linear = self.layers.iter_mut().chain(outputs);
        params.extend(linear.flat_map(Linear::params_mut));
        params
    }
}

/// `x sigmoid(x)`
fn swish(x: Tensor<2>) -> Tensor<2> {
    activation::sigmoid(x.clone()) * x
}

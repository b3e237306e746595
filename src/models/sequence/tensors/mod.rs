//! The layers as operations on tensors, with automatic differentiation: for
//! GPUs, and for backends that have nothing but burn's operations.
//!
//! Sequences stand side by side, `[sequences, length, columns]`, padded on the
//! left ([`Batch`]). What is padded is computed as everything else and never
//! looked at: attention, recurrence and shifts leave it out. Masks of dropout
//! are drawn by the counters of [`crate::kernels::layers`], on a GPU there and
//! elsewhere on the host, so that they are those of its graphs.
//!
//! What would be many launches of a GPU for plain operations, or large
//! uploads, is a kernel of [`crate::kernels::padded`] there.

mod ages;
mod attention;
mod batch;
mod dropout;
mod gru;
mod ids;
mod loss;
#[cfg(all(test, feature = "wgpu"))]
mod tests;
mod whole;
#[cfg(feature = "wgpu")]
mod windows;

pub use batch::Batch;
pub use ids::Given;
pub use loss::{TapeStep, with_value};
pub use whole::SCORES;

use crate::kernels::layers::{
    Activation, Attend, GruWeights, Layers, NORM_EPSILON, Norm, UNIT_EPSILON, Var, Weight,
};
use crate::models::sequence::network::{self, Network};
use crate::models::sequence::setup::Setup;
use crate::params::Param;
use crate::tape::Tape;
use burn::tensor::{Device, Int, Tensor, activation};
use dropout::Dropout;

/// [`Layers`] of a batch.
struct TensorLayers<'a> {
    tape: &'a mut Tape,
    /// One for each entry of the layout.
    weights: &'a [Param],
    batch: &'a Batch<'a>,
    /// `None` where nothing is dropped.
    dropout: Option<Dropout<'a>>,
    /// 1 where there is an item: `[sequences, length, 1]`.
    real: Tensor<3>,
    /// 1 where a query sees a key, `[sequences, 1, length, length]`, and
    /// whether that is of causal layers; made when the first layer asks.
    seen: Option<(bool, Tensor<4>)>,
    /// See [`Batch::buckets`]; where they are not given, made when the first
    /// layer asks.
    buckets: Option<Tensor<1, Int>>,
    values: Vec<Tensor<3>>,
}

/// The hidden rows that scores are made of, `[sequences, length, d]`, from
/// those of the items, `[sequences * length, d]`.
pub fn hidden(
    tape: &mut Tape,
    network: &Network,
    batch: &Batch<'_>,
    given: Given,
    items: Tensor<2>,
) -> Tensor<3> {
    let shape = [batch.len(), batch.length, items.dims()[1]];
    let mut layers = TensorLayers {
        dropout: tape
            .dropout_stream()
            .map(|stream| Dropout::new(stream.clone(), batch)),
        tape,
        weights: &network.dense,
        batch,
        real: given.real.reshape([shape[0], shape[1], 1]),
        seen: None,
        buckets: given.buckets,
        values: Vec::new(),
    };
    let input = layers.push(items.reshape(shape));
    let last = network::hidden(network.body.as_ref(), &network.setup, &mut layers, input);
    layers.value(last)
}

/// Rows, along the last dimension, in their direction and of one length.
fn unit<const D: usize>(x: Tensor<D>, length: f32) -> Tensor<D> {
    let squares = (x.clone() * x.clone()).sum_dim(D - 1);
    x * (squares + UNIT_EPSILON).sqrt().recip() * length
}

/// Embeddings as scores see them.
pub fn scored(items: Tensor<2>, setup: &Setup) -> Tensor<2> {
    if setup.cosine {
        unit(items, 1.0)
    } else {
        items
    }
}

impl TensorLayers<'_> {
    fn push(&mut self, value: Tensor<3>) -> Var {
        self.values.push(value);
        Var::new(self.values.len() - 1)
    }

    fn value(&self, var: Var) -> Tensor<3> {
        self.values[var.number()].clone()
    }

    fn weight(&mut self, weight: Weight) -> Tensor<2> {
        self.tape.param(&self.weights[weight.number()])
    }

    fn device(&self) -> Device {
        self.real.device()
    }
}

impl Layers for TensorLayers<'_> {
    fn linear(&mut self, x: Var, weight: Weight, bias: Option<Weight>) -> Var {
        let (x, weight) = (self.value(x), self.weight(weight));
        let [sequences, length, inputs] = x.dims();
        let outputs = weight.dims()[1];
        let mut y = x.reshape([sequences * length, inputs]).matmul(weight);
        if let Some(bias) = bias {
            y = y + self.weight(bias);
        }
        self.push(y.reshape([sequences, length, outputs]))
    }

    fn add_places(&mut self, x: Var, table: Weight) -> Var {
        let (x, table) = (self.value(x), self.weight(table));
        let [_, length, columns] = x.dims();
        let rows = table.slice([0..length, 0..columns]).flip([0]);
        self.push(x + rows.unsqueeze_dim(0))
    }

    fn norm(&mut self, x: Var, norm: Norm) -> Var {
        let x = self.value(x);
        let shape = x.dims();
        // As rows: the gradients of scale and shift are then one sum each.
        let mut x = x.reshape([shape[0] * shape[1], shape[2]]);
        if norm.shift.is_some() {
            x = x.clone() - x.mean_dim(1);
        }
        let squares = (x.clone() * x.clone()).mean_dim(1);
        let unit = x * (squares + NORM_EPSILON).sqrt().recip();
        let mut y = unit * self.weight(norm.scale);
        if let Some(shift) = norm.shift {
            y = y + self.weight(shift);
        }
        self.push(y.reshape(shape))
    }

    fn unit(&mut self, x: Var, length: f32) -> Var {
        let y = unit(self.value(x), length);
        self.push(y)
    }

    fn activation(&mut self, x: Var, kind: Activation) -> Var {
        let x = self.value(x);
        let y = match kind {
            Activation::Relu => activation::relu(x),
            Activation::Gelu => x.clone() * activation::sigmoid(x * 1.702),
            Activation::Silu => x.clone() * activation::sigmoid(x),
            Activation::Sigmoid => activation::sigmoid(x),
        };
        self.push(y)
    }

    fn sum(&mut self, a: Var, b: Var) -> Var {
        let y = self.value(a) + self.value(b);
        self.push(y)
    }

    fn times(&mut self, a: Var, b: Var) -> Var {
        let y = self.value(a) * self.value(b);
        self.push(y)
    }

    fn dropout(&mut self, x: Var, rate: f32) -> Var {
        let columns = self.value(x).dims()[2];
        let dropout = self.dropout.as_mut().filter(|_| rate > 0.0);
        let Some(dropout) = dropout else {
            return x;
        };
        let factors = dropout.of_rows(self.tape, columns, rate);
        let y = self.value(x) * factors;
        self.push(y)
    }

    fn noise(&mut self, x: Var, deviation: f32) -> Var {
        let columns = self.value(x).dims()[2];
        let dropout = self.dropout.as_mut().filter(|_| deviation > 0.0);
        let Some(dropout) = dropout else {
            return x;
        };
        let noise = dropout.normals(self.tape, columns, deviation);
        let y = self.value(x) + noise;
        self.push(y)
    }

    fn attention(&mut self, qkv: [Var; 3], attend: Attend) -> Var {
        let y = self.attend(qkv.map(|var| self.value(var)), attend);
        self.push(y)
    }

    fn gru(&mut self, x: Var, weights: GruWeights) -> Var {
        let y = self.recur(self.value(x), weights);
        self.push(y)
    }

    fn shift(&mut self, x: Var, by: usize) -> Var {
        // What is padded must not come out as a place before the first.
        let x = self.value(x) * self.real.clone();
        let [sequences, length, columns] = x.dims();
        let zeros = Tensor::zeros([sequences, by.min(length), columns], &self.device());
        let y = if by < length {
            let kept = x.slice([0..sequences, 0..length - by, 0..columns]);
            Tensor::cat(vec![zeros, kept], 1)
        } else {
            zeros
        };
        self.push(y)
    }
}

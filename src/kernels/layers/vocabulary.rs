//! The words that networks are written in.

use super::{Activation, Attend, Graph, GruWeights, Norm, Var, Weight};

/// Layers over the rows of some sequences. A network is written once against
/// them; [`Graph`] computes them on slices of numbers, on the host, and others
/// may on tensors.
pub trait Layers {
    /// `x W + b`, without `b` where there is none.
    fn linear(&mut self, x: Var, weight: Weight, bias: Option<Weight>) -> Var;

    /// `x` plus a learned row for each place, counted from the end of its
    /// sequence: the newest item of any sequence has row 0, whatever its
    /// length.
    fn add_places(&mut self, x: Var, table: Weight) -> Var;

    /// `x` normalized row by row, over all of its columns.
    fn norm(&mut self, x: Var, norm: Norm) -> Var;

    /// Each row of `x` in its direction, as long as `length`.
    fn unit(&mut self, x: Var, length: f32) -> Var;

    fn activation(&mut self, x: Var, kind: Activation) -> Var;

    fn sum(&mut self, a: Var, b: Var) -> Var;

    /// Number by number.
    fn times(&mut self, a: Var, b: Var) -> Var;

    /// In training, zeros in place of a share `rate` of the numbers, the
    /// others times `1 / (1 - rate)` (Srivastava et al., JMLR 2014).
    fn dropout(&mut self, x: Var, rate: f32) -> Var;

    /// In training, `x` plus normal noise of this deviation.
    fn noise(&mut self, x: Var, deviation: f32) -> Var;

    /// Each place's weighted sum of the values of its sequence, from queries,
    /// keys and values.
    fn attention(&mut self, qkv: [Var; 3], attend: Attend) -> Var;

    /// The states of a recurrent layer that begins each sequence at zero; `x`
    /// holds the inputs to its gates.
    fn gru(&mut self, x: Var, weights: GruWeights) -> Var;

    /// The row so many places earlier in the same sequence, zeros where there
    /// is none.
    fn shift(&mut self, x: Var, by: usize) -> Var;
}

impl Layers for Graph<'_> {
    fn linear(&mut self, x: Var, weight: Weight, bias: Option<Weight>) -> Var {
        Graph::linear(self, x, weight, bias)
    }

    fn add_places(&mut self, x: Var, table: Weight) -> Var {
        Graph::add_places(self, x, table)
    }

    fn norm(&mut self, x: Var, norm: Norm) -> Var {
        Graph::norm(self, x, norm)
    }

    fn unit(&mut self, x: Var, length: f32) -> Var {
        Graph::unit(self, x, length)
    }

    fn activation(&mut self, x: Var, kind: Activation) -> Var {
        Graph::activation(self, x, kind)
    }

    fn sum(&mut self, a: Var, b: Var) -> Var {
        Graph::sum(self, a, b)
    }

    fn times(&mut self, a: Var, b: Var) -> Var {
        Graph::times(self, a, b)
    }

    fn dropout(&mut self, x: Var, rate: f32) -> Var {
        Graph::dropout(self, x, rate)
    }

    fn noise(&mut self, x: Var, deviation: f32) -> Var {
        Graph::noise(self, x, deviation)
    }

    fn attention(&mut self, qkv: [Var; 3], attend: Attend) -> Var {
        Graph::attention(self, qkv, attend)
    }

    fn gru(&mut self, x: Var, weights: GruWeights) -> Var {
        Graph::gru(self, x, weights)
    }

    fn shift(&mut self, x: Var, by: usize) -> Var {
        Graph::shift(self, x, by)
    }
}

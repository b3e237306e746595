//! Gated recurrent units (Cho et al., EMNLP 2014), with the reset gate after
//! the product as in cuDNN:
//! `r = s(x_r + h U_r + b_r)`, `z = s(x_z + h U_z + b_z)`,
//! `n = tanh(x_n + r (h U_n + b_n))`, `h' = (1 - z) n + z h`.
//!
//! All sequences of a graph take a step together, the longest first, so that
//! those still going are the first ones.

use super::pointwise::{sigmoid, tanh};
use super::{Back, Graph, Op, Var, Weight, multiply, multiply_transposed};
use crate::kernels::simd::{self, Isa, Job, Lane, WIDTH, add};

/// What the state goes through, `[d, 3 d]` and `[1, 3 d]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GruWeights {
    pub recurrent: Weight,
    pub bias: Weight,
}

struct Gru {
    /// Inputs to the gates, `3 d` columns: reset, update, new.
    x: Var,
    weights: GruWeights,
    /// Row by row: the state before, the gates `r, z, n`, and `h U_n + b_n`.
    before: Vec<Lane>,
    gates: Vec<Lane>,
    inner: Vec<Lane>,
}

/// The rows of each step: those of the sequences that are still going.
fn steps(bounds: &[usize]) -> Vec<Vec<usize>> {
    let mut sequences: Vec<_> = bounds.windows(2).map(|b| (b[0], b[1] - b[0])).collect();
    sequences.sort_by_key(|s| std::cmp::Reverse(s.1));
    let longest = sequences.first().map_or(0, |s| s.1);
    let going = |t: usize| {
        let going = sequences.iter().take_while(move |s| s.1 > t);
        going.map(move |s| s.0 + t).collect()
    };
    (0..longest).map(going).collect()
}

impl Graph<'_> {
    /// The states of a recurrent layer that begins each sequence at zero; `x`
    /// holds the inputs to its gates.
    pub fn gru(&mut self, x: Var, weights: GruWeights) -> Var {
        let width = self.width(x) / 3;
        let len = self.len() * width;
        let mut value = vec![Lane::ZERO; len];
        let (mut before, mut inner) = (value.clone(), value.clone());
        let mut gates = vec![Lane::ZERO; 3 * len];
        let mut state = Vec::new();
        for rows in steps(self.bounds) {
            state.resize(rows.len() * width, Lane::ZERO);
            let mut sums = self.weights.of(weights.bias).repeat(rows.len());
            let recurrent = self.weights.of(weights.recurrent);
            multiply(&state, width, recurrent, &mut sums, 3 * width);
            for (i, &row) in rows.iter().enumerate() {
                let (own, triple) = (row * width, 3 * row * width);
                let held = &mut state[i * width..][..width];
                before[own..own + width].copy_from_slice(held);
                let sums = &sums[3 * i * width..][..3 * width];
                inner[own..own + width].copy_from_slice(&sums[2 * width..]);
                simd::run(Step {
                    x: &self.value(x)[triple..triple + 3 * width],
                    sums,
                    gates: &mut gates[triple..triple + 3 * width],
                    state: held,
                });
                value[own..own + width].copy_from_slice(held);
            }
        }
        let op = Gru {
            x,
            weights,
            before,
            gates,
            inner,
        };
        self.push(value, width, op)
    }
}

struct Step<'a> {
    x: &'a [Lane],
    sums: &'a [Lane],
    gates: &'a mut [Lane],
    state: &'a mut [Lane],
}

impl Job for Step<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let w = self.state.len();
        for at in 0..w {
            for i in 0..WIDTH {
                let gate = |g: usize| self.x[g * w + at].0[i] + self.sums[g * w + at].0[i];
                let r = sigmoid(gate(0));
                let z = sigmoid(gate(1));
                let n = tanh(self.x[2 * w + at].0[i] + r * self.sums[2 * w + at].0[i]);
                let h = &mut self.state[at].0[i];
                *h = n + z * (*h - n);
                self.gates[at].0[i] = r;
                self.gates[w + at].0[i] = z;
                self.gates[2 * w + at].0[i] = n;
            }
        }
    }
}

impl Op for Gru {
    fn backward(&self, back: &mut Back<'_, '_>) {
        let (graph, above) = (back.graph, back.above);
        let width = graph.width(self.x) / 3;
        let transposed = graph.weights.transposed(self.weights.recurrent);
        // Derivatives by the inputs of the gates, and by the sums of the
        // state's products, row by row.
        let mut to_x = vec![Lane::ZERO; self.gates.len()];
        let mut to_sums = to_x.clone();
        // By the states that a step leaves to the next one.
        let mut carried: Vec<Lane> = Vec::new();
        for rows in steps(graph.bounds).into_iter().rev() {
            carried.resize(rows.len() * width, Lane::ZERO);
            let mut sums = vec![Lane::ZERO; 3 * rows.len() * width];
            for (i, &row) in rows.iter().enumerate() {
                let (own, triple) = (row * width, 3 * row * width);
                let carried = &mut carried[i * width..][..width];
                add(carried, &above[own..own + width]);
                let sums = &mut sums[3 * i * width..][..3 * width];
                simd::run(StepBack {
                    gates: &self.gates[triple..triple + 3 * width],
                    inner: &self.inner[own..own + width],
                    before: &self.before[own..own + width],
                    carried,
                    x: &mut to_x[triple..triple + 3 * width],
                    sums,
                });
                to_sums[triple..triple + 3 * width].copy_from_slice(sums);
            }
            multiply(&sums, 3 * width, transposed, &mut carried, width);
        }
        let recurrent = back.weight(self.weights.recurrent);
        multiply_transposed(&self.before, width, &to_sums, recurrent, 3 * width);
        let bias = back.weight(self.weights.bias);
        for row in to_sums.chunks_exact(3 * width) {
            add(bias, row);
        }
        add(back.rows(self.x), &to_x);
    }
}

struct StepBack<'a> {
    gates: &'a [Lane],
    inner: &'a [Lane],
    before: &'a [Lane],
    /// Derivatives by the state, then by the state before it less the
    /// products' share.
    carried: &'a mut [Lane],
    x: &'a mut [Lane],
    sums: &'a mut [Lane],
}

impl Job for StepBack<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let w = self.before.len();
        for at in 0..w {
            for i in 0..WIDTH {
                let gate = |g: usize| self.gates[g * w + at].0[i];
                let (r, z, n) = (gate(0), gate(1), gate(2));
                let slope = self.carried[at].0[i];
                let new = slope * (1.0 - z) * (1.0 - n * n);
                let update = slope * (self.before[at].0[i] - n) * z * (1.0 - z);
                let reset = new * self.inner[at].0[i] * r * (1.0 - r);
                for (g, value) in [reset, update, new].into_iter().enumerate() {
                    self.x[g * w + at].0[i] = value;
                }
                for (g, value) in [reset, update, new * r].into_iter().enumerate() {
                    self.sums[g * w + at].0[i] = value;
                }
                self.carried[at].0[i] = slope * z;
            }
        }
    }
}

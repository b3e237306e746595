//! The layers of HSTU, GRU4Rec, NextItNet and BERT4Rec in float64, from their
//! papers' equations and the departures that their files name, against what
//! both implementations compute.

use super::*;
use crate::models::sequence::{bert4rec, gru4rec, hstu, nextitnet};

fn plain_formula(weights: &Plain) -> Formula<'_> {
    Formula {
        weights,
        cosine: false,
        aims: Aims::default(),
    }
}

/// A step's loss, by kernels and by operations on tensors, is that of
/// `hidden`, and its gradients agree with finite differences of it.
fn assert_step<P>(params: &str, body: BodyOf<P>, hidden: impl Fn(&Formula<'_>, &[u32]) -> Matrix)
where
    P: Default + Serialize + DeserializeOwned,
{
    for by_tape in [false, true] {
        let mut network = network_of(params, setup(false, Aims::default()), body);
        let mut weights = plain(&network);
        let loss_of = |weights: &Plain| {
            let formula = plain_formula(weights);
            formula.loss(&windows(), |items| hidden(&formula, items))
        };
        let (loss, gradients) = step(&mut network, 0.0, by_tape);
        let exact = loss_of(&weights);
        assert!((loss - exact).abs() < 1e-4 * exact, "{loss} {exact}");
        for (name, gradient) in gradients {
            for at in (0..gradient.len()).step_by(gradient.len() / 5 + 1) {
                let mut moved = |by: f64| {
                    weights.get_mut(&name).unwrap()[at] += by;
                    loss_of(&weights)
                };
                let finite = (moved(1e-5) - moved(-2e-5)) / 2e-5 / 10.0;
                moved(1e-5);
                let found = gradient[at];
                let near = (finite - found).abs() < 1e-4 * (1.0 + finite.abs());
                assert!(near, "by tape {by_tape}, {name} {at}: {finite} {found}");
            }
        }
    }
}

fn map(x: Matrix, f: impl Fn(f64) -> f64) -> Matrix {
    let row = |row: Vec<f64>| row.into_iter().map(&f).collect();
    x.into_iter().map(row).collect()
}

fn add(a: &Matrix, b: &Matrix) -> Matrix {
    combine(a, b, |a, b| a + b)
}

fn silu(x: f64) -> f64 {
    x * sigmoid(x)
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Formula<'_> {
    fn dense(&self, x: &Matrix, name: &str) -> Matrix {
        self.plus_row(self.times(x, name), &format!("{name}_bias"))
    }

    /// Equations 1 to 3: `U, V, Q, K = silu(norm(X) W)`, then
    /// `Y = (norm(silu(Q K' + bias) V / n) * U) W + b`, plus `X`.
    fn hstu_unit(&self, x: &Matrix, name: &str) -> Matrix {
        let part = |part: &str| format!("{name}.{part}");
        let normed = self.norm(x, &part("before"));
        let of = |which: &str| map(self.times(&normed, &part(which)), silu);
        let (q, k, v, u) = (of("query"), of("key"), of("value"), of("gate"));
        let bias = &self.weights[&part("distance_bias")];
        let row = |at: usize| {
            let weight = |key: usize| silu(product(&q[at], &k[key]) + bias[at - key]) / 6.0;
            let column = |c: usize| (0..=at).map(|key| weight(key) * v[key][c]).sum();
            (0..DIM).map(column).collect()
        };
        let attended: Matrix = (0..x.len()).map(row).collect();
        let gated = combine(&self.norm(&attended, &part("after")), &u, |a, u| a * u);
        add(x, &self.dense(&gated, &part("output")))
    }

    fn hstu(&self, items: &[u32]) -> Matrix {
        let mut x = self.placed(items);
        for unit in ["units.0", "units.1"] {
            x = self.hstu_unit(&x, unit);
        }
        self.norm(&x, "last_norm")
    }

    /// Gated recurrent units, from a state of zeros on.
    fn gru_layer(&self, x: &Matrix, name: &str) -> Matrix {
        let inputs = self.dense(x, &format!("{name}.input"));
        let width = inputs[0].len() / 3;
        let mut state = vec![0.0; width];
        let mut states = Vec::new();
        for input in &inputs {
            let sums = self.dense(&vec![state.clone()], &format!("{name}.recurrent"));
            let cell = |c: usize| {
                let both = |gate: usize| (input[gate * width + c], sums[0][gate * width + c]);
                let (reset, update) = (both(0), both(1));
                let (reset, update) = (sigmoid(reset.0 + reset.1), sigmoid(update.0 + update.1));
                let (input, sum) = both(2);
                (1.0 - update) * (input + reset * sum).tanh() + update * state[c]
            };
            state = (0..width).map(cell).collect();
            states.push(state.clone());
        }
        states
    }

    fn gru4rec(&self, items: &[u32]) -> Matrix {
        let mut x: Matrix = items.iter().map(|&item| self.item(item).to_vec()).collect();
        for layer in ["layers.0", "layers.1"] {
            x = self.gru_layer(&x, layer);
        }
        self.dense(&x, "output")
    }

    /// `relu(norm(sum over taps of x[t - tap * dilation] W_tap + b))`
    fn convolution(&self, x: &Matrix, number: usize, dilation: usize) -> Matrix {
        let part = |part: &str| format!("convolutions.{number}.{part}");
        let mut sum = map(x.clone(), |_| 0.0);
        for tap in 0..3 {
            let weighted = self.times(x, &part(&format!("tap.{tap}")));
            for (at, row) in sum.iter_mut().enumerate().skip(tap * dilation) {
                let from = &weighted[at - tap * dilation];
                row.iter_mut().zip(from).for_each(|(to, from)| *to += from);
            }
        }
        let sum = self.plus_row(sum, &part("bias"));
        map(self.norm(&sum, &part("norm")), |x| x.max(0.0))
    }

    /// Figure 3b: the second convolution looks twice as far.
    fn nextitnet(&self, items: &[u32]) -> Matrix {
        let mut x: Matrix = items.iter().map(|&item| self.item(item).to_vec()).collect();
        for (block, dilation) in [1, 2].into_iter().enumerate() {
            let inner = self.convolution(&x, 2 * block, dilation);
            x = add(&x, &self.convolution(&inner, 2 * block + 1, 2 * dilation));
        }
        x
    }

    /// Every place sees every place.
    fn two_way_attention(&self, x: &Matrix, block: &str) -> Matrix {
        let of = |which: &str| self.dense(x, &format!("{block}.{which}"));
        let (q, k, v) = (of("query"), of("key"), of("value"));
        let row = |q: &Vec<f64>| {
            let powers: Vec<f64> = k.iter().map(|k| (product(q, k) / 4.0).exp()).collect();
            let sum: f64 = powers.iter().sum();
            let column = |c: usize| powers.iter().zip(&v).map(|(p, v)| p / sum * v[c]).sum();
            (0..DIM).map(column).collect()
        };
        let attended: Matrix = q.iter().map(row).collect();
        self.dense(&attended, &format!("{block}.output"))
    }

    /// Both halves are normalized after their residual.
    fn bert_block(&self, x: &Matrix, block: &str) -> Matrix {
        let part = |part: &str| format!("{block}.{part}");
        let x = add(x, &self.two_way_attention(x, block));
        let x = self.norm(&x, &part("attention_norm"));
        let inner = map(self.dense(&x, &part("inner")), gelu);
        let x = add(&x, &self.dense(&inner, &part("outer")));
        self.norm(&x, &part("forward_norm"))
    }

    fn bert4rec(&self, items: &[u32]) -> Matrix {
        let mut x = self.norm(&self.placed(items), "first_norm");
        for block in ["blocks.0", "blocks.1"] {
            x = self.bert_block(&x, block);
        }
        self.norm(&map(self.dense(&x, "output"), gelu), "last_norm")
    }
}

/// By the sigmoid.
fn gelu(x: f64) -> f64 {
    x * sigmoid(1.702 * x)
}

#[test]
fn a_step_of_hstu_is_that_of_its_equations() {
    let params = "clock = \"none\"\nblocks = 2";
    assert_step(params, hstu::body, |f, items| f.hstu(items));
}

#[test]
fn a_step_of_gru4rec_is_that_of_gated_recurrent_units() {
    let params = "layers = 2\nhidden_dim = 32";
    assert_step(params, gru4rec::body, |f, items| f.gru4rec(items));
}

#[test]
fn a_step_of_nextitnet_is_that_of_dilated_convolutions() {
    let params = "dilations = [1, 2]\nkernel_size = 3";
    assert_step(params, nextitnet::body, |f, items| f.nextitnet(items));
}

/// What is served is the row of a mask behind the newest items.
#[test]
fn bert4rec_serves_by_the_formula_of_its_blocks() {
    let network = network_of(
        "heads = 1\nblocks = 2",
        setup(false, Aims::default()),
        bert4rec::body,
    );
    let weights = plain(&network);
    let model = SequenceRecommender::new(network);
    for history in [&log().items[..9], &[3, 1]] {
        let query = Query {
            history,
            ..Query::default()
        };
        let mut scores = vec![0.0; ITEMS];
        model.score(&[query], &mut scores).unwrap();
        let formula = plain_formula(&weights);
        let mut items = history[history.len().saturating_sub(5)..].to_vec();
        items.push(ITEMS as u32);
        let hidden = formula.bert4rec(&items);
        for (score, exact) in scores.iter().zip(formula.scores(&hidden[items.len() - 1])) {
            assert!((f64::from(*score) - exact).abs() < 1e-3, "{score} {exact}");
        }
    }
}

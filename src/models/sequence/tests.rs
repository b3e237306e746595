//! SASRec as its papers write it, in float64, against what the kernels
//! compute: the loss of a step, its gradients, and what is served. The other
//! models' layers are in [`formulas`].

mod formulas;

use super::Body;
use super::examples::Examples;
use super::network::Network;
use super::on_device::OnDevice;
use super::part::{Clock, Part};
use super::recommender::SequenceRecommender;
use super::sasrec;
use super::setup::{SequenceLoss, Setup};
use super::step::{Step, Trainer};
use super::tensors::TapeStep;
use crate::data::interactions::Interactions;
use crate::kernels::layers::Layout;
use crate::kernels::update::Hyper;
use crate::model::{Query, Recommender};
use crate::models::embeddings::Embeddings;
use crate::optim::{Optimizer, OptimizerConfig};
use crate::params::{Param, host};
use crate::seed::{Rng, Seed};
use crate::tape::{Tape, Updates};
use burn::tensor::Device;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

const DIM: usize = 16;
const ITEMS: usize = 9;
const TEMPERATURE: f64 = 0.4;

type Matrix = Vec<Vec<f64>>;

/// Weights by name, row-major.
type Plain = BTreeMap<String, Vec<f64>>;

/// What a step minimizes beside the scores of next items.
#[derive(Clone, Copy, Debug, Default)]
struct Aims {
    smoothing: f64,
    l2: f64,
    l1: f64,
}

fn setup(cosine: bool, aims: Aims) -> Setup {
    Setup {
        cosine,
        regularization: aims.l2,
        embeddings: Embeddings {
            l1: aims.l1,
            ..Embeddings::default()
        },
        temperature: TEMPERATURE,
        embedding_dim: DIM,
        max_length: 6,
        dropout: 0.0,
        loss: SequenceLoss::CrossEntropy,
        ..Setup::default()
    }
}

/// With weights that are random where they begin as constants.
fn network(block: &str, cosine: bool, aims: Aims) -> Network {
    let params = format!("block = \"{block}\"\nblocks = 2");
    network_of(&params, setup(cosine, aims), sasrec::body)
}

/// A model's body by its parameters.
type BodyOf<P> = fn(&P, &Setup, &mut Layout) -> Box<dyn Body>;

fn network_of<P>(params: &str, setup: Setup, body: BodyOf<P>) -> Network
where
    P: Default + Serialize + DeserializeOwned,
{
    let params = crate::models::params::parse(params.parse().unwrap()).unwrap();
    let mut layout = Layout::default();
    let body = body(&params, &setup, &mut layout);
    let device = Device::flex();
    let mut network = Network::new(setup, body, layout, ITEMS, Some(Seed(1)), &device);
    let mut rng = Seed(2).stream("test");
    for param in network.params_mut() {
        let [rows, columns] = param.shape();
        let values = (0..rows * columns).map(|_| 0.5 * rng.normal()).collect();
        param.set_host(values);
    }
    network
}

fn plain(network: &Network) -> Plain {
    let wide = |param: &Param| param.host().unwrap().into_iter().map(f64::from).collect();
    let params = network.params().into_iter();
    params.map(|p| (p.name().to_string(), wide(p))).collect()
}

struct Formula<'a> {
    weights: &'a Plain,
    cosine: bool,
    aims: Aims,
}

impl Formula<'_> {
    fn times(&self, x: &Matrix, name: &str) -> Matrix {
        let w = &self.weights[name];
        let columns = w.len() / x[0].len();
        let cell = |row: &Vec<f64>, c: usize| {
            let products = row.iter().enumerate().map(|(k, v)| v * w[k * columns + c]);
            products.sum()
        };
        x.iter()
            .map(|row| (0..columns).map(|c| cell(row, c)).collect())
            .collect()
    }

    fn plus_row(&self, x: Matrix, name: &str) -> Matrix {
        let b = &self.weights[name];
        let row = |row: Vec<f64>| row.iter().zip(b).map(|(x, b)| x + b).collect();
        x.into_iter().map(row).collect()
    }

    fn norm(&self, x: &Matrix, name: &str) -> Matrix {
        let scale = &self.weights[&format!("{name}.scale")];
        let shift = &self.weights[&format!("{name}.shift")];
        let row = |row: &Vec<f64>| {
            let mean = row.iter().sum::<f64>() / DIM as f64;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / DIM as f64;
            let unit = |x: f64| (x - mean) / (variance + 1e-5).sqrt();
            (0..DIM)
                .map(|c| unit(row[c]) * scale[c] + shift[c])
                .collect()
        };
        x.iter().map(row).collect()
    }

    fn attention(&self, queries: &Matrix, keys: &Matrix, block: &str) -> Matrix {
        let q = self.times(queries, &format!("{block}.query"));
        let k = self.times(keys, &format!("{block}.key"));
        let v = self.times(keys, &format!("{block}.value"));
        let row = |at: usize| {
            let product = |key: usize| (0..DIM).map(|c| q[at][c] * k[key][c]).sum::<f64>();
            let powers: Vec<f64> = (0..=at).map(|key| (product(key) / 4.0).exp()).collect();
            let sum: f64 = powers.iter().sum();
            let column = |c: usize| (0..=at).map(|key| powers[key] / sum * v[key][c]).sum();
            (0..DIM).map(column).collect()
        };
        (0..q.len()).map(row).collect()
    }

    fn block(&self, x: &Matrix, kind: &str, name: &str) -> Matrix {
        let part = |part: &str| format!("{name}.{part}");
        let normed = self.norm(x, &part("attention_norm"));
        if kind == "sasrec" {
            let x = combine(&normed, &self.attention(&normed, x, name), |a, b| a + b);
            let x = self.norm(&x, &part("forward_norm"));
            return combine(&x, &self.relu_net(&x, name), |a, b| a + b);
        }
        let attended = self.attention(&normed, &normed, name);
        let attended = self.times(&attended, &part("output"));
        let x = self.gated(x, &attended, kind, &part("attention_gate"));
        let normed = self.norm(&x, &part("forward_norm"));
        if kind == "pre_norm" {
            return combine(&x, &self.relu_net(&normed, name), |a, b| a + b);
        }
        let inner = self.times(&normed, &part("first"));
        let open = self.times(&normed, &part("gate"));
        let inner = combine(&inner, &open, |a, b| a * b * sigmoid(b));
        let outer = self.times(&inner, &part("second"));
        self.gated(&x, &outer, kind, &part("forward_gate"))
    }

    fn relu_net(&self, x: &Matrix, name: &str) -> Matrix {
        let mut inner = self.times(x, &format!("{name}.first"));
        inner = self.plus_row(inner, &format!("{name}.first_bias"));
        inner.iter_mut().flatten().for_each(|x| *x = x.max(0.0));
        let outer = self.times(&inner, &format!("{name}.second"));
        self.plus_row(outer, &format!("{name}.second_bias"))
    }

    fn gated(&self, x: &Matrix, y: &Matrix, kind: &str, gate: &str) -> Matrix {
        if kind == "pre_norm" {
            return combine(x, y, |a, b| a + b);
        }
        let open = self.plus_row(self.times(x, gate), &format!("{gate}_bias"));
        let y = combine(&open, y, |a, b| sigmoid(a) * b);
        combine(x, &y, |a, b| a + b)
    }

    fn item(&self, item: u32) -> &[f64] {
        &self.weights["item_embedding"][item as usize * DIM..][..DIM]
    }

    /// Embeddings of items, each with that of its place from the newest back.
    fn placed(&self, items: &[u32]) -> Matrix {
        let places = &self.weights["places"];
        let row = |(at, &item): (usize, &u32)| {
            let place = &places[(items.len() - 1 - at) * DIM..][..DIM];
            let pairs = self.item(item).iter().zip(place);
            pairs.map(|(a, b)| a + b).collect()
        };
        items.iter().enumerate().map(row).collect()
    }

    fn hidden(&self, items: &[u32], kind: &str) -> Matrix {
        let mut x = self.placed(items);
        for block in ["blocks.0", "blocks.1"] {
            x = self.block(&x, kind, block);
        }
        self.norm(&x, "last_norm")
    }

    fn scores(&self, hidden: &[f64]) -> Vec<f64> {
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let score = |item| {
            let item = self.item(item);
            let inner = product(item, hidden);
            if !self.cosine {
                return inner;
            }
            inner / (product(item, item) * product(hidden, hidden)).sqrt() / TEMPERATURE
        };
        (0..ITEMS as u32).map(score).collect()
    }

    fn penalty(&self, items: &[u32]) -> f64 {
        let numbers = items.iter().flat_map(|&item| self.item(item));
        let of = |w: &f64| self.aims.l2 * w * w + self.aims.l1 * w.abs();
        numbers.map(of).sum()
    }

    /// The sum of the cross-entropies of all next items, with hidden rows by
    /// `hidden`, and of the penalties of what is read and predicted.
    fn loss(&self, windows: &[Vec<u32>], hidden: impl Fn(&[u32]) -> Matrix) -> f64 {
        let window = |window: &Vec<u32>| {
            let hidden = hidden(&window[..window.len() - 1]);
            let row = |(row, &next): (&Vec<f64>, &u32)| {
                let scores = self.scores(row);
                let sum: f64 = scores.iter().map(|s| s.exp()).sum();
                let even = scores.iter().sum::<f64>() / scores.len() as f64;
                let smoothing = self.aims.smoothing;
                sum.ln() - (1.0 - smoothing) * scores[next as usize] - smoothing * even
            };
            let losses = hidden.iter().zip(&window[1..]).map(row).sum::<f64>();
            losses + self.penalty(&window[..window.len() - 1]) + self.penalty(&window[1..])
        };
        windows.iter().map(window).sum()
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn combine(a: &Matrix, b: &Matrix, f: impl Fn(f64, f64) -> f64) -> Matrix {
    let row = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect();
    a.iter().zip(b).map(row).collect()
}

/// Three users, one with more items than a window holds.
fn log() -> Interactions {
    Interactions {
        offsets: vec![0, 9, 13, 15],
        items: vec![0, 3, 1, 4, 8, 5, 2, 7, 6, 1, 1, 3, 0, 8, 2],
        num_items: ITEMS,
        ..Interactions::default()
    }
}

fn windows() -> Vec<Vec<u32>> {
    vec![vec![1, 4, 8, 5, 2, 7, 6], vec![1, 1, 3, 0], vec![8, 2]]
}

const RATE: f64 = 1.0;

/// Loss and gradients of one step, by way of plain gradient descent.
fn step(network: &mut Network, smoothing: f64, by_tape: bool) -> (f64, Plain) {
    let config = OptimizerConfig::plain_sgd();
    let mut optimizer = Optimizer::new(config);
    let examples = Examples::new(&log(), &network.setup, 1);
    let mut part = Part::default();
    examples
        .step(0..1)
        .for_each(|e| part.push_next(&e, Clock::None));
    // Before an epoch begins, all windows stand at place 0.
    assert_eq!(part.predictions(), 10);
    let parts = [part];
    let before = plain(network);
    let stream = Seed(1).stream("dropout");
    if by_tape {
        let loss = tape_step(network, smoothing, &mut optimizer, &parts, stream);
        return (10.0 * loss, moved(before, network));
    }
    let smoothing = smoothing as f32;
    let mut trainer = Trainer::new(network, &optimizer, None, smoothing, false).unwrap();
    let loss = trainer.step(
        &Step {
            body: network.body.as_ref(),
            setup: &network.setup,
            parts: &parts,
            negatives: None,
            dropout: &stream,
        },
        &Hyper::new(&config, RATE, 1),
    );
    trainer.write_back(network, &mut optimizer);
    (loss, moved(before, network))
}

/// One step by operations on tensors; the mean loss.
fn tape_step(
    network: &mut Network,
    smoothing: f64,
    optimizer: &mut Optimizer,
    parts: &[Part],
    dropout: Rng,
) -> f64 {
    let mut tape = Tape::training(&Device::flex(), Updates::Rows);
    tape.begin(dropout);
    let step = TapeStep {
        network,
        parts,
        goal: None,
        smoothing: smoothing as f32,
        negatives: None,
        on_device: &OnDevice::default(),
    };
    let loss = step.loss(&mut tape);
    let grads = loss.backward();
    optimizer.step(network.params_mut(), tape.take_leaves(), &grads, RATE);
    f64::from(host(loss.inner()).unwrap()[0])
}

fn moved(before: Plain, network: &Network) -> Plain {
    let mut gradients = before;
    for (name, after) in plain(network) {
        let values = gradients.get_mut(&name).unwrap();
        for (value, after) in values.iter_mut().zip(after) {
            *value = (*value - after) / RATE;
        }
    }
    gradients
}

#[test]
fn a_step_is_the_formula_and_its_derivatives() {
    let none = Aims::default();
    let all = Aims {
        smoothing: 0.2,
        l2: 0.1,
        l1: 0.05,
    };
    let cases = [
        ("sasrec", false, none),
        ("pre_norm", false, none),
        ("ligr", false, none),
        ("ligr", true, none),
        ("sasrec", false, all),
        ("ligr", true, all),
    ];
    let both = cases
        .into_iter()
        .flat_map(|case| [(case, false), (case, true)]);
    for ((kind, cosine, aims), by_tape) in both {
        let mut network = network(kind, cosine, aims);
        let mut weights = plain(&network);
        let loss_of = |weights: &Plain| {
            let formula = Formula {
                weights,
                cosine,
                aims,
            };
            formula.loss(&windows(), |items| formula.hidden(items, kind))
        };
        let (loss, gradients) = step(&mut network, aims.smoothing, by_tape);
        let exact = loss_of(&weights);
        assert!(
            (loss - exact).abs() < 1e-4 * exact,
            "{kind}: {loss} {exact}"
        );
        for (name, gradient) in gradients {
            for at in (0..gradient.len()).step_by(gradient.len() / 11 + 1) {
                let mut moved = |by: f64| {
                    weights.get_mut(&name).unwrap()[at] += by;
                    loss_of(&weights)
                };
                let finite = (moved(1e-5) - moved(-2e-5)) / 2e-5 / 10.0;
                moved(1e-5);
                assert!(
                    (finite - gradient[at]).abs() < 1e-4,
                    "{kind}, cosine {cosine}, {aims:?}, by tape {by_tape}, {name} {at}: {finite} {}",
                    gradient[at]
                );
            }
        }
    }
}

#[test]
fn the_newest_items_are_served_by_the_formula() {
    for cosine in [false, true] {
        let aims = Aims::default();
        let network = network("ligr", cosine, aims);
        let weights = plain(&network);
        let model = SequenceRecommender::new(network);
        let history = &log().items[..9];
        let query = Query {
            history,
            ..Query::default()
        };
        let mut scores = vec![0.0; ITEMS];
        model.score(&[query], &mut scores).unwrap();
        let weights = &weights;
        let formula = Formula {
            weights,
            cosine,
            aims,
        };
        let hidden = formula.hidden(&history[3..], "ligr");
        for (score, exact) in scores.iter().zip(formula.scores(&hidden[5])) {
            assert!((f64::from(*score) - exact).abs() < 1e-4, "{score} {exact}");
        }
    }
}

#[test]
fn masks_are_a_share_of_the_items_and_never_none() {
    let log = Interactions {
        offsets: (0..=400).map(|u| u * 6).collect(),
        items: (0..2400).map(|i| i % 9).collect(),
        num_items: ITEMS,
        ..Interactions::default()
    };
    let mut examples = Examples::new(&log, &setup(false, Aims::default()), 0);
    examples.begin_epoch(Seed(3), 1);
    let mut masked = 0;
    for example in examples.step(0..examples.len()) {
        let mut part = Part::default();
        part.push_masked(&example, 0.5, 9, &examples.masks);
        assert!(part.predictions() > 0 && part.len() == 6);
        masked += part.predictions();
    }
    // Half of 6 in ten of eleven windows, one in the others.
    let expected = 400.0 * (10.0 * 3.0 + 1.0) / 11.0;
    assert!((masked as f64 - expected).abs() < 60.0, "{masked}");
}

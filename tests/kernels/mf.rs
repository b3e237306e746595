//! Steps of matrix factorization on a GPU against those on the CPU, and both
//! against plain tensor operations: the same draws, the same rows.

use super::{ints, seed, wgpu};
use burn::tensor::{Device, Tensor, TensorData};
use recsys::data::Interactions;
use recsys::kernels::mf::gpu::{DeviceFactors, HostSide, Shape};
use recsys::kernels::mf::{Batcher, Factors, Goal, Rows, Settings, Side};
use recsys::kernels::update::Hyper;
use recsys::losses;
use recsys::optim::{OptimizerConfig, OptimizerKind, apply};
use recsys::params::host;
use recsys::sampling::{NegativeSampler, NegativeSampling};
use recsys::seed::{Permutation, Rng};
use std::sync::Arc;

const USERS: usize = 60;
const ITEMS: usize = 150;
const BATCH: usize = 200;

/// Random positives; user 0 has all items but two, of which some came twice,
/// so that rejection gives up, and user 1 has none.
fn log() -> Arc<Interactions> {
    let mut rng = seed().stream("test");
    let mut log = Interactions {
        offsets: vec![0],
        num_items: ITEMS,
        ..Interactions::default()
    };
    for user in 0..USERS {
        let mut items: Vec<u32> = (0..ITEMS as u32)
            .filter(|&i| match user {
                0 => i != 17 && i != 90,
                1 => false,
                _ => rng.below(20) == 0,
            })
            .collect();
        if user == 0 {
            items.extend([4, 4, 149]);
            items.sort_unstable();
        }
        log.items.extend(items);
        log.offsets.push(log.items.len());
    }
    Arc::new(log)
}

struct Case {
    goal: Goal,
    dim: usize,
    biases: bool,
    negatives: usize,
    sampling: NegativeSampling,
}

impl Case {
    fn settings(&self) -> Settings {
        Settings {
            goal: self.goal,
            hardest_negative: false,
            rows: Rows {
                bias: self.biases.then_some(self.dim),
                cosine: false,
            },
            user_regularization: 0.01,
            item_regularization: 0.03,
            gradient_clip: 0.0,
            hogwild: false,
        }
    }

    fn columns(&self) -> usize {
        self.dim + usize::from(self.biases)
    }

    /// Weights of users and items.
    fn start(&self) -> [Vec<f32>; 2] {
        let mut rng = seed().stream("test");
        [USERS, ITEMS].map(|rows| {
            (0..rows * self.columns())
                .map(|_| 0.3 * rng.normal())
                .collect()
        })
    }
}

const CONFIG: OptimizerConfig = OptimizerConfig {
    kind: OptimizerKind::Adam,
    weight_decay: 0.01,
    momentum: 0.9,
    beta1: 0.9,
    beta2: 0.99,
    epsilon: 1e-2,
    gradient_clip: 0.0,
};

const RATE: f64 = 0.05;

fn hyper(step: u64) -> Hyper {
    Hyper::new(&CONFIG, RATE, step)
}

/// Order and stream of an epoch.
fn epoch(log: &Interactions) -> (Permutation, Rng) {
    let order = Permutation::new(log.len() as u32, &mut seed().stream("shuffle"));
    (order, seed().stream("negatives"))
}

/// The places of two steps, the second one shorter.
fn steps(log: &Interactions) -> [std::ops::Range<usize>; 2] {
    [0..BATCH, BATCH..log.len().min(2 * BATCH - 30)]
}

/// The users of some places of the epoch, and for each its positive and its
/// negatives.
fn draw(case: &Case, log: &Arc<Interactions>, places: std::ops::Range<usize>) -> [Vec<u32>; 2] {
    let sampler = NegativeSampler::new(log.clone(), case.sampling, 0.75).unwrap();
    let (order, stream) = epoch(log);
    let column = log.user_column();
    let (mut users, mut items) = (Vec::new(), Vec::new());
    for place in places {
        let row = order.at(place as u32) as usize;
        let user = column[row];
        users.push(user);
        items.push(log.items[row]);
        let numbers = (0..case.negatives).map(|k| (place * case.negatives + k) as u64);
        items.extend(numbers.map(|number| sampler.draw(&stream, number, user)));
    }
    [users, items]
}

/// Weights and losses after two steps on the CPU.
fn on_cpu(case: &Case, log: &Arc<Interactions>) -> ([Vec<f32>; 2], Vec<f64>) {
    let columns = case.columns();
    let [users, items] = case.start();
    let side = |rows: usize, values: &[f32]| {
        let mut side = Side::zeros(rows, columns, 2);
        side.weights.put(0, columns, values);
        side
    };
    let sides = (side(USERS, &users), side(ITEMS, &items));
    let mut factors = Factors::new(case.settings(), sides.0, sides.1);
    let mut batcher = Batcher::new(USERS, ITEMS);
    let mut losses = Vec::new();
    for (step, places) in (1..).zip(steps(log)) {
        let mut batch = batcher.empty();
        let size = (places.len(), 1 + case.negatives);
        let [drawn_users, drawn_items] = draw(case, log, places);
        let fill = |users: &mut [u32], items: &mut [u32]| {
            users.copy_from_slice(&drawn_users);
            items.copy_from_slice(&drawn_items);
        };
        batcher.fill(&mut batch, size, fill, std::iter::empty());
        losses.push(factors.step(&mut batch, &hyper(step)));
    }
    let weights = [&factors.users, &factors.items].map(|side| side.weights.take(0, columns));
    (weights, losses)
}

/// The loss of a batch from its rows `[batch, columns]` and `[batch * width,
/// columns]`, with the penalties.
fn plain_loss(case: &Case, users: Tensor<2>, items: Tensor<2>) -> Tensor<1> {
    let [batch, columns] = users.dims();
    let width = items.dims()[0] / batch;
    let squares = |rows: &Tensor<2>| (rows.clone() * rows.clone()).sum() / batch as f64;
    let settings = case.settings();
    let penalty = squares(&users) * settings.user_regularization
        + squares(&items) * settings.item_regularization;
    let part = |rows: &Tensor<2>, own| rows.clone().slice([0..rows.dims()[0], own]);
    let vectors = part(&users, 0..case.dim).reshape([batch, 1, case.dim])
        * part(&items, 0..case.dim).reshape([batch, width, case.dim]);
    let mut scores = vectors.sum_dim(2).reshape([batch, width]);
    if case.biases {
        let own = case.dim..columns;
        scores = scores + part(&users, own.clone()) + part(&items, own).reshape([batch, width]);
    }
    let loss = match case.goal {
        Goal::Bpr => losses::bpr(scores),
        Goal::Softmax {
            temperature,
            smoothing,
        } => losses::softmax(scores / temperature, f64::from(smoothing)),
        other => panic!("{other:?} is not among the cases"),
    };
    loss + penalty
}

/// The same by gather, automatic differentiation of the loss, and the
/// optimizer's formula on the rows of the batch.
fn by_tensors(case: &Case, log: &Arc<Interactions>) -> ([Vec<f32>; 2], Vec<f64>) {
    let device = Device::flex();
    let columns = case.columns();
    let starts = case.start();
    let mut tables: Vec<Tensor<2>> = starts
        .into_iter()
        .map(|values| {
            let shape = [values.len() / columns, columns];
            Tensor::from_data(TensorData::new(values, shape), &device)
        })
        .collect();
    let zeros = |table: &Tensor<2>| vec![table.zeros_like(), table.zeros_like()];
    let mut states: Vec<Vec<Tensor<2>>> = tables.iter().map(zeros).collect();
    let mut losses = Vec::new();
    for (step, places) in (1..).zip(steps(log)) {
        let drawn = draw(case, log, places);
        let leaves: Vec<Tensor<2>> = tables
            .iter()
            .map(|table| Tensor::from_inner(table.clone()).require_grad())
            .collect();
        let rows = |side: usize| {
            let at = ints(&drawn[side], &device.clone().autodiff());
            leaves[side].clone().select(0, at)
        };
        let loss = plain_loss(case, rows(0), rows(1));
        losses.push(f64::from(host(loss.clone().inner()).unwrap()[0]));
        let grads = loss.backward();
        for side in 0..2 {
            let table = tables[side].clone();
            let grad = leaves[side].grad(&grads).unwrap();
            let old = states[side].clone();
            let (new, new_states) = apply(&CONFIG, table.clone(), grad, old.clone(), RATE, step);
            // Rows that the batch did not draw stay as they are.
            let mut drawn_rows = vec![0.0; table.dims()[0]];
            drawn[side]
                .iter()
                .for_each(|&row| drawn_rows[row as usize] = 1.0f32);
            let shape = [drawn_rows.len(), 1];
            let mask: Tensor<2> = Tensor::from_data(TensorData::new(drawn_rows, shape), &device);
            let mix = |old: Tensor<2>, new: Tensor<2>| old.clone() + (new - old) * mask.clone();
            tables[side] = mix(table, new);
            let mixed = old
                .into_iter()
                .zip(new_states)
                .map(|(old, new)| mix(old, new));
            states[side] = mixed.collect();
        }
    }
    let weights = [0, 1].map(|side| host(tables[side].clone()).unwrap());
    (weights, losses)
}

fn on_gpu(case: &Case, log: &Arc<Interactions>, device: &Device) -> ([Vec<f32>; 2], Vec<f64>) {
    let sampler = NegativeSampler::new(log.clone(), case.sampling, 0.75).unwrap();
    let shape = Shape {
        dim: case.dim,
        num_users: USERS,
        num_items: ITEMS,
        width: 1 + case.negatives,
        batch_size: BATCH,
        scale: (0.0, 1.0),
    };
    let [users, items] = case.start().map(|weights| HostSide {
        states: vec![vec![0.0; weights.len()]; 2],
        weights,
    });
    let factors = DeviceFactors::new(device, case.settings(), shape, &users, &items);
    let mut factors = factors.expect("there are kernels for this");
    factors.load(device, log, Some(&sampler)).unwrap();
    let (order, stream) = epoch(log);
    factors.begin_epoch(&order, &stream);
    for (step, places) in steps(log).into_iter().enumerate() {
        factors.step(places, &hyper(step as u64 + 1), step);
    }
    let losses = factors.losses().unwrap();
    let weights = factors.download().unwrap().map(|side| side.weights);
    (weights, losses[..2].to_vec())
}

#[test]
fn steps_equal_those_of_the_cpu_and_of_tensors_and_repeat() {
    let Some(device) = wgpu() else {
        eprintln!("skipped: wgpu sees no adapter, not even a software one");
        return;
    };
    let cases = [
        Case {
            goal: Goal::Bpr,
            dim: 64,
            biases: false,
            negatives: 1,
            sampling: NegativeSampling::Uniform,
        },
        Case {
            goal: Goal::Softmax {
                temperature: 0.7,
                smoothing: 0.1,
            },
            dim: 70,
            biases: true,
            negatives: 140,
            sampling: NegativeSampling::Popularity,
        },
    ];
    let log = log();
    for case in &cases {
        let (gpu_weights, gpu_losses) = on_gpu(case, &log, &device);
        for (what, (weights, losses)) in [
            ("kernels on the CPU", on_cpu(case, &log)),
            ("tensors", by_tensors(case, &log)),
        ] {
            for (a, b) in gpu_losses.iter().zip(&losses) {
                let apart = (a - b).abs() / b.abs().max(1.0);
                assert!(apart < 1e-5, "{what}: losses {a} {b}");
            }
            for (side, (a, b)) in gpu_weights.iter().zip(&weights).enumerate() {
                for (i, (a, b)) in a.iter().zip(b).enumerate() {
                    assert!((a - b).abs() < 1e-5, "{what}: side {side} at {i}: {a} {b}");
                }
            }
        }
        // Bit by bit, whatever the order in which the units run.
        let again = on_gpu(case, &log, &device);
        assert!(again == (gpu_weights, gpu_losses), "a second run differs");
    }
}

//! Steps of matrix factorization on a GPU against those on the CPU: the same
//! draws, the same rows.

use super::wgpu;
use burn::tensor::Device;
use recsys::data::Interactions;
use recsys::kernels::mf::gpu::{DeviceFactors, HostSide, Shape};
use recsys::kernels::mf::{Batcher, Factors, Goal, Rows, Settings, Side};
use recsys::kernels::update::Hyper;
use recsys::optim::{OptimizerConfig, OptimizerKind};
use recsys::sampling::{NegativeSampler, NegativeSampling};
use recsys::seed::{Permutation, Rng, Seed};
use std::sync::Arc;

const USERS: usize = 60;
const ITEMS: usize = 150;
const BATCH: usize = 200;

/// Random positives; user 0 has all items but two, of which some came twice,
/// so that rejection gives up, and user 1 has none.
fn log() -> Arc<Interactions> {
    let mut rng = Seed(3).stream("test");
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
        let mut rng = Seed(4).stream("test");
        [USERS, ITEMS].map(|rows| {
            (0..rows * self.columns())
                .map(|_| 0.3 * rng.normal())
                .collect()
        })
    }
}

fn hyper(step: u64) -> Hyper {
    let config = OptimizerConfig {
        kind: OptimizerKind::Adam,
        weight_decay: 0.01,
        momentum: 0.9,
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-2,
        gradient_clip: 0.0,
    };
    Hyper::new(&config, 0.05, step)
}

/// Order and stream of an epoch.
fn epoch(log: &Interactions) -> (Permutation, Rng) {
    let order = Permutation::new(log.len() as u32, &mut Seed(5).stream("shuffle"));
    (order, Seed(5).stream("negatives"))
}

/// The places of two steps, the second one shorter.
fn steps(log: &Interactions) -> [std::ops::Range<usize>; 2] {
    [0..BATCH, BATCH..log.len().min(2 * BATCH - 30)]
}

/// Weights and losses after two steps on the CPU.
fn on_cpu(case: &Case, log: &Arc<Interactions>) -> ([Vec<f32>; 2], Vec<f64>) {
    let sampler = NegativeSampler::new(log.clone(), case.sampling, 0.75).unwrap();
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
    let (order, stream) = epoch(log);
    let column = log.user_column();
    let mut losses = Vec::new();
    for (step, places) in (1..).zip(steps(log)) {
        let mut batch = batcher.empty();
        let size = (places.len(), 1 + case.negatives);
        let draw = |users: &mut [u32], items: &mut [u32]| {
            for (i, place) in places.clone().enumerate() {
                let row = order.at(place as u32) as usize;
                users[i] = column[row];
                let items = &mut items[i * size.1..(i + 1) * size.1];
                items[0] = log.items[row];
                for (k, item) in items[1..].iter_mut().enumerate() {
                    let number = place * case.negatives + k;
                    *item = sampler.draw(&stream, number as u64, users[i]);
                }
            }
        };
        batcher.fill(&mut batch, size, draw, std::iter::empty());
        losses.push(factors.step(&mut batch, &hyper(step)));
    }
    let weights = [&factors.users, &factors.items].map(|side| side.weights.take(0, columns));
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
fn steps_equal_those_of_the_cpu_and_repeat() {
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
        let (weights, losses) = on_cpu(case, &log);
        let (gpu_weights, gpu_losses) = on_gpu(case, &log, &device);
        for (a, b) in gpu_losses.iter().zip(&losses) {
            assert!((a - b).abs() < 1e-5 * b.abs().max(1.0), "losses {a} {b}");
        }
        for (side, (a, b)) in gpu_weights.iter().zip(&weights).enumerate() {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                assert!((a - b).abs() < 1e-5, "side {side} at {i}: {a} {b}");
            }
        }
        // Bit by bit, whatever the order in which the units run.
        let again = on_gpu(case, &log, &device);
        assert!(again == (gpu_weights, gpu_losses), "a second run differs");
    }
}

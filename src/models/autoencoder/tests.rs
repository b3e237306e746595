//! What tests of the models here share, and tests of batches.

use super::recommender::Autoencoder;
use super::task::{Batch, Task};
use super::{Network, negative_log_likelihood};
use crate::data::interactions::Interactions;
use crate::event::Silent;
use crate::model::distinct;
use crate::model::{FitContext, ModelData, ModelSpec};
#[cfg(feature = "wgpu")]
use crate::optim::{Optimizer, OptimizerConfig};
use crate::params::{Param, host};
#[cfg(feature = "wgpu")]
use crate::seed::Rng;
use crate::seed::Seed;
use crate::tape::{Bags, Tape, Updates};
use crate::tensors::NamedTensors;
use crate::training::{MemorySink, Trainable};
use burn::tensor::{Device, Tensor, activation};
use std::collections::BTreeMap;

pub const ITEMS: usize = 6;

pub const HISTORIES: [&[u32]; 3] = [&[0, 2, 5], &[1], &[3, 4, 0, 1]];

/// The histories, one of them with a repeated item, and a user without any.
pub fn train() -> Interactions {
    Interactions {
        offsets: vec![0, 4, 4, 5, 9],
        items: vec![2, 0, 5, 0, 1, 3, 4, 0, 1],
        num_items: ITEMS,
        ..Interactions::default()
    }
}

/// The first batch of a training, of all users, and a tape for it.
pub fn batch_of(network: Box<dyn Network>) -> (Tape, Batch) {
    let device = Device::flex();
    let model = Autoencoder::new(network, ITEMS, &device);
    let mut task = Task::new(model, &train(), 8, Seed(1));
    task.begin_epoch(Seed(1), 0);
    let mut tape = Tape::training(&device, Updates::Rows);
    tape.begin(Seed(1).stream("dropout"));
    let batch = task.batch(&tape, 0..3);
    (tape, batch)
}

/// Gives a network random weights everywhere; what they are, in f64 by name.
pub fn randomized(network: &mut dyn Network) -> BTreeMap<String, Vec<f64>> {
    let mut stream = Seed(5).stream("test");
    let params = network.params_mut().into_iter();
    params
        .map(|param| {
            let [rows, columns] = param.shape();
            let values: Vec<f32> = (0..rows * columns).map(|_| 0.5 * stream.normal()).collect();
            let wide = values.iter().map(|&v| f64::from(v)).collect();
            param.set_host(values);
            (param.name().to_string(), wide)
        })
        .collect()
}

/// The weights after some epochs.
pub fn weights_after(spec: &dyn ModelSpec, epochs: usize) -> NamedTensors {
    let train = train();
    let training = format!("epochs = {epochs}\nbatch_size = 2\nlearning_rate = 0.01");
    let context = FitContext {
        data: ModelData {
            train: &train,
            user_features: None,
            item_features: None,
        },
        training: &toml::from_str(&training).unwrap(),
        device: &Device::flex(),
        seed: Seed(1),
        observer: &mut Silent,
        validate: None,
        checkpoints: &mut MemorySink::default(),
    };
    spec.fit(context).unwrap().model.weights().unwrap()
}

/// The loss and its gradient, against dense targets and the sum over the whole
/// catalog.
#[test]
fn the_likelihood_is_that_of_dense_targets() {
    let device = Device::flex();
    let network = Box::new(Dropping {
        weight: Param::zeros("w", [1, ITEMS], &device),
        bias: Param::zeros("b", [1, ITEMS], &device),
    });
    let (tape, batch) = batch_of(network);
    let mut random = Seed(9).stream("logits");
    let values: Vec<f32> = (0..3 * ITEMS).map(|_| 3.0 * random.normal()).collect();
    let logits = || tape.floats(values.clone(), [3, ITEMS]).require_grad();
    let (ours, plain) = (logits(), logits());
    let loss = negative_log_likelihood(ours.clone(), &batch);
    let targets = tape.floats(batch.clean.counts(), [3, ITEMS]);
    let dense = activation::log_softmax(plain.clone(), 1) * targets;
    let dense = dense.sum() / -3.0;
    let value = |loss: &Tensor<1>| host(loss.clone().inner()).unwrap()[0];
    assert!((value(&loss) - value(&dense)).abs() < 1e-5 * value(&dense));
    let slopes = |loss: Tensor<1>, of: &Tensor<2>| {
        let grads = loss.backward();
        host(of.grad(&grads).unwrap()).unwrap()
    };
    assert_eq!(slopes(loss, &ours), slopes(dense, &plain));
}

/// Nothing but a dropout.
struct Dropping {
    weight: Param,
    bias: Param,
}

impl Network for Dropping {
    fn params(&self) -> Vec<&Param> {
        vec![&self.weight, &self.bias]
    }

    fn params_mut(&mut self) -> Vec<&mut Param> {
        vec![&mut self.weight, &mut self.bias]
    }

    fn output(&self) -> (&Param, &Param) {
        (&self.weight, &self.bias)
    }

    fn hidden(&self, _: &mut Tape, _: &Bags, scales: Tensor<2>) -> Tensor<2> {
        scales
    }

    fn loss(&self, tape: &mut Tape, _: &Batch) -> Tensor<1> {
        tape.param(&self.bias).sum()
    }

    fn dropout(&self, _: usize) -> f64 {
        0.5
    }
}

#[test]
fn batches_hold_users_with_items_and_scale_what_dropout_leaves() {
    let device = Device::flex();
    let network = Box::new(Dropping {
        weight: Param::zeros("w", [1, ITEMS], &device),
        bias: Param::zeros("b", [1, ITEMS], &device),
    });
    let (_, batch) = batch_of(network);
    let mut histories: Vec<Vec<u32>> = HISTORIES.iter().map(|h| distinct(h)).collect();
    let clean = batch.clean.counts();
    let kept = batch.corrupted.counts();
    let whole = host(batch.scales.inner()).unwrap();
    let scales = host(batch.corrupted_scales.inner()).unwrap();
    for (user, row) in clean.chunks(ITEMS).enumerate() {
        let items: Vec<u32> = (0..ITEMS as u32)
            .filter(|&i| row[i as usize] > 0.0)
            .collect();
        let place = histories.iter().position(|h| *h == items).unwrap();
        histories.remove(place);
        let scale = 1.0 / (items.len() as f32).sqrt();
        assert!((whole[user] - scale).abs() < 1e-6 && (scales[user] - 2.0 * scale).abs() < 1e-6);
    }
    assert!(histories.is_empty());
    assert!(kept.iter().zip(&clean).all(|(k, c)| k <= c));
    let left: f32 = kept.iter().sum();
    assert!(left < 8.0, "{left} of 8 items are left");
}

/// Random histories, some of one item.
#[cfg(feature = "wgpu")]
fn histories(rng: &mut Rng) -> Interactions {
    let mut log = Interactions {
        offsets: vec![0],
        num_items: 50,
        ..Interactions::default()
    };
    for user in 0..20 {
        let mut items: Vec<u32> = (0..50).collect();
        rng.shuffle(&mut items);
        items.truncate(if user % 5 == 0 {
            1
        } else {
            1 + rng.below(49) as usize
        });
        log.items.extend(items);
        log.offsets.push(log.items.len());
    }
    log
}

/// Two steps of plain gradient descent on a table of 50 rows, on bags and on
/// sums of what is clean; and what the batches held.
#[cfg(feature = "wgpu")]
fn steps(seed: Seed, device: &Device, updates: Updates, clip: f64) -> (Vec<f32>, Vec<Vec<f32>>) {
    let network = Box::new(Dropping {
        weight: Param::zeros("w", [1, 50], device),
        bias: Param::zeros("b", [1, 50], device),
    });
    let model = Autoencoder::new(network, 50, device);
    let mut task = Task::new(model, &histories(&mut seed.stream("log")), 10, seed);
    task.on_device.hold(&task.histories, device);
    task.begin_epoch(seed, 0);
    let mut table = Param::normal("t", [50, 7], 1.0, &seed.stream("table"), device);
    let other = Param::normal("o", [50, 7], 1.0, &seed.stream("other"), device);
    let mut optimizer = Optimizer::new(OptimizerConfig {
        gradient_clip: clip,
        ..OptimizerConfig::plain_sgd()
    });
    let mut tape = Tape::training(device, updates);
    let mut held = Vec::new();
    for start in [0, 10] {
        tape.begin(seed.stream("dropout"));
        let batch = task.batch(&tape, start..start + 10);
        let sums = tape.bag_sums(&table, &batch.corrupted) * batch.corrupted_scales.clone();
        let clean = tape.constant_bag_sums(&other, &batch.clean);
        let positives = batch.positives.clone().float() * batch.present.clone();
        for values in [positives, tape.counts_of(&batch.corrupted), clean.clone()] {
            held.push(host(values.inner()).unwrap());
        }
        let grads = (sums * clean * batch.scales).sum().backward();
        optimizer.step(vec![&mut table], tape.take_leaves(), &grads, 0.1);
    }
    (table.host().unwrap(), held)
}

#[cfg(feature = "wgpu")]
#[test]
fn a_gpu_puts_the_batches_of_the_host_together() {
    let Some(gpu) = crate::kernels::gpu::adapter() else {
        return;
    };
    let seed = Seed::fresh();
    for (updates, clip) in [
        (Updates::Rows, 0.0),
        (Updates::Rows, 1.0),
        (Updates::Dense, 0.0),
    ] {
        let (table, held) = steps(seed, &gpu, updates, clip);
        let (expected, on_host) = steps(seed, &Device::flex(), updates, clip);
        for (number, (a, b)) in held.iter().zip(&on_host).enumerate() {
            if number % 3 < 2 {
                assert_eq!(a, b, "{number}");
            }
            assert_near(a, b);
        }
        assert_near(&table, &expected);
    }
}

#[cfg(feature = "wgpu")]
fn assert_near(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < 1e-4 * (1.0 + b.abs()), "{a} {b}");
    }
}

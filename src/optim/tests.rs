//! Optimizers against the published formulas, and rows against whole tables.

use super::*;
use crate::device::{DeviceChoice, resolve};
use crate::params::host;
use crate::seed::Seed;
use crate::tape::{Tape, Updates};
use burn::tensor::Device;

fn config(kind: OptimizerKind) -> OptimizerConfig {
    OptimizerConfig {
        kind,
        weight_decay: 0.0,
        momentum: 0.9,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        gradient_clip: 0.0,
    }
}

/// Three steps on `sum((row - target)^2)` of the looked-up rows.
fn train(
    kind: OptimizerKind,
    updates: Updates,
    ids: &[u32],
    weight_decay: f64,
    clip: f64,
) -> Vec<f32> {
    let device = Device::flex();
    let mut param = Param::new("t", [3, 2], vec![0.5, 1.0, -2.0, 3.0, 4.0, -5.0], &device);
    let mut tape = Tape::training(&device, updates);
    let mut optimizer = Optimizer::new(OptimizerConfig {
        weight_decay,
        gradient_clip: clip,
        ..config(kind)
    });
    for step in 0..3 {
        tape.begin(Seed(1).indexed("dropout", step));
        let index = tape.index(ids.to_vec(), 3);
        let rows = tape.lookup(&param, &index) - 1.0;
        let grads = (rows.clone() * rows).sum().backward();
        let leaves = tape.take_leaves();
        optimizer.step(vec![&mut param], leaves, &grads, 0.1);
    }
    param.host().unwrap()
}

const KINDS: [OptimizerKind; 4] = [
    OptimizerKind::Adam,
    OptimizerKind::Adamw,
    OptimizerKind::Sgd,
    OptimizerKind::Adagrad,
];

#[test]
fn touching_every_row_equals_the_dense_update() {
    for kind in KINDS {
        let rows = train(kind, Updates::Rows, &[2, 0, 1], 0.01, 0.0);
        let dense = train(kind, Updates::Dense, &[2, 0, 1], 0.01, 0.0);
        for (a, b) in rows.iter().zip(&dense) {
            assert!((a - b).abs() < 1e-6, "{kind:?}: {rows:?} {dense:?}");
        }
    }
}

#[test]
fn untouched_rows_stay_as_they_are() {
    for kind in KINDS {
        let values = train(kind, Updates::Rows, &[0], 0.01, 0.0);
        assert_eq!(values[2..], [-2.0, 3.0, 4.0, -5.0], "{kind:?}");
        assert_ne!(values[0], 0.5);
    }
}

/// The published formulas in f64, on one number.
#[test]
fn steps_match_the_published_formulas() {
    let reference = |kind: OptimizerKind| {
        let (mut w, mut m, mut v) = (0.5f64, 0.0f64, 0.0f64);
        for t in 1..=3 {
            let decay = 0.01;
            let mut g = 2.0 * (w - 1.0);
            match kind {
                OptimizerKind::Adam | OptimizerKind::Adamw => {
                    if kind == OptimizerKind::Adam {
                        g += decay * w;
                    } else {
                        w -= 0.1 * decay * w;
                    }
                    m = 0.9 * m + 0.1 * g;
                    v = 0.999 * v + 0.001 * g * g;
                    let (mh, vh) = (m / (1.0 - 0.9f64.powi(t)), v / (1.0 - 0.999f64.powi(t)));
                    w -= 0.1 * mh / (vh.sqrt() + 1e-8);
                }
                OptimizerKind::Sgd => {
                    g += decay * w;
                    m = 0.9 * m + g;
                    w -= 0.1 * m;
                }
                OptimizerKind::Adagrad => {
                    g += decay * w;
                    v += g * g;
                    w -= 0.1 * g / (v.sqrt() + 1e-8);
                }
            }
        }
        w
    };
    for kind in KINDS {
        let value = f64::from(train(kind, Updates::Rows, &[0], 0.01, 0.0)[0]);
        assert!(
            (value - reference(kind)).abs() < 1e-5,
            "{kind:?}: {value} {}",
            reference(kind)
        );
    }
}

#[test]
fn clipping_bounds_the_norm_of_a_step() {
    // Momentum aside, one SGD step moves by at most rate times the limit.
    let values = train(OptimizerKind::Sgd, Updates::Rows, &[2], 0.0, 1e-3);
    let moved = (values[4] - 4.0).hypot(values[5] + 5.0);
    let most = 0.1 * 1e-3 * (1.0 + 1.9 + 2.71);
    assert!(
        moved > 0.9 * most && moved <= 1.001 * most,
        "{moved} {most}"
    );
}

#[test]
fn state_round_trips() {
    let device = Device::flex();
    let mut param = Param::new("t", [2, 1], vec![1.0, 2.0], &device);
    let mut optimizer = Optimizer::new(config(OptimizerKind::Adam));
    let mut tape = Tape::training(&device, Updates::Rows);
    tape.begin(Seed(1).stream("dropout"));
    let index = tape.index(vec![1], 2);
    let grads = tape.lookup(&param, &index).sum().backward();
    let leaves = tape.take_leaves();
    optimizer.step(vec![&mut param], leaves, &grads, 0.1);
    let mut kept = Stream::default();
    optimizer.store(&mut kept);
    let kept = kept.into_named().unwrap();
    let mut other = Optimizer::new(config(OptimizerKind::Adam));
    other.load(&kept, &[&param]).unwrap();
    assert_eq!(other.steps(), 1);
    assert_eq!(host(other.states["t"][0].clone()).unwrap(), [0.0, 0.1]);
}

/// Rows that no step touched are not even looked at.
#[test]
fn only_rows_of_the_step_are_shortened() {
    // On the second one, if the build has it, no kernel updates rows.
    let devices = [DeviceChoice::Cpu, DeviceChoice::Ndarray].map(resolve);
    for device in devices.into_iter().flatten().map(|d| d.device) {
        let mut param = Param::new("t", [3, 2], vec![3.0, 4.0, 0.3, 0.4, 6.0, 8.0], &device);
        param.keep_within(5.0);
        assert_eq!(param.host().unwrap(), [3.0, 4.0, 0.3, 0.4, 3.0, 4.0]);
        // Behind its back.
        param.set_host(vec![3.0, 4.0, 0.3, 0.4, 6.0, 8.0]);
        let mut tape = Tape::training(&device, Updates::Rows);
        tape.begin(Seed(1).stream("dropout"));
        let index = tape.index(vec![0, 1, 0], 3);
        let grads = (tape.lookup(&param, &index) * -10.0).sum().backward();
        let mut optimizer = Optimizer::new(OptimizerConfig::plain_sgd());
        optimizer.step(vec![&mut param], tape.take_leaves(), &grads, 0.5);
        let values = param.host().unwrap();
        // (13, 14) and (5.3, 5.4) at length 5.
        for (value, expected) in values.iter().zip([13.0, 14.0, 5.3, 5.4]) {
            let length = if expected > 6.0 {
                365.0f32.sqrt()
            } else {
                57.25f32.sqrt()
            };
            assert!((value - 5.0 * expected / length).abs() < 1e-5, "{values:?}");
        }
        assert_eq!(values[4..], [6.0, 8.0]);
        param.shorten(None);
        assert_eq!(param.host().unwrap()[4..], [3.0, 4.0]);
    }
}

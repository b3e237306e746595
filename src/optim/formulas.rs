//! One step of each optimizer, on values and gradients of any rows.

use super::{OptimizerConfig, OptimizerKind};
use burn::tensor::Tensor;

/// Tensors that an optimizer keeps for each parameter.
pub fn num_states(kind: OptimizerKind) -> usize {
    match kind {
        OptimizerKind::Adam | OptimizerKind::Adamw => 2,
        OptimizerKind::Sgd | OptimizerKind::Adagrad => 1,
    }
}

/// New values and new state; `step` counts from 1.
pub fn apply(
    config: &OptimizerConfig,
    value: Tensor<2>,
    grad: Tensor<2>,
    state: Vec<Tensor<2>>,
    rate: f64,
    step: u64,
) -> (Tensor<2>, Vec<Tensor<2>>) {
    let (value, grad) = decay(config, value, grad, rate);
    let mut state = state.into_iter();
    let mut next = || state.next().expect("states are made by num_states");
    match config.kind {
        OptimizerKind::Adam | OptimizerKind::Adamw => {
            let t = i32::try_from(step).unwrap_or(i32::MAX);
            let m = next() * config.beta1 + grad.clone() * (1.0 - config.beta1);
            let v = next() * config.beta2 + grad.clone() * grad * (1.0 - config.beta2);
            // The bias corrections go into the scalars, which saves two
            // passes over the rows.
            let (c1, c2) = (1.0 - config.beta1.powi(t), 1.0 - config.beta2.powi(t));
            let denominator = v.clone().sqrt() + config.epsilon * c2.sqrt();
            let value = value - m.clone() / denominator * (rate * c2.sqrt() / c1);
            (value, vec![m, v])
        }
        OptimizerKind::Sgd => {
            let m = next() * config.momentum + grad;
            (value - m.clone() * rate, vec![m])
        }
        OptimizerKind::Adagrad => {
            let v = next() + grad.clone() * grad.clone();
            let value = value - grad / (v.clone().sqrt() + config.epsilon) * rate;
            (value, vec![v])
        }
    }
}

fn decay(
    config: &OptimizerConfig,
    value: Tensor<2>,
    grad: Tensor<2>,
    rate: f64,
) -> (Tensor<2>, Tensor<2>) {
    let decay = config.weight_decay;
    if decay == 0.0 {
        (value, grad)
    } else if config.kind == OptimizerKind::Adamw {
        (value * (1.0 - rate * decay), grad)
    } else {
        let grad = grad + value.clone() * decay;
        (value, grad)
    }
}

//! Losses as pure functions of scores.
//!
//! Scores are `[batch, 1 + negatives]` with the positive first, except for
//! [`mse`], which takes one score and one target for each row. All return the
//! mean over the batch as a tensor of one element.

use burn::tensor::{Int, Tensor, activation};
use serde::{Deserialize, Serialize};

/// What a model of user-item pairs minimizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Squared error against ratings, without negatives.
    Mse,
    /// Binary cross-entropy, positives against sampled negatives.
    Bce,
    /// Bayesian personalized ranking.
    #[default]
    Bpr,
    /// Softmax cross-entropy over the positive and sampled negatives.
    Softmax,
    /// Softmax cross-entropy over the positives of the batch.
    InBatchSoftmax,
    /// Softmax cross-entropy over the whole catalog.
    FullSoftmax,
    /// Cosine contrastive loss (Mao et al., CIKM 2021).
    Ccl,
}

impl Loss {
    /// Whether `negatives` are drawn for it.
    pub fn samples_negatives(self) -> bool {
        matches!(self, Self::Bce | Self::Bpr | Self::Softmax | Self::Ccl)
    }
}

/// A loss with what is added to it, where there is something.
pub fn with_penalty(loss: Tensor<1>, penalty: Option<Tensor<1>>) -> Tensor<1> {
    match penalty {
        Some(penalty) => loss + penalty,
        None => loss,
    }
}

/// What an in-batch mask adds to a score that must not count.
pub const MASKED: f32 = -1e9;

/// Mean of `(score - target)^2`.
pub fn mse(scores: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    let error = scores - targets;
    (error.clone() * error).mean()
}

/// Mean of `-y ln s(x) - (1 - y) ln (1 - s(x))` over scores and their labels,
/// of one shape.
pub fn log_loss(scores: Tensor<2>, labels: Tensor<2>) -> Tensor<1> {
    let misses = (labels.neg() + 1.0) * scores.clone();
    (misses - activation::log_sigmoid(scores)).mean()
}

/// Mean over all scores of `-y ln s(x) - (1 - y) ln (1 - s(x))`, with
/// `y = 1 - smoothing` for the positive and `smoothing` for a negative.
pub fn bce(scores: Tensor<2>, smoothing: f64) -> Tensor<1> {
    let [batch, width] = scores.dims();
    let positive = scores.clone().slice([0..batch, 0..1]);
    // -ln s(x) = softplus(-x) and -ln(1 - s(x)) = softplus(-x) + x, so the
    // target y adds (1 - y) x.
    let all = activation::log_sigmoid(scores.clone()).neg();
    let linear = scores.sum() * (1.0 - smoothing) - positive.sum() * (1.0 - 2.0 * smoothing);
    (all.sum() + linear) / (batch * width) as f64
}

/// Mean of `-ln s(x_positive - x_negative)` (Rendle et al., "BPR: Bayesian
/// personalized ranking from implicit feedback", UAI 2009, eq. 4 without the
/// regularizer).
pub fn bpr(scores: Tensor<2>) -> Tensor<1> {
    let [batch, width] = scores.dims();
    let positive = scores.clone().slice([0..batch, 0..1]);
    let negatives = scores.slice([0..batch, 1..width]);
    activation::log_sigmoid(positive - negatives).neg().mean()
}

/// Softmax cross-entropy with the positive as the class; `smoothing` is
/// spread evenly over the whole row.
pub fn softmax(scores: Tensor<2>, smoothing: f64) -> Tensor<1> {
    let batch = scores.dims()[0];
    let log_probabilities = activation::log_softmax(scores, 1);
    let positive = log_probabilities
        .clone()
        .slice([0..batch, 0..1])
        .mean()
        .neg();
    if smoothing == 0.0 {
        return positive;
    }
    positive * (1.0 - smoothing) + log_probabilities.mean().neg() * smoothing
}

/// Mean of `1 - x_positive + w / n sum max(0, x_negative - margin)` over the
/// `n` negatives (Mao et al., "SimpleX: a simple and strong baseline for
/// collaborative filtering", CIKM 2021, eq. 1), whose scores are cosines.
pub fn ccl(scores: Tensor<2>, margin: f64, negative_weight: f64) -> Tensor<1> {
    let [batch, width] = scores.dims();
    let positive = scores.clone().slice([0..batch, 0..1]);
    let negatives = scores.slice([0..batch, 1..width]);
    let close = activation::relu(negatives - margin).mean() * negative_weight;
    close + 1.0 - positive.mean()
}

/// Softmax cross-entropy of `[batch, items]` scores of the whole catalog, with
/// one positive of each row; `smoothing` is spread evenly over the row.
pub fn full_softmax(scores: Tensor<2>, positives: Tensor<1, Int>, smoothing: f64) -> Tensor<1> {
    let batch = scores.dims()[0];
    let log_probabilities = activation::log_softmax(scores, 1);
    let classes = positives.reshape([batch, 1]);
    let positive = log_probabilities.clone().gather(1, classes).mean().neg();
    if smoothing == 0.0 {
        return positive;
    }
    positive * (1.0 - smoothing) + log_probabilities.mean().neg() * smoothing
}

/// What keeps the length of a row of zeros above zero, as a square.
pub const SMALLEST_SQUARE: f32 = 1e-24;

/// Rows divided by their length, so that inner products are cosines.
pub fn unit_rows(rows: Tensor<2>) -> Tensor<2> {
    let squares = (rows.clone() * rows.clone()).sum_dim(1);
    rows / (squares + SMALLEST_SQUARE).sqrt()
}

/// Softmax cross-entropy of `[batch, batch]` scores with the diagonal as the
/// class. `mask` is added to the scores: a correction, or [`MASKED`] where a
/// column is another positive of the row's user.
pub fn in_batch_softmax(
    scores: Tensor<2>,
    mask: Tensor<2>,
    diagonal: Tensor<2>,
    smoothing: f64,
) -> Tensor<1> {
    let batch = scores.dims()[0] as f64;
    let valid = mask.clone().greater_elem(MASKED / 2.0).float();
    let log_probabilities = activation::log_softmax(scores + mask, 1);
    let positive = (log_probabilities.clone() * diagonal).sum().neg() / batch;
    if smoothing == 0.0 {
        return positive;
    }
    let spread = (log_probabilities * valid.clone()).sum_dim(1) / valid.sum_dim(1);
    positive * (1.0 - smoothing) + spread.mean().neg() * smoothing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::host;
    use crate::seed::Seed;
    use burn::tensor::{Device, TensorData};

    type Plain = fn(&[f64]) -> f64;

    fn sigmoid(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    /// The losses of one row, written as the papers write them, in f64.
    const PLAIN: [(&str, Plain); 6] = [
        ("bpr", |s| {
            s[1..].iter().map(|n| -sigmoid(s[0] - n).ln()).sum::<f64>() / (s.len() - 1) as f64
        }),
        ("bce", |s| {
            let negatives: f64 = s[1..].iter().map(|n| -(1.0 - sigmoid(*n)).ln()).sum();
            (negatives - sigmoid(s[0]).ln()) / s.len() as f64
        }),
        // With a click first in each row.
        ("log loss", |s| {
            let others: f64 = s[1..].iter().map(|n| -(1.0 - sigmoid(*n)).ln()).sum();
            (others - sigmoid(s[0]).ln()) / s.len() as f64
        }),
        ("softmax", |s| {
            -(s[0].exp() / s.iter().map(|x| x.exp()).sum::<f64>()).ln()
        }),
        ("smooth bce", |s| {
            let y = |i: usize| if i == 0 { 0.9 } else { 0.1 };
            let term = |(i, x): (usize, &f64)| {
                -y(i) * sigmoid(*x).ln() - (1.0 - y(i)) * (1.0 - sigmoid(*x)).ln()
            };
            s.iter().enumerate().map(term).sum::<f64>() / s.len() as f64
        }),
        ("ccl", |s| {
            let close = s[1..].iter().map(|n| (n - 0.4).max(0.0)).sum::<f64>();
            1.0 - s[0] + 7.0 * close / (s.len() - 1) as f64
        }),
    ];

    fn tensor_loss(name: &str, scores: Tensor<2>) -> Tensor<1> {
        match name {
            "bpr" => bpr(scores),
            "bce" => bce(scores, 0.0),
            "log loss" => {
                let [rows, width] = scores.dims();
                let row = (0..width).map(|i| f32::from(u8::from(i == 0)));
                let labels = row.collect::<Vec<_>>().repeat(rows);
                let labels = TensorData::new(labels, [rows, width]);
                log_loss(scores.clone(), Tensor::from_data(labels, &scores.device()))
            }
            "softmax" => softmax(scores, 0.0),
            "smooth bce" => bce(scores, 0.1),
            "ccl" => ccl(scores, 0.4, 7.0),
            other => panic!("no loss {other}"),
        }
    }

    fn random(n: usize, seed: u64) -> Vec<f32> {
        let mut rng = Seed(seed).stream("test");
        (0..n).map(|_| 2.0 * rng.normal()).collect()
    }

    #[test]
    fn values_and_gradients_match_the_plain_formula() {
        let device = Device::flex().autodiff();
        for (name, plain) in PLAIN {
            for (seed, width) in [(1, 2), (2, 5)] {
                let values = random(3 * width, seed);
                let mean = |v: &[f64]| v.chunks(width).map(plain).sum::<f64>() / 3.0;
                let wide: Vec<f64> = values.iter().map(|&x| f64::from(x)).collect();
                let leaf: Tensor<2> =
                    Tensor::from_data(TensorData::new(values, [3, width]), &device).require_grad();
                let loss = tensor_loss(name, leaf.clone());
                let grads = loss.backward();
                let value = f64::from(host(loss.inner()).unwrap()[0]);
                assert!(
                    (value - mean(&wide)).abs() < 1e-5,
                    "{name}: {value} {}",
                    mean(&wide)
                );
                let gradient = host(leaf.grad(&grads).unwrap()).unwrap();
                for i in 0..wide.len() {
                    let mut moved = [wide.clone(), wide.clone()];
                    moved[0][i] += 1e-5;
                    moved[1][i] -= 1e-5;
                    let finite = (mean(&moved[0]) - mean(&moved[1])) / 2e-5;
                    assert!(
                        (finite - f64::from(gradient[i])).abs() < 1e-4,
                        "{name} at {i}"
                    );
                }
            }
        }
    }

    #[test]
    fn full_softmax_is_softmax_of_each_row_with_its_positive_first() {
        let device = Device::flex();
        let rows = |values: Vec<f32>| -> Tensor<2> {
            Tensor::from_data(TensorData::new(values, [2, 3]), &device)
        };
        let positives = Tensor::from_data(TensorData::new(vec![2, 0], [2]), &device);
        let scores = rows(vec![1.0, 2.0, 0.5, -1.0, 0.3, 0.8]);
        let first = rows(vec![0.5, 1.0, 2.0, -1.0, 0.3, 0.8]);
        for smoothing in [0.0, 0.3] {
            let full = full_softmax(scores.clone(), positives.clone(), smoothing);
            let apart = full - softmax(first.clone(), smoothing);
            assert!(host(apart).unwrap()[0].abs() < 1e-6);
        }
    }

    #[test]
    fn unit_rows_have_length_one_and_zeros_stay() {
        let values = TensorData::new(vec![3.0f32, -4.0, 0.0, 0.0], [2, 2]);
        let rows = Tensor::from_data(values, &Device::flex());
        assert_eq!(host(unit_rows(rows)).unwrap(), [0.6, -0.8, 0.0, 0.0]);
    }

    #[test]
    fn in_batch_softmax_without_mask_is_softmax_of_each_row() {
        let device = Device::flex();
        let scores: Tensor<2> = Tensor::from_data(
            TensorData::new(vec![1.0f32, 2.0, 0.5, -1.0], [2, 2]),
            &device,
        );
        let diagonal = Tensor::from_data(
            TensorData::new(vec![1.0f32, 0.0, 0.0, 1.0], [2, 2]),
            &device,
        );
        let loss = in_batch_softmax(scores, Tensor::zeros([2, 2], &device), diagonal, 0.0);
        let row = |a: f64, b: f64| -(a.exp() / (a.exp() + b.exp())).ln();
        let expected = (row(1.0, 2.0) + row(-1.0, 0.5)) / 2.0;
        assert!((f64::from(host(loss).unwrap()[0]) - expected).abs() < 1e-6);
    }

    #[test]
    fn extreme_scores_stay_finite() {
        let device = Device::flex();
        let scores: Tensor<2> =
            Tensor::from_data(TensorData::new(vec![-200.0f32, 200.0], [1, 2]), &device);
        for (name, _) in PLAIN {
            let value = host(tensor_loss(name, scores.clone())).unwrap()[0];
            assert!(value.is_finite() && value > 100.0, "{name}: {value}");
        }
    }
}

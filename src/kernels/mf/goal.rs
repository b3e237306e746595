//! The losses of one example and their derivatives by its scores.

use crate::kernels::simd::{exp, ln, softplus};

/// What a step minimizes: the mean of [`crate::losses`] over a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    Mse,
    Bce { smoothing: f32 },
    Bpr,
    Softmax { temperature: f32, smoothing: f32 },
    Ccl { margin: f32, negative_weight: f32 },
}

impl Goal {
    /// What the sum over a batch of `examples` with `width` items each is
    /// divided by.
    pub fn divisor(self, examples: usize, width: usize) -> f32 {
        let per_example = match self {
            Self::Mse | Self::Softmax { .. } | Self::Ccl { .. } => 1,
            Self::Bce { .. } => width,
            Self::Bpr => width - 1,
        };
        (examples * per_example) as f32
    }

    /// Turns the scores of an example, the positive first, into the
    /// derivatives of its loss by them, times `scale`; returns the loss.
    #[inline(always)]
    pub fn derive(self, scores: &mut [f32], target: f32, scale: f32) -> f32 {
        match self {
            Self::Mse => {
                let error = scores[0] - target;
                scores[0] = 2.0 * scale * error;
                error * error
            }
            Self::Bce { smoothing } => bce(scores, smoothing, scale),
            Self::Bpr => bpr(scores, scale),
            Self::Softmax {
                temperature,
                smoothing,
            } => softmax(scores, temperature, smoothing, scale),
            Self::Ccl {
                margin,
                negative_weight,
            } => ccl(scores, margin, negative_weight, scale),
        }
    }
}

impl Goal {
    /// [`Self::derive`] for several examples of `width` items each; returns the
    /// sum of their losses. Pairs go through vector instructions together.
    #[inline(always)]
    pub fn derive_all(self, scores: &mut [f32], width: usize, targets: &[f32], scale: f32) -> f32 {
        if self == Self::Bpr && width == 2 && scores.len() == 2 * PAIRS {
            return bpr_pairs(scores, scale);
        }
        let mut loss = 0.0;
        for (place, scores) in scores.chunks_exact_mut(width).enumerate() {
            let target = targets.get(place).copied().unwrap_or(0.0);
            loss += self.derive(scores, target, scale);
        }
        loss
    }
}

/// Pairs that are derived together.
pub const PAIRS: usize = 8;

/// [`bpr`] of one negative for each example.
#[inline(always)]
fn bpr_pairs(scores: &mut [f32], scale: f32) -> f32 {
    let mut differences = [0.0; PAIRS];
    for (x, pair) in differences.iter_mut().zip(scores.chunks_exact(2)) {
        *x = pair[1] - pair[0];
    }
    let (mut values, mut slopes) = ([0.0; PAIRS], [0.0; PAIRS]);
    for i in 0..PAIRS {
        (values[i], slopes[i]) = softplus(differences[i]);
    }
    for (slope, pair) in slopes.iter().zip(scores.chunks_exact_mut(2)) {
        pair[0] = -scale * slope;
        pair[1] = scale * slope;
    }
    values.iter().sum()
}

#[inline(always)]
fn bpr(scores: &mut [f32], scale: f32) -> f32 {
    let positive = scores[0];
    let (mut loss, mut sum) = (0.0, 0.0);
    for score in &mut scores[1..] {
        let (value, slope) = softplus(*score - positive);
        loss += value;
        sum += slope;
        *score = scale * slope;
    }
    scores[0] = -scale * sum;
    loss
}

#[inline(always)]
fn bce(scores: &mut [f32], smoothing: f32, scale: f32) -> f32 {
    let mut loss = 0.0;
    let mut target = 1.0 - smoothing;
    for score in scores {
        let (value, logistic) = softplus(*score);
        loss += value - target * *score;
        *score = scale * (logistic - target);
        target = smoothing;
    }
    loss
}

#[inline(always)]
fn softmax(scores: &mut [f32], temperature: f32, smoothing: f32, scale: f32) -> f32 {
    let inverse = 1.0 / temperature;
    let mut highest = f32::NEG_INFINITY;
    for score in scores.iter_mut() {
        *score *= inverse;
        highest = highest.max(*score);
    }
    let (positive, all) = (scores[0], scores.iter().sum::<f32>());
    let mut total = 0.0;
    for score in scores.iter_mut() {
        *score = exp(*score - highest);
        total += *score;
    }
    let spread = smoothing / scores.len() as f32;
    let loss = highest + ln(total) - (1.0 - smoothing) * positive - spread * all;
    let (scale, share) = (scale * inverse, 1.0 / total);
    for score in scores.iter_mut() {
        *score = scale * (*score * share - spread);
    }
    scores[0] -= scale * (1.0 - smoothing);
    loss
}

#[inline(always)]
fn ccl(scores: &mut [f32], margin: f32, negative_weight: f32, scale: f32) -> f32 {
    let share = negative_weight / (scores.len() - 1) as f32;
    let mut close = 0.0;
    for score in &mut scores[1..] {
        let beyond = *score - margin;
        close += beyond.max(0.0);
        *score = if beyond > 0.0 { scale * share } else { 0.0 };
    }
    let loss = 1.0 - scores[0] + share * close;
    scores[0] = -scale;
    loss
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses;
    use crate::params::host;
    use crate::seed::Seed;
    use burn::tensor::{Device, Tensor, TensorData};

    fn tensor_loss(goal: Goal, scores: Tensor<2>, target: f32) -> Tensor<1> {
        match goal {
            Goal::Mse => losses::mse(scores.clone(), scores.zeros_like() + target),
            Goal::Bce { smoothing } => losses::bce(scores, f64::from(smoothing)),
            Goal::Bpr => losses::bpr(scores),
            Goal::Softmax {
                temperature,
                smoothing,
            } => losses::softmax(scores / temperature, f64::from(smoothing)),
            Goal::Ccl {
                margin,
                negative_weight,
            } => losses::ccl(scores, f64::from(margin), f64::from(negative_weight)),
        }
    }

    /// Held against the losses of tensors and their automatic derivatives.
    #[test]
    fn values_and_derivatives_match_the_tensor_losses() {
        let softmax = |temperature, smoothing| Goal::Softmax {
            temperature,
            smoothing,
        };
        let ccl = Goal::Ccl {
            margin: 0.2,
            negative_weight: 5.0,
        };
        let goals = [
            (Goal::Mse, 1),
            (Goal::Bce { smoothing: 0.0 }, 4),
            (Goal::Bce { smoothing: 0.1 }, 2),
            (Goal::Bpr, 2),
            (Goal::Bpr, 6),
            (softmax(1.0, 0.0), 5),
            (softmax(0.3, 0.2), 9),
            (ccl, 2),
            (ccl, 7),
        ];
        let device = Device::flex().autodiff();
        let mut rng = Seed::fresh().stream("test");
        for (goal, width) in goals {
            for spread in [0.3, 3.0, 30.0] {
                let mut scores: Vec<f32> = (0..width).map(|_| spread * rng.normal()).collect();
                let leaf: Tensor<2> =
                    Tensor::from_data(TensorData::new(scores.clone(), [1, width]), &device)
                        .require_grad();
                let loss = tensor_loss(goal, leaf.clone(), 0.7);
                let grads = loss.backward();
                let plain = host(leaf.grad(&grads).unwrap()).unwrap();
                let divisor = goal.divisor(1, width);
                let value = goal.derive(&mut scores, 0.7, 1.0 / divisor) / divisor;
                let expected = host(loss.inner()).unwrap()[0];
                // Scores of 30 over a temperature of .3 are rounded by 6e-6.
                let near = |a: f32, b: f32| (a - b).abs() < 1e-4 * (1.0 + b.abs());
                assert!(near(value, expected), "{goal:?}: {value} {expected}");
                for (a, b) in scores.iter().zip(&plain) {
                    assert!(near(*a, *b), "{goal:?}: {scores:?} {plain:?}");
                }
            }
        }
    }

    #[test]
    fn examples_together_are_examples_one_by_one() {
        let mut rng = Seed::fresh().stream("test");
        for (goal, width) in [(Goal::Bpr, 2), (Goal::Bpr, 3), (Goal::Mse, 1)] {
            for examples in [PAIRS, 3] {
                let scores: Vec<f32> = (0..examples * width).map(|_| rng.normal()).collect();
                let targets: Vec<f32> = (0..examples).map(|_| rng.normal()).collect();
                let (mut together, mut alone) = (scores.clone(), scores);
                let loss = goal.derive_all(&mut together, width, &targets, 0.5);
                let parts = alone.chunks_exact_mut(width).zip(&targets);
                let sum: f32 = parts.map(|(s, t)| goal.derive(s, *t, 0.5)).sum();
                assert!((loss - sum).abs() < 1e-5, "{goal:?}: {loss} {sum}");
                for (a, b) in together.iter().zip(&alone) {
                    assert!((a - b).abs() < 1e-6, "{goal:?}: {together:?} {alone:?}");
                }
            }
        }
    }

    #[test]
    fn extreme_scores_stay_finite() {
        for goal in [Goal::Bpr, Goal::Bce { smoothing: 0.0 }] {
            let mut scores = [-3000.0, 3000.0];
            let loss = goal.derive(&mut scores, 0.0, 1.0);
            assert!(loss.is_finite() && loss > 1000.0);
            assert!(scores.iter().all(|s| s.is_finite()));
        }
    }
}

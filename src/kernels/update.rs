//! One optimizer step on one row of plain numbers: the formulas of
//! [`crate::optim`] for kernels that update only the rows of their batch.

use super::simd::{Isa, Lane, madd};
use crate::optim::{OptimizerConfig, OptimizerKind};

/// The numbers of one step, ready for use.
#[derive(Clone, Copy, Debug)]
pub struct Hyper {
    pub kind: OptimizerKind,
    pub rate: f32,
    /// Added to the gradient as a multiple of the weight.
    pub coupled_decay: f32,
    /// What is left of a weight after decoupled decay (AdamW).
    pub kept: f32,
    pub momentum: f32,
    pub beta1: f32,
    pub beta2: f32,
    /// `1 - beta1`, rounded once.
    pub share1: f32,
    /// `1 - beta2`, rounded once.
    pub share2: f32,
    pub epsilon: f32,
}

impl Hyper {
    /// `step` counts from 1. Adam's bias corrections go into rate and
    /// epsilon, as in the plain formulas.
    pub fn new(config: &OptimizerConfig, rate: f64, step: u64) -> Self {
        let decoupled = config.kind == OptimizerKind::Adamw;
        let decay = config.weight_decay;
        let (mut scaled, mut epsilon) = (rate, config.epsilon);
        if matches!(config.kind, OptimizerKind::Adam | OptimizerKind::Adamw) {
            let t = i32::try_from(step).unwrap_or(i32::MAX);
            let (c1, c2) = (1.0 - config.beta1.powi(t), 1.0 - config.beta2.powi(t));
            scaled = rate * c2.sqrt() / c1;
            epsilon *= c2.sqrt();
        }
        Self {
            kind: config.kind,
            rate: scaled as f32,
            coupled_decay: if decoupled { 0.0 } else { decay as f32 },
            kept: if decoupled {
                (1.0 - rate * decay) as f32
            } else {
                1.0
            },
            momentum: config.momentum as f32,
            beta1: config.beta1 as f32,
            beta2: config.beta2 as f32,
            share1: (1.0 - config.beta1) as f32,
            share2: (1.0 - config.beta2) as f32,
            epsilon: epsilon as f32,
        }
    }
}

/// What gradients are multiplied by so that their norm is at most `limit`, from
/// the sum of their squares; 1 for a limit of 0, which stands for none.
pub fn clip_scale(squares: f64, limit: f64) -> f32 {
    match limit {
        0.0 => 1.0,
        limit => (limit / (squares.sqrt() + 1e-12)).min(1.0) as f32,
    }
}

/// The sum of squares, one after the other.
pub fn sum_of_squares(lanes: &[Lane]) -> f64 {
    let numbers = lanes.iter().flat_map(|lane| lane.0);
    numbers.map(|x| f64::from(x) * f64::from(x)).sum()
}

/// Updates the weights of a row, and its state, by its gradient; all slices
/// have one length. `first` and `second` are the optimizer's states in the
/// order of [`crate::optim::num_states`]; those that it does not keep may be
/// empty, and so may SGD's where its momentum is 0.
#[inline(always)]
pub fn update_row<S: Isa>(
    hyper: &Hyper,
    weights: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
    gradient: &[f32],
) {
    let h = *hyper;
    match h.kind {
        OptimizerKind::Adam | OptimizerKind::Adamw => {
            let rows = weights.iter_mut().zip(first).zip(second).zip(gradient);
            for (((w, m), v), &g) in rows {
                let g = madd::<S>(h.coupled_decay, *w, g);
                *m = madd::<S>(h.beta1, *m, h.share1 * g);
                *v = madd::<S>(h.beta2, *v, h.share2 * g * g);
                *w = h.kept * *w - h.rate * *m / (v.sqrt() + h.epsilon);
            }
        }
        OptimizerKind::Sgd if first.is_empty() => {
            for (w, &g) in weights.iter_mut().zip(gradient) {
                *w -= h.rate * madd::<S>(h.coupled_decay, *w, g);
            }
        }
        OptimizerKind::Sgd => {
            for ((w, m), &g) in weights.iter_mut().zip(first).zip(gradient) {
                let g = madd::<S>(h.coupled_decay, *w, g);
                *m = madd::<S>(h.momentum, *m, g);
                *w -= h.rate * *m;
            }
        }
        OptimizerKind::Adagrad => {
            for ((w, v), &g) in weights.iter_mut().zip(first).zip(gradient) {
                let g = madd::<S>(h.coupled_decay, *w, g);
                *v = madd::<S>(g, g, *v);
                *w -= h.rate * g / (v.sqrt() + h.epsilon);
            }
        }
    }
}

/// Adam's numbers as vectors, for [`Self::step`].
#[derive(Clone, Copy)]
pub struct AdamLanes<S: Isa> {
    rate: S::Vector,
    coupled_decay: S::Vector,
    kept: S::Vector,
    beta1: S::Vector,
    beta2: S::Vector,
    share1: S::Vector,
    share2: S::Vector,
    epsilon: S::Vector,
}

impl<S: Isa> AdamLanes<S> {
    /// `None` where the optimizer is another.
    #[inline(always)]
    pub fn of(hyper: &Hyper) -> Option<Self> {
        if !matches!(hyper.kind, OptimizerKind::Adam | OptimizerKind::Adamw) {
            return None;
        }
        Some(Self {
            rate: S::splat(hyper.rate),
            coupled_decay: S::splat(hyper.coupled_decay),
            kept: S::splat(hyper.kept),
            beta1: S::splat(hyper.beta1),
            beta2: S::splat(hyper.beta2),
            share1: S::splat(hyper.share1),
            share2: S::splat(hyper.share2),
            epsilon: S::splat(hyper.epsilon),
        })
    }

    /// [`update_row`] of a lane, number for number the same. Of slices, it asks
    /// whether they overlap before it takes vectors of them.
    #[inline(always)]
    pub fn step(&self, weights: &mut Lane, first: &mut Lane, second: &mut Lane, gradient: &Lane) {
        let w = S::load(weights);
        let g = S::madd(self.coupled_decay, w, S::load(gradient));
        let m = S::madd(self.beta1, S::load(first), S::mul(self.share1, g));
        let squares = S::mul(S::mul(self.share2, g), g);
        let v = S::madd(self.beta2, S::load(second), squares);
        let step = S::div(S::mul(self.rate, m), S::add(S::sqrt(v), self.epsilon));
        S::store(S::sub(S::mul(self.kept, w), step), weights);
        S::store(m, first);
        S::store(v, second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::{self, Job, Portable};
    use crate::optim::{apply, num_states};
    use crate::params::host;
    use crate::seed::Seed;
    use burn::tensor::{Device, Tensor, TensorData};

    fn config(kind: OptimizerKind) -> OptimizerConfig {
        OptimizerConfig {
            kind,
            weight_decay: 0.02,
            momentum: 0.9,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            gradient_clip: 0.0,
        }
    }

    /// Three steps of a lane, by [`AdamLanes`] or by [`update_row`].
    struct Steps<'a>(&'a Hyper, &'a [Lane; 4], bool);

    impl Job for Steps<'_> {
        type Output = [Lane; 3];

        #[inline(always)]
        fn call<S: Isa>(self) -> [Lane; 3] {
            let [mut w, mut m, mut v, g] = *self.1;
            let adam = AdamLanes::<S>::of(self.0).expect("asked for Adam alone");
            for _ in 0..3 {
                if self.2 {
                    adam.step(&mut w, &mut m, &mut v, &g);
                } else {
                    update_row::<S>(self.0, &mut w.0, &mut m.0, &mut v.0, &g.0);
                }
            }
            [w, m, v]
        }
    }

    #[test]
    fn a_lane_of_adam_is_a_row_of_it_bit_for_bit() {
        let mut rng = Seed::fresh().stream("test");
        for kind in [OptimizerKind::Adam, OptimizerKind::Adamw] {
            let hyper = Hyper::new(&config(kind), 0.1, 3);
            let mut draw = || Lane(std::array::from_fn(|_| rng.normal()));
            let (weights, gradient) = (draw(), draw());
            let lanes = [weights, Lane::ZERO, Lane::ZERO, gradient];
            let [fast, plain] = [true, false].map(|fast| simd::run(Steps(&hyper, &lanes, fast)));
            assert_eq!(fast, plain);
            let [fast, plain] =
                [true, false].map(|fast| Steps(&hyper, &lanes, fast).call::<Portable>());
            assert_eq!(fast, plain);
        }
    }

    /// Held against the same formulas as tensor operations.
    #[test]
    fn rows_match_the_tensor_formulas() {
        let kinds = [
            OptimizerKind::Adam,
            OptimizerKind::Adamw,
            OptimizerKind::Sgd,
            OptimizerKind::Adagrad,
        ];
        let device = Device::flex();
        let tensor = |v: &[f32]| -> Tensor<2> {
            Tensor::from_data(TensorData::new(v.to_vec(), [1, v.len()]), &device)
        };
        let mut rng = Seed::fresh().stream("test");
        for kind in kinds {
            let config = config(kind);
            let mut draw = || (0..21).map(|_| rng.normal()).collect::<Vec<f32>>();
            let (mut w, mut a, mut b) = (draw(), vec![0.0; 21], vec![0.0; 21]);
            let mut plain = tensor(&w);
            let mut states = vec![tensor(&a); num_states(kind)];
            for step in 1..=3 {
                let g = draw();
                let hyper = Hyper::new(&config, 0.1, step);
                update_row::<Portable>(&hyper, &mut w, &mut a, &mut b, &g);
                (plain, states) = apply(&config, plain, tensor(&g), states, 0.1, step);
            }
            for (x, y) in w.iter().zip(host(plain).unwrap()) {
                assert!((x - y).abs() < 1e-5, "{kind:?}: {x} {y}");
            }
            for (x, y) in a.iter().zip(host(states[0].clone()).unwrap()) {
                assert!((x - y).abs() < 1e-5, "{kind:?}: {x} {y}");
            }
        }
    }
}

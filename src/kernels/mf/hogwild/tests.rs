use super::*;
use crate::kernels::mf::{Batcher, Goal, Rows};
use crate::optim::OptimizerConfig;
use crate::seed::Seed;

const DIM: usize = 5;
const RATE: f64 = 0.3;
const DECAY: f64 = 0.01;

/// Rows of five numbers and a bias.
fn tables() -> (Vec<f32>, Vec<f32>) {
    let mut rng = Seed(8).stream("test");
    let mut draw = |rows: usize| (0..rows * (DIM + 1)).map(|_| rng.normal()).collect();
    (draw(3), draw(4))
}

/// Examples in the order in which the batch keeps them.
const EXAMPLES: [(usize, [usize; 2]); 4] = [(0, [1, 2]), (0, [3, 1]), (2, [0, 3]), (1, [1, 0])];

/// BPR with SGD and biases: the slopes of a group of examples, then their
/// updates, one after the other.
fn plain(users: &mut [f64], items: &mut [f64]) -> f64 {
    let row = |table: &[f64], r: usize| table[r * (DIM + 1)..(r + 1) * (DIM + 1)].to_vec();
    let mut loss = 0.0;
    let slopes = EXAMPLES.map(|(u, [i, j])| {
        let (user, positive, negative) = (row(users, u), row(items, i), row(items, j));
        let score =
            |item: &[f64]| (0..DIM).map(|k| user[k] * item[k]).sum::<f64>() + user[DIM] + item[DIM];
        let x = score(&positive) - score(&negative);
        loss += (1.0 + (-x).exp()).ln();
        for row in [&user, &positive, &negative] {
            loss += DECAY * row.iter().map(|w| w * w).sum::<f64>();
        }
        1.0 / (1.0 + x.exp())
    });
    for ((u, [i, j]), slope) in EXAMPLES.into_iter().zip(slopes) {
        let (user, positive, negative) = (row(users, u), row(items, i), row(items, j));
        for k in 0..=DIM {
            let (step, last) = (DIM + 1, k == DIM);
            let by_user = if last { 1.0 } else { user[k] };
            let by_items = if last { 0.0 } else { positive[k] - negative[k] };
            users[u * step + k] -= RATE * (-slope * by_items + 2.0 * DECAY * user[k]);
            items[i * step + k] -= RATE * (-slope * by_user + 2.0 * DECAY * positive[k]);
            items[j * step + k] -= RATE * (slope * by_user + 2.0 * DECAY * negative[k]);
        }
    }
    loss / EXAMPLES.len() as f64
}

#[test]
fn one_thread_steps_through_a_group() {
    let (users, items) = tables();
    let side = |values: &[f32]| {
        let mut side = Side::zeros(values.len() / (DIM + 1), DIM + 1, 0);
        side.weights.put(0, DIM + 1, values);
        side
    };
    let settings = Settings {
        goal: Goal::Bpr,
        hardest_negative: false,
        rows: Rows {
            bias: Some(DIM),
            cosine: false,
        },
        user_regularization: DECAY as f32,
        item_regularization: DECAY as f32,
        gradient_clip: 0.0,
        hogwild: true,
    };
    let mut factors = Factors::new(settings, side(&users), side(&items));
    let mut batcher = Batcher::new(3, 4);
    let mut batch = batcher.empty();
    let draw = |users: &mut [u32], items: &mut [u32]| {
        for (place, (user, pair)) in EXAMPLES.iter().enumerate() {
            users[place] = *user as u32;
            items[2 * place] = pair[0] as u32;
            items[2 * place + 1] = pair[1] as u32;
        }
    };
    batcher.fill(&mut batch, (EXAMPLES.len(), 2), draw, std::iter::empty());
    let config = OptimizerConfig::plain_sgd();
    let hyper = Hyper::new(&config, RATE, 1);
    let loss = factors.step(&mut batch, &hyper);
    let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    let (mut users, mut items) = (wide(&users), wide(&items));
    let expected = plain(&mut users, &mut items);
    assert!((loss - expected).abs() < 1e-5, "{loss} {expected}");
    for (side, plain) in [(&factors.users, users), (&factors.items, items)] {
        let values = side.weights.take(0, DIM + 1);
        for (a, b) in values.iter().zip(&plain) {
            assert!((f64::from(*a) - b).abs() < 1e-5, "{values:?} {plain:?}");
        }
    }
}

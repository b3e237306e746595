use super::*;
use crate::kernels::mf::{Batcher, Goal, Rows};
use crate::optim::{OptimizerConfig, OptimizerKind};
use crate::seed::Seed;

const RATE: f64 = 0.3;
const DECAY: f64 = 0.01;

/// How rows look: their columns, and whether the last of them is a bias.
type Shape = (usize, bool);

/// Rows of three users and four items.
fn tables(columns: usize) -> (Vec<f32>, Vec<f32>) {
    let mut rng = Seed::fresh().stream("test");
    let scale = 2.0 / (columns as f32).sqrt();
    let mut draw = |rows: usize| (0..rows * columns).map(|_| scale * rng.normal()).collect();
    (draw(3), draw(4))
}

/// Examples in the order in which the batch keeps them.
const EXAMPLES: [(usize, [usize; 2]); 4] = [(0, [1, 2]), (0, [3, 1]), (2, [0, 3]), (1, [1, 0])];

/// Weights and sums of squared gradients of one side.
struct Plain {
    columns: usize,
    weights: Vec<f64>,
    squares: Vec<f64>,
}

impl Plain {
    fn new(values: &[f32], columns: usize) -> Self {
        Self {
            columns,
            weights: values.iter().map(|&v| f64::from(v)).collect(),
            squares: vec![0.0; values.len()],
        }
    }

    fn row(&self, row: usize) -> Vec<f64> {
        self.weights[row * self.columns..][..self.columns].to_vec()
    }

    fn step(&mut self, row: usize, gradient: &[f64], kind: OptimizerKind) {
        for (k, g) in gradient.iter().enumerate() {
            let at = row * self.columns + k;
            let step = match kind {
                OptimizerKind::Adagrad => {
                    self.squares[at] += g * g;
                    g / (self.squares[at].sqrt() + 1e-8)
                }
                _ => *g,
            };
            self.weights[at] -= RATE * step;
        }
    }
}

/// BPR: the slopes of a group of examples, then their updates, one after the
/// other.
fn plain(users: &mut Plain, items: &mut Plain, bias: bool, kind: OptimizerKind) -> f64 {
    let columns = users.columns;
    let factors = columns - usize::from(bias);
    let mut loss = 0.0;
    let slopes = EXAMPLES.map(|(u, [i, j])| {
        let (user, positive, negative) = (users.row(u), items.row(i), items.row(j));
        let score = |item: &[f64]| {
            let product: f64 = (0..factors).map(|k| user[k] * item[k]).sum();
            product + user[factors..].iter().sum::<f64>() + item[factors..].iter().sum::<f64>()
        };
        let x = score(&positive) - score(&negative);
        loss += (1.0 + (-x).exp()).ln();
        for row in [&user, &positive, &negative] {
            loss += DECAY * row.iter().map(|w| w * w).sum::<f64>();
        }
        1.0 / (1.0 + x.exp())
    });
    for ((u, [i, j]), slope) in EXAMPLES.into_iter().zip(slopes) {
        let (user, positive, negative) = (users.row(u), items.row(i), items.row(j));
        let with_decay = |row: &[f64], gradient: &dyn Fn(usize) -> f64| -> Vec<f64> {
            (0..columns)
                .map(|k| gradient(k) + 2.0 * DECAY * row[k])
                .collect()
        };
        let by_user = |k: usize| if k < factors { user[k] } else { 1.0 };
        let by_items = |k: usize| {
            if k < factors {
                positive[k] - negative[k]
            } else {
                0.0
            }
        };
        items.step(i, &with_decay(&positive, &|k| -slope * by_user(k)), kind);
        items.step(j, &with_decay(&negative, &|k| slope * by_user(k)), kind);
        users.step(u, &with_decay(&user, &|k| -slope * by_items(k)), kind);
    }
    loss / EXAMPLES.len() as f64
}

fn config(kind: OptimizerKind) -> OptimizerConfig {
    OptimizerConfig {
        kind,
        ..OptimizerConfig::plain_sgd()
    }
}

fn factors((columns, bias): Shape, kind: OptimizerKind) -> Factors {
    let (users, items) = tables(columns);
    let states = usize::from(kind == OptimizerKind::Adagrad);
    let side = |values: &[f32]| {
        let mut side = Side::zeros(values.len() / columns, columns, states);
        side.weights.put(0, columns, values);
        side
    };
    let settings = Settings {
        goal: Goal::Bpr,
        hardest_negative: false,
        rows: Rows {
            bias: bias.then(|| columns - 1),
            cosine: false,
        },
        user_regularization: DECAY as f32,
        item_regularization: DECAY as f32,
        gradient_clip: 0.0,
        hogwild: true,
    };
    Factors::new(settings, side(&users), side(&items))
}

fn batch() -> Batch {
    let mut batcher = Batcher::in_order(4);
    let mut batch = batcher.empty();
    let draw = |users: &mut [u32], items: &mut [u32]| {
        for (place, (user, pair)) in EXAMPLES.iter().enumerate() {
            users[place] = *user as u32;
            items[2 * place] = pair[0] as u32;
            items[2 * place + 1] = pair[1] as u32;
        }
    };
    batcher.fill(&mut batch, (EXAMPLES.len(), 2), draw, std::iter::empty());
    batch
}

/// Runs a job without the machine's widest instructions.
fn portable(factors: &mut Factors, batch: &Batch, hyper: &Hyper) -> f64 {
    let job = Examples {
        settings: factors.settings,
        users: &RacingSide::of(&mut factors.users),
        items: &RacingSide::of(&mut factors.items),
        batch,
        hyper,
        range: (0, EXAMPLES.len()),
    };
    job.call::<simd::Portable>() / EXAMPLES.len() as f64
}

/// Rows of one lane and of several, of widths that the compiler is told and of
/// others, with and without biases, and both kinds of optimizers.
#[test]
fn one_thread_steps_through_a_group() {
    let shapes: [Shape; 6] = [
        (6, true),
        (5, false),
        (32, true),
        (64, false),
        (65, true),
        (128, true),
    ];
    for kind in [OptimizerKind::Sgd, OptimizerKind::Adagrad] {
        for (columns, bias) in shapes {
            let (users, items) = tables(columns);
            let (mut users, mut items) = (Plain::new(&users, columns), Plain::new(&items, columns));
            let expected = plain(&mut users, &mut items, bias, kind);
            let hyper = Hyper::new(&config(kind), RATE, 1);
            for wide in [true, false] {
                let mut factors = factors((columns, bias), kind);
                let loss = if wide {
                    factors.step(&mut batch(), &hyper)
                } else {
                    portable(&mut factors, &batch(), &hyper)
                };
                assert!((loss - expected).abs() < 1e-5, "{loss} {expected}");
                for (side, plain) in [(&factors.users, &users), (&factors.items, &items)] {
                    let values = side.weights.take(0, columns);
                    for (a, b) in values.iter().zip(&plain.weights) {
                        let near = (f64::from(*a) - b).abs() < 2e-5;
                        assert!(near, "{kind:?}, {columns} columns: {a} {b}");
                    }
                }
            }
        }
    }
}

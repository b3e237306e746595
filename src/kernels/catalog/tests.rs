//! Losses against their formulas in float64, gradients against finite
//! differences of those.

use super::*;
use crate::kernels::simd::{self, WIDTH, flat, flat_mut};
use crate::kernels::table::Table;
use crate::seed::Seed;

const DIM: usize = 16;
/// More rows than a block.
const ROWS: usize = 37;

struct Case {
    hidden: Vec<f64>,
    items: Vec<f64>,
    num_items: usize,
    targets: Vec<u32>,
}

impl Case {
    fn new(num_items: usize) -> Self {
        let mut rng = Seed::fresh().stream("test");
        let mut draw = |n: usize| {
            let values = (0..n).map(|_| f64::from(rng.normal()));
            values.collect::<Vec<f64>>()
        };
        Self {
            hidden: draw(ROWS * DIM),
            items: draw((num_items + 1) * DIM),
            num_items,
            targets: (0..ROWS as u32).map(|r| r * 7 % num_items as u32).collect(),
        }
    }

    fn score(&self, row: usize, item: u32) -> f64 {
        let h = &self.hidden[row * DIM..][..DIM];
        let w = &self.items[item as usize * DIM..][..DIM];
        h.iter().zip(w).map(|(a, b)| a * b).sum()
    }

    /// Loss and gradients of a kernel.
    fn run(&self, f: impl FnOnce(Args<'_>) -> f64) -> (f64, Vec<f32>, Vec<f32>) {
        let single = |v: &[f64]| v.iter().map(|x| *x as f32).collect::<Vec<f32>>();
        let mut items = Table::zeros(self.num_items + 1, DIM);
        items.put(0, DIM, &single(&self.items));
        let mut hidden = vec![Lane::ZERO; ROWS];
        flat_mut(&mut hidden).copy_from_slice(&single(&self.hidden));
        let mut to_hidden = vec![Lane::ZERO; ROWS];
        let mut to_items = RowGradients::new(self.num_items + 1, 1);
        let loss = f(Args {
            hidden: &hidden,
            items: &items,
            to_hidden: &mut to_hidden,
            to_items: &mut to_items,
        });
        let mut all = vec![Lane::ZERO; self.num_items + 1];
        for (place, &row) in to_items.rows().iter().enumerate() {
            all[row as usize] = to_items.at(place)[0];
        }
        (loss, flat(&to_hidden).to_vec(), flat(&all).to_vec())
    }

    /// Holds a kernel against a formula of the case; the gradients are those
    /// of the loss divided by the rows.
    fn check(&mut self, formula: impl Fn(&Self) -> f64, kernel: impl FnOnce(Args<'_>) -> f64) {
        let (loss, to_hidden, to_items) = self.run(kernel);
        let exact = formula(self);
        assert!((loss - exact).abs() < 1e-4 * exact, "{loss} {exact}");
        for at in (0..ROWS * DIM).step_by(23) {
            let mut moved = |by: f64| {
                self.hidden[at] += by;
                formula(self)
            };
            let finite = (moved(1e-4) - moved(-2e-4)) / 2e-4 / ROWS as f64;
            moved(1e-4);
            assert!((finite - f64::from(to_hidden[at])).abs() < 1e-4);
        }
        for at in (0..self.items.len()).step_by(self.items.len() / 97 + 1) {
            let mut moved = |by: f64| {
                self.items[at] += by;
                formula(self)
            };
            let finite = (moved(1e-4) - moved(-2e-4)) / 2e-4 / ROWS as f64;
            moved(1e-4);
            assert!((finite - f64::from(to_items[at])).abs() < 1e-4);
        }
    }
}

struct Args<'a> {
    hidden: &'a [Lane],
    items: &'a Table,
    to_hidden: &'a mut [Lane],
    to_items: &'a mut RowGradients,
}

#[test]
fn the_whole_catalog() {
    // One tile, and more than one with a last one that is not full.
    for (num_items, smoothing) in [(19, 0.0), (4500, 0.0), (19, 0.2), (4500, 0.2)] {
        let mut case = Case::new(num_items);
        let targets = case.targets.clone();
        let formula = |case: &Case| {
            let row = |(row, target): (usize, &u32)| {
                let items = || (0..case.num_items as u32).map(|i| case.score(row, i));
                let sum: f64 = items().map(f64::exp).sum();
                let even = items().sum::<f64>() / case.num_items as f64;
                let smoothing = f64::from(smoothing);
                sum.ln() - (1.0 - smoothing) * case.score(row, *target) - smoothing * even
            };
            case.targets.iter().enumerate().map(row).sum()
        };
        case.check(formula, |args| {
            let mut transposed = Vec::new();
            transpose(args.items, num_items, &mut transposed);
            simd::run(Full {
                hidden: args.hidden,
                targets: &targets,
                items: args.items,
                transposed: &transposed,
                num_items,
                scale: 1.0 / ROWS as f32,
                smoothing,
                mean: &mean(args.items, num_items),
                to_hidden: args.to_hidden,
                to_items: args.to_items,
            })
        });
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The loss of a row's own score and those of its negatives.
fn plain(goal: Goal, own: f64, others: &[f64]) -> f64 {
    match goal {
        Goal::Softmax { smoothing } => {
            let sum = own.exp() + others.iter().map(|x| x.exp()).sum::<f64>();
            let even = (own + others.iter().sum::<f64>()) / (1 + others.len()) as f64;
            let smoothing = f64::from(smoothing);
            sum.ln() - (1.0 - smoothing) * own - smoothing * even
        }
        Goal::Bce {
            positive,
            offset,
            smoothing,
        } => {
            let (beta, offset) = (f64::from(positive), f64::from(offset));
            let smoothing = f64::from(smoothing);
            let no = |x: f64| -(1.0 - sigmoid(x + offset)).ln();
            let yes = |x: f64| -sigmoid(x + offset).ln();
            let one = |x: &f64| (1.0 - smoothing) * no(*x) + smoothing * yes(*x);
            let others_sum: f64 = others.iter().map(one).sum();
            let own = (beta - smoothing) * yes(own) + smoothing * no(own);
            (own + others_sum) / (1 + others.len()) as f64
        }
        Goal::Bpr => {
            let each = others.iter().map(|x| -sigmoid(own - x).ln());
            each.sum::<f64>() / others.len() as f64
        }
        Goal::Ccl {
            margin,
            negative_weight,
        } => {
            let close = others.iter().map(|x| (x - f64::from(margin)).max(0.0));
            1.0 - own + f64::from(negative_weight) * close.sum::<f64>() / others.len() as f64
        }
    }
}

#[test]
fn sampled_negatives() {
    let softmax = Goal::Softmax { smoothing: 0.0 };
    let bce = |positive, offset, smoothing| Goal::Bce {
        positive,
        offset,
        smoothing,
    };
    let goals = [
        softmax,
        Goal::Softmax { smoothing: 0.2 },
        bce(1.0, 0.0, 0.0),
        bce(0.3, -1.5, 0.0),
        bce(1.0, -1.5, 0.2),
        Goal::Bpr,
        Goal::Ccl {
            margin: 0.4,
            negative_weight: 7.0,
        },
    ];
    for goal in goals {
        for (shared, count) in [(true, 21), (false, 1), (false, 18)] {
            let mut case = Case::new(50);
            let targets = case.targets.clone();
            let draws = if shared { count } else { count * ROWS };
            let negatives: Vec<u32> = (0..draws as u32).map(|n| n * n * 11 % 50).collect();
            let log: Vec<f32> = (0..50).map(|i| i as f32 * 0.02 - 0.5).collect();
            let log_expected = matches!(goal, Goal::Softmax { .. }).then_some(&log[..]);
            let formula = |case: &Case| {
                let row = |(row, target): (usize, &u32)| {
                    let own = if shared { 0 } else { row * count };
                    let others: Vec<f64> = negatives[own..own + count]
                        .iter()
                        .map(|&i| {
                            let log = log_expected.map_or(0.0, |of| f64::from(of[i as usize]));
                            case.score(row, i) - log
                        })
                        .collect();
                    plain(goal, case.score(row, *target), &others)
                };
                case.targets.iter().enumerate().map(row).sum()
            };
            case.check(formula, |args| {
                simd::run(Sampled {
                    goal,
                    hidden: args.hidden,
                    targets: &targets,
                    negatives: &negatives,
                    shared,
                    log_expected,
                    items: args.items,
                    scale: 1.0 / ROWS as f32,
                    to_hidden: args.to_hidden,
                    to_items: args.to_items,
                })
            });
        }
    }
}

#[test]
fn rows_are_forgotten_and_come_back_as_zero() {
    let ones = [Lane([1.0; WIDTH]); 2];
    let mut gradients = RowGradients::new(50, 2);
    for generation in 0..3 {
        gradients.add(40, &ones);
        gradients.add(7 + generation, &ones);
        gradients.add(40, &ones);
        assert_eq!(gradients.rows(), [40, 7 + generation]);
        assert_eq!(gradients.at(0), [Lane([2.0; WIDTH]); 2]);
        assert_eq!(gradients.at(1), ones);
        gradients.clear();
        assert!(gradients.rows().is_empty());
    }
    gradients.generation = u32::MAX;
    gradients.clear();
    assert_eq!(gradients.row_mut(40), [Lane::ZERO; 2]);
    gradients.clear();
    gradients.first_rows_mut(3)[2 * 2..].copy_from_slice(&ones);
    gradients.add(2, &ones);
    gradients.add(9, &ones);
    assert_eq!(gradients.rows(), [0, 1, 2, 9]);
    assert_eq!(gradients.at(2), [Lane([2.0; WIDTH]); 2]);
}

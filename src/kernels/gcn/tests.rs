//! Steps against the formulas in `f64`, with finite differences for their
//! gradients.

use super::*;
use crate::data::interactions::Interactions;
use crate::kernels::simd::{Portable, WIDTH, flat};
use crate::optim::OptimizerConfig;
use crate::seed::Seed;

const USERS: usize = 11;
const ITEMS: usize = 9;
const NODES: usize = USERS + ITEMS;

/// A user and an item without interactions are among them, and none of those
/// that the batch contrasts: always the same.
fn log() -> Interactions {
    let mut rng = Seed(21).stream("test");
    let mut log = Interactions {
        offsets: vec![0],
        num_items: ITEMS,
        ..Interactions::default()
    };
    for user in 0..USERS {
        let items = (0..ITEMS as u32 - 1).filter(|_| user > 0 && rng.below(3) == 0);
        log.items.extend(items.collect::<Vec<_>>());
        log.offsets.push(log.items.len());
    }
    log
}

/// Users and `[positive, negative, negative]` of each; some come twice.
const BATCH: ([u32; 5], [u32; 15]) = (
    [3, 1, 3, 7, 10],
    [2, 8, 0, 5, 1, 1, 6, 2, 7, 2, 4, 8, 0, 3, 5],
);

fn propagate(log: &Interactions, x: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut degrees = [0.0f64; NODES];
    let pairs: Vec<(usize, usize)> = log
        .user_column()
        .iter()
        .zip(&log.items)
        .map(|(&u, &i)| (u as usize, USERS + i as usize))
        .collect();
    for &(u, i) in &pairs {
        degrees[u] += 1.0;
        degrees[i] += 1.0;
    }
    let mut y = vec![vec![0.0; x[0].len()]; NODES];
    for &(u, i) in &pairs {
        let weight = (degrees[u] * degrees[i]).sqrt().recip();
        for c in 0..x[0].len() {
            y[u][c] += weight * x[i][c];
            y[i][c] += weight * x[u][c];
        }
    }
    y
}

/// What a view's mean over layers is, and the layer to contrast.
fn view(
    log: &Interactions,
    settings: &Settings,
    x: &[Vec<f64>],
    noise: Option<(usize, &Rng)>,
) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let columns = settings.columns;
    let mut layer = x.to_vec();
    let mut mean = vec![vec![0.0; columns]; NODES];
    let mut chosen = Vec::new();
    for number in 0..=settings.layers {
        if number > 0 {
            layer = propagate(log, &layer);
        }
        if let (Some((view, stream)), true) = (noise, number > 0) {
            let first = Layer {
                view,
                layer: number,
                layers: settings.layers,
                nodes: NODES,
            }
            .first();
            let strength = settings.contrast.unwrap().noise;
            let noise = Noise {
                stream,
                strength,
                columns,
                first,
            };
            for (node, row) in (0..).zip(&mut layer) {
                let mut drawn = vec![Lane::ZERO; columns.div_ceil(WIDTH)];
                noise.draw::<Portable>(node, &mut drawn);
                let length: f32 = flat(&drawn).iter().map(|x| x * x).sum::<f32>().sqrt();
                assert!((length - strength).abs() < 1e-5);
                for (x, &noise) in row.iter_mut().zip(flat(&drawn)) {
                    assert!(noise >= 0.0);
                    *x += f64::from(noise) * if *x == 0.0 { 0.0 } else { x.signum() };
                }
            }
        }
        if settings.contrast_layer() == Some(number) {
            chosen = layer.clone();
        }
        if number > 0 || settings.first {
            for (mean, row) in mean.iter_mut().zip(&layer) {
                mean.iter_mut()
                    .zip(row)
                    .for_each(|(m, x)| *m += x * f64::from(settings.share()));
            }
        }
    }
    (mean, chosen)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn info_nce(a: &[Vec<f64>], b: &[Vec<f64>], nodes: &[usize], temperature: f64) -> f64 {
    let cosine =
        |i: usize, j: usize| dot(&a[i], &b[j]) / (dot(&a[i], &a[i]) * dot(&b[j], &b[j])).sqrt();
    let losses = nodes.iter().map(|&i| {
        let total: f64 = nodes
            .iter()
            .map(|&j| (cosine(i, j) / temperature).exp())
            .sum();
        total.ln() - cosine(i, i) / temperature
    });
    losses.sum::<f64>() / nodes.len() as f64
}

/// The loss of an example.
fn plain_loss(goal: Goal, scores: &[f64]) -> f64 {
    let negatives = scores[1..].iter();
    let share = 1.0 / (scores.len() - 1) as f64;
    match goal {
        Goal::Bpr => negatives
            .map(|n| share * (1.0 + (n - scores[0]).exp()).ln())
            .sum(),
        Goal::Ccl {
            margin,
            negative_weight,
        } => {
            let (margin, weight) = (f64::from(margin), f64::from(negative_weight));
            let close: f64 = negatives.map(|n| (n - margin).max(0.0)).sum();
            1.0 - scores[0] + weight * share * close
        }
        other => panic!("no plain formula of {other:?}"),
    }
}

/// The loss of the batch in `f64`.
fn plain(
    log: &Interactions,
    (settings, goal): (&Settings, Goal),
    x: &[Vec<f64>],
    stream: &Rng,
) -> f64 {
    let views: Vec<_> = settings
        .views()
        .iter()
        .map(|noise| view(log, settings, x, noise.map(|view| (view, stream))))
        .collect();
    let finals = &views[0].0;
    let (users, items) = BATCH;
    let (mut loss, mut squares) = (0.0, 0.0);
    for (&user, items) in users.iter().zip(items.chunks(3)) {
        let user = user as usize;
        let node = |item: &u32| USERS + *item as usize;
        let scores = items.iter().map(|item| {
            let (u, i) = (&finals[user], &finals[node(item)]);
            // An item without interactions has no layers.
            let lengths = (dot(u, u) * dot(i, i)).sqrt().max(1e-30);
            dot(u, i) / if settings.cosine { lengths } else { 1.0 }
        });
        loss += plain_loss(goal, &scores.collect::<Vec<_>>()) / 5.0;
        squares += dot(&x[user], &x[user]);
        squares += items
            .iter()
            .map(|i| dot(&x[node(i)], &x[node(i)]))
            .sum::<f64>();
    }
    loss += f64::from(settings.regularization) * squares / 5.0;
    if let Some(contrasting) = settings.contrast {
        let temperature = f64::from(contrasting.loss.temperature);
        let (a, b) = match contrasting.views {
            Views::Two => (&views[1].0, &views[2].0),
            Views::Layer(_) => (&views[0].0, &views[0].1),
        };
        for nodes in [vec![3, 1, 7, 10], [2, 5, 6, 0].map(|i| USERS + i).to_vec()] {
            loss += f64::from(contrasting.loss.weight) * info_nce(a, b, &nodes, temperature);
        }
    }
    loss
}

fn settings(layers: usize, first: bool, views: Option<Views>) -> Settings {
    let contrasting = |views| Contrasting {
        views,
        loss: Contrast {
            temperature: 0.3,
            weight: 0.7,
        },
        noise: 0.2,
    };
    Settings {
        columns: 19,
        layers,
        first,
        cosine: false,
        regularization: 0.05,
        gradient_clip: 0.0,
        contrast: views.map(contrasting),
    }
}

/// The weights before and after a step of size one along the gradient.
fn step(settings: Settings, goal: Goal, weights: &[f32]) -> (f64, Vec<f64>) {
    let log = log();
    let graph = Arc::new(Graph::new(&log).unwrap());
    let sgd = OptimizerConfig::plain_sgd();
    let states = vec![vec![0.0; weights.len()]];
    let mut gcn = Gcn::new(graph.clone(), settings, goal, weights, &states);
    let mut batch = Batch::new(&graph);
    // What an earlier batch left behind must not matter.
    batch.fill(&graph, &[0, 2], &[1, 8, 3, 4, 4, 4]);
    batch.fill(&graph, &BATCH.0, &BATCH.1);
    let stream = Seed(4).stream("noise");
    let loss = gcn.step(&batch, &Hyper::new(&sgd, 1.0, 1), &stream);
    let (after, _) = gcn.take();
    let gradient = weights.iter().zip(&after).map(|(w, a)| f64::from(w - a));
    (loss, gradient.collect())
}

#[test]
fn losses_and_gradients_are_those_of_the_formulas() {
    let log = log();
    let cases = [
        settings(1, true, None),
        settings(2, true, None),
        settings(3, true, None),
        settings(4, true, None),
        settings(1, false, Some(Views::Two)),
        settings(2, false, Some(Views::Two)),
        settings(3, false, Some(Views::Two)),
        settings(1, false, Some(Views::Layer(1))),
        settings(2, false, Some(Views::Layer(1))),
        settings(2, false, Some(Views::Layer(2))),
        settings(3, false, Some(Views::Layer(2))),
    ];
    let cosine = |settings: Settings| Settings {
        cosine: true,
        ..settings
    };
    let ccl = Goal::Ccl {
        margin: -0.1,
        negative_weight: 3.0,
    };
    let cosines = [
        (cosine(settings(2, true, None)), Goal::Bpr),
        (cosine(settings(2, true, None)), ccl),
        (cosine(settings(2, false, Some(Views::Two))), ccl),
        (cosine(settings(3, false, Some(Views::Layer(2)))), ccl),
    ];
    let cases = cases.map(|settings| (settings, Goal::Bpr));
    let mut rng = Seed::fresh().stream("test");
    for (settings, goal) in cases.into_iter().chain(cosines) {
        let weights: Vec<f32> = (0..NODES * 19).map(|_| 0.5 * rng.normal()).collect();
        let (loss, gradient) = step(settings, goal, &weights);
        let x: Vec<Vec<f64>> = weights
            .chunks(19)
            .map(|row| row.iter().map(|&x| f64::from(x)).collect())
            .collect();
        let stream = Seed(4).stream("noise");
        let value = |x: &[Vec<f64>]| plain(&log, (&settings, goal), x, &stream);
        assert!((loss - value(&x)).abs() < 1e-5, "{settings:?}: {loss}");
        for (at, slope) in gradient.iter().enumerate().step_by(3) {
            let nudged = |by: f64| {
                let mut x = x.clone();
                x[at / 19][at % 19] += by;
                value(&x)
            };
            let exact = (nudged(1e-6) - nudged(-1e-6)) / 2e-6;
            assert!(
                (slope - exact).abs() < 5e-6 * (1.0 + exact.abs()),
                "{settings:?} at {at}: {slope} {exact}"
            );
        }
    }
}

#[test]
fn gradients_are_clipped_to_their_norm() {
    let mut rng = Seed::fresh().stream("test");
    let weights: Vec<f32> = (0..NODES * 19).map(|_| 0.5 * rng.normal()).collect();
    let plain = settings(2, true, None);
    let (_, free) = step(plain, Goal::Bpr, &weights);
    let norm = free.iter().map(|g| g * g).sum::<f64>().sqrt();
    let clipped = |limit: f64| {
        let gradient_clip = limit as f32;
        step(
            Settings {
                gradient_clip,
                ..plain
            },
            Goal::Bpr,
            &weights,
        )
        .1
    };
    for (limit, factor) in [(0.5 * norm, 0.5), (2.0 * norm, 1.0)] {
        for (a, b) in clipped(limit).iter().zip(&free) {
            assert!((a - factor * b).abs() < 1e-6, "{a} {b}");
        }
    }
}

#[test]
fn served_vectors_are_the_means_and_what_new_nodes_would_have() {
    let log = log();
    let graph = Graph::new(&log).unwrap();
    let mut rng = Seed::fresh().stream("test");
    let weights: Vec<f32> = (0..NODES * 19).map(|_| rng.normal()).collect();
    let x: Vec<Vec<f64>> = weights
        .chunks(19)
        .map(|row| row.iter().map(|&x| f64::from(x)).collect())
        .collect();
    for (layers, first) in [(1, true), (3, true), (2, false)] {
        let settings = settings(layers, first, None);
        let embedded = embed(&graph, &weights, 19, layers, first);
        let (mean, _) = view(&log, &settings, &x, None);
        let served = embedded.users.iter().chain(&embedded.items);
        for (a, b) in served.zip(mean.iter().flatten()) {
            assert!((f64::from(*a) - b).abs() < 1e-5, "{a} {b}");
        }
        // A known user less its own embedding is what a new one would be.
        let user = 5;
        let mut without = x.clone();
        without[user].fill(0.0);
        let items = log.items_of(crate::ids::UserIdx(user as u32));
        let scale = (items.len() as f64).powf(-0.5);
        if layers == 1 {
            let (mean, _) = view(&log, &settings, &without, None);
            for (c, mean) in mean[user].iter().enumerate() {
                let sum: f64 = items
                    .iter()
                    .map(|&i| f64::from(embedded.passed_on[i as usize * 19 + c]))
                    .sum();
                assert!((scale * sum - mean).abs() < 1e-5);
            }
        }
        let mut layer = x.clone();
        let mut sums = [0.0; 19];
        let degree = |item: u32| log.item_counts()[item as usize];
        for _ in 0..layers {
            for (c, sum) in sums.iter_mut().enumerate() {
                for &item in items {
                    let part = layer[USERS + item as usize][c];
                    *sum +=
                        scale * part / f64::from(degree(item)).sqrt() * f64::from(settings.share());
                }
            }
            layer = propagate(&log, &layer);
        }
        for (c, exact) in sums.iter().enumerate() {
            let sum: f64 = items
                .iter()
                .map(|&i| f64::from(embedded.passed_on[i as usize * 19 + c]))
                .sum();
            assert!((scale * sum - exact).abs() < 1e-5);
        }
    }
}

//! What somebody whom training never saw is served, by the formulas that the
//! models give for it.

use crate::conformance::world::*;
use recsys::data::Interactions;
use recsys::ids::UserIdx;
use recsys::model::{Query, Recommender};
use recsys::models;
use recsys::tensors::NamedTensors;

fn stranger(history: &[u32]) -> Query<'_> {
    Query {
        history,
        ..Query::default()
    }
}

/// A model of the registry with these parameters, after two epochs.
fn fitted(name: &str, params: &str, train: &Interactions) -> Box<dyn Recommender> {
    let spec = models::build(name, params.parse().unwrap()).unwrap();
    fit(&*spec, train, &toml::from_str(SHORT).unwrap())
}

/// The rows of a matrix, in f64.
fn rows(weights: &NamedTensors, name: &str) -> Vec<Vec<f64>> {
    let shape = weights.tensors[name].shape.clone();
    let values = weights.f32(name, &shape).unwrap();
    let row = |row: &[f32]| row.iter().map(|&v| f64::from(v)).collect();
    values.chunks(shape[1]).map(row).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The sum of rows, each times its weight.
fn weighted(rows: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    let column = |c: usize| rows.iter().zip(weights).map(|(row, w)| row[c] * w).sum();
    (0..rows[0].len()).map(column).collect()
}

fn assert_scores(found: &[f32], expected: &[f64], what: &str) {
    for (found, expected) in found.iter().zip(expected) {
        let near = (f64::from(*found) - expected).abs() < 1e-5 * (1.0 + expected.abs());
        assert!(near, "{what}: {found} {expected}");
    }
}

/// Koren's equation 15 without what a user has of its own: `N(u)` is the
/// history.
#[test]
fn svdpp_takes_the_history_for_what_was_rated() {
    let train = checkerboard();
    let model = fitted("svdpp", "embedding_dim = 4\ninit_deviation = 0.5", &train);
    let weights = model.weights().unwrap();
    let [items, implicit] = ["item_embedding", "implicit_embedding"].map(|t| rows(&weights, t));
    let biases = rows(&weights, "item_bias");
    let scale = weights.f32("rating_scale", &[4]).unwrap();
    let (mean, deviation) = (f64::from(scale[0]), f64::from(scale[1]));
    // An item twice is one of the items that were rated.
    for history in [&[1u32, 4, 7, 4][..], &[5], &[]] {
        let mut taken = vec![0.0; ITEMS as usize];
        history.iter().for_each(|&i| taken[i as usize] = 1.0);
        let distinct: f64 = taken.iter().sum();
        let sums = weighted(&implicit, &taken);
        let user: Vec<f64> = sums.iter().map(|s| s / distinct.max(1.0).sqrt()).collect();
        let score =
            |(item, bias): (&Vec<f64>, &Vec<f64>)| mean + deviation * (dot(&user, item) + bias[0]);
        let expected: Vec<f64> = items.iter().zip(&biases).map(score).collect();
        assert_scores(&score_of(&*model, history), &expected, "svdpp");
    }
}

fn score_of(model: &dyn Recommender, history: &[u32]) -> Vec<f32> {
    score(model, &[stranger(history)])
}

/// Users by the cosine of their histories with this one, all that share an
/// item with it: there are fewer than what are averaged at most.
fn cosines(train: &Interactions, history: &[u32]) -> Vec<f64> {
    let cosine = |user: u32| {
        let items = train.items_of(UserIdx(user));
        let shared = items.iter().filter(|i| history.contains(i)).count();
        shared as f64 / (items.len() as f64).sqrt().max(1.0)
    };
    let mut cosines: Vec<f64> = (0..train.num_users() as u32).map(cosine).collect();
    let total: f64 = cosines.iter().sum();
    cosines.iter_mut().for_each(|c| *c /= total);
    cosines
}

#[test]
fn mf_and_gmf_blend_the_rows_of_neighbors() {
    let mut train = checkerboard();
    // Somebody with a history of another length.
    train.items.extend([0, 3]);
    *train.offsets.last_mut().unwrap() += 2;
    (train.weights, train.timestamps) = (None, None);
    let history = [0, 2, 3];
    let neighbors = cosines(&train, &history);

    let model = fitted("mf", "biases = true\ninit_deviation = 0.5", &train);
    let weights = model.weights().unwrap();
    let of = |table: &str| rows(&weights, table);
    let user = weighted(&of("user_embedding"), &neighbors);
    let bias = weighted(&of("user_bias"), &neighbors)[0];
    let items = of("item_embedding");
    let scores = items.iter().zip(of("item_bias"));
    let scores: Vec<f64> = scores
        .map(|(item, own)| dot(&user, item) + own[0] + bias)
        .collect();
    assert_scores(&score_of(&*model, &history), &scores, "mf");

    let model = fitted("gmf", "init_deviation = 0.5", &train);
    let weights = model.weights().unwrap();
    let of = |table: &str| rows(&weights, table);
    let user = weighted(&of("gmf_user_embedding"), &neighbors);
    let (output, bias) = (of("gmf_output"), of("output_bias")[0][0]);
    let score = |item: &Vec<f64>| {
        let products = user.iter().zip(item).zip(&output);
        bias + products.map(|((u, i), w)| u * i * w[0]).sum::<f64>()
    };
    let scores: Vec<f64> = of("gmf_item_embedding").iter().map(score).collect();
    assert_scores(&score_of(&*model, &history), &scores, "gmf");
}

/// Whatever a network makes of its rows, one neighbor alone stands in whole.
#[test]
fn somebody_with_one_neighbor_is_served_like_it() {
    let train = Interactions {
        offsets: vec![0, 3, 5, 7],
        items: vec![0, 1, 2, 2, 3, 0, 4],
        num_items: 6,
        ..Interactions::default()
    };
    for name in ["mf", "gmf", "mlp", "neumf", "fm", "deep_fm", "dcn_v2"] {
        let model = fitted(name, "init_deviation = 0.5", &train);
        let known = Query {
            user: Some(UserIdx(1)),
            profile: Some(UserIdx(1)),
            ..stranger(&[2, 3])
        };
        let found = score_of(&*model, &[3]);
        assert_near(&found, &score(&*model, &[known]), name);
    }
}

/// Nobody has anything of an own there, so somebody new with the history of a
/// known user is that user; the order of the history and repetitions do not
/// count.
#[test]
fn autoencoders_know_users_by_their_histories() {
    let train = checkerboard();
    for name in ["mult_vae", "mult_dae", "rec_vae"] {
        let model = fitted(name, "", &train);
        let users = known_users(&train);
        for user in &users {
            let mut history = user.history.to_vec();
            history.reverse();
            history.push(history[2]);
            assert_eq!(
                score_of(&*model, &history),
                score(&*model, &[*user]),
                "{name}"
            );
        }
        let others = score_of(&*model, users[1].history);
        assert_ne!(score_of(&*model, users[0].history), others, "{name}");
    }
}

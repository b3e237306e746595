//! The towers and their loss against the formulas.

use super::task::Task;
use super::*;
use crate::data::features::FeatureTable;
use crate::ids::UserIdx;
use crate::model::Query;
use crate::models::features::side::tests::table;
use crate::models::features::tests::{fit, fit_on, plain_linear, plain_mlp, train};
use crate::params::host;
use crate::tape::Tape;
use crate::training::{Trainable, TrainingConfig};

/// Two features of items: their rows in the list are 0, 1, 2.
fn data<'a>(train: &'a crate::data::Interactions, users: &'a FeatureTable) -> ModelData<'a> {
    ModelData {
        train,
        user_features: Some(users),
        item_features: None,
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

fn unit(vector: Vec<f64>) -> Vec<f64> {
    let length = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
    vector.into_iter().map(|v| v / length).collect()
}

/// A step's loss is that of the paper: inner products of unit vectors over the
/// temperature, less the logarithm of an item's share, and other positives of
/// the user left out; the user is known by all items but the one of its row.
#[test]
fn the_loss_is_that_of_the_formula() {
    let (train, features) = (train(), table());
    let params = Params {
        embedding_dim: 2,
        output_dim: 3,
        hidden: vec![4],
        temperature: 0.5,
        init_deviation: 1.0,
        ..Params::default()
    };
    let config = TrainingConfig {
        batch_size: 8,
        ..TrainingConfig::default()
    };
    let device = Device::flex();
    let towers = params.towers(data(&train, &features), Some(Seed(2)), &device);
    let log = Arc::new(train.sorted_by_item());
    let sampler = NegativeSampler::new(log.clone(), NegativeSampling::Uniform, 0.0).unwrap();
    let mut task = Task {
        examples: Examples::new(log, Some(sampler), 1),
        model: TwoTower::new(towers, 5, &device),
        in_batch: InBatch::new(&train, true),
        params: &params,
        train: &train,
        config: &config,
        seed: Seed(1),
        epoch: 0,
    };
    task.begin_epoch(Seed(1), 0);
    let (users, items) = task.examples.pairs(0..8);
    let mut tape = Tape::training(&device, Updates::Rows);
    tape.begin(Seed(1).stream("dropout"));
    let loss = task.loss(&mut tape, 0..8).unwrap();
    let loss = f64::from(host(loss.inner()).unwrap()[0]);

    let weights = task.model.weights().unwrap();
    let of = |name: &str| wide(weights.f32(name, &weights.tensors[name].shape).unwrap());
    let tower = |name: &str, input: &[f64]| {
        let layer = |part: &str| [of(&format!("{part}_weight")), of(&format!("{part}_bias"))];
        let hidden = plain_mlp(input, &layer(&format!("{name}_tower_1")));
        unit(plain_linear(&hidden, &layer(&format!("{name}_output"))))
    };
    let (history, ids) = (of("history_embedding"), of("item_embedding"));
    let (fields, lists) = (of("user_embedding"), of("user_list_embedding"));
    // Rows of category and number, scale of the number, rows of the list: as
    // `Side` makes them without ids, train being users 0 to 2.
    let known: [(usize, f64, &[usize]); 3] =
        [(1, -1.0, &[0, 2]), (2, 1.0, &[]), (0, f64::NAN, &[1])];
    let user = |user: usize, item: u32| {
        let mut input = vec![0.0; 2];
        let others = train.items_of(UserIdx(user as u32));
        let others: Vec<&u32> = others.iter().filter(|i| **i != item).collect();
        for d in 0..2 {
            let row = |i: &&u32| history[2 * **i as usize + d];
            input[d] = others.iter().map(row).sum::<f64>() / others.len().max(1) as f64;
        }
        let (category, number, list) = known[user];
        input.extend(&fields[2 * category..2 * category + 2]);
        let (row, scale) = if number.is_nan() {
            (4, 1.0)
        } else {
            (3, number)
        };
        input.extend(fields[2 * row..2 * row + 2].iter().map(|v| scale * v));
        for d in 0..2 {
            let sum = list.iter().map(|r| lists[2 * r + d]).sum::<f64>();
            input.push(sum / list.len().max(1) as f64);
        }
        tower("user", &input)
    };
    let counts = train.item_counts();
    let mut expected = 0.0;
    for (row, (&u, &own)) in users.iter().zip(&items).enumerate() {
        let vector = user(u as usize, own);
        let odds = items.iter().enumerate().map(|(column, &item)| {
            if column != row && train.items_of(UserIdx(u)).contains(&item) {
                return 0.0;
            }
            let place = 2 * item as usize;
            let other = tower("item", &ids[place..place + 2]);
            let score: f64 = vector.iter().zip(&other).map(|(a, b)| a * b).sum();
            let share = f64::from(counts[item as usize]) / 8.0;
            (score / 0.5 - share.ln()).exp()
        });
        let odds: Vec<f64> = odds.collect();
        expected -= (odds[row] / odds.iter().sum::<f64>()).ln() / 8.0;
    }
    assert!((loss - expected).abs() < 1e-5, "{loss}, {expected}");
}

/// Item 5 has no interactions: whatever the seed, nothing is said of its id,
/// nor of who has it.
#[test]
fn what_was_never_learned_is_zero() {
    let train = crate::data::Interactions {
        num_items: 6,
        ..train()
    };
    for seed in [1, 2] {
        let params = "features = false\nembedding_dim = 4".parse().unwrap();
        let model = fit_on(
            &train,
            "two_tower",
            params,
            "epochs = 3\nbatch_size = 4",
            Seed(seed),
        );
        let weights = model.weights().unwrap();
        // The unknown id is behind those of six items.
        for (name, rows, unlearned) in [("item_embedding", 7, 6), ("history_embedding", 6, 5)] {
            let table = weights.f32(name, &[rows, 4]).unwrap();
            assert!(table[4 * unlearned..].iter().all(|v| *v == 0.0), "{name}");
            assert!(table[..4].iter().all(|v| *v != 0.0), "{name}");
        }
    }
}

#[test]
fn cold_items_and_new_users_have_scores_of_their_own() {
    let model = fit(
        "two_tower",
        "id_dropout = 0.2",
        "epochs = 3\nbatch_size = 4",
    );
    let query = |profile: Option<u32>, history: &'static [u32]| Query {
        profile: profile.map(UserIdx),
        history,
        ..Query::default()
    };
    let queries = [query(None, &[]), query(Some(3), &[]), query(None, &[1, 2])];
    let mut scores = vec![0.0; 15];
    model.score(&queries, &mut scores).unwrap();
    assert!(scores.iter().all(|s| s.is_finite()));
    assert_ne!(scores[..5], scores[5..10]);
    assert_ne!(scores[..5], scores[10..]);
}

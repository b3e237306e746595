//! The towers and their loss against the formulas.

use super::params::Params;
use super::*;
use crate::data::features::FeatureTable;
use crate::ids::UserIdx;
use crate::model::Query;
use crate::models::features::side::tests::table;
use crate::models::features::tests::{fit, fit_on, plain_linear, plain_mlp, train};
use crate::optim::{Optimizer, OptimizerConfig};
use crate::params::host;
use crate::tape::{Tape, Updates};
use crate::training::{Trainable, TrainingConfig};
use std::collections::BTreeMap;

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

/// Weights by name, row-major.
type Plain = BTreeMap<String, Vec<f64>>;

fn plain(model: &TwoTower) -> Plain {
    let weights = model.weights().unwrap();
    let wide_of = |name: &String| wide(weights.f32(name, &weights.tensors[name].shape).unwrap());
    let names = weights.tensors.keys();
    names.map(|name| (name.clone(), wide_of(name))).collect()
}

/// The towers and their losses as the papers write them.
struct Formula<'a> {
    weights: &'a Plain,
    params: &'a Params,
    train: &'a crate::data::Interactions,
    /// With popularity draws.
    log_expected: Option<&'a [f32]>,
    smoothing: f64,
}

impl Formula<'_> {
    fn of(&self, name: &str) -> &[f64] {
        &self.weights[name]
    }

    fn tower(&self, name: &str, input: &[f64]) -> Vec<f64> {
        let layer = |part: &str| {
            let of = |what: &str| self.of(&format!("{part}_{what}")).to_vec();
            [of("weight"), of("bias")]
        };
        let hidden = plain_mlp(input, &layer(&format!("{name}_tower_1")));
        unit(plain_linear(&hidden, &layer(&format!("{name}_output"))))
    }

    /// What goes into the tower of a user whose history is less an item.
    fn user_input(&self, user: u32, item: u32) -> Vec<f64> {
        // Rows of category and number, scale of the number, rows of the list:
        // as `Side` makes them without ids, train being users 0 to 2.
        let known: [(usize, f64, &[usize]); 3] =
            [(1, -1.0, &[0, 2]), (2, 1.0, &[]), (0, f64::NAN, &[1])];
        let history = self.of("history_embedding");
        let (fields, lists) = (self.of("user_embedding"), self.of("user_list_embedding"));
        let mut input = vec![0.0; 2];
        let others = self.train.items_of(UserIdx(user));
        let others: Vec<&u32> = others.iter().filter(|i| **i != item).collect();
        for d in 0..2 {
            let row = |i: &&u32| history[2 * **i as usize + d];
            input[d] = others.iter().map(row).sum::<f64>() / others.len().max(1) as f64;
        }
        let (category, number, list) = known[user as usize];
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
        input
    }

    fn item_input(&self, item: u32) -> &[f64] {
        &self.of("item_embedding")[2 * item as usize..][..2]
    }

    fn score(&self, user: &[f64], item: u32) -> f64 {
        let item = self.tower("item", self.item_input(item));
        user.iter().zip(&item).map(|(a, b)| a * b).sum()
    }

    /// The loss of a user and the items of its row, the positive first.
    fn of_negatives(&self, user: &[f64], items: &[u32]) -> f64 {
        let score = |(at, &item): (usize, &u32)| {
            let temperature = match self.params.loss {
                Loss::Ccl => 1.0,
                _ => self.params.temperature,
            };
            let log = self.log_expected.filter(|_| at > 0);
            let log = log.map_or(0.0, |of| f64::from(of[item as usize]));
            self.score(user, item) / temperature - log
        };
        let s: Vec<f64> = items.iter().enumerate().map(score).collect();
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let count = s.len() as f64;
        match self.params.loss {
            Loss::Bpr => {
                let each = s[1..].iter().map(|n| -sigmoid(s[0] - n).ln());
                each.sum::<f64>() / (count - 1.0)
            }
            Loss::Bce => {
                let each = s.iter().enumerate().map(|(at, x)| {
                    let y = if at == 0 {
                        1.0 - self.smoothing
                    } else {
                        self.smoothing
                    };
                    -y * sigmoid(*x).ln() - (1.0 - y) * (1.0 - sigmoid(*x)).ln()
                });
                each.sum::<f64>() / count
            }
            Loss::Ccl => {
                let close = s[1..].iter().map(|n| (n - self.params.margin).max(0.0));
                1.0 - s[0] + self.params.negative_weight * close.sum::<f64>() / (count - 1.0)
            }
            _ => {
                let normalizer = s.iter().map(|x| x.exp()).sum::<f64>().ln();
                let even = s.iter().sum::<f64>() / count;
                normalizer - (1.0 - self.smoothing) * s[0] - self.smoothing * even
            }
        }
    }

    fn in_batch(&self, users: &[u32], items: &[u32], row: usize, vector: &[f64]) -> f64 {
        let counts = self.train.item_counts();
        let odds = items.iter().enumerate().map(|(column, &item)| {
            let positives = self.train.items_of(UserIdx(users[row]));
            if column != row && positives.contains(&item) {
                return 0.0;
            }
            let share = f64::from(counts[item as usize]) / 8.0;
            (self.score(vector, item) / self.params.temperature - share.ln()).exp()
        });
        let odds: Vec<f64> = odds.collect();
        -(odds[row] / odds.iter().sum::<f64>()).ln()
    }

    /// The mean of a batch with its regularizers; `items` has the positive of
    /// each user first.
    fn loss(&self, users: &[u32], items: &[u32]) -> f64 {
        let width = items.len() / users.len();
        let positives: Vec<u32> = items.iter().copied().step_by(width).collect();
        let penalty = |input: &[f64]| {
            let each = input.iter();
            each.map(|x| self.params.regularization * x * x + self.params.embeddings.l1 * x.abs())
                .sum::<f64>()
        };
        let mut total = 0.0;
        for (row, &user) in users.iter().enumerate() {
            let input = self.user_input(user, positives[row]);
            let vector = self.tower("user", &input);
            let own = &items[row * width..][..width];
            total += penalty(&input);
            total += own
                .iter()
                .map(|&i| penalty(self.item_input(i)))
                .sum::<f64>();
            total += match self.params.loss {
                Loss::InBatchSoftmax => self.in_batch(users, &positives, row, &vector),
                Loss::FullSoftmax => {
                    let others = (0..5).filter(|&i| i != positives[row]);
                    let all: Vec<u32> = [positives[row]].into_iter().chain(others).collect();
                    self.of_negatives(&vector, &all)
                }
                _ => self.of_negatives(&vector, own),
            };
        }
        total / users.len() as f64
    }
}

fn params(loss: Loss) -> Params {
    Params {
        embedding_dim: 2,
        output_dim: 3,
        hidden: vec![4],
        temperature: if loss == Loss::Ccl { 0.1 } else { 0.5 },
        init_deviation: 1.0,
        margin: if loss == Loss::Ccl { 0.1 } else { 0.9 },
        loss,
        ..Params::default()
    }
}

/// A step of all examples: its loss and its gradients are those of the
/// formulas. In a batch: inner products of unit vectors over the temperature,
/// less the logarithm of an item's share, and other positives of the user left
/// out; the user is known by all items but the one of its row.
fn check_step(params: &Params, training: &str) {
    let (train, features) = (train(), table());
    let config: TrainingConfig = toml::from_str(training).unwrap();
    let device = Device::flex();
    let towers = params.towers(data(&train, &features), Some(Seed(2)), &device);
    let log = Arc::new(train.sorted_by_item());
    let sampler = sampler(params.loss, &log, &config).unwrap();
    let popular = config.negative_sampling == NegativeSampling::Popularity;
    let log_expected = sampler.as_ref().filter(|_| popular);
    let mut task = Task {
        log_expected: log_expected.map(|s| s.log_expected(config.negatives)),
        examples: Examples::new(log, sampler, config.negatives),
        model: TwoTower::new(towers, 5, &device),
        in_batch: InBatch::new(&train, true),
        params,
        train: &train,
        config: &config,
        seed: Seed(1),
        epoch: 0,
    };
    task.begin_epoch(Seed(1), 0);
    let width = task.examples.width();
    let (mut users, mut items) = (vec![0; 8], vec![0; 8 * width]);
    task.examples.fill(0..8, &mut users, &mut items);
    if matches!(params.loss, Loss::InBatchSoftmax | Loss::FullSoftmax) {
        items = items.into_iter().step_by(width).collect();
    }
    let mut weights = plain(&task.model);
    let mut tape = Tape::training(&device, Updates::Rows);
    tape.begin(Seed(1).stream("dropout"));
    let loss = task.loss(&mut tape, 0..8).unwrap();
    let grads = loss.backward();
    let mut optimizer = Optimizer::new(OptimizerConfig::plain_sgd());
    optimizer.step(task.params_mut(), tape.take_leaves(), &grads, 1.0);
    let after = plain(&task.model);

    let log_expected = task.log_expected.clone();
    let loss_of = |weights: &Plain| {
        let formula = Formula {
            weights,
            params,
            train: &train,
            log_expected: log_expected.as_deref(),
            smoothing: config.label_smoothing,
        };
        formula.loss(&users, &items)
    };
    let what = format!("{:?} with {training}", params.loss);
    let (value, exact) = (f64::from(host(loss.inner()).unwrap()[0]), loss_of(&weights));
    assert!((value - exact).abs() < 1e-5, "{what}: {value}, {exact}");
    for (name, after) in &after {
        for (at, after) in after.iter().enumerate() {
            let before = weights[name][at];
            let mut moved = |by: f64| {
                weights.get_mut(name).unwrap()[at] = before + by;
                loss_of(&weights)
            };
            let finite = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            moved(0.0);
            let gradient = before - after;
            assert!(
                (finite - gradient).abs() < 1e-4 * (1.0 + finite.abs()),
                "{what}: {name} at {at}: {gradient}, {finite}"
            );
        }
    }
}

#[test]
fn losses_and_gradients_are_those_of_the_formulas() {
    check_step(&params(Loss::InBatchSoftmax), "batch_size = 8");
    for loss in [Loss::Bpr, Loss::Ccl] {
        check_step(&params(loss), "batch_size = 8\nnegatives = 3");
    }
    for loss in [Loss::Bce, Loss::Softmax, Loss::FullSoftmax] {
        let training = "batch_size = 8\nnegatives = 2\nlabel_smoothing = 0.1";
        check_step(&params(loss), training);
    }
    check_step(
        &params(Loss::Softmax),
        "batch_size = 8\nnegatives = 3\nnegative_sampling = \"popularity\"",
    );
}

#[test]
fn regularizers_are_those_of_the_formulas() {
    for loss in [Loss::InBatchSoftmax, Loss::Bpr, Loss::FullSoftmax] {
        let mut params = params(loss);
        params.regularization = 0.3;
        params.embeddings.l1 = 0.2;
        check_step(&params, "batch_size = 8\nnegatives = 2");
    }
}

#[test]
fn keys_that_do_not_apply_say_why() {
    let error = |params: &str| {
        let spec = crate::models::build("two_tower", params.parse().unwrap());
        format!("{:#}", spec.err().expect(params))
    };
    for (params, says) in [
        ("loss = \"mse\"", "no loss mse"),
        (
            "loss = \"ccl\"\nnormalize = false",
            "add `normalize = true`",
        ),
        ("loss = \"ccl\"\ntemperature = 0.2", "leave it out"),
        ("margin = 0.5", "are for `loss = \"ccl\"`"),
        (
            "loss = \"bpr\"\nlogq_correction = false",
            "in_batch_softmax and softmax",
        ),
        ("l1 = -1.0", "`l1` must not be negative"),
    ] {
        assert!(error(params).contains(says), "{}", error(params));
    }
    let unused = |params: &str| {
        let spec = crate::models::build("two_tower", params.parse().unwrap());
        spec.unwrap().unused_training_keys()
    };
    let sampling = ["negatives", "negative_sampling", "popularity_alpha"];
    let mut expected: Vec<&str> = sampling.to_vec();
    expected.push("normalize_ratings");
    assert_eq!(unused(""), expected);
    assert_eq!(unused("loss = \"full_softmax\""), expected);
    assert_eq!(unused("loss = \"bce\""), ["normalize_ratings"]);
    assert_eq!(
        unused("loss = \"bpr\""),
        ["label_smoothing", "normalize_ratings"]
    );
    let config: TrainingConfig = toml::from_str("negatives = 4").unwrap();
    let uncorrected = Params {
        logq_correction: false,
        ..params(Loss::Softmax)
    };
    let error = uncorrected.check_training(&config).unwrap_err().to_string();
    assert!(error.contains("popularity"), "{error}");
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

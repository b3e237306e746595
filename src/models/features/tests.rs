//! What tests of the models here share, and tests of fields and scores.

use super::side::{Side, tests::table};
use super::*;
use crate::data::features::FeatureTable;
use crate::event::Silent;
use crate::ids::UserIdx;
use crate::model::Query;
use crate::params::host;
use crate::tape::{Tape, Updates};
use crate::training::MemorySink;
use burn::tensor::{Tensor, TensorData};

/// Four users and five items, whose features are those of users and one more,
/// and which may be six.
pub fn train() -> Interactions {
    let items = vec![0, 1, 4, 1, 2, 3, 0, 3];
    Interactions {
        offsets: vec![0, 3, 5, 8, 8],
        weights: Some(vec![1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0]),
        items,
        num_items: 5,
        ..Interactions::default()
    }
}

fn item_features() -> FeatureTable {
    use crate::data::features::{FeatureColumn, FeatureValues};
    let column = FeatureColumn {
        name: "genre".into(),
        values: FeatureValues::Categorical {
            labels: vec!["a".into(), "b".into()],
            codes: vec![Some(0), Some(1), Some(0), Some(1), None, None],
        },
    };
    FeatureTable {
        columns: vec![column],
        title: None,
    }
}

/// Fits a model of the registry on the data here.
pub fn fit(name: &str, params: &str, training: &str) -> Box<dyn Recommender> {
    fit_on(&train(), name, params.parse().unwrap(), training, Seed(1))
}

/// As [`fit`], with the features here on other interactions.
pub fn fit_on(
    train: &Interactions,
    name: &str,
    params: toml::Table,
    training: &str,
    seed: Seed,
) -> Box<dyn Recommender> {
    let (users, items) = (table(), item_features());
    let context = FitContext {
        data: ModelData {
            train,
            user_features: Some(&users),
            item_features: Some(&items),
        },
        training: &toml::from_str(training).unwrap(),
        device: &Device::flex(),
        seed,
        observer: &mut Silent,
        validate: None,
        checkpoints: &mut MemorySink::default(),
    };
    let spec = crate::models::build(name, params).unwrap();
    spec.fit(context).unwrap().model
}

/// The labels of the data here are learned by heart.
pub fn learns_the_labels(name: &str, params: &str) {
    let training = "epochs = 200\nbatch_size = 4\nlearning_rate = 0.02";
    let model = fit(name, &format!("loss = \"log_loss\"\n{params}"), training);
    let train = train();
    let users = train.user_column();
    let queries: Vec<Query<'_>> = users
        .iter()
        .map(|&user| Query {
            user: Some(UserIdx(user)),
            ..Query::default()
        })
        .collect();
    let odds = model.score_pairs(&queries, &train.items).unwrap();
    for (odds, label) in odds.iter().zip(train.weights.unwrap()) {
        let wanted = if label > 0.5 { 1.0 } else { -1.0 };
        assert!(odds * wanted > 2.0, "{name}: {odds} for {label}");
    }
}

/// A score in f64 from fields and parameters.
type Plain<'a> = &'a dyn Fn(&[f64], &[Vec<f64>]) -> f64;

/// The gradient of the sum of a head's scores by its fields and parameters
/// equals finite differences of `plain`, the formula in f64 from
/// `(fields, parameters)` of one pair.
pub fn gradients_match(head: &mut dyn Head, shape: [usize; 3], plain: Plain<'_>) {
    let device = Device::flex();
    let mut stream = Seed(3).stream("test");
    for param in head.params_mut() {
        let [rows, columns] = param.shape();
        param.set_host((0..rows * columns).map(|_| stream.normal() * 0.5).collect());
    }
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| stream.normal())
        .collect();
    let data = TensorData::new(values.clone(), shape);
    let fields: Tensor<3> = Tensor::from_data(data, &device.clone().autodiff()).require_grad();
    let mut tape = Tape::training(&device, Updates::Dense);
    tape.begin(Seed(1).stream("dropout"));
    let scores = head.forward(&mut tape, fields.clone());
    let grads = scores.clone().sum().backward();
    let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    let params: Vec<Vec<f64>> = head
        .params()
        .iter()
        .map(|p| wide(&p.host().unwrap()))
        .collect();
    let size = shape[1] * shape[2];
    let total = |fields: &[f64], params: &[Vec<f64>]| {
        fields.chunks(size).map(|f| plain(f, params)).sum::<f64>()
    };
    let fields64 = wide(&values);
    for (score, fields) in host(scores.inner())
        .unwrap()
        .iter()
        .zip(fields64.chunks(size))
    {
        let expected = plain(fields, &params);
        assert!(
            (f64::from(*score) - expected).abs() < 1e-4,
            "{score} {expected}"
        );
    }
    let near = |finite: f64, gradient: f32, what: &str| {
        let tolerance = 1e-3 * (1.0 + finite.abs());
        assert!(
            (finite - f64::from(gradient)).abs() < tolerance,
            "{what}: {gradient}, {finite}"
        );
    };
    const STEP: f64 = 1e-5;
    let gradient = host(fields.grad(&grads).unwrap()).unwrap();
    for (i, &gradient) in gradient.iter().enumerate() {
        let moved = |by: f64| {
            let mut fields = fields64.clone();
            fields[i] += by;
            total(&fields, &params)
        };
        near(
            (moved(STEP) - moved(-STEP)) / (2.0 * STEP),
            gradient,
            "fields",
        );
    }
    let leaves = tape.take_leaves();
    for (number, param) in head.params().iter().enumerate() {
        let leaf = leaves.iter().find(|l| l.name == param.name()).unwrap();
        let gradient = host(leaf.tensor.grad(&grads).unwrap()).unwrap();
        for (i, &gradient) in gradient.iter().enumerate() {
            let moved = |by: f64| {
                let mut params = params.clone();
                params[number][i] += by;
                total(&fields64, &params)
            };
            near(
                (moved(STEP) - moved(-STEP)) / (2.0 * STEP),
                gradient,
                param.name(),
            );
        }
    }
}

/// Embeddings of fields, by hand.
#[test]
fn lists_are_means_and_numbers_scale() {
    let device = Device::flex();
    let side = Side::new(true, Some(&table()), &[5, 1, 2, 0]);
    let start = Start {
        seed: None,
        deviation: 1.0,
        hides_ids: false,
        device: &device,
    };
    let mut embedder = Embedder::new("user", side, 1, start);
    for param in embedder.params_mut() {
        let rows = param.shape()[0];
        param.set_host((0..rows).map(|r| 10.0 * r as f32).collect());
    }
    for mut tape in [
        Tape::inference(&device),
        Tape::training(&device, Updates::Rows),
    ] {
        tape.begin(Seed(1).stream("dropout"));
        let fields = embedder.embed(&mut tape, &[0, 1, 4], None).unwrap();
        let fields = host(fields).unwrap();
        // Id, category, number, list.
        assert_eq!(fields[..4], [0.0, 60.0, -80.0, 10.0]);
        assert_eq!(fields[4..8], [10.0, 70.0, 80.0, 0.0]);
        assert_eq!(fields[8..], [40.0, 70.0, 90.0, 0.0]);
    }
}

#[test]
fn somebody_new_is_told_apart_by_features() {
    let model = fit("fm", "id_dropout = 0.2", "epochs = 3\nbatch_size = 4");
    let query = |profile: Option<u32>| Query {
        profile: profile.map(UserIdx),
        ..Query::default()
    };
    // User 3 has no training interactions, but features.
    let queries = [query(None), query(Some(3)), query(Some(0))];
    let mut scores = vec![0.0; 15];
    model.score(&queries, &mut scores).unwrap();
    assert_ne!(scores[..5], scores[5..10]);
    assert_ne!(scores[5..10], scores[10..]);
}

/// The whole catalog's scores and regularizer are those of the pairs.
#[test]
fn catalogs_are_all_pairs() {
    let (train, users_table, items_table) = (train(), table(), item_features());
    let data = ModelData {
        train: &train,
        user_features: Some(&users_table),
        item_features: Some(&items_table),
    };
    let (l2, l1) = (0.3, 0.2);
    let common = Common {
        embedding_dim: 3,
        loss: Loss::FullSoftmax,
        regularization: l2,
        init_deviation: 1.0,
        embeddings: Embeddings {
            l1,
            ..Embeddings::default()
        },
        ..Common::default()
    };
    let spec = Spec {
        common,
        head: crate::models::fm::Fm {},
    };
    let device = Device::flex();
    let network = spec.network(data, Some(Seed(4)), &device);
    let (users, positives, catalog) = ([0u32, 1, 2], [1u32, 3, 0], [0u32, 1, 2, 3, 4]);
    let mut tape = Tape::training(&device, Updates::Rows);
    tape.begin(Seed(1).stream("dropout"));
    let (scores, penalty) = network
        .catalog_scores(&mut tape, (&users, &positives), &catalog, None)
        .unwrap();
    let mut plain = Tape::inference(&device);
    let all_users: Vec<u32> = users.iter().flat_map(|&u| [u; 5]).collect();
    let pairs = (all_users.as_slice(), &catalog.repeat(3)[..]);
    let (expected, _) = network.scores(&mut plain, pairs, None);
    for (a, b) in host(scores.inner())
        .unwrap()
        .iter()
        .zip(host(expected).unwrap())
    {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
    let penalty = host(penalty.unwrap().inner()).unwrap()[0];
    let (_, own) = network.scores(&mut plain, (&users, &positives), None);
    assert!((penalty - host(own.unwrap()).unwrap()[0]).abs() < 1e-5);
    let sides = [(&network.users, &users), (&network.items, &positives)];
    let sum: f64 = sides
        .into_iter()
        .flat_map(|(side, who)| host(side.embed(&mut plain, who, None).unwrap()).unwrap())
        .map(f64::from)
        .map(|w| l2 * w * w + l1 * w.abs())
        .sum();
    assert!((f64::from(penalty) - sum / 3.0).abs() < 1e-5, "{penalty}");
}

#[test]
fn clicks_are_asked_for_and_settings_that_do_not_apply_are_refused() {
    let mut train = train();
    let error = |loss: Loss, train: &Interactions, training: &str| {
        let context = FitContext {
            data: ModelData {
                train,
                user_features: None,
                item_features: None,
            },
            training: &toml::from_str(training).unwrap(),
            device: &Device::flex(),
            seed: Seed(1),
            observer: &mut Silent,
            validate: None,
            checkpoints: &mut MemorySink::default(),
        };
        let params = toml::Table::try_from(
            [("loss", loss)]
                .into_iter()
                .collect::<std::collections::BTreeMap<_, _>>(),
        );
        let spec = crate::models::build("fm", params.unwrap()).unwrap();
        format!("{:#}", spec.fit(context).err().unwrap())
    };
    let hogwild = "updates = \"hogwild\"\noptimizer = \"adagrad\"";
    assert!(error(Loss::Bce, &train, hogwild).contains("hogwild"));
    assert!(error(Loss::Bpr, &train, "label_smoothing = 0.1").contains("label_smoothing"));
    let unused = |loss: &str| {
        let params = format!("loss = \"{loss}\"").parse().unwrap();
        let spec = crate::models::build("fm", params).unwrap();
        spec.unused_training_keys().join(" ")
    };
    let sampling = "negatives negative_sampling popularity_alpha";
    assert_eq!(
        unused("full_softmax"),
        format!("normalize_ratings {sampling}")
    );
    assert_eq!(unused("bpr"), "normalize_ratings label_smoothing");
    assert!(error(Loss::Bce, &train, "normalize_ratings = true").contains("normalize_ratings"));
    train.weights = Some(vec![3.0; 8]);
    let no_label = error(Loss::Clicks, &train, "");
    assert!(no_label.contains("click_threshold"), "{no_label}");
    train.weights = None;
    assert!(error(Loss::Clicks, &train, "").contains("data.rating"));
}

/// A linear layer in f64: weights `[inputs, outputs]` and biases.
pub fn plain_linear(x: &[f64], layer: &[Vec<f64>]) -> Vec<f64> {
    let outputs = layer[1].len();
    let output = |o: usize| {
        let products = x.iter().zip(layer[0].chunks(outputs));
        layer[1][o] + products.map(|(x, w)| x * w[o]).sum::<f64>()
    };
    (0..outputs).map(output).collect()
}

/// Layers with rectifiers in f64.
pub fn plain_mlp(input: &[f64], layers: &[Vec<f64>]) -> Vec<f64> {
    layers.chunks(2).fold(input.to_vec(), |x, layer| {
        let outputs = plain_linear(&x, layer);
        outputs.into_iter().map(|h| h.max(0.0)).collect()
    })
}

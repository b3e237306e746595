//! A small world that every model must do well in, and what to ask of them.

use anyhow::Result;
use burn::tensor::Device;
use recsys::data::Interactions;
use recsys::event::Silent;
use recsys::ids::UserIdx;
use recsys::model::{FitContext, ModelData, ModelSpec, Query, Recommender};
use recsys::models::{self, ModelEntry, REGISTRY};
use recsys::seed::Seed;
use recsys::training::{MemorySink, TrainingConfig};

pub const USERS: u32 = 12;
pub const ITEMS: u32 = 12;

/// Every user likes the items of its own parity, all but the one that has its
/// number, in a round that would end with it; the last user has no
/// interactions.
pub fn checkerboard() -> Interactions {
    let mut train = Interactions {
        offsets: vec![0],
        weights: Some(Vec::new()),
        timestamps: Some(Vec::new().into()),
        num_items: ITEMS as usize,
        ..Interactions::default()
    };
    for user in 0..=USERS {
        let round = (2..ITEMS).step_by(2).map(|step| (user + step) % ITEMS);
        let liked = round.filter(|_| user < USERS);
        train.items.extend(liked);
        train.offsets.push(train.items.len());
    }
    train.weights = Some(train.items.iter().map(|i| 1.0 + (i % 3) as f32).collect());
    train.timestamps = Some((0..train.len() as i64).collect());
    train
}

/// Other interactions of as many users and items.
pub fn stripes() -> Interactions {
    let train = checkerboard();
    let turned = |i: &u32| (i * 5 + 1) % ITEMS;
    Interactions {
        items: train.items.iter().map(turned).collect(),
        ..train
    }
}

pub fn data(train: &Interactions) -> ModelData<'_> {
    ModelData {
        train,
        user_features: None,
        item_features: None,
    }
}

/// `[training]` of gradient models; the others take none.
pub fn training(entry: &ModelEntry, text: &str) -> TrainingConfig {
    if entry.gradient {
        toml::from_str(text).unwrap()
    } else {
        TrainingConfig::default()
    }
}

pub const SHORT: &str = "epochs = 2\nbatch_size = 16";

pub fn spec(entry: &ModelEntry) -> Box<dyn ModelSpec> {
    models::build(entry.name, (entry.defaults)()).unwrap()
}

pub fn fit(
    spec: &dyn ModelSpec,
    train: &Interactions,
    training: &TrainingConfig,
) -> Box<dyn Recommender> {
    let context = FitContext {
        data: data(train),
        training,
        device: &Device::flex(),
        seed: Seed(7),
        observer: &mut Silent,
        validate: None,
        checkpoints: &mut MemorySink::default(),
    };
    spec.fit(context).unwrap().model
}

pub fn fitted(entry: &ModelEntry) -> (Interactions, Box<dyn Recommender>) {
    let train = checkerboard();
    let model = fit(&*spec(entry), &train, &training(entry, SHORT));
    (train, model)
}

pub fn known_users(train: &Interactions) -> Vec<Query<'_>> {
    (0..USERS)
        .map(|u| Query {
            user: Some(UserIdx(u)),
            history: train.items_of(UserIdx(u)),
            times: train.times_of(UserIdx(u)),
            ..Query::default()
        })
        .collect()
}

/// Two whom training never saw.
pub fn strangers() -> [Query<'static>; 2] {
    let histories: [&[u32]; 2] = [&[0, 2, 4], &[3]];
    histories.map(|history| Query {
        history,
        ..Query::default()
    })
}

pub fn try_score(model: &dyn Recommender, queries: &[Query<'_>]) -> Result<Vec<f32>> {
    let mut scores = vec![f32::NAN; queries.len() * model.num_items()];
    model.score(queries, &mut scores)?;
    Ok(scores)
}

pub fn score(model: &dyn Recommender, queries: &[Query<'_>]) -> Vec<f32> {
    let scores = try_score(model, queries).unwrap();
    assert!(scores.iter().all(|s| s.is_finite()), "{scores:?}");
    scores
}

pub fn each_model(test: impl Fn(&ModelEntry)) {
    for entry in REGISTRY {
        eprintln!("{}", entry.name);
        test(entry);
    }
}

pub fn assert_near(a: &[f32], b: &[f32], what: &str) {
    assert_eq!(a.len(), b.len());
    for (x, y) in a.iter().zip(b) {
        let tolerance = 1e-5 * (1.0 + x.abs().max(y.abs()));
        assert!((x - y).abs() <= tolerance, "{what}: {x} is not {y}");
    }
}

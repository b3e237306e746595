//! Models that tensor operations train: neural networks of pairs, of features
//! and of histories. Every device trains them to the same numbers, keeps them,
//! and serves somebody known and somebody new with the same lists.

use crate::devices;
use burn::tensor::Device;
use recsys::data::Interactions;
use recsys::data::features::{FeatureColumn, FeatureTable, FeatureValues};
use recsys::device::{self, DeviceChoice};
use recsys::event::Silent;
use recsys::ids::UserIdx;
use recsys::model::{FitContext, ModelData, Query, Recommender};
use recsys::models;
use recsys::ranking::{self, Ranked, Ranker, RankingOptions, Request};
use recsys::seed::Seed;
use recsys::training::MemorySink;

/// How far two devices may be apart, in a score or a loss of about 1.
const TOLERANCE: f32 = 1e-3;

const USERS: usize = 32;
const ITEMS: usize = 24;

/// Small, of widths that are shared, since a GPU's kernels are compiled and
/// tuned for each shape; with what draws random numbers on.
const MODELS: [(&str, &str); 10] = [
    ("gmf", "embedding_dim = 8\ninit_deviation = 0.3"),
    (
        "mlp",
        "mlp_embedding_dim = 8\nhidden = [8, 8]\ninit_deviation = 0.3\ndropout = 0.2",
    ),
    (
        "neumf",
        "embedding_dim = 8\nmlp_embedding_dim = 8\nhidden = [8, 8]\ninit_deviation = 0.3\n\
         embedding_noise = 0.1\nloss = 'bpr'\nhardest_negative = true",
    ),
    (
        "fm",
        "embedding_dim = 8\ninit_deviation = 0.3\nid_dropout = 0.1",
    ),
    (
        "deep_fm",
        "embedding_dim = 8\ninit_deviation = 0.3\nhidden = [8]\ndropout = 0.2",
    ),
    (
        "dcn_v2",
        "embedding_dim = 8\ninit_deviation = 0.3\nhidden = [8]\ncross_layers = 1",
    ),
    (
        "two_tower",
        "embedding_dim = 8\noutput_dim = 8\nhidden = [8]\ndropout = 0.2\nid_dropout = 0.1\n\
         init_deviation = 0.3\ntemperature = 0.5",
    ),
    (
        "mult_vae",
        "hidden_dim = 8\nlatent_dim = 8\nanneal_steps = 4",
    ),
    ("mult_dae", "latent_dim = 8"),
    (
        "rec_vae",
        "hidden_dim = 8\nlatent_dim = 8\nencoder_epochs = 2\ndecoder_epochs = 1",
    ),
];

/// Adam divides by the root of squared gradients, which blows the rounding of
/// the smallest ones up to whole steps; a larger epsilon keeps it small.
const TRAINING: &str = "epochs = 3
batch_size = 128
learning_rate = 0.02
epsilon = 1e-2
negatives = 3
";

/// Interactions and features.
struct World {
    train: Interactions,
    users: FeatureTable,
    items: FeatureTable,
}

impl World {
    /// A user likes every third item from its own number, but not all of them.
    fn new() -> Self {
        let mut train = Interactions {
            offsets: vec![0],
            num_items: ITEMS,
            ..Interactions::default()
        };
        for user in 0..USERS {
            let liked = (0..ITEMS).filter(|i| i % 3 == user % 3 && (i * 7 + user) % 5 > 0);
            train.items.extend(liked.map(|i| i as u32));
            train.offsets.push(train.items.len());
        }
        let column = |name: &str, values| FeatureColumn {
            name: name.into(),
            values,
        };
        let group = FeatureValues::Categorical {
            labels: ["a", "b"].map(String::from).into(),
            codes: (0..USERS as u32).map(|u| Some(u % 2)).collect(),
        };
        let tags = FeatureValues::List {
            labels: ["x", "y", "z"].map(String::from).into(),
            codes: (0..ITEMS as u32).map(|i| (0..i % 3).collect()).collect(),
        };
        let price = FeatureValues::Numeric((0..ITEMS).map(|i| (i % 7) as f32).collect());
        Self {
            train,
            users: FeatureTable {
                columns: vec![column("group", group)],
                title: None,
            },
            items: FeatureTable {
                columns: vec![column("tags", tags), column("price", price)],
                title: None,
            },
        }
    }

    fn data(&self) -> ModelData<'_> {
        ModelData {
            train: &self.train,
            user_features: Some(&self.users),
            item_features: Some(&self.items),
        }
    }

    /// Two users, and somebody with a history alone.
    fn requests(&self) -> [Request<'_>; 3] {
        let known = |number: u32| {
            let user = UserIdx(number);
            Query {
                user: Some(user),
                profile: Some(user),
                history: self.train.items_of(user),
                ..Query::default()
            }
        };
        let stranger = Query {
            history: &[1, 4, 22],
            ..Query::default()
        };
        [known(0), known(30), stranger].map(|query| Request {
            query,
            masked: query.history,
        })
    }
}

/// What is compared between devices.
struct Outcome {
    losses: Vec<f32>,
    scores: Vec<f32>,
    lists: Vec<Ranked>,
}

/// Trains a model, keeps it, and lets what was loaded again serve.
fn outcome(world: &World, (name, params): (&str, &str), device: &Device) -> Outcome {
    let mut sink = MemorySink::default();
    let spec = models::build(name, params.parse().unwrap()).unwrap();
    let context = FitContext {
        data: world.data(),
        training: &toml::from_str(TRAINING).unwrap(),
        device,
        seed: Seed(5),
        observer: &mut Silent,
        validate: None,
        checkpoints: &mut sink,
    };
    let fitted = spec.fit(context).unwrap().model;
    let weights = fitted.weights().unwrap();
    let loaded = spec.load(&weights, world.data(), device).unwrap();
    let scores = scores(fitted.as_ref(), world);
    near(
        name,
        "of what was loaded",
        &scores,
        &self::scores(loaded.as_ref(), world),
    );
    let lists = lists(name, loaded.as_ref(), world);
    Outcome {
        losses: sink.records.iter().map(|r| r.loss as f32).collect(),
        scores,
        lists,
    }
}

fn scores(model: &dyn Recommender, world: &World) -> Vec<f32> {
    let queries = world.requests().map(|request| request.query);
    let mut scores = vec![f32::NAN; queries.len() * ITEMS];
    model.score(&queries, &mut scores).unwrap();
    scores
}

/// However a device makes its lists, they are what its scores say.
fn lists(name: &str, model: &dyn Recommender, world: &World) -> Vec<Ranked> {
    let flags: Vec<bool> = (0..ITEMS).map(|item| item != 5).collect();
    let options = RankingOptions {
        model_name: name,
        k: 6,
        allowed: Some(&flags),
        seen: None,
        tile_bytes: ranking::TILE_BYTES,
    };
    let requests = world.requests();
    let lists = Ranker::new(model)
        .unwrap()
        .rank(&requests, &options)
        .unwrap();
    let plain = ranking::rank_rows(model, &requests, &options).unwrap();
    for (list, plain) in lists.iter().zip(&plain) {
        assert_eq!(list.items, plain.items, "{name}");
        near(name, "of a list", &list.scores, &plain.scores);
    }
    lists
}

fn near(name: &str, what: &str, a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len(), "{name} {what}");
    for (at, (a, b)) in a.iter().zip(b).enumerate() {
        let apart = (a - b).abs();
        assert!(
            apart < TOLERANCE * (1.0 + a.abs()),
            "{name}: number {at} {what}: {a} {b}"
        );
    }
}

fn agree(choice: DeviceChoice) {
    let world = World::new();
    let device = |choice| device::resolve(choice).unwrap().device;
    for model in MODELS {
        eprintln!("{} on {choice}", model.0);
        let cpu = outcome(&world, model, &device(DeviceChoice::Cpu));
        let other = outcome(&world, model, &device(choice));
        let what = |what: &str| format!("{what} on {choice}");
        near(model.0, &what("of the losses"), &cpu.losses, &other.losses);
        near(model.0, &what("of the scores"), &cpu.scores, &other.scores);
        for (a, b) in cpu.lists.iter().zip(&other.lists) {
            // Items that are nearly level may change places.
            near(model.0, &what("of a list"), &a.scores, &b.scores);
        }
    }
}

#[cfg(feature = "ndarray")]
#[test]
fn ndarray_trains_keeps_and_serves_as_the_cpu() {
    agree(DeviceChoice::Ndarray);
}

/// All in one test: kernels are compiled and tuned for each shape, once in a
/// process.
#[cfg(feature = "wgpu")]
#[test]
fn wgpu_trains_keeps_and_serves_as_the_cpu() {
    if let Some(wgpu) = devices::wgpu_or_say() {
        agree(wgpu);
    }
}

//! A training that was stopped anywhere and resumed ends with the same bits
//! as one that ran through, and so does one on another number of threads.

use burn::tensor::Device;
use recsys::data::Interactions;
use recsys::event::{Event, Observer, Silent};
use recsys::model::{FitContext, ModelData};
use recsys::models::{self, ModelEntry, REGISTRY};
use recsys::seed::Seed;
use recsys::tensors::NamedTensors;
use recsys::training::{MemorySink, TrainingConfig};
use std::collections::BTreeMap;

/// 40 users, 30 items; a user likes items near its own number.
fn train() -> Interactions {
    let mut log = Interactions {
        offsets: vec![0],
        num_items: 30,
        ..Interactions::default()
    };
    let mut rng = Seed(3).stream("test");
    for user in 0..40u32 {
        let mut items: Vec<u32> = (0..8)
            .map(|_| (user * 3 / 4 + rng.below(10)) % 30)
            .collect();
        items.sort_unstable();
        items.dedup();
        log.items.extend(items);
        log.offsets.push(log.items.len());
    }
    log.weights = Some(log.items.iter().map(|i| 1.0 + (i % 5) as f32).collect());
    log.timestamps = Some((0..log.len() as i64).collect());
    log
}

/// Asks to stop after a number of steps.
pub struct StopAfter {
    pub left: usize,
}

impl Observer for StopAfter {
    fn on(&mut self, event: &Event) {
        if matches!(event, Event::Step { .. }) {
            self.left = self.left.saturating_sub(1);
        }
    }

    fn stop_requested(&self) -> bool {
        self.left == 0
    }
}

const TRAINING: &str = "
    epochs = 5
    batch_size = 8
    learning_rate = 0.05
    schedule = \"cosine\"
    gradient_clip = 1.0
    checkpoint_seconds = 0
    patience = 2
";

fn config(optimizer: &str) -> TrainingConfig {
    toml::from_str(&format!("optimizer = \"{optimizer}\"\n{TRAINING}")).unwrap()
}

fn params(entry: &ModelEntry) -> toml::Table {
    let mut params = (entry.defaults)();
    if params.contains_key("dropout") {
        params.insert("dropout".into(), 0.2.into());
    }
    params
}

/// Fits, going on from what the sink holds; the weights and whether it was
/// interrupted.
fn fit(
    entry: &ModelEntry,
    training: &TrainingConfig,
    sink: &mut MemorySink,
    observer: &mut dyn Observer,
) -> (NamedTensors, bool) {
    let train = train();
    // A metric that peaks in the middle, so that the best epoch is not the last.
    let mut validate = |model: &dyn recsys::model::Recommender| {
        let factors = model.weights()?;
        let first = factors.tensors.values().find_map(|t| match &t.values {
            recsys::tensors::Values::F32(v) => Some(f64::from(v[0])),
            _ => None,
        });
        Ok(BTreeMap::from([(
            "ndcg@10".to_string(),
            -(first.unwrap_or(0.0) - 0.1).abs(),
        )]))
    };
    let context = FitContext {
        data: ModelData {
            train: &train,
            user_features: None,
            item_features: None,
        },
        training,
        device: &Device::flex(),
        seed: Seed(11),
        observer,
        validate: Some(&mut validate),
        checkpoints: sink,
    };
    let spec = models::build(entry.name, params(entry)).unwrap();
    let fitted = spec.fit(context).unwrap();
    (fitted.model.weights().unwrap(), fitted.summary.interrupted)
}

fn gradient_models() -> impl Iterator<Item = &'static &'static ModelEntry> {
    REGISTRY.iter().filter(|e| e.gradient)
}

#[test]
fn stopping_at_any_step_and_resuming_changes_nothing() {
    for entry in gradient_models() {
        for optimizer in ["adam", "adamw", "sgd", "adagrad"] {
            let training = config(optimizer);
            let mut whole = MemorySink::default();
            let (expected, _) = fit(entry, &training, &mut whole, &mut Silent);
            for stop in [1, 4, 11] {
                let mut sink = MemorySink::default();
                let (_, interrupted) =
                    fit(entry, &training, &mut sink, &mut StopAfter { left: stop });
                assert!(
                    interrupted,
                    "{} {optimizer} stopped after {stop} steps",
                    entry.name
                );
                let (resumed, _) = fit(entry, &training, &mut sink, &mut Silent);
                assert!(
                    resumed == expected,
                    "{} {optimizer} resumed after {stop} steps",
                    entry.name
                );
                let without_time = |sink: &MemorySink| {
                    sink.records
                        .iter()
                        .map(|r| (r.epoch, r.loss.to_bits(), r.validation.clone(), r.best))
                        .collect::<Vec<_>>()
                };
                assert_eq!(without_time(&sink), without_time(&whole), "{}", entry.name);
            }
        }
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    for entry in gradient_models() {
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                fit(
                    entry,
                    &config("adam"),
                    &mut MemorySink::default(),
                    &mut Silent,
                )
                .0
            })
        };
        assert!(on(1) == on(4), "{}", entry.name);
    }
}

#[test]
fn a_loss_that_is_not_finite_names_the_step_and_what_to_do() {
    let train = train();
    let training: TrainingConfig =
        toml::from_str("learning_rate = 1e30\noptimizer = \"sgd\"\nbatch_size = 16\nepochs = 9")
            .unwrap();
    let context = FitContext {
        data: ModelData {
            train: &train,
            user_features: None,
            item_features: None,
        },
        training: &training,
        device: &Device::flex(),
        seed: Seed(11),
        observer: &mut Silent,
        validate: None,
        checkpoints: &mut MemorySink::default(),
    };
    let spec = models::build("mf", "loss = \"mse\"".parse().unwrap()).unwrap();
    let error = spec.fit(context).err().unwrap().to_string();
    assert!(
        error.contains("epoch 1, step") && error.contains("training.learning_rate"),
        "{error}"
    );
}

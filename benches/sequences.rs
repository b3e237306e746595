//! Steps of a model of sequences as the catalog grows: SASRec with two blocks
//! of 64 dimensions, windows of 50 items, 2,048 places a step, and 256 sampled
//! negatives for each sequence.

use super::log;
use burn::tensor::Device;
use divan::Bencher;
use divan::counter::ItemsCount;
use recsys::event::{Event, Observer};
use recsys::model::{FitContext, ModelData};
use recsys::models;
use recsys::seed::Seed;
use recsys::training::{NoCheckpoints, TrainingConfig};
use std::sync::mpsc::{Receiver, Sender, channel};

const USERS: usize = 20_000;
/// Interactions of a user.
const EACH: u32 = 51;
const BATCH: usize = 2048;

/// Lets a training go on step by step, as long as somebody asks.
struct OnDemand {
    asked: Receiver<()>,
    done: Sender<()>,
    stop: bool,
}

impl Observer for OnDemand {
    fn on(&mut self, event: &Event) {
        match event {
            // The first step waits, too.
            Event::EpochStarted { .. } => self.stop |= self.asked.recv().is_err(),
            Event::Step { .. } => {
                self.stop |= self.done.send(()).is_err() || self.asked.recv().is_err();
            }
            _ => {}
        }
    }

    fn stop_requested(&self) -> bool {
        self.stop
    }
}

fn train(num_items: usize, mut observer: OnDemand) {
    let params = toml::toml! {
        embedding_dim = 64
        max_length = 50
        loss = "sampled_softmax"
        negatives_for = "sequence"
    };
    let training = TrainingConfig {
        epochs: 1000,
        batch_size: BATCH,
        negatives: 256,
        validate_every: 0,
        checkpoint_seconds: u64::MAX,
        ..TrainingConfig::default()
    };
    let spec = models::build("sasrec", params).expect("parameters of the model");
    let data = log(USERS, EACH, num_items);
    let fitted = spec.fit(FitContext {
        data: ModelData {
            train: &data,
            user_features: None,
            item_features: None,
        },
        training: &training,
        device: &Device::flex(),
        seed: Seed(2),
        observer: &mut observer,
        validate: None,
        checkpoints: &mut NoCheckpoints,
    });
    fitted.expect("a training that goes on");
}

#[divan::bench(args = [10_000, 100_000, 1_000_000], sample_count = 30, sample_size = 1)]
fn sequence_step_by_items(bencher: Bencher, num_items: usize) {
    let ((ask, asked), (done, finished)) = (channel(), channel());
    let observer = OnDemand {
        asked,
        done,
        stop: false,
    };
    std::thread::scope(|scope| {
        scope.spawn(move || train(num_items, observer));
        let step = || {
            ask.send(()).expect("the training waits");
            finished.recv().expect("a step");
        };
        // Memory is touched for the first time.
        step();
        bencher.counter(ItemsCount::new(BATCH)).bench_local(step);
        drop(ask);
    });
}

//! Steps of matrix factorization: BPR, 64 dimensions, batches of 8192, with
//! all that a step takes: drawing negatives, gathering, updating.

use super::log;
use burn::tensor::{Device, activation};
use divan::Bencher;
use divan::counter::ItemsCount;
use rayon::prelude::*;
use recsys::data::Interactions;
use recsys::kernels::mf::{Batcher, Factors, Goal, Rows, Settings, Side};
use recsys::kernels::simd::flat_mut;
use recsys::kernels::update::Hyper;
use recsys::optim::{Optimizer, num_states};
use recsys::params::Param;
use recsys::sampling::{NegativeSampler, NegativeSampling};
use recsys::seed::{Rng, Seed};
use recsys::tape::{Tape, Updates};
use recsys::training::TrainingConfig;
use std::sync::Arc;

const DIM: usize = 64;
const BATCH: usize = 8192;
const USERS: usize = 100_000;
/// Interactions of a user.
const EACH: u32 = 20;

fn side(rows: usize) -> Side {
    let mut side = Side::zeros(rows, DIM, num_states(TrainingConfig::default().optimizer));
    let stream = Seed(2).stream("bench");
    let values = flat_mut(side.weights.lanes_mut()).par_chunks_mut(DIM);
    values.enumerate().for_each(|(row, values)| {
        let mut rng = stream.at(row as u64 * DIM as u64);
        values.fill_with(|| 0.1 * rng.uniform());
    });
    side
}

/// Positives with one negative each, drawn step by step.
struct Draws {
    log: Arc<Interactions>,
    sampler: NegativeSampler,
    stream: Rng,
}

impl Draws {
    fn of(num_items: usize) -> Self {
        let log = Arc::new(log(USERS, EACH, num_items).sorted_by_item());
        let sampler = NegativeSampler::new(log.clone(), NegativeSampling::Uniform, 0.0)
            .expect("nobody has every item");
        Self {
            log,
            sampler,
            stream: Seed(3).stream("bench"),
        }
    }

    /// Fills users, and for each a positive and a negative.
    fn fill(&mut self, step: u64, users: &mut [u32], items: &mut [u32]) {
        for (user, pair) in users.iter_mut().zip(items.chunks_exact_mut(2)) {
            let row = self.stream.below(self.log.len() as u32);
            *user = row / EACH;
            pair[0] = self.log.items[row as usize];
        }
        self.sampler
            .fill(&self.stream, step * BATCH as u64, users, items);
    }
}

const REGULARIZATION: f32 = 0.005;

/// What a step costs as the catalog grows.
#[divan::bench(args = [10_000, 100_000, 1_000_000, 10_000_000], sample_count = 60, sample_size = 1)]
fn step_by_items(bencher: Bencher, num_items: usize) {
    let settings = Settings {
        goal: Goal::Bpr,
        hardest_negative: false,
        rows: Rows {
            bias: None,
            cosine: false,
        },
        user_regularization: REGULARIZATION,
        item_regularization: REGULARIZATION,
        gradient_clip: 0.0,
        hogwild: false,
    };
    let mut draws = Draws::of(num_items);
    let mut factors = Factors::new(settings, side(USERS), side(num_items));
    let mut batcher = Batcher::new(USERS, num_items);
    let mut batch = batcher.empty();
    let optimizer = TrainingConfig::default().optimizer_config();
    let mut number = 0;
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        number += 1;
        let draw = |users: &mut [u32], items: &mut [u32]| draws.fill(number, users, items);
        batcher.fill(&mut batch, (BATCH, 2), draw, std::iter::empty());
        factors.step(&mut batch, &Hyper::new(&optimizer, 1e-3, number))
    });
}

/// The same by burn's tensors with `updates = "dense"`: gradient and Adam over
/// every row, as programs do that know nothing of touched rows.
#[divan::bench(args = [10_000, 100_000, 1_000_000], sample_count = 10, sample_size = 1)]
fn dense_step_by_items(bencher: Bencher, num_items: usize) {
    let device = Device::flex();
    let mut draws = Draws::of(num_items);
    let table = |name: &str, rows: usize| {
        Param::normal(name, [rows, DIM], 0.1, &Seed(2).stream(name), &device)
    };
    let (mut users, mut items) = (table("users", USERS), table("items", num_items));
    let mut tape = Tape::training(&device, Updates::Dense);
    let mut optimizer = Optimizer::new(TrainingConfig::default().optimizer_config());
    let mut number = 0;
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        number += 1;
        let (mut user_ids, mut item_ids) = (vec![0; BATCH], vec![0; 2 * BATCH]);
        draws.fill(number, &mut user_ids, &mut item_ids);
        tape.begin(Seed(4).indexed("step", number));
        let (u, i) = (tape.index(user_ids, USERS), tape.index(item_ids, num_items));
        let u = tape.lookup(&users, &u);
        let i = tape.lookup(&items, &i).reshape([BATCH, 2, DIM]);
        let positive = i.clone().slice([0..BATCH, 0..1]).reshape([BATCH, DIM]);
        let negative = i.slice([0..BATCH, 1..2]).reshape([BATCH, DIM]);
        let margins = (u.clone() * (positive.clone() - negative.clone())).sum_dim(1);
        let squares = [u, positive, negative].map(|rows| (rows.clone() * rows).sum());
        let squares = squares.into_iter().reduce(|a, b| a + b).expect("three");
        let loss = -activation::log_sigmoid(margins).sum() + squares * REGULARIZATION;
        let gradients = (loss / BATCH as f32).backward();
        let leaves = tape.take_leaves();
        optimizer.step(vec![&mut users, &mut items], leaves, &gradients, 1e-3);
    });
}

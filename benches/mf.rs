//! Steps of matrix factorization: BPR, 64 dimensions, batches of 8192, with
//! all that a step takes: drawing negatives, gathering, updating.

use divan::Bencher;
use divan::counter::ItemsCount;
use rayon::prelude::*;
use recsys::data::Interactions;
use recsys::kernels::mf::{Batcher, Factors, Goal, Rows, Settings, Side};
use recsys::kernels::simd::flat_mut;
use recsys::kernels::update::Hyper;
use recsys::optim::num_states;
use recsys::sampling::{NegativeSampler, NegativeSampling};
use recsys::seed::Seed;
use recsys::training::TrainingConfig;
use std::sync::Arc;

const DIM: usize = 64;
const BATCH: usize = 8192;
const USERS: usize = 100_000;
/// Interactions of a user.
const EACH: u32 = 20;

/// Users with evenly drawn items.
fn log(num_items: usize) -> Interactions {
    let stream = Seed(1).stream("bench");
    let rows: Vec<Vec<u32>> = (0..USERS as u64)
        .into_par_iter()
        .map(|user| {
            let mut rng = stream.at(user * u64::from(EACH));
            let mut items: Vec<u32> = (0..EACH).map(|_| rng.below(num_items as u32)).collect();
            items.sort_unstable();
            items
        })
        .collect();
    Interactions {
        offsets: (0..=USERS).map(|user| user * EACH as usize).collect(),
        items: rows.concat(),
        num_items,
        ..Interactions::default()
    }
}

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

/// What a step costs as the catalog grows.
#[divan::bench(args = [10_000, 100_000, 1_000_000, 10_000_000], sample_count = 60, sample_size = 1)]
fn step_by_items(bencher: Bencher, num_items: usize) {
    let log = Arc::new(log(num_items));
    let sampler = NegativeSampler::new(log.clone(), NegativeSampling::Uniform, 0.0)
        .expect("nobody has every item");
    let settings = Settings {
        goal: Goal::Bpr,
        hardest_negative: false,
        rows: Rows {
            bias: None,
            cosine: false,
        },
        user_regularization: 0.005,
        item_regularization: 0.005,
        gradient_clip: 0.0,
        hogwild: false,
    };
    let mut factors = Factors::new(settings, side(USERS), side(num_items));
    let mut batcher = Batcher::new(USERS, num_items);
    let mut batch = batcher.empty();
    let optimizer = TrainingConfig::default().optimizer_config();
    let (mut draws, mut number) = (Seed(3).stream("bench"), 0);
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        number += 1;
        let draw = |users: &mut [u32], items: &mut [u32]| {
            for (user, pair) in users.iter_mut().zip(items.chunks_exact_mut(2)) {
                let row = draws.below(log.len() as u32);
                *user = row / EACH;
                pair[0] = log.items[row as usize];
            }
            sampler.fill(&draws, number * BATCH as u64, users, items);
        };
        batcher.fill(&mut batch, (BATCH, 2), draw, std::iter::empty());
        factors.step(&mut batch, &Hyper::new(&optimizer, 1e-3, number))
    });
}

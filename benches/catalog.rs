//! The last layer of a model of sequences: the loss of 512 hidden rows of 64
//! columns over the items, and both gradients.

use super::table;
use divan::Bencher;
use divan::counter::ItemsCount;
use recsys::kernels::catalog::{Full, Goal, RowGradients, Sampled, transpose};
use recsys::kernels::simd::{self, Lane};
use recsys::seed::Seed;

const COLUMNS: usize = 64;
const ROWS: usize = 512;
/// Rows of a sequence, which share negatives.
const SEQUENCE: usize = 64;
const NEGATIVES: usize = 256;

fn drawn(name: &str, count: usize, num_items: usize) -> Vec<u32> {
    let mut rng = Seed(3).stream(name);
    (0..count).map(|_| rng.below(num_items as u32)).collect()
}

/// Cross-entropy over the whole catalog.
#[divan::bench(args = [3_400, 55_000], sample_count = 20, sample_size = 1)]
fn full_softmax_by_items(bencher: Bencher, num_items: usize) {
    let (items, hidden) = (table(num_items, COLUMNS), table(ROWS, COLUMNS));
    let mut transposed = Vec::new();
    transpose(&items, num_items, &mut transposed);
    let targets = drawn("targets", ROWS, num_items);
    let mut to_hidden = vec![Lane::ZERO; hidden.lanes().len()];
    let mut to_items = RowGradients::new(num_items, items.per_row());
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        to_items.clear();
        simd::run(Full {
            hidden: hidden.lanes(),
            targets: &targets,
            items: &items,
            transposed: &transposed,
            num_items,
            scale: 1.0 / ROWS as f32,
            smoothing: 0.0,
            mean: &[],
            to_hidden: &mut to_hidden,
            to_items: &mut to_items,
        })
    });
}

/// A softmax over 256 sampled negatives for each sequence.
#[divan::bench(args = [3_400, 55_000, 1_000_000], sample_count = 60, sample_size = 1)]
fn sampled_softmax_by_items(bencher: Bencher, num_items: usize) {
    let (items, hidden) = (table(num_items, COLUMNS), table(ROWS, COLUMNS));
    let width = items.per_row();
    let targets = drawn("targets", ROWS, num_items);
    let negatives = drawn("negatives", ROWS / SEQUENCE * NEGATIVES, num_items);
    let mut to_hidden = vec![Lane::ZERO; hidden.lanes().len()];
    let mut to_items = RowGradients::new(num_items, width);
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        to_items.clear();
        let hidden = hidden.lanes().chunks(SEQUENCE * width);
        let sequences = hidden.zip(to_hidden.chunks_mut(SEQUENCE * width));
        let drawn = targets.chunks(SEQUENCE).zip(negatives.chunks(NEGATIVES));
        for ((hidden, to_hidden), (targets, negatives)) in sequences.zip(drawn) {
            simd::run(Sampled {
                goal: Goal::Softmax { smoothing: 0.0 },
                hidden,
                targets,
                negatives,
                shared: true,
                log_expected: None,
                items: &items,
                scale: 1.0 / ROWS as f32,
                to_hidden,
                to_items: &mut to_items,
            });
        }
    });
}

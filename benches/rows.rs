//! Lookups of an embedding table and their way back: 16,384 occurrences of 64
//! columns, of which each row is summed up and takes a step of Adam.

use super::normals;
use burn::tensor::{Device, Int, Tensor, TensorData};
use divan::Bencher;
use divan::counter::ItemsCount;
use recsys::kernels::rows::Segments;
use recsys::kernels::update::Hyper;
use recsys::seed::Seed;
use recsys::training::TrainingConfig;

const COLUMNS: usize = 64;
const OCCURRENCES: usize = 16_384;

fn floats(rows: usize, device: &Device) -> Tensor<2> {
    let values = normals(rows * COLUMNS);
    Tensor::from_data(TensorData::new(values, [rows, COLUMNS]), device)
}

/// Evenly drawn rows.
fn drawn(rows: usize) -> Vec<u32> {
    let mut rng = Seed(3).stream("bench");
    (0..OCCURRENCES).map(|_| rng.below(rows as u32)).collect()
}

/// What the host finds out of a batch: which rows there are, and for each
/// occurrence its place among them.
fn distinct(drawn: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let mut rows = drawn.to_vec();
    rows.sort_unstable();
    rows.dedup();
    let place = |row: &u32| rows.binary_search(row).expect("it is one of them") as u32;
    let inverse = drawn.iter().map(place).collect();
    (rows, inverse)
}

/// Sum and step in one pass over the touched rows.
#[divan::bench(args = [10_000, 100_000, 1_000_000], sample_count = 60, sample_size = 1)]
fn row_update_by_rows(bencher: Bencher, rows: usize) {
    let device = Device::flex();
    let (unique, inverse) = distinct(&drawn(rows));
    let segments = Segments::new(&unique, &inverse, &device);
    let grads = floats(OCCURRENCES, &device);
    // Second moments are not negative.
    let states = vec![floats(rows, &device), floats(rows, &device).powi_scalar(2)];
    let mut held = Some((floats(rows, &device), states));
    let optimizer = TrainingConfig::default().optimizer_config();
    let mut number = 0;
    let counter = ItemsCount::new(OCCURRENCES);
    bencher.counter(counter).bench_local(|| {
        number += 1;
        let hyper = Hyper::new(&optimizer, 1e-3, number);
        let (table, states) = held.take().expect("every step puts them back");
        held = Some(segments.update(table, states, grads.clone(), false, hyper));
    });
}

/// The sums alone, by the kernel and as burn's own gradient of a selection
/// makes them: in a table of all rows.
#[divan::bench(args = [10_000, 100_000, 1_000_000], sample_count = 30, sample_size = 1)]
fn row_sums_by_rows(bencher: Bencher, rows: usize) {
    let device = Device::flex();
    let (unique, inverse) = distinct(&drawn(rows));
    let segments = Segments::new(&unique, &inverse, &device);
    let grads = floats(OCCURRENCES, &device);
    let counter = ItemsCount::new(OCCURRENCES);
    bencher
        .counter(counter)
        .bench_local(|| segments.sum(grads.clone()));
}

#[divan::bench(args = [10_000, 100_000, 1_000_000], sample_count = 10, sample_size = 1)]
fn plain_row_sums_by_rows(bencher: Bencher, rows: usize) {
    let device = Device::flex().autodiff();
    let ids: Vec<i32> = drawn(rows).iter().map(|&row| row as i32).collect();
    let ids: Tensor<1, Int> = Tensor::from_data(TensorData::new(ids, [OCCURRENCES]), &device);
    let table = floats(rows, &device).require_grad();
    let grads = floats(OCCURRENCES, &device);
    let counter = ItemsCount::new(OCCURRENCES);
    bencher.counter(counter).bench_local(|| {
        let looked_up = table.clone().select(0, ids.clone());
        let gradients = (looked_up * grads.clone()).sum().backward();
        table.grad(&gradients)
    });
}

//! Against the filters as dense matrices, which other spectral models share.

use super::*;
use crate::event::Silent;
use crate::kernels::eigen::eigen;
use crate::seed::Seed;
use crate::training::{MemorySink, TrainingConfig};

pub const ITEMS: usize = 280;

pub fn train() -> Interactions {
    let mut rng = Seed(8).stream("test");
    let mut train = Interactions {
        offsets: vec![0],
        num_items: ITEMS,
        ..Interactions::default()
    };
    for user in 0..150 {
        let start = if user % 3 == 0 {
            0
        } else {
            100 + user % 2 * 90
        };
        for _ in 0..25 {
            train.items.push(start + rng.below(90));
        }
        train.offsets.push(train.items.len());
    }
    train
}

/// What a model fitted to [`train`] says after this history.
pub fn scores(spec: &dyn ModelSpec, history: &[u32]) -> Vec<f32> {
    let context = FitContext {
        data: ModelData {
            train: &train(),
            user_features: None,
            item_features: None,
        },
        training: &TrainingConfig::default(),
        device: &Device::flex(),
        seed: Seed(3),
        observer: &mut Silent,
        validate: None,
        checkpoints: &mut MemorySink::default(),
    };
    let model = spec.fit(context).unwrap().model;
    let query = Query {
        history,
        ..Query::default()
    };
    let mut row = vec![f32::NAN; ITEMS];
    model.score(&[query], &mut row).unwrap();
    row
}

/// Both filters as dense matrices of the paper's formulas, in float64.
pub fn filters(dim: usize) -> [Vec<f64>; 2] {
    let users = Sparse::from_interactions(&train(), false);
    let items = users.transposed(ITEMS);
    let degree = |i: usize| items.row_len(i) as f64;
    let mut linear = vec![0.0; ITEMS * ITEMS];
    for u in 0..users.num_rows() {
        for &i in users.columns_of(u) {
            for &j in users.columns_of(u) {
                let (i, j) = (i as usize, j as usize);
                let norm = users.row_len(u) as f64 * (degree(i) * degree(j)).sqrt();
                linear[i * ITEMS + j] += 1.0 / norm;
            }
        }
    }
    let exact = eigen(linear.clone(), ITEMS);
    let mut ideal = vec![0.0; ITEMS * ITEMS];
    for (i, row) in ideal.chunks_exact_mut(ITEMS).enumerate() {
        for (j, pass) in row.iter_mut().enumerate().filter(|_| degree(i) > 0.0) {
            let vectors = exact.vectors.chunks_exact(ITEMS).take(dim);
            let sum: f64 = vectors.map(|v| v[i] * v[j]).sum();
            *pass = sum * (degree(j) / degree(i)).sqrt();
        }
    }
    [linear, ideal]
}

#[test]
fn scores_are_those_of_both_filters() {
    let spec = GfCf {
        alpha: 0.7,
        embedding_dim: 3,
    };
    let row = scores(&spec, &[101, 5, 101, 279]);
    let [linear, ideal] = filters(3);
    for (j, score) in row.iter().enumerate() {
        let from = |i: usize| linear[i * ITEMS + j] + 0.7 * ideal[i * ITEMS + j];
        let expected = from(5) + from(101) + from(279);
        assert!(
            (f64::from(*score) - expected).abs() < 1e-4,
            "{j} {score} {expected}"
        );
    }
}

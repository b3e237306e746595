//! Parameters that have an effect, or are refused.

use super::*;
use crate::event::Silent;
use crate::models::build;
use crate::training::MemorySink;

fn train() -> Interactions {
    Interactions {
        offsets: vec![0, 3, 5, 7, 8],
        items: vec![0, 1, 3, 0, 2, 0, 3, 1],
        num_items: 4,
        ..Interactions::default()
    }
}

fn fit(params: &str, sampling: &str) -> Result<Vec<f32>> {
    let spec = build("mf", params.parse().unwrap())?;
    let training = format!(
        "epochs = 2\nbatch_size = 4\nnegatives = 2\nnegative_sampling = \"{sampling}\"\n\
         popularity_alpha = 1.0"
    );
    let train = train();
    let fitted = spec.fit(FitContext {
        data: ModelData {
            train: &train,
            user_features: None,
            item_features: None,
        },
        training: &toml::from_str(&training).unwrap(),
        device: &Device::flex(),
        seed: Seed(3),
        observer: &mut Silent,
        validate: None,
        checkpoints: &mut MemorySink::default(),
    })?;
    let weights = fitted.model.weights()?;
    let shape = weights.tensors["item_embedding"].shape.clone();
    Ok(weights.f32("item_embedding", &shape)?.to_vec())
}

#[test]
fn logq_correction_changes_a_softmax_over_popular_negatives() {
    let plain = fit("loss = 'softmax'\nlogq_correction = false", "popularity").unwrap();
    let corrected = fit("loss = 'softmax'", "popularity").unwrap();
    assert_ne!(plain, corrected);
}

#[test]
fn parameters_without_an_effect_are_refused_by_name() {
    let refused = |params: &str, key: &str| {
        let error = format!("{:#}", fit(params, "uniform").unwrap_err());
        assert!(error.contains(&format!("`{key}`")), "{error}");
    };
    refused("loss = 'bpr'\nlogq_correction = false", "logq_correction");
    refused(
        "loss = 'full_softmax'\nlogq_correction = false",
        "logq_correction",
    );
    refused(
        "loss = 'softmax'\nlogq_correction = false",
        "logq_correction",
    );
    refused(
        "item_regularization_ratio = 0.5",
        "item_regularization_ratio",
    );
    refused("margin = 0.5", "margin");
    refused("temperature = 0.5", "temperature");
    fit(
        "loss = 'in_batch_softmax'\nlogq_correction = false",
        "uniform",
    )
    .unwrap();
}

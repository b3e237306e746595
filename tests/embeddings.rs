//! What the keys for embeddings do, for each family of models that has them.

use crate::fused::{fit, train};
use recsys::data::Interactions;
use recsys::device::DeviceChoice;

/// A model, its loss without negatives or with, and its tables.
const MODELS: [(&str, &str, [&str; 2]); 3] = [
    (
        "mf",
        "loss = \"full_softmax\"\ninit_deviation = 0.3",
        ["user_embedding", "item_embedding"],
    ),
    (
        "lightgcn",
        "loss = \"full_softmax\"\nregularization = 0.0\nlayers = 2",
        ["user_embedding", "item_embedding"],
    ),
    (
        "gmf",
        "loss = \"mse\"\ninit_deviation = 0.3",
        ["gmf_user_embedding", "gmf_item_embedding"],
    ),
];

/// Weights by name and the mean loss after one step of gradient descent on all
/// examples.
fn one_step(model: &str, params: &str, rate: f64) -> (Vec<(String, Vec<f32>)>, f64) {
    let training = format!(
        "epochs = 1\nbatch_size = 10000\noptimizer = \"sgd\"\nmomentum = 0.0\nlearning_rate = {rate}"
    );
    let (weights, losses) = fit(DeviceChoice::Cpu, model, params, &training).unwrap();
    (weights, losses[0])
}

fn table<'a>(weights: &'a [(String, Vec<f32>)], name: &str) -> &'a [f32] {
    &weights.iter().find(|(n, _)| n == name).unwrap().1
}

/// How often each row of users, or of items, is in the examples.
fn uses(log: &Interactions, items: bool) -> Vec<usize> {
    if items {
        return log.item_counts().iter().map(|&c| c as usize).collect();
    }
    log.offsets.windows(2).map(|w| w[1] - w[0]).collect()
}

#[test]
fn l1_adds_its_sum_and_pulls_by_signs() {
    let log = train();
    let examples = log.items.len() as f64;
    for (model, params, names) in MODELS {
        let strength = 0.5;
        let with = format!("{params}\nl1 = {strength}");
        let (start, _) = one_step(model, params, 1e-12);
        let (plain, plain_loss) = one_step(model, params, 1.0);
        let (pulled, loss) = one_step(model, &with, 1.0);
        let mut sum = 0.0;
        for (name, items) in names.into_iter().zip([false, true]) {
            let uses = uses(&log, items);
            let (start, plain) = (table(&start, name), table(&plain, name));
            let pulled = table(&pulled, name);
            let columns = start.len() / uses.len();
            for (at, w) in start.iter().enumerate() {
                let share = strength * uses[at / columns] as f64 / examples;
                sum += share * f64::from(w.abs());
                let step = f64::from(plain[at] - pulled[at]);
                let expected = share * f64::from(w.signum());
                assert!(
                    (step - expected).abs() < 1e-5,
                    "{model}, {name}: {step} {expected}"
                );
            }
        }
        assert!(
            (loss - plain_loss - sum).abs() < 1e-4,
            "{model}: {loss} {plain_loss} {sum}"
        );
    }
}

#[test]
fn no_embedding_grows_beyond_its_largest_norm() {
    for (model, params, names) in MODELS {
        let params = format!("{params}\nmax_norm = 0.4");
        let training = "epochs = 3\nlearning_rate = 0.1\nbatch_size = 50";
        let (weights, _) = fit(DeviceChoice::Cpu, model, &params, training).unwrap();
        let mut longest: f32 = 0.0;
        for (name, rows) in names.into_iter().zip([37, 23]) {
            let values = table(&weights, name);
            for row in values.chunks(values.len() / rows) {
                longest = longest.max(row.iter().map(|x| x * x).sum::<f32>().sqrt());
            }
        }
        assert!((longest - 0.4).abs() < 1e-5, "{model}: {longest}");
    }
}

/// What is dropped has no gradient, so that a step leaves it where it was.
#[test]
fn dropped_numbers_have_no_gradient_and_noise_changes_the_loss() {
    for (model, params, names) in MODELS {
        let (start, plain_loss) = one_step(model, params, 1e-12);
        let dropping = format!("{params}\nembedding_dropout = 0.4");
        let (after, loss) = one_step(model, &dropping, 1.0);
        assert!((loss - plain_loss).abs() > 1e-7, "{model}: {loss}");
        if model == "lightgcn" {
            let (a, b) = (table(&start, names[1]), table(&after, names[1]));
            let still = a.iter().zip(b).filter(|(a, b)| a == b).count();
            let share = still as f64 / a.len() as f64;
            assert!(
                (share - 0.4).abs() < 0.05,
                "{share} of the numbers did not move"
            );
        }
        let noised = format!("{params}\nembedding_noise = 0.5");
        let (_, loss) = one_step(model, &noised, 1.0);
        assert!((loss - plain_loss).abs() > 1e-7, "{model}: {loss}");
        let (_, again) = one_step(model, &noised, 1.0);
        assert_eq!(loss, again, "{model}");
    }
}

/// Of every family, with its tables of embeddings.
const FAMILIES: [(&str, &str, &str); 8] = [
    ("mf", "loss = \"bpr\"", "user_embedding"),
    ("lightgcn", "", "user_embedding"),
    ("neumf", "hidden = [8]", "mlp_user_embedding"),
    ("fm", "", "user_embedding"),
    ("deep_fm", "hidden = [8]", "item_embedding"),
    ("dcn_v2", "hidden = [8]", "item_embedding"),
    ("two_tower", "hidden = [8]", "history_embedding"),
    ("sasrec", "blocks = 1\nmax_length = 10", "item_embedding"),
];

#[test]
fn every_key_changes_what_every_family_learns() {
    let training = "epochs = 2\nbatch_size = 50\nlearning_rate = 0.01";
    let fitted = |model: &str, params: &str| {
        let params = format!("{params}\ninit_deviation = 0.3");
        // Graph models begin as published.
        let params = match model {
            "lightgcn" => params.replace("init_deviation = 0.3", ""),
            _ => params,
        };
        fit(DeviceChoice::Cpu, model, &params, training).unwrap().0
    };
    for (model, params, name) in FAMILIES {
        let plain = fitted(model, params);
        for key in [
            "regularization = 0.3",
            "l1 = 0.1",
            "max_norm = 0.2",
            "embedding_noise = 0.3",
            "embedding_dropout = 0.3",
        ] {
            let other = fitted(model, &format!("{params}\n{key}"));
            assert!(table(&plain, name) != table(&other, name), "{model}, {key}");
            if key.starts_with("max_norm") {
                let columns = columns(model);
                let rows = table(&other, name).chunks(columns);
                let lengths = rows.map(|row| row.iter().map(|x| x * x).sum::<f32>().sqrt());
                let longest = lengths.fold(0.0, f32::max);
                assert!((longest - 0.2).abs() < 1e-5, "{model}: {longest}");
            }
        }
    }
}

/// Of a table of embeddings, with a weight beside them in some models.
fn columns(model: &str) -> usize {
    match model {
        "fm" | "deep_fm" => 17,
        "dcn_v2" => 16,
        _ => 64,
    }
}

#[test]
fn values_out_of_range_and_models_without_embeddings_are_refused() {
    let error = |model: &str, params: &str| {
        let error = fit(DeviceChoice::Cpu, model, params, "").expect_err(params);
        format!("{error:#}")
    };
    assert!(error("mf", "l1 = -1.0").contains("`l1` must not be negative"));
    assert!(error("gmf", "embedding_dropout = 1.0").contains("must lie in [0, 1)"));
    assert!(error("fm", "embedding_noise = -1.0").contains("`embedding_noise` must not be"));
    assert!(error("ials", "max_norm = 1.0").contains("unknown field `max_norm`"));
    let misspelled = error("simgcl", "max_nrom = 1.0");
    assert!(misspelled.contains("`max_norm`") && misspelled.contains("`layers`"));
}

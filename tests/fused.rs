//! Fused kernels train to what the plain tensor operations train to: the
//! former run on `cpu` and on whatever adapter wgpu finds, the latter on
//! `ndarray`.

use crate::devices;
use anyhow::Result;
use recsys::data::Interactions;
use recsys::device::{self, Adapter, DeviceChoice};
use recsys::event::Silent;
use recsys::seed::Seed;
use recsys::tensors::Values;
use recsys::training::MemorySink;

/// 37 users and 23 items with ratings, drawn at random.
pub fn train() -> Interactions {
    let mut rng = Seed(17).stream("test");
    let mut log = Interactions {
        offsets: vec![0],
        num_items: 23,
        ..Interactions::default()
    };
    for _ in 0..37 {
        let items: Vec<u32> = (0..23).filter(|_| rng.below(3) == 0).collect();
        log.items.extend(&items);
        log.offsets.push(log.items.len());
    }
    log.weights = Some(
        log.items
            .iter()
            .map(|_| 1.0 + rng.below(5) as f32)
            .collect(),
    );
    log
}

pub type Outcome = (Vec<(String, Vec<f32>)>, Vec<f64>);

/// Weights by name, and the losses of the epochs.
fn outcome(choice: DeviceChoice, model: &str, params: &str, training: &str) -> Outcome {
    // A large epsilon, since Adam blows the rounding of the smallest gradients
    // up to whole steps.
    let training = format!("epochs = 3\nbatch_size = 50\nepsilon = 1e-2\n{training}");
    fit(choice, model, params, &training).unwrap()
}

pub fn fit(choice: DeviceChoice, model: &str, params: &str, training: &str) -> Result<Outcome> {
    let mut sink = MemorySink::default();
    let model = devices::fit(
        choice,
        (model, params),
        &train(),
        training,
        &mut sink,
        &mut Silent,
    )?;
    let weights = model.weights()?;
    let weights = weights.tensors.into_iter().map(|(name, t)| match t.values {
        Values::F32(values) => (name, values),
        other => panic!("{name}: {other:?}"),
    });
    Ok((
        weights.collect(),
        sink.records.iter().map(|r| r.loss).collect(),
    ))
}

/// How far fused kernels may be from the plain operations, in weights and
/// losses of about 1.
const TOLERANCE: f32 = 1e-4;

fn agree(model: &str, params: &str, training: &str) {
    agree_on(DeviceChoice::Cpu, model, params, training);
}

fn agree_on(choice: DeviceChoice, model: &str, params: &str, training: &str) {
    let what = format!("{model} on {choice} with {params} and {training}");
    let (weights, losses) = outcome(choice, model, params, training);
    let (plain, plain_losses) = outcome(DeviceChoice::Ndarray, model, params, training);
    for (a, b) in losses.iter().zip(&plain_losses) {
        let apart = (a - b).abs();
        assert!(apart < f64::from(TOLERANCE), "{what}: loss {a}, plain {b}");
    }
    for ((name, a), (_, b)) in weights.iter().zip(&plain) {
        let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs());
        let apart = apart.fold(0.0, f32::max);
        assert!(apart < TOLERANCE, "{what}: `{name}` is {apart} apart");
    }
}

const MF: &str = "embedding_dim = 20\ninit_deviation = 0.3\n";

/// Parameters and training settings for every loss.
const LOSSES: [(&str, &str); 10] = [
    ("loss = \"bpr\"", "negatives = 3"),
    ("loss = \"bpr\"\nhardest_negative = true", "negatives = 5"),
    (
        "loss = \"bce\"\nbiases = true",
        "negatives = 2\nlabel_smoothing = 0.1",
    ),
    (
        "loss = \"softmax\"\ntemperature = 0.5\nbiases = true",
        "negatives = 6\nlabel_smoothing = 0.2",
    ),
    ("loss = \"mse\"\nbiases = true", "normalize_ratings = true"),
    ("loss = \"mse\"", ""),
    (
        "loss = \"ccl\"\ncosine = true\nmargin = 0.1\nnegative_weight = 3.0",
        "negatives = 6",
    ),
    ("loss = \"bpr\"\ncosine = true", "negatives = 2"),
    (
        "loss = \"softmax\"\ncosine = true\ntemperature = 0.3",
        "negatives = 4",
    ),
    (
        "loss = \"bpr\"\nbiases = true",
        "negative_sampling = \"popularity\"",
    ),
];

const OPTIMIZERS: [&str; 7] = [
    "learning_rate = 0.02\noptimizer = \"adam\"\nweight_decay = 0.01",
    "learning_rate = 0.02\noptimizer = \"adamw\"\nweight_decay = 0.1",
    "optimizer = \"sgd\"\nlearning_rate = 0.5\nweight_decay = 0.01",
    "optimizer = \"sgd\"\nmomentum = 0.0\nlearning_rate = 5.0\nweight_decay = 0.01",
    "learning_rate = 0.05\noptimizer = \"adagrad\"",
    "optimizer = \"sgd\"\nlearning_rate = 0.5\ngradient_clip = 0.05",
    "learning_rate = 0.02\noptimizer = \"adam\"\ngradient_clip = 0.05\nschedule = \"cosine\"\nwarmup_steps = 3",
];

#[test]
fn every_loss_of_mf_agrees_with_the_plain_operations() {
    for (params, training) in LOSSES {
        for regularization in [
            "",
            "regularization = 0.05",
            "regularization = 0.05\nitem_regularization_ratio = 0.2",
        ] {
            let params = format!("{MF}{params}\n{regularization}");
            agree("mf", &params, &format!("learning_rate = 0.02\n{training}"));
        }
    }
}

#[test]
fn every_optimizer_of_mf_agrees_with_the_plain_operations() {
    for optimizer in OPTIMIZERS {
        let params = format!("{MF}biases = true\nregularization = 0.02");
        agree("mf", &params, optimizer);
    }
}

const NCF: &str = "embedding_dim = 7\nmlp_embedding_dim = 10\nhidden = [18, 6]\ninit_deviation = 0.3\ndropout = 0.2\nregularization = 0.02\n";

#[test]
fn every_loss_of_neumf_agrees_with_the_plain_operations() {
    let losses = [
        ("loss = \"bce\"", "negatives = 2\nlabel_smoothing = 0.1"),
        ("loss = \"bpr\"\nhardest_negative = true", "negatives = 5"),
        ("loss = \"softmax\"\ntemperature = 0.5", "negatives = 6"),
        ("loss = \"mse\"", "gradient_clip = 0.5"),
    ];
    for (params, training) in losses {
        let training = format!("learning_rate = 0.01\n{training}");
        agree("neumf", &format!("{NCF}{params}"), &training);
    }
}

const GCN: &str = "embedding_dim = 20\nregularization = 0.05\n";

/// Graph models and parameters of them.
const GRAPH_MODELS: [(&str, &str); 10] = [
    ("lightgcn", "layers = 1"),
    ("lightgcn", "layers = 3"),
    ("simgcl", "layers = 1\ncontrast_weight = 0.3"),
    (
        "simgcl",
        "layers = 2\ncontrast_weight = 0.3\ntemperature = 0.1",
    ),
    ("xsimgcl", "layers = 2\ncontrast_weight = 0.3"),
    (
        "xsimgcl",
        "layers = 3\ncontrast_layer = 3\ncontrast_weight = 0.3",
    ),
    (
        "lightgcn",
        "layers = 2\nloss = \"ccl\"\ncosine = true\nmargin = 0.1\nnegative_weight = 3.0",
    ),
    ("xsimgcl", "loss = \"bce\"\ncontrast_weight = 0.3"),
    (
        "lightgcn",
        "loss = \"softmax\"\ncosine = true\nsoftmax_temperature = 0.3",
    ),
    (
        "simgcl",
        "loss = \"full_softmax\"\ncosine = true\nsoftmax_temperature = 0.3",
    ),
];

#[test]
fn graph_models_agree_with_the_plain_operations() {
    for (model, params) in GRAPH_MODELS {
        let params = format!("{GCN}{params}");
        agree(model, &params, "learning_rate = 0.01\nnegatives = 2");
    }
    for optimizer in OPTIMIZERS {
        agree("lightgcn", GCN, optimizer);
    }
}

#[test]
fn graph_models_on_wgpu_agree_with_the_plain_operations() {
    if device::adapters().is_empty() {
        eprintln!("skipped: wgpu sees no adapter, not even a software one");
        return;
    }
    let wgpu = DeviceChoice::Wgpu(Adapter::Any);
    for (model, params) in [GRAPH_MODELS[1], GRAPH_MODELS[3], GRAPH_MODELS[4]] {
        let params = format!("{GCN}{params}");
        agree_on(wgpu, model, &params, "learning_rate = 0.01\nnegatives = 3");
    }
}

#[test]
fn mf_on_wgpu_agrees_with_the_plain_operations() {
    if device::adapters().is_empty() {
        eprintln!("skipped: wgpu sees no adapter, not even a software one");
        return;
    }
    let wgpu = DeviceChoice::Wgpu(Adapter::Any);
    for (params, training) in LOSSES {
        let params =
            format!("{MF}{params}\nregularization = 0.05\nitem_regularization_ratio = 0.2");
        agree_on(
            wgpu,
            "mf",
            &params,
            &format!("learning_rate = 0.02\n{training}"),
        );
    }
    for optimizer in OPTIMIZERS {
        let params = format!("{MF}biases = true\nregularization = 0.02");
        agree_on(wgpu, "mf", &params, optimizer);
    }
}

#[test]
fn full_softmax_counts_the_whole_catalog() {
    for (model, params) in [
        ("mf", "loss = \"full_softmax\"\ninit_deviation = 1e-6"),
        ("gmf", "loss = \"full_softmax\"\ninit_deviation = 1e-6"),
        ("fm", "loss = \"full_softmax\"\ninit_deviation = 1e-6"),
        (
            "two_tower",
            "loss = \"full_softmax\"\ntemperature = 1e6\nhidden = [8]",
        ),
        (
            "lightgcn",
            "loss = \"full_softmax\"\ncosine = true\nsoftmax_temperature = 1e6\nregularization = 0.0",
        ),
    ] {
        // Where all scores are equal, the loss is the log of 23 items.
        let training = "epochs = 1\nlearning_rate = 1e-9";
        let (_, losses) = fit(DeviceChoice::Cpu, model, params, training).unwrap();
        assert!((losses[0] - 23f64.ln()).abs() < 1e-4, "{model}: {losses:?}");
    }
    let training = "epochs = 30\nlearning_rate = 0.05";
    for (model, params) in [
        ("mf", "loss = \"full_softmax\"\nbiases = true"),
        ("mf", "loss = \"ccl\"\ncosine = true\nmargin = 0.3"),
        ("lightgcn", "loss = \"full_softmax\""),
        ("xsimgcl", "loss = \"ccl\"\ncosine = true\nmargin = 0.3"),
    ] {
        let (_, losses) = fit(DeviceChoice::Cpu, model, params, training).unwrap();
        assert!(
            losses[29] < 0.9 * losses[0],
            "{model}, {params}: {losses:?}"
        );
    }
    let training = "epochs = 30\nlearning_rate = 0.01";
    for (model, params) in [
        ("gmf", "loss = \"full_softmax\"\ninit_deviation = 0.1"),
        ("fm", "loss = \"full_softmax\""),
        ("two_tower", "loss = \"full_softmax\""),
        ("two_tower", "loss = \"bpr\""),
        ("two_tower", "loss = \"ccl\"\nmargin = 0.3"),
    ] {
        let (_, losses) = fit(DeviceChoice::Cpu, model, params, training).unwrap();
        assert!(losses[29] < losses[0], "{model}, {params}: {losses:?}");
    }
}

#[test]
fn losses_say_what_they_need() {
    for (model, params, says) in [
        ("mf", "loss = \"ccl\"", "add `cosine = true`"),
        ("mf", "margin = 0.5", "are for `loss = \"ccl\"`"),
        ("mf", "temperature = 0.5", "use a softmax loss"),
        ("mf", "cosine = true\nbiases = true", "no room for `biases`"),
        (
            "mf",
            "cosine = true\nloss = \"mse\"",
            "cannot predict ratings",
        ),
        (
            "neumf",
            "loss = \"ccl\"",
            "scores of learned weights are none",
        ),
        (
            "neumf",
            "loss = \"full_softmax\"",
            "far more than memory holds",
        ),
        (
            "mlp",
            "loss = \"in_batch_softmax\"",
            "use `loss = \"softmax\"`",
        ),
        ("gmf", "hidden = [8]", "unknown field `hidden`"),
        ("mlp", "embedding_dim = 8", "unknown field `embedding_dim`"),
        (
            "gmf",
            "pretrained_mlp = \"a\"",
            "unknown field `pretrained_mlp`",
        ),
        ("fm", "loss = \"ccl\"", "sums over pairs of fields are none"),
        (
            "deep_fm",
            "loss = \"full_softmax\"",
            "far more than memory holds",
        ),
        (
            "dcn_v2",
            "loss = \"full_softmax\"",
            "far more than memory holds",
        ),
        ("simgcl", "loss = \"mse\"", "graph models have no loss mse"),
        (
            "lightgcn",
            "softmax_temperature = 0.5",
            "use a softmax loss",
        ),
    ] {
        let error = fit(DeviceChoice::Cpu, model, params, "").expect_err(params);
        let error = format!("{error:#}");
        assert!(error.contains(says), "{model}, {params}: {error}");
    }
}

#[test]
fn hogwild_learns_and_says_what_it_needs() {
    let training = "updates = \"hogwild\"\noptimizer = \"adagrad\"\nlearning_rate = 0.05";
    let (_, losses) = outcome(DeviceChoice::Cpu, "mf", MF, training);
    assert!(losses[2] < 0.9 * losses[0], "{losses:?}");
    let error = |model: &str, training: &str| {
        fit(DeviceChoice::Cpu, model, "", training)
            .expect_err("hogwild is not for this")
            .to_string()
    };
    let adam = error("mf", "updates = \"hogwild\"");
    assert!(adam.contains("adagrad"), "{adam}");
    for model in [
        "neumf",
        "lightgcn",
        "fm",
        "two_tower",
        "mult_vae",
        "mult_dae",
        "rec_vae",
        "sasrec",
    ] {
        let others = error(model, training);
        assert!(others.contains("for model `mf`"), "{model}: {others}");
    }
}

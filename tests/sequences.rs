//! Models of sequences, which kernels train on the host and operations on
//! tensors elsewhere: both are the same model.

use crate::devices;
use crate::resume::StopAfter;
use recsys::data::Interactions;
use recsys::device::DeviceChoice;
use recsys::event::{Observer, Silent};
use recsys::model::Query;
use recsys::seed::Seed;
use recsys::tensors::{NamedTensors, Values};
use recsys::training::MemorySink;
use std::collections::BTreeMap;

const ITEMS: usize = 30;

const SHARED: &str = "embedding_dim = 32
window_stride = 14
dropout = 0.2
init_deviation = 0.3
";

/// With parameters that reach every layer there is.
const MODELS: [(&str, &str); 8] = [
    ("sasrec", "max_length = 24\nblock = 'sasrec'"),
    ("sasrec", "max_length = 24\nblock = 'pre_norm'\nheads = 2"),
    ("sasrec", "max_length = 24\nblock = 'ligr'"),
    ("hstu", "max_length = 24\nheads = 2"),
    ("hstu", "max_length = 24\nclock = 'none'"),
    ("gru4rec", "max_length = 24\nhidden_dim = 16\nlayers = 2"),
    ("bert4rec", "max_length = 24\nblocks = 1"),
    ("nextitnet", "max_length = 24\ndilations = [1, 9]"),
];

const LOSSES: [&str; 10] = [
    "loss = 'cross_entropy'",
    "loss = 'cross_entropy'\ncosine = true\ntemperature = 0.3",
    "loss = 'sampled_softmax'\nnegatives_for = 'position'",
    "loss = 'sampled_softmax'\nnegatives_for = 'sequence'\nlogq_correction = true",
    "loss = 'bce'\nnegatives_for = 'sequence'",
    "loss = 'gbce'\nnegatives_for = 'position'",
    "loss = 'bce'\ncosine = true\ntemperature = 0.5",
    "loss = 'bpr'\nnegatives_for = 'position'",
    "loss = 'bpr'\nnegatives_for = 'sequence'\ncosine = true",
    "loss = 'ccl'\ncosine = true\nmargin = 0.1\nnegative_weight = 3.0",
];

/// Those whose targets can be smoothed.
const SMOOTHED: [&str; 4] = [LOSSES[0], LOSSES[1], LOSSES[3], LOSSES[4]];

/// What keeps embeddings small, or from being relied on one by one.
const KEYS: [&str; 5] = [
    "regularization = 0.3",
    "l1 = 0.2",
    "max_norm = 1.0",
    "embedding_noise = 0.4",
    "embedding_dropout = 0.3",
];

/// Users of all lengths from 2 to more than a window, with gaps from seconds
/// to years between their items.
fn train() -> Interactions {
    let mut log = Interactions {
        offsets: vec![0],
        num_items: ITEMS,
        ..Interactions::default()
    };
    let mut times = Vec::new();
    let mut rng = Seed(8).stream("log");
    for user in 0..14u32 {
        let mut time = 1_000_000 * i64::from(user);
        for _ in 0..2 + user * 3 {
            log.items.push(rng.below(ITEMS as u32 / 2) * 2 + user % 2);
            times.push(time);
            time += 1 << rng.below(26);
        }
        log.offsets.push(log.items.len());
    }
    log.timestamps = Some(times.into());
    log
}

struct Outcome {
    weights: BTreeMap<String, Vec<f32>>,
    losses: Vec<f64>,
    /// Of a history with times, a short one and an empty one.
    scores: Vec<f32>,
}

fn values(weights: &NamedTensors) -> BTreeMap<String, Vec<f32>> {
    let floats = weights.tensors.iter().filter_map(|(name, tensor)| {
        let Values::F32(values) = &tensor.values else {
            return None;
        };
        Some((name.clone(), values.clone()))
    });
    floats.collect()
}

fn fit(
    choice: DeviceChoice,
    (name, params): (&str, &str),
    training: &str,
    sink: &mut MemorySink,
    observer: &mut dyn Observer,
) -> anyhow::Result<Outcome> {
    let train = train();
    let model = devices::fit(choice, (name, params), &train, training, sink, observer)?;
    let times = train.timestamps.as_ref().expect("they have timestamps");
    let last = train.len() - 41..train.len();
    let query = |history, times, at| Query {
        history,
        times,
        at,
        ..Query::default()
    };
    let queries = [
        query(
            &train.items[last.clone()],
            Some(times.view(last)),
            Some(1 << 30),
        ),
        query(&[4, 7], None, None),
        query(&[], None, None),
    ];
    let mut scores = vec![0.0; 3 * ITEMS];
    model.score(&queries, &mut scores)?;
    Ok(Outcome {
        weights: values(&model.weights()?),
        losses: sink.records.iter().map(|r| r.loss).collect(),
        scores,
    })
}

/// One step of plain gradient descent, so that what the weights differ by is
/// what the gradients differ by.
const ONE_STEP: &str = "epochs = 1
batch_size = 100000
learning_rate = 0.5
optimizer = 'sgd'
momentum = 0.0
negatives = 5
";

fn agree(choice: DeviceChoice, model: (&str, &str), loss: &str, training: &str, tolerance: f32) {
    let params = format!("{SHARED}{}\n{loss}", model.1);
    let model = (model.0, params.as_str());
    let run = |choice| {
        fit(
            choice,
            model,
            training,
            &mut MemorySink::default(),
            &mut Silent,
        )
        .unwrap()
    };
    let mut sink = MemorySink::default();
    let cpu = fit(DeviceChoice::Cpu, model, training, &mut sink, &mut Silent).unwrap();
    let other = run(choice);
    let what = format!("{} {params} on {choice}", model.0);
    let near = |a: &[f32], b: &[f32], of: &str| {
        assert_eq!(a.len(), b.len());
        for (at, (a, b)) in a.iter().zip(b).enumerate() {
            let apart = (a - b).abs();
            assert!(
                apart < tolerance * (1.0 + a.abs()),
                "{of} {at} of {what}: {a} {b}"
            );
        }
    };
    for (name, weights) in &cpu.weights {
        near(weights, &other.weights[name], name);
    }
    near(&cpu.scores, &other.scores, "score");
    let losses = |outcome: &Outcome| outcome.losses.iter().map(|l| *l as f32).collect::<Vec<_>>();
    near(&losses(&cpu), &losses(&other), "loss");
}

#[cfg(feature = "ndarray")]
#[test]
fn every_model_and_loss_takes_the_same_step_on_tensors() {
    for model in MODELS {
        for loss in LOSSES {
            agree(DeviceChoice::Ndarray, model, loss, ONE_STEP, 1e-4);
        }
    }
}

#[cfg(feature = "ndarray")]
#[test]
fn smoothing_and_regularizers_are_the_same_on_tensors() {
    let smoothed = format!("{ONE_STEP}label_smoothing = 0.2");
    for loss in SMOOTHED {
        for model in [MODELS[2], MODELS[6]] {
            agree(DeviceChoice::Ndarray, model, loss, &smoothed, 1e-4);
        }
    }
    let keys = KEYS.join("\n");
    for loss in LOSSES {
        let loss = format!("{loss}\n{keys}");
        for model in [MODELS[2], MODELS[6]] {
            agree(DeviceChoice::Ndarray, model, &loss, ONE_STEP, 1e-4);
        }
    }
    // Rows that no step touches are shortened, too, and then are unit rows.
    let loss = format!("{}\nmax_norm = 1.0", LOSSES[9]);
    agree(DeviceChoice::Ndarray, MODELS[2], &loss, SOME_EPOCHS, 1e-3);
}

fn weights_of(params: &str, training: &str) -> anyhow::Result<Outcome> {
    let params = format!("{SHARED}max_length = 24\n{params}");
    let training = format!("{SOME_EPOCHS}{training}");
    let model = ("sasrec", params.as_str());
    let mut sink = MemorySink::default();
    fit(DeviceChoice::Cpu, model, &training, &mut sink, &mut Silent)
}

#[test]
fn every_key_changes_what_is_learned() {
    for loss in ["loss = 'cross_entropy'", "loss = 'bpr'"] {
        let plain = weights_of(loss, "").unwrap();
        for key in KEYS {
            let with = weights_of(&format!("{loss}\n{key}"), "").unwrap();
            assert!(with.weights != plain.weights, "{loss}, {key}");
            assert!(with.losses.iter().all(|l| l.is_finite()));
        }
    }
    for loss in SMOOTHED {
        let plain = weights_of(loss, "").unwrap();
        let smooth = weights_of(loss, "label_smoothing = 0.1").unwrap();
        assert!(smooth.weights != plain.weights, "{loss}");
    }
    let ccl = "loss = 'ccl'\ncosine = true\n";
    let plain = weights_of(&format!("{ccl}margin = 0.1"), "").unwrap();
    for key in ["margin = 0.0", "margin = 0.1\nnegative_weight = 2.0"] {
        let other = weights_of(&format!("{ccl}{key}"), "").unwrap();
        assert!(other.weights != plain.weights, "{key}");
    }
    let limited = weights_of("max_norm = 0.5", "").unwrap();
    let longest = limited.weights["item_embedding"]
        .chunks(32)
        .map(|row| row.iter().map(|x| x * x).sum::<f32>().sqrt())
        .fold(0.0, f32::max);
    assert!((longest - 0.5).abs() < 1e-5, "{longest}");
}

#[test]
fn new_losses_learn() {
    for loss in ["loss = 'bpr'", "loss = 'ccl'\ncosine = true\nmargin = 0.1"] {
        let losses = weights_of(loss, "").unwrap().losses;
        assert!(losses[2] < losses[0], "{loss}: {losses:?}");
    }
}

#[test]
fn keys_that_do_not_apply_say_why() {
    for (params, training, says) in [
        ("loss = 'ccl'", "", "add `cosine = true`"),
        ("margin = 0.5", "", "are for `loss = \"ccl\"`"),
        (
            "loss = 'ccl'\ncosine = true\ntemperature = 0.5",
            "",
            "a loss other than ccl",
        ),
        ("l1 = -1.0", "", "`l1` must not be negative"),
        (
            "regularization = -1.0",
            "",
            "`regularization` must not be negative",
        ),
        ("max_nrom = 1.0", "", "`max_norm`"),
        (
            "loss = 'bpr'",
            "label_smoothing = 0.1",
            "cross_entropy, sampled_softmax and bce",
        ),
        (
            "loss = 'gbce'",
            "label_smoothing = 0.1",
            "cross_entropy, sampled_softmax and bce",
        ),
    ] {
        let error = weights_of(params, training).err().expect(params);
        let error = format!("{error:#}");
        assert!(error.contains(says), "{params}: {error}");
    }
}

/// Adam divides by the root of squared gradients, which blows the rounding of
/// the smallest ones up to whole steps; a larger epsilon keeps it small.
const SOME_EPOCHS: &str = "epochs = 3
batch_size = 100
learning_rate = 0.01
epsilon = 1e-3
negatives = 5
gradient_clip = 1.0
";

#[cfg(feature = "ndarray")]
#[test]
fn trainings_stay_together_in_rows_and_in_whole_tables() {
    for updates in ["rows", "dense"] {
        let training = format!("{SOME_EPOCHS}updates = '{updates}'");
        for loss in [LOSSES[0], LOSSES[3]] {
            agree(DeviceChoice::Ndarray, MODELS[3], loss, &training, 1e-3);
        }
    }
}

fn resumes(choice: DeviceChoice, model: (&str, &str)) {
    let params = format!("{SHARED}{}", model.1);
    let model = (model.0, params.as_str());
    let whole = fit(
        choice,
        model,
        SOME_EPOCHS,
        &mut MemorySink::default(),
        &mut Silent,
    )
    .unwrap();
    let mut sink = MemorySink::default();
    fit(
        choice,
        model,
        SOME_EPOCHS,
        &mut sink,
        &mut StopAfter { left: 4 },
    )
    .unwrap();
    let resumed = fit(choice, model, SOME_EPOCHS, &mut sink, &mut Silent).unwrap();
    assert!(whole.weights == resumed.weights, "{} on {choice}", model.0);
    assert_eq!(whole.losses, resumed.losses);
    assert!(
        whole.losses[2] < whole.losses[0],
        "it learns: {:?}",
        whole.losses
    );
}

#[cfg(feature = "ndarray")]
#[test]
fn resuming_on_tensors_changes_nothing() {
    resumes(DeviceChoice::Ndarray, MODELS[3]);
    resumes(DeviceChoice::Ndarray, MODELS[6]);
}

/// All in one test: kernels are compiled and tuned for each shape, once in a
/// process. So the models are small, of one length, and of the same steps.
#[cfg(feature = "wgpu")]
#[test]
fn wgpu_trains_and_resumes_models_of_sequences() {
    let Some(wgpu) = devices::wgpu_or_say() else {
        return;
    };
    let models = [
        ("hstu", "max_length = 16\nheads = 2\nblocks = 1"),
        ("sasrec", "max_length = 16\nheads = 2\nblocks = 1"),
        ("gru4rec", "max_length = 16\nhidden_dim = 32\nlayers = 1"),
        ("bert4rec", "max_length = 16\nheads = 2\nblocks = 1"),
        ("nextitnet", "max_length = 16\ndilations = [1]"),
    ];
    for model in models {
        agree(wgpu, model, LOSSES[3], SOME_EPOCHS, 1e-3);
    }
    // Negatives of each place, in whole tables; and the whole catalog, of places
    // that are masked.
    let dense = format!("{SOME_EPOCHS}updates = 'dense'");
    agree(wgpu, models[1], LOSSES[2], &dense, 1e-3);
    agree(wgpu, models[3], LOSSES[0], SOME_EPOCHS, 1e-3);
    resumes(wgpu, models[0]);
}

//! Every device trains to the same numbers, but for rounding.

use recsys::data::Interactions;
use recsys::device::{self, Adapter, DeviceChoice};
use recsys::event::{Observer, Silent};
use recsys::ids::UserIdx;
use recsys::model::{FitContext, ModelData, Query, Recommender};
use recsys::models;
use recsys::ranking::{self, Ranker, RankingOptions, Request};
use recsys::seed::Seed;
use recsys::training::{MemorySink, TrainingConfig};

/// How far two devices may be apart, in a score or a loss of about 1.
const TOLERANCE: f32 = 1e-3;

/// 30 users and 20 items; a user likes every third item from its own number.
fn train() -> Interactions {
    let mut log = Interactions {
        offsets: vec![0],
        num_items: 20,
        ..Interactions::default()
    };
    for user in 0..30u32 {
        log.items.extend((0..20).filter(|i| i % 3 == user % 3));
        log.offsets.push(log.items.len());
    }
    log
}

/// A model, by name and parameters, trained on a device; the sink holds its
/// losses.
pub fn fit(
    choice: DeviceChoice,
    (name, params): (&str, &str),
    train: &Interactions,
    training: &str,
    sink: &mut MemorySink,
    observer: &mut dyn Observer,
) -> anyhow::Result<Box<dyn Recommender>> {
    let resolved = device::resolve(choice)?;
    let training: TrainingConfig = toml::from_str(training)?;
    let context = FitContext {
        data: ModelData {
            train,
            user_features: None,
            item_features: None,
        },
        training: &training,
        device: &resolved.device,
        seed: Seed(5),
        observer,
        validate: None,
        checkpoints: sink,
    };
    Ok(models::build(name, params.parse()?)?.fit(context)?.model)
}

/// Scores of three users, one of them new, and the losses of the epochs.
fn outcome(choice: DeviceChoice, updates: &str) -> anyhow::Result<(Vec<f32>, Vec<f64>)> {
    // Adam divides by the root of squared gradients, which blows the rounding
    // of the smallest ones up to whole steps; a larger epsilon keeps it small.
    let training = format!(
        "epochs = 3\nbatch_size = 64\nlearning_rate = 0.05\nepsilon = 1e-3\nnegatives = 2\nupdates = \"{updates}\""
    );
    let model = (
        "mf",
        "embedding_dim = 8\nbiases = true\ninit_deviation = 0.1",
    );
    let mut sink = MemorySink::default();
    let model = fit(choice, model, &train(), &training, &mut sink, &mut Silent)?;
    let history = [1, 4];
    let queries = [
        Query {
            user: Some(UserIdx(0)),
            history: &[],
            ..Query::default()
        },
        Query {
            history: &history,
            ..Query::default()
        },
        Query {
            user: Some(UserIdx(29)),
            history: &[],
            ..Query::default()
        },
    ];
    let mut scores = vec![0.0; 3 * 20];
    model.score(&queries, &mut scores)?;
    let masked = [&[3, 7][..], &history, &[]];
    lists_are_those_of_the_scores(model.as_ref(), &queries, &masked)?;
    Ok((scores, sink.records.iter().map(|r| r.loss).collect()))
}

/// However a device makes its lists, they are what its scores say.
fn lists_are_those_of_the_scores(
    model: &dyn Recommender,
    queries: &[Query<'_>],
    masked: &[&[u32]],
) -> anyhow::Result<()> {
    let flags: Vec<bool> = (0..20).map(|item| item != 5).collect();
    let options = RankingOptions {
        model_name: "mf",
        k: 6,
        allowed: Some(&flags),
        seen: None,
        tile_bytes: ranking::TILE_BYTES,
    };
    let requests: Vec<Request<'_>> = queries
        .iter()
        .zip(masked)
        .map(|(&query, &masked)| Request { query, masked })
        .collect();
    let lists = Ranker::new(model)?.rank(&requests, &options)?;
    let plain = ranking::rank_rows(model, &requests, &options)?;
    for (list, plain) in lists.iter().zip(&plain) {
        assert_eq!(list.items, plain.items);
        for (a, b) in list.scores.iter().zip(&plain.scores) {
            assert!((a - b).abs() < TOLERANCE, "{a} {b}");
        }
    }
    Ok(())
}

fn agree(choice: DeviceChoice) {
    for updates in ["rows", "dense"] {
        let (cpu_scores, cpu_losses) = outcome(DeviceChoice::Cpu, updates).unwrap();
        let (scores, losses) = outcome(choice, updates).unwrap();
        let apart = cpu_scores
            .iter()
            .zip(&scores)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(
            apart < TOLERANCE,
            "{choice} with {updates}: scores {apart} apart"
        );
        for (a, b) in cpu_losses.iter().zip(&losses) {
            assert!(
                (a - b).abs() < f64::from(TOLERANCE),
                "{choice} with {updates}: {a} {b}"
            );
        }
        assert!(losses[2] < losses[0], "it learns: {losses:?}");
    }
}

#[cfg(feature = "ndarray")]
#[test]
fn ndarray_agrees_with_the_cpu() {
    agree(DeviceChoice::Ndarray);
}

/// Any adapter, where there is one; says so where a test must do without.
#[cfg(feature = "wgpu")]
pub fn wgpu_or_say() -> Option<DeviceChoice> {
    if device::adapters().is_empty() {
        eprintln!(
            "skipped: wgpu sees no adapter, not even a software one (scripts/install_deps.sh installs one)"
        );
        return None;
    }
    Some(DeviceChoice::Wgpu(Adapter::Any))
}

#[cfg(feature = "wgpu")]
#[test]
fn wgpu_agrees_with_the_cpu() {
    if let Some(wgpu) = wgpu_or_say() {
        agree(wgpu);
    }
}

#[cfg(feature = "wgpu")]
#[test]
fn a_table_that_no_buffer_holds_is_an_error() {
    let Some(choice) = wgpu_or_say() else {
        return;
    };
    let device = device::resolve(choice).unwrap().device;
    let most = device::largest_buffer(&device).unwrap() as usize;
    assert!(device::ensure_fits(&device, "the table", most).is_ok());
    let error = device::ensure_fits(&device, "the table", most + 1).unwrap_err();
    assert!(error.to_string().contains("--device cpu"), "{error}");
    let cpu = device::resolve(DeviceChoice::Cpu).unwrap().device;
    assert!(device::ensure_fits(&cpu, "the table", most + 1).is_ok());
}

//! The program's flow, one step a function: read, divide, fit, judge.
//!
//! `train` goes through all of them; `eval` and `recommend` enter with a run
//! directory in place of the data.

mod baselines;
mod cache;
mod judge;

pub use judge::{Judge, Judged};

use crate::allocator::ReturnFreed;
use crate::config::Config;
use crate::data::split::{EvalSet, take_split};
use crate::data::{Dataset, read_cached};
use crate::device::Resolved;
use crate::evaluation::{Evaluation, EvaluationTask, evaluate};
use crate::event::{Event, Observer, Silent};
use crate::footprint::Workload;
use crate::machine;
use crate::metrics::{Kind, MetricSpec};
use crate::mlflow::Status;
use crate::model::{FitContext, Fitted, Recommender, Validate};
use crate::models;
use crate::preflight::{self, Forecasting, Room};
use crate::ranking::SeenLog;
use crate::report::{EvaluatedPart, Report};
use crate::run_dir::{RUNS, RunData, RunDir, Session, State};
use crate::seed::Seed;
use crate::tensors::NamedTensors;
use crate::training::{CheckpointSink, NoCheckpoints, TrainingSummary};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// Reads the data of a config. `config_path` says where relative paths may
/// start beside the current directory; the encoded data set is kept in
/// `runs/.cache`, so that the next start need not parse.
///
/// # Errors
/// Those of [`read_cached`].
pub fn read(config: &Config, config_path: &Path, observer: &mut dyn Observer) -> Result<Dataset> {
    let base = config_path.parent().unwrap_or(Path::new(""));
    let _freed = ReturnFreed::begin();
    read_cached(&config.data, base, &cache_folder(), observer)
}

/// Where encoded data and the figures of baselines wait for the next run.
fn cache_folder() -> PathBuf {
    Path::new(RUNS).join(".cache")
}

/// Divides the data into train, validation and test.
///
/// # Errors
/// Those of [`take_split`], and a metric whose cutoff is larger than the catalog.
pub fn divide(config: &Config, mut dataset: Dataset) -> Result<RunData> {
    let _freed = ReturnFreed::begin();
    let split = take_split(&mut dataset, &config.split, Seed(config.seed))?;
    check_cutoffs(config, dataset.items.len())?;
    Ok(RunData::new(dataset, split))
}

/// Before the training, not after it.
fn check_cutoffs(config: &Config, num_items: usize) -> Result<()> {
    let mut metrics = config.evaluation.specs()?;
    if models::find(&config.model.name)?.gradient && config.training.validate_every > 0 {
        metrics.extend(validation_metrics(config)?);
    }
    for metric in metrics {
        ensure!(
            metric.cutoff.unwrap_or(0) <= num_items,
            "the cutoff of `{metric}` is larger than the catalog of {num_items} items; change \
             evaluation.cutoffs or training.validation_metric"
        );
    }
    Ok(())
}

/// Fits the model of a run, from its last checkpoint where there is one, and
/// judges it. Returns no report when the person stopped it before its end.
///
/// # Errors
/// Data that the model cannot use, a training that diverges, a full disk.
pub fn train(
    run: &mut RunDir,
    config: &Config,
    data: &RunData,
    device: &Resolved,
    observer: &mut dyn Observer,
) -> Result<Option<Report>> {
    let session = Session::begin();
    run.set_state(State::Training)?;
    let mut checkpoints = run.tracked(&config.tracking)?;
    let fitted = fit(config, data, device, observer, &mut checkpoints);
    if fitted.is_err() {
        checkpoints.end(Status::Failed, None)?;
    }
    let Fitted { model, summary } = fitted?;
    run.save_model(model.weights()?)?;
    if summary.interrupted {
        session.add_to(&mut run.file.provenance);
        run.set_state(State::Interrupted)?;
        checkpoints.end(Status::Killed, None)?;
        return Ok(None);
    }
    let judge = Judge {
        run,
        config,
        data,
        device,
    };
    let parts = [EvaluatedPart::Validation, EvaluatedPart::Test];
    let metrics = config.evaluation.specs()?;
    let Judged { mut report, scores } = judge.judge(model.as_ref(), &parts, &metrics, observer)?;
    report.training = models::find(&config.model.name)?
        .gradient
        .then(|| (&summary).into());
    session.add_to(&mut run.file.provenance);
    report.provenance = run.file.provenance.clone();
    if let Some(test) = report.metrics.get(&EvaluatedPart::Test) {
        checkpoints.finish(summary.best_epoch, test)?;
    }
    observer.on(&Event::Stage("keeping the scores of users".into()));
    run.save_scores(&scores)?;
    observer.on(&Event::Stage("writing the report".into()));
    run.save_report(&report)?;
    let verdict = report.verdict.as_ref().map(|v| v.sentence.as_str());
    checkpoints.end(Status::Finished, verdict)?;
    run.set_state(State::Complete)?;
    Ok(Some(report))
}

/// Refuses a model that the machine has no room for.
///
/// # Errors
/// As [`preflight::ensure_fits`].
pub fn preflight(config: &Config, data: &RunData, device: &Resolved) -> Result<()> {
    let spec = models::build(&config.model.name, config.model.params.clone())?;
    let footprint = spec.footprint(&workload(config, data, device));
    preflight::ensure_fits(&config.model.name, &footprint, Room::of(device))
}

fn workload<'a>(config: &'a Config, data: &'a RunData, device: &'a Resolved) -> Workload<'a> {
    Workload {
        train: &data.split.train,
        training: &config.training,
        device: &device.device,
        validated: data.split.validation.is_some(),
        threads: machine::cpu().threads,
    }
}

fn fit(
    config: &Config,
    data: &RunData,
    device: &Resolved,
    observer: &mut dyn Observer,
    checkpoints: &mut dyn CheckpointSink,
) -> Result<Fitted> {
    let spec = models::build(&config.model.name, config.model.params.clone())?;
    let metrics = validation_metrics(config)?;
    let work = workload(config, data, device);
    let footprint = spec.footprint(&work);
    let forecast = preflight::forecast(&footprint, &work);
    let mut observer = Forecasting::new(observer, forecast);
    let set = data.split.validation.as_ref();
    let seen = set.map(|set| SeenLog::new(&set.history.items));
    let mut validate = |model: &dyn Recommender| {
        let set = set.context("there is no validation part")?;
        let task = EvaluationTask {
            seen: seen.as_ref(),
            ..task(config, data, &config.model.name, set, &metrics)
        };
        // Silent: what it would say, it would say after every epoch.
        Ok(evaluate(model, &task, &mut Silent)?.metrics.to_map())
    };
    spec.fit(FitContext {
        data: data.model_data(),
        training: &config.training,
        device: &device.device,
        seed: Seed(config.seed),
        observer: &mut observer,
        validate: set.map(|_| &mut validate as &mut Validate<'_>),
        checkpoints,
    })
    .with_context(|| format!("training `{}`", config.model.name))
}

/// A model that was fitted for the sake of its validation metric.
pub struct TriedOut {
    pub model: Box<dyn Recommender>,
    pub summary: TrainingSummary,
    /// Of the best epoch, or of the model where there are no epochs or no
    /// validations between them.
    pub value: f64,
}

/// Fits the model of a config and keeps nothing on disk.
///
/// # Errors
/// Those of fitting; data without a validation part.
pub fn try_out(
    config: &Config,
    data: &RunData,
    device: &Resolved,
    observer: &mut dyn Observer,
) -> Result<TriedOut> {
    let Fitted { model, summary } = fit(config, data, device, observer, &mut NoCheckpoints)?;
    let value = match summary.best_value {
        Some(value) => value,
        None => {
            let set = data.split.validation.as_ref();
            let set = set.context("there is no validation part")?;
            let metrics = [MetricSpec::parse(&config.training.validation_metric)?];
            let task = task(config, data, &config.model.name, set, &metrics);
            let done = evaluate(model.as_ref(), &task, &mut Silent)?;
            let value = done.metrics.iter().next().map(|(_, value)| value);
            value.context("there is no value to judge by")?
        }
    };
    Ok(TriedOut {
        model,
        summary,
        value,
    })
}

/// A model on one part by the metrics of a report; `None` where the split has
/// no such part.
///
/// # Errors
/// Those of [`evaluate`].
pub fn evaluate_part(
    config: &Config,
    data: &RunData,
    model: &dyn Recommender,
    part: EvaluatedPart,
) -> Result<Option<Evaluation>> {
    let Some(set) = part_of(data, part) else {
        return Ok(None);
    };
    let metrics = config.evaluation.specs()?;
    let task = task(config, data, &config.model.name, set, &metrics);
    evaluate(model, &task, &mut Silent).map(Some)
}

/// What is watched while training: the metrics of the report, less those that
/// need more than the lists or the clicks, and the one that decides which epoch is best.
fn validation_metrics(config: &Config) -> Result<Vec<MetricSpec>> {
    let watched = MetricSpec::parse(&config.training.validation_metric)?;
    let mut metrics = config.evaluation.specs()?;
    let cheap = |m: &MetricSpec| {
        matches!(
            m.entry.kind,
            Kind::List(_) | Kind::Clicks { cold: false, .. }
        )
    };
    metrics.retain(|m| *m == watched || cheap(m));
    if !metrics.contains(&watched) {
        metrics.push(watched);
    }
    Ok(metrics)
}

/// The fitted model of a run.
///
/// # Errors
/// Weights that do not belong to the config and the data.
pub fn load(
    config: &Config,
    data: &RunData,
    weights: &NamedTensors,
    device: &Resolved,
) -> Result<Box<dyn Recommender>> {
    models::build(&config.model.name, config.model.params.clone())?
        .load(weights, data.model_data(), &device.device)
        .context("the model of the run cannot be loaded")
}

fn task<'a>(
    config: &Config,
    data: &'a RunData,
    model_name: &'a str,
    set: &'a EvalSet,
    metrics: &'a [MetricSpec],
) -> EvaluationTask<'a> {
    EvaluationTask {
        model_name,
        set,
        train: &data.split.train,
        metrics,
        options: config.evaluation.options(),
        seen: None,
        seed: Seed(config.seed),
    }
}

fn part_of(data: &RunData, part: EvaluatedPart) -> Option<&EvalSet> {
    match part {
        EvaluatedPart::Validation => data.split.validation.as_ref(),
        EvaluatedPart::Test => Some(&data.split.test),
    }
}

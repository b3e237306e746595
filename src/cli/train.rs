//! `recsys train`

mod seeds;

use super::data::stats::cleaning_table;
use super::interrupt::{EXIT_STATUS, Interrupt};
use super::open::say_device;
use super::output;
use super::progress::Progress;
use crate::config::Config;
use crate::device::{self, DeviceChoice, Resolved};
use crate::pipeline;
use crate::report::{self, DataSummary, Report};
use crate::run_dir::{self, PAGE, RunData, RunDir, State};
use anyhow::{Context, Result};
use clap::ValueEnum;
use std::path::{Path, PathBuf};

/// Train a model, judge it beside its baselines, and keep it in a run directory.
///
/// Ctrl-C finishes the step, saves, and ends with exit status 130; `--resume`
/// goes on from there as if nothing had happened. A second Ctrl-C aborts.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  recsys train --config configs/quickstart.toml
  recsys train --config configs/quickstart.toml --set training.epochs=5 --set model.embedding_dim=64
  recsys train --config configs/quickstart.toml --device cpu --output runs/mine
  recsys train --resume runs/mine
  recsys train --config configs/quickstart.toml --seeds 3 --output runs/three    seeds s, s+1, s+2
  recsys train --config configs/quickstart.toml --format json | jq '.metrics.test[\"ndcg@10\"]'

The run directory is runs/<config>-<UTC time>-<id> unless --output names another; it holds the
config with every default, the ids, the split, checkpoints, the model, metrics.jsonl and
the same for TensorBoard, the report as page, Markdown and JSON, and each user's scores. It is all that `recsys eval` and `recsys recommend` need.")]
pub struct Args {
    /// The config file.
    #[arg(short, long, value_name = "FILE", required_unless_present = "resume")]
    config: Option<PathBuf>,
    /// Overrides a key of the config, as in `training.epochs=5`; repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// auto, cpu, ndarray, wgpu, wgpu:N (see `recsys devices`); goes before the config's `device`.
    #[arg(short, long, value_name = "DEVICE")]
    device: Option<DeviceChoice>,
    /// The run directory to make; it must be empty or not be there.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Go on with a training that was interrupted or killed.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "set", "output"])]
    resume: Option<PathBuf>,
    /// Trains once for each seed, into a folder of runs that `recsys compare` takes as one: that many
    /// seeds from the config's on, or a list of them. The seed moves random splits, too, unless
    /// `split.seed` is set.
    #[arg(long, value_name = "COUNT|SEED,SEED,...", conflicts_with = "resume")]
    seeds: Option<seeds::Seeds>,
    /// Begin even where the memory that is free will likely not do.
    #[arg(long)]
    no_preflight: bool,
    /// What goes to standard output at the end.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    /// The report, and nothing else.
    Json,
}

/// How a training begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    /// In place of the config's.
    pub device: Option<DeviceChoice>,
    /// Whether a model that the memory has no room for is refused.
    pub preflight: bool,
    pub quiet: bool,
}

impl How {
    fn of(args: &Args, quiet: bool) -> Self {
        Self {
            device: args.device,
            preflight: !args.no_preflight,
            quiet,
        }
    }
}

/// A training that is ready to begin.
pub(super) struct Job {
    run: RunDir,
    config: Config,
    data: RunData,
    device: Resolved,
}

pub fn run(args: &Args, quiet: bool) -> Result<u8> {
    let interrupt = Interrupt::default();
    if let Some(status) = seeds::run(args, quiet, &interrupt)? {
        return Ok(status);
    }
    let mut progress = Progress::new(quiet, interrupt.clone());
    let how = How::of(args, quiet);
    let job = match (&args.resume, &args.config) {
        (Some(dir), _) => resume(how, dir)?,
        (None, Some(path)) => {
            let output = args
                .output
                .clone()
                .unwrap_or_else(|| run_dir::default_path(path));
            let config = Config::load(path, &args.set)?;
            Some(start(how, config, path, &output, &mut progress)?)
        }
        (None, None) => anyhow::bail!("--config or --resume is needed"),
    };
    let Some(job) = job else {
        return finished(args);
    };
    let path = job.run.path().display().to_string();
    match train(job, &mut progress, &interrupt)? {
        Some(report) => deliver(&report, args.format, &path).map(|()| 0),
        None => Ok(interrupted(&path)),
    }
}

/// No report when it was interrupted.
pub(super) fn train(
    mut job: Job,
    progress: &mut Progress,
    interrupt: &Interrupt,
) -> Result<Option<Report>> {
    progress.watch(&job.config.training.validation_metric);
    // From here on there is something to save.
    interrupt.listen();
    pipeline::train(&mut job.run, &job.config, &job.data, &job.device, progress)
}

fn interrupted(path: &str) -> u8 {
    output::note(&format!(
        "interrupted and saved; go on with `recsys train --resume {path}`"
    ));
    EXIT_STATUS
}

/// Reads, divides and writes the run directory.
pub(super) fn start(
    how: How,
    mut config: Config,
    path: &Path,
    output: &Path,
    progress: &mut Progress,
) -> Result<Job> {
    config.device = how.device.unwrap_or(config.device);
    settle_store(&mut config)?;
    let device = device::resolve(config.device)?;
    let reserved = run_dir::reserve(output)?;
    let job = prepare(how, config, device, path, output, progress);
    if job.is_err() {
        reserved.release();
    }
    job
}

/// A run that goes on from another folder writes to the same MLflow store.
pub(super) fn settle_store(config: &mut Config) -> Result<()> {
    if let Some(store) = &mut config.tracking.mlflow {
        let path = std::path::absolute(&*store);
        let path = path.with_context(|| format!("there is no folder {store}"))?;
        *store = path.display().to_string();
    }
    Ok(())
}

fn prepare(
    how: How,
    config: Config,
    device: Resolved,
    config_path: &Path,
    output: &Path,
    progress: &mut Progress,
) -> Result<Job> {
    let dataset = pipeline::read(&config, config_path, progress)?;
    let summary = DataSummary::from(&dataset);
    let data = pipeline::divide(&config, dataset)?;
    say_data(&summary, &data, progress);
    say_device(&device, how.quiet);
    if how.preflight {
        pipeline::preflight(&config, &data, &device)?;
    }
    let provenance = run_dir::provenance(&config, &device, &summary.hash, &typed());
    let run = RunDir::create(output, &config, &data, summary, provenance)?;
    progress.say(&format!("run {}", output.display()));
    Ok(Job {
        run,
        config,
        data,
        device,
    })
}

/// The command as it was typed.
pub(super) fn typed() -> String {
    let arguments = std::env::args_os().skip(1);
    arguments.fold("recsys".to_string(), |line, argument| {
        line + " " + &argument.to_string_lossy()
    })
}

/// `None` when there is nothing left to do.
pub(super) fn resume(how: How, dir: &Path) -> Result<Option<Job>> {
    let run = RunDir::open(dir)?;
    if run.file.state == State::Complete && run.has_model() {
        output::note(&format!("{} is complete already", dir.display()));
        return Ok(None);
    }
    let mut config = run.config()?;
    config.device = how.device.unwrap_or(config.device);
    let device = device::resolve(config.device)?;
    let data = run.data()?;
    say_device(&device, how.quiet);
    if how.preflight {
        pipeline::preflight(&config, &data, &device)?;
    }
    Ok(Some(Job {
        run,
        config,
        data,
        device,
    }))
}

fn finished(args: &Args) -> Result<u8> {
    let dir = args.resume.as_deref().context("only --resume ends here")?;
    let run = RunDir::open(dir)?;
    match args.format {
        // As it was written: reading and writing may cost the last bit.
        Format::Json => output::print(&run.report_text()?)?,
        Format::Table => deliver(&run.report()?, args.format, &dir.display().to_string())?,
    }
    Ok(0)
}

pub(super) fn say_data(summary: &DataSummary, data: &RunData, progress: &mut Progress) {
    if summary.cleaning.len() > 1 {
        progress.say(cleaning_table(&summary.cleaning).trim_end());
    }
    progress.say(&format!(
        "data {} users, {} items, {} interactions ({:.3}% of all pairs)",
        summary.users,
        summary.items,
        summary.interactions,
        100.0 * summary.density
    ));
    let protocol = &data.split.protocol;
    progress.say(&format!(
        "split {}: {} train, {} validation, {} test",
        protocol.description,
        protocol.train_interactions,
        protocol.validation_interactions,
        protocol.test_interactions
    ));
    for note in &protocol.notes {
        progress.say(&format!("  {note}"));
    }
}

fn deliver(report: &Report, format: Format, path: &str) -> Result<()> {
    match format {
        Format::Json => output::print(&report::json(report)?),
        Format::Table => {
            let page = Path::new(path).join(PAGE);
            let table = report::table(report);
            output::print(&format!(
                "{table}\nreport: {}\nrun: {path}\n",
                page.display()
            ))
        }
    }
}

//! `recsys tune`

mod summary;

use super::interrupt::{EXIT_STATUS, Interrupt};
use super::open::say_device;
use super::output;
use super::progress::Progress;
use super::train;
use crate::compare::Comparison;
use crate::config::Config;
use crate::data::dataset::Dataset;
use crate::device::{self, DeviceChoice};
use crate::fsio;
use crate::pipeline;
use crate::report::{DataSummary, Report};
use crate::run_dir::{RunDir, default_path, ensure_empty};
use crate::search::{AsGiven, Bench, Budget, Log, PARTS, Search, Trial};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Find better settings, by trials that are judged on the validation part alone.
///
/// The space is [tune.space] of the config, or what is usual for its model. The first trial is the
/// config as it stands. At the end the best config is trained, judged on the test part, and compared
/// with the config as it stands there; no trial is chosen by that part.
/// Ctrl-C stops; `--resume` goes on with the trial that was under way.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  recsys tune --config configs/ml-100k/ease.toml
  recsys tune --config configs/ml-100k/mf_bpr.toml --trials 50 --output runs/tuned
  recsys tune --config a.toml --config b.toml --minutes 10    the same budget for each
  recsys tune --resume runs/tuned

A config may say where to look, how long and how:
  [tune]
  trials = 30            # the config's own settings first
  random_trials = 8      # then drawn at random, then by the estimates (TPE)
  prune = \"median\"       # or \"never\"; not before prune_after = 5 validations
  [tune.space]
  model.embedding_dim = { int = [16, 256], log = true }
  training.learning_rate = { float = [1e-4, 1e-1], log = true }
  model.loss = { choice = [\"bpr\", \"softmax\"] }

The folder holds, for each config, trials.jsonl, best.toml (for `recsys train --config`), the run
best/ and what the config as it stands is worth in configured/; and search.html, a page with the
trials as plots and with what tuning gained.")]
pub struct Args {
    /// A config to tune; repeatable.
    #[arg(short, long, value_name = "FILE", required_unless_present = "resume")]
    config: Vec<PathBuf>,
    /// Overrides a key of every config; repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Trials for each config; default: `tune.trials`, 30.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    trials: Option<u64>,
    /// Minutes of trials for each config, after which no other trial begins.
    #[arg(long)]
    minutes: Option<f64>,
    /// Trials at a time: helps where a single one leaves cores idle.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    jobs: u64,
    /// Where to compute; default: as each config says.
    #[arg(short, long, value_name = "DEVICE")]
    device: Option<DeviceChoice>,
    /// The folder to make; default: runs/tune-<config>-<time>-<id>.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Go on with a search that was interrupted or killed.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "set", "output", "trials", "minutes", "jobs"])]
    resume: Option<PathBuf>,
}

/// What makes a folder a search that can go on: `tune.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    configs: Vec<Planned>,
    trials: Option<usize>,
    minutes: Option<f64>,
    jobs: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct Planned {
    /// Of its folder.
    name: String,
    /// Where the config came from, and relative paths in it start.
    path: PathBuf,
}

const PLAN: &str = "tune.json";

/// With the overrides, and with every default filled in: the file that it came
/// from may change before a search goes on.
const CONFIG: &str = "config.toml";

/// What the config as it stands is worth.
const CONFIGURED: &str = "configured";

/// What a search of one config came to.
struct Outcome {
    name: String,
    config: Config,
    budget: Budget,
    log: Log,
    report: Report,
    /// `None` where it failed.
    given: Option<AsGiven>,
    /// Whether the best is the config as it stands.
    unchanged: bool,
    /// Of the best over the config as it stands, by part.
    gains: Vec<Comparison>,
}

pub fn run(args: &Args, quiet: bool) -> Result<u8> {
    let interrupt = Interrupt::default();
    let (folder, plan) = match &args.resume {
        Some(folder) => (folder.clone(), read_plan(folder)?),
        None => begin(args)?,
    };
    interrupt.listen();
    let mut outcomes = Vec::new();
    for planned in &plan.configs {
        let job = Job {
            folder: folder.join(&planned.name),
            planned,
            plan: &plan,
            device: args.device,
            quiet,
            interrupt: &interrupt,
        };
        let Some(outcome) = job.run()? else {
            output::note(&format!(
                "interrupted; go on with `recsys tune --resume {}`",
                folder.display()
            ));
            return Ok(EXIT_STATUS);
        };
        outcomes.push(outcome);
    }
    summary::write_page(&folder, &outcomes)?;
    output::print(&summary::text(&folder, &outcomes))?;
    Ok(0)
}

fn read_plan(folder: &Path) -> Result<Plan> {
    let path = folder.join(PLAN);
    ensure!(
        path.is_file(),
        "{} holds no search: it has no {PLAN}",
        folder.display()
    );
    serde_json::from_str(&fsio::read_text(&path)?)
        .with_context(|| format!("{} is damaged", path.display()))
}

/// Checks every config, then makes the folder.
fn begin(args: &Args) -> Result<(PathBuf, Plan)> {
    let first = args.config.first().context("--config is needed")?;
    let mut plan = Plan {
        configs: Vec::new(),
        trials: args.trials.map(|t| t as usize),
        minutes: args.minutes,
        jobs: args.jobs as usize,
    };
    ensure!(
        args.minutes.is_none_or(|m| m > 0.0),
        "--minutes must be above 0"
    );
    let mut configs = Vec::new();
    for path in &args.config {
        let config = Config::load(path, &args.set)?;
        Search::new(&config, plan.budget(&config)).with_context(|| path.display().to_string())?;
        configs.push(config.to_toml()?);
        let stem = path
            .file_stem()
            .map_or_else(|| "config".into(), |s| s.to_string_lossy());
        let same = plan
            .configs
            .iter()
            .filter(|c| c.path.file_stem() == path.file_stem());
        let name = match same.count() {
            0 => stem.to_string(),
            n => format!("{stem}-{}", n + 1),
        };
        plan.configs.push(Planned {
            name,
            path: path.clone(),
        });
    }
    let folder = args.output.clone().unwrap_or_else(|| {
        let stem = first.file_stem().unwrap_or_default().to_string_lossy();
        default_path(Path::new(&format!("tune-{stem}")))
    });
    if folder.join(PLAN).is_file() {
        bail!(
            "{0} already holds a search; choose another --output, or go on with `recsys tune \
             --resume {0}`",
            folder.display()
        );
    }
    ensure_empty(&folder)?;
    for (planned, config) in plan.configs.iter().zip(configs) {
        let place = folder.join(&planned.name);
        std::fs::create_dir_all(&place)
            .with_context(|| format!("cannot make {}", place.display()))?;
        fsio::write_atomic_bytes(&place.join(CONFIG), config.as_bytes())?;
    }
    let text = serde_json::to_string_pretty(&plan).context("cannot write the plan")?;
    fsio::write_atomic_bytes(&folder.join(PLAN), text.as_bytes())?;
    Ok((folder, plan))
}

impl Plan {
    fn budget(&self, config: &Config) -> Budget {
        let configured = config.tune.clone().unwrap_or_default().trials;
        Budget {
            trials: self.trials.unwrap_or(configured),
            seconds: self.minutes.map(|m| 60.0 * m),
            jobs: self.jobs,
        }
    }
}

/// The search of one config, and the training of its best.
struct Job<'a> {
    folder: PathBuf,
    planned: &'a Planned,
    plan: &'a Plan,
    device: Option<DeviceChoice>,
    quiet: bool,
    interrupt: &'a Interrupt,
}

impl Job<'_> {
    /// `None` when the person stopped it.
    fn run(&self) -> Result<Option<Outcome>> {
        let mut config = Config::load(&self.folder.join(CONFIG), &[])?;
        config.device = self.device.unwrap_or(config.device);
        let budget = self.plan.budget(&config);
        let mut log = Log::open(&self.folder.join("trials.jsonl"))?;
        let mut progress = Progress::new(self.quiet, self.interrupt.clone());
        progress.say(&format!(
            "tuning {} ({})",
            self.planned.name, config.model.name
        ));
        if !self.search(&config, budget, &mut log, &mut progress)? {
            return Ok(None);
        }
        let search = Search::new(&config, budget)?;
        let best = search.best(log.trials());
        let best = best.context("no trial came to its end; look at trials.jsonl for why")?;
        let unchanged = best.number == 0;
        let best_config = search.config_of(&best.settings)?;
        self.write_best(&best_config, best, log.trials().len())?;
        let Some(report) = self.train(best_config, &mut progress)? else {
            return Ok(None);
        };
        let given = AsGiven::read(&self.folder.join(CONFIGURED))?;
        let gains = match &given {
            Some(given) if !unchanged => self.gains(given)?,
            _ => Vec::new(),
        };
        Ok(Some(Outcome {
            name: self.planned.name.clone(),
            given,
            unchanged,
            gains,
            config,
            budget,
            log,
            report,
        }))
    }

    fn search(
        &self,
        config: &Config,
        budget: Budget,
        log: &mut Log,
        progress: &mut Progress,
    ) -> Result<bool> {
        let device = device::resolve(config.device)?;
        let dataset: Dataset = pipeline::read(config, &self.planned.path, progress)?;
        let summary = DataSummary::from(&dataset);
        let data = pipeline::divide(config, dataset)?;
        train::say_data(&summary, &data, progress);
        say_device(&device, self.quiet);
        if !log.trials().is_empty() {
            progress.say(&format!("{} trials are done already", log.trials().len()));
        }
        let stop = || self.interrupt.requested();
        let bench = Bench {
            data: &data,
            device: &device,
            given: &self.folder.join(CONFIGURED),
            stop: &stop,
        };
        Search::new(config, budget)?.run(bench, log, progress)
    }

    fn gains(&self, given: &AsGiven) -> Result<Vec<Comparison>> {
        let run = RunDir::open(&self.folder.join("best"))?;
        let gains = PARTS.iter().map(|&part| given.against(&run, part));
        gains.filter_map(Result::transpose).collect()
    }

    fn write_best(&self, config: &Config, best: &Trial, trials: usize) -> Result<()> {
        let head = format!(
            "# Trial {} of {trials} by `recsys tune --config {}`: validation {} {:.4}\n\n",
            best.number + 1,
            self.planned.path.display(),
            config.training.validation_metric,
            best.value.unwrap_or(f64::NAN)
        );
        let text = head + &config.to_toml()?;
        fsio::write_atomic_bytes(&self.folder.join("best.toml"), text.as_bytes())
    }

    /// The only trial beside the first, which is not chosen but given, that is
    /// judged on the test part.
    fn train(&self, config: Config, progress: &mut Progress) -> Result<Option<Report>> {
        let path = self.folder.join("best");
        progress.say("training with the best settings");
        let how = train::How {
            device: self.device,
            preflight: true,
            quiet: self.quiet,
        };
        let job = if RunDir::is_at(&path) {
            train::resume(how, &path)?
        } else {
            let from = &self.planned.path;
            Some(train::start(how, config, from, &path, progress)?)
        };
        match job {
            Some(job) => train::train(job, progress, self.interrupt),
            None => RunDir::open(&path)?.report().map(Some),
        }
    }
}

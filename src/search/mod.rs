//! Trials of settings: which ones make the best model on the validation part.
//!
//! A search fits the model of a config again and again, each time with other
//! values of the keys of its space, and looks at nothing but the validation
//! metric. Trial 0 is the config as it stands. What the n-th trial tries
//! depends on the seed, n, and the trials before it (before its batch, where
//! several run at a time), so that a search that was killed goes on as if
//! nothing had happened.

mod given;
mod plot;
mod trial;
mod watch;

pub use given::{AsGiven, PARTS};
pub use plot::{Plotted, html};
pub use trial::{Log, Trial, TrialState};

use crate::config::Config;
use crate::device::Resolved;
use crate::event::{Event, Observer};
use crate::metrics::{Direction, MetricSpec};
use crate::models;
use crate::pipeline::{self, TriedOut};
use crate::run_dir::RunData;
use crate::seed::Seed;
use crate::tune::{Curve, Space, Tried, TuneConfig, default_space, suggest};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;
use watch::Watch;

/// Draws of other settings before one that was tried is tried again.
const REDRAWS: u64 = 20;

/// Trials that may fail before a search that has nothing else ends.
const MOST_FAILURES: usize = 5;

/// One config and how to look for a better one.
pub struct Search<'a> {
    config: &'a Config,
    settings: TuneConfig,
    space: Space,
    direction: Direction,
    budget: Budget,
}

/// What a search may cost, the same for every config.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub trials: usize,
    /// Seconds of trials after which no other begins.
    pub seconds: Option<f64>,
    /// Trials at a time.
    pub jobs: usize,
}

/// What trials run on.
#[derive(Clone, Copy)]
pub struct Bench<'a> {
    pub data: &'a RunData,
    pub device: &'a Resolved,
    /// Where the figures of the first trial go, which is the config as it
    /// stands.
    pub given: &'a Path,
    /// Asked after each step.
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

/// What the next trial tries.
struct Draft {
    number: usize,
    settings: BTreeMap<String, toml::Value>,
}

impl<'a> Search<'a> {
    /// # Errors
    /// A model of which it is not known what to tune, and a key or value of
    /// the space that the config cannot take.
    pub fn new(config: &'a Config, budget: Budget) -> Result<Self> {
        let settings = config.tune.clone().unwrap_or_default();
        let space = match settings.space.is_empty() {
            true => default_space(&config.model.name)?,
            false => Space::parse(&settings.space)?,
        };
        let metric = MetricSpec::parse(&config.training.validation_metric)?;
        let search = Self {
            config,
            settings,
            space,
            direction: metric.direction(),
            budget,
        };
        search.check_space()?;
        Ok(search)
    }

    /// Each value by itself, so that a mistake ends the program before any
    /// trial begins.
    fn check_space(&self) -> Result<()> {
        for dimension in &self.space.dimensions {
            let key = dimension.key.as_str();
            ensure!(
                !key.starts_with("data.")
                    && !key.starts_with("split.")
                    && !key.starts_with("tune."),
                "tune.space.{key}: trials share their data and split; only settings of the model \
                 and the training can be tuned"
            );
            for value in dimension.range.samples() {
                self.config_of(&[(key.to_string(), value)].into_iter().collect())
                    .with_context(|| format!("tune.space.{key}"))?;
            }
        }
        Ok(())
    }

    pub fn space(&self) -> &Space {
        &self.space
    }

    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// The config with other settings.
    ///
    /// # Errors
    /// Settings that it cannot take.
    pub fn config_of(&self, settings: &BTreeMap<String, toml::Value>) -> Result<Config> {
        let config = Config {
            tune: None,
            ..self.config.clone()
        };
        let sets: Vec<String> = settings.iter().map(|(k, v)| format!("{k}={v}")).collect();
        Config::parse(&config.to_toml()?, "config", &sets)
    }

    /// The best of the trials that came to their end.
    pub fn best<'t>(&self, trials: &'t [Trial]) -> Option<&'t Trial> {
        let ended = trials.iter().filter(|t| t.state == TrialState::Complete);
        ended.reduce(|best, t| match (t.value, best.value) {
            (Some(ours), Some(theirs)) if self.direction.is_better(ours, theirs) => t,
            _ => best,
        })
    }

    /// Tries until the budget is spent or the person stops it (`false`). Each
    /// trial is in the log before the next begins.
    ///
    /// # Errors
    /// Data without a validation part, a log that cannot be written, and a
    /// config whose trials all fail.
    pub fn run(
        &self,
        bench: Bench<'_>,
        log: &mut Log,
        observer: &mut dyn Observer,
    ) -> Result<bool> {
        ensure!(
            bench.data.split.validation.is_some(),
            "tuning needs a validation part, which this split does not have: see [split] in the README"
        );
        while let Some(drafts) = self.next_batch(log.trials())? {
            let others = log.curves();
            let outcomes = self.try_all(&drafts, bench, &others);
            for trial in outcomes {
                let Some(trial) = trial? else {
                    return Ok(false);
                };
                log.append(trial)?;
                if let Some(last) = log.trials().last() {
                    observer.on(&Event::Stage(self.line(last, log.trials())));
                }
            }
            self.ensure_hope(log.trials())?;
            // A model without steps has nobody who asks.
            if (bench.stop)() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn next_batch(&self, trials: &[Trial]) -> Result<Option<Vec<Draft>>> {
        let spent: f64 = trials.iter().map(|t| t.seconds).sum();
        let left = self.budget.trials.saturating_sub(trials.len());
        if left == 0 || self.budget.seconds.is_some_and(|most| spent >= most) {
            return Ok(None);
        }
        let mut drafts: Vec<Draft> = Vec::new();
        for i in 0..self.budget.jobs.clamp(1, left) {
            let draft = self.draft(trials.len() + i, trials, &drafts)?;
            drafts.push(draft);
        }
        Ok(Some(drafts))
    }

    /// # Errors
    /// A search of which nothing has worked.
    fn ensure_hope(&self, trials: &[Trial]) -> Result<()> {
        let failed = |t: &&Trial| t.state == TrialState::Failed;
        if trials.len() < MOST_FAILURES || !trials.iter().all(|t| failed(&t)) {
            return Ok(());
        }
        let why = trials[0].error.as_deref().unwrap_or("no reason given");
        bail!(
            "the first {} trials failed, the config's own with: {why}",
            trials.len()
        )
    }

    fn draft(&self, number: usize, trials: &[Trial], pending: &[Draft]) -> Result<Draft> {
        if number == 0 {
            return self.own(number);
        }
        let mut settings = BTreeMap::new();
        for again in 0..=REDRAWS {
            let stream = number as u64 + (again << 32);
            let mut rng = Seed(self.config.seed).indexed("tune", stream);
            let places: Vec<f64> = if number < self.settings.random_trials || again > 0 {
                let dimensions = self.space.dimensions.iter();
                dimensions.map(|d| d.range.draw(&mut rng)).collect()
            } else {
                suggest(&self.space, &self.tried(trials, pending), &mut rng)
            };
            let dimensions = self.space.dimensions.iter().zip(places);
            settings = dimensions
                .map(|(d, place)| (d.key.clone(), d.range.value_at(place)))
                .collect();
            let known = trials.iter().any(|t| t.settings == settings)
                || pending.iter().any(|d| d.settings == settings);
            if !known {
                break;
            }
        }
        Ok(Draft { number, settings })
    }

    /// The config as it stands.
    fn own(&self, number: usize) -> Result<Draft> {
        let mut settings = BTreeMap::new();
        for dimension in &self.space.dimensions {
            if let Some(value) = self.config.get(&dimension.key)? {
                settings.insert(dimension.key.clone(), value);
            }
        }
        Ok(Draft { number, settings })
    }

    /// What the estimates learn from: trials that failed, were given up or are
    /// under way stand for places to keep away from.
    fn tried(&self, trials: &[Trial], pending: &[Draft]) -> Vec<Tried> {
        let sign = match self.direction {
            Direction::HigherIsBetter => -1.0,
            Direction::LowerIsBetter => 1.0,
        };
        let ended = trials.iter().map(|t| {
            let value = t.value.filter(|_| t.state == TrialState::Complete);
            (&t.settings, value.map_or(f64::INFINITY, |v| sign * v))
        });
        let under_way = pending.iter().map(|d| (&d.settings, f64::INFINITY));
        let tried = ended.chain(under_way).filter_map(|(settings, loss)| {
            let places = self.space.dimensions.iter().map(|d| {
                let value = settings.get(&d.key)?;
                d.range.place_of(value)
            });
            let places = places.collect::<Option<Vec<f64>>>()?;
            Some(Tried { places, loss })
        });
        tried.collect()
    }

    /// One result a draft; `None` for a trial that the person stopped.
    fn try_all(
        &self,
        drafts: &[Draft],
        bench: Bench<'_>,
        others: &[(Curve, bool)],
    ) -> Vec<Result<Option<Trial>>> {
        if let [draft] = drafts {
            return vec![self.try_one(draft, bench, others)];
        }
        std::thread::scope(|scope| {
            let started = drafts
                .iter()
                .map(|draft| scope.spawn(move || self.try_one(draft, bench, others)));
            let started: Vec<_> = started.collect();
            started
                .into_iter()
                .map(|thread| match thread.join() {
                    Ok(outcome) => outcome,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
                .collect()
        })
    }

    fn try_one(
        &self,
        draft: &Draft,
        bench: Bench<'_>,
        others: &[(Curve, bool)],
    ) -> Result<Option<Trial>> {
        let begun = Instant::now();
        let mut watch = Watch::new(self, others, bench.stop);
        let outcome = self
            .config_of(&draft.settings)
            .and_then(|config| pipeline::try_out(&config, bench.data, bench.device, &mut watch));
        let mut trial = Trial {
            number: draft.number,
            state: TrialState::Complete,
            value: None,
            epochs: 0,
            best_epoch: 0,
            seconds: begun.elapsed().as_secs_f64(),
            settings: draft.settings.clone(),
            curve: std::mem::take(&mut watch.curve.0),
            error: None,
        };
        match outcome {
            Ok(TriedOut {
                model,
                summary,
                value,
            }) => {
                if summary.interrupted && !watch.hopeless {
                    return Ok(None);
                }
                if draft.number == 0 {
                    AsGiven::judge(self.config, bench.data, model.as_ref())?.write(bench.given)?;
                }
                if summary.interrupted {
                    trial.state = TrialState::Pruned;
                }
                trial.value = Some(value);
                trial.epochs = summary.epochs;
                trial.best_epoch = summary.best_epoch;
            }
            Err(_) if (bench.stop)() => return Ok(None),
            Err(error) => {
                trial.state = TrialState::Failed;
                trial.error = Some(format!("{error:#}"));
            }
        }
        Ok(Some(trial))
    }

    fn line(&self, trial: &Trial, trials: &[Trial]) -> String {
        let metric = &self.config.training.validation_metric;
        let value = match (trial.state, trial.value) {
            (TrialState::Failed, _) | (_, None) => {
                format!("failed: {}", trial.error.as_deref().unwrap_or("no value"))
            }
            (TrialState::Pruned, Some(v)) => {
                format!("{metric} {v:.4}, given up after epoch {}", trial.epochs)
            }
            (TrialState::Complete, Some(v)) => format!("{metric} {v:.4}"),
        };
        let best = match self.best(trials) {
            Some(best) if best.number == trial.number => " (best)".to_string(),
            Some(best) => best
                .value
                .map_or_else(String::new, |v| format!(" (best {v:.4})")),
            None => String::new(),
        };
        let settings = trial.settings.iter().map(|(key, value)| {
            let name = key.rsplit('.').next().unwrap_or(key);
            format!("{name} {}", trial::shown(value))
        });
        format!(
            "trial {}/{}  {value}{best}  {:.1} s  {}",
            trial.number + 1,
            self.budget.trials,
            trial.seconds,
            settings.collect::<Vec<_>>().join("  ")
        )
    }
}

/// Whether the model of a config is trained in epochs, which a trial can be
/// given up in.
pub fn has_epochs(config: &Config) -> bool {
    models::find(&config.model.name).is_ok_and(|entry| entry.gradient)
}

#[cfg(test)]
mod tests;

//! The models that stand beside every other one: fitted on the same train
//! part, judged on the same users, and kept for the next run.

use super::cache::{self, Entry};
use super::judge::Judge;
use super::part_of;
use crate::data::interactions::Interactions;
use crate::evaluation::ClickRates;
use crate::event::{Event, Observer, Silent};
use crate::linalg::ensure_fits;
use crate::metrics::{Kind, MetricSpec};
use crate::model::{FitContext, Recommender};
use crate::models;
use crate::report::{Baseline, EvaluatedPart, UserScores};
use crate::run_dir::ScoredPart;
use crate::seed::Seed;
use crate::training::{NoCheckpoints, TrainingConfig};
use anyhow::{Result, ensure};
use std::time::Instant;

/// What fitting and ranking of a baseline may take by estimate.
const MOST_SECONDS: f64 = 120.0;

/// Of the default `item_knn`.
const NEIGHBORS: u64 = 100;

/// Measured on two cores of a server and rounded down: pairs of one user's
/// items that `item_knn` counts in a second (or neighbors that it adds up),
/// cubed items that `ease` solves, and scores that a dense row adds up.
const PAIRS_PER_SECOND: f64 = 1e8;
const CUBES_PER_SECOND: f64 = 1e11;
const ADDITIONS_PER_SECOND: f64 = 2e9;

/// Rows at the rate of all items that the rate of one item begins with.
const SMOOTHING: f64 = 20.0;

/// The baselines of a judgment.
pub(super) struct Baselines<'a> {
    judge: Judge<'a>,
    parts: &'a [EvaluatedPart],
    /// Those that mean something for models that rank: no ratings or clicks.
    metrics: Vec<MetricSpec>,
    /// Those of clicks.
    of_clicks: Vec<MetricSpec>,
}

impl<'a> Baselines<'a> {
    pub fn new(judge: Judge<'a>, parts: &'a [EvaluatedPart], metrics: &[MetricSpec]) -> Self {
        let is_clicks = |m: &MetricSpec| matches!(m.entry.kind, Kind::Clicks { .. });
        let is_rating = |m: &MetricSpec| matches!(m.entry.kind, Kind::Rating { .. });
        let (of_clicks, others): (Vec<_>, Vec<_>) = metrics.iter().partition(|m| is_clicks(m));
        Self {
            judge,
            parts,
            metrics: others.into_iter().filter(|m| !is_rating(m)).collect(),
            of_clicks,
        }
    }

    /// Runs them all. One that cannot be run, or would take too long, says so
    /// in its entry: it must not cost the model its report.
    pub fn run(&self, observer: &mut dyn Observer) -> (Vec<Baseline>, Vec<ScoredPart>) {
        let (mut entries, mut scores) = (Vec::new(), Vec::new());
        let names = match self.metrics.is_empty() {
            true => &[],
            false => self.judge.config.evaluation.baselines.as_slice(),
        };
        for name in names {
            let Some(mut baseline) = self.entry(name) else {
                continue;
            };
            match self.one(&mut baseline, observer) {
                Ok(done) => scores.extend(done),
                Err(why) => {
                    baseline.metrics.clear();
                    baseline.skipped = Some(format!("{why:#}"));
                }
            }
            entries.push(baseline);
        }
        if !self.of_clicks.is_empty() {
            let rates = [
                ("click_rate", f64::INFINITY),
                ("item_click_rate", SMOOTHING),
            ];
            entries.extend(rates.map(|(name, smoothing)| self.click_rates(name, smoothing)));
        }
        (entries, scores)
    }

    /// Rates of clicks in train, with the metrics of clicks.
    fn click_rates(&self, name: &str, smoothing: f64) -> Baseline {
        let begun = Instant::now();
        let mut baseline = Baseline {
            label: name.to_string(),
            name: name.to_string(),
            ..Baseline::default()
        };
        if smoothing.is_finite() {
            let smoothing = toml::Value::Float(smoothing);
            baseline.params.insert("smoothing".into(), smoothing);
        }
        let figures = |rates: &ClickRates, part| {
            let set = part_of(self.judge.data, part)?;
            let (metrics, silent) = (&self.of_clicks, &mut Silent);
            let done = self.judge.evaluate(rates, name, set, metrics, silent);
            Some(done.map(|done| (part, done.metrics)))
        };
        let rates = ClickRates::new(&self.judge.data.split.train, smoothing);
        let metrics = rates.and_then(|rates| {
            let parts = self.parts.iter();
            parts.filter_map(|&part| figures(&rates, part)).collect()
        });
        match metrics {
            Ok(metrics) => baseline.metrics = metrics,
            Err(why) => baseline.skipped = Some(format!("{why:#}")),
        }
        baseline.seconds = begun.elapsed().as_secs_f64();
        baseline
    }

    /// `None` for the very model that is judged.
    fn entry(&self, name: &str) -> Option<Baseline> {
        let params = (models::find(name).ok()?.defaults)();
        let model = &self.judge.config.model;
        let same_name = model.name == name;
        let label = match same_name {
            true => format!("{name} (defaults)"),
            false => name.to_string(),
        };
        (!same_name || model.params != params).then(|| Baseline {
            label,
            name: name.to_string(),
            params,
            ..Baseline::default()
        })
    }

    fn one(&self, baseline: &mut Baseline, observer: &mut dyn Observer) -> Result<Vec<ScoredPart>> {
        let begun = Instant::now();
        let mut model: Option<Box<dyn Recommender>> = None;
        let mut scored = Vec::new();
        baseline.cached = true;
        for &part in self.parts {
            let Some(set) = part_of(self.judge.data, part) else {
                continue;
            };
            let path = cache::path(&self.judge, baseline, part, &self.metrics);
            let known = path.as_ref().and_then(|p| cache::read(p, observer));
            let entry = match known {
                Some(entry) => entry,
                None => {
                    if model.is_none() {
                        self.ensure_affordable(&baseline.name)?;
                        model = Some(self.fit(baseline, observer)?);
                    }
                    let Some(model) = &model else { continue };
                    let done = self.judge.evaluate(
                        model.as_ref(),
                        &baseline.name,
                        set,
                        &self.metrics,
                        &mut Silent,
                    )?;
                    baseline.cached = false;
                    let entry = Entry {
                        metrics: done.metrics,
                        scores: UserScores::new(&done.per_user, &self.judge.data.users),
                        lists: done.lists,
                        seconds: begun.elapsed().as_secs_f64(),
                    };
                    cache::write(path.as_deref(), &entry, observer);
                    entry
                }
            };
            baseline.seconds = baseline.seconds.max(entry.seconds);
            baseline.metrics.insert(part, entry.metrics);
            scored.push(ScoredPart {
                part,
                baseline: Some(baseline.label.clone()),
                scores: entry.scores,
                lists: entry.lists,
            });
        }
        Ok(scored)
    }

    fn fit(
        &self,
        baseline: &Baseline,
        observer: &mut dyn Observer,
    ) -> Result<Box<dyn Recommender>> {
        observer.on(&Event::Stage(format!("baseline {}", baseline.label)));
        let spec = models::build(&baseline.name, baseline.params.clone())?;
        let fitted = spec.fit(FitContext {
            data: self.judge.data.model_data(),
            training: &TrainingConfig::default(),
            device: &self.judge.device.device,
            seed: Seed(self.judge.config.seed),
            observer: &mut Silent,
            validate: None,
            checkpoints: &mut NoCheckpoints,
        })?;
        Ok(fitted.model)
    }

    /// # Errors
    /// A baseline that would take too long or too much memory. (What `ease`
    /// needs, it looks up by itself.)
    fn ensure_affordable(&self, name: &str) -> Result<()> {
        let train = &self.judge.data.split.train;
        let sets = self
            .parts
            .iter()
            .filter_map(|p| part_of(self.judge.data, *p));
        if name == "item_knn" {
            let bytes = train.num_items as u64 * NEIGHBORS * 16;
            ensure_fits(bytes, "it", "train it by itself with fewer `neighbors`")?;
        }
        let work = Work {
            items: train.num_items as f64,
            pairs: pairs(train),
            histories: sets.map(|s| s.history.items.len() as f64).sum(),
        };
        work.ensure_affordable(name)
    }
}

/// What a baseline's time depends on.
struct Work {
    items: f64,
    /// Sum of squared history lengths.
    pairs: f64,
    /// Interactions in the histories that are scored.
    histories: f64,
}

impl Work {
    fn ensure_affordable(&self, name: &str) -> Result<()> {
        let seconds = match name {
            "item_knn" => (self.pairs + self.histories * NEIGHBORS as f64) / PAIRS_PER_SECOND,
            "ease" => {
                let rows = self.histories * self.items;
                self.items.powi(3) / CUBES_PER_SECOND + rows / ADDITIONS_PER_SECOND
            }
            _ => 0.0,
        };
        ensure!(
            seconds <= MOST_SECONDS,
            "by estimate it takes {:.0} minutes, and a baseline may take {:.0}; train it by itself \
             and use `recsys compare`",
            (seconds / 60.0).ceil(),
            MOST_SECONDS / 60.0
        );
        Ok(())
    }
}

/// Sum of squared history lengths: what counting pairs of items costs.
fn pairs(train: &Interactions) -> f64 {
    let lengths = train.offsets.windows(2).map(|w| (w[1] - w[0]) as f64);
    lengths.map(|n| n * n).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_is_left_out_and_says_so() {
        let ml_1m = Work {
            items: 3_416.0,
            pairs: 1.9e8,
            histories: 1.9e6,
        };
        let gowalla = Work {
            items: 40_981.0,
            pairs: 9.8e7,
            histories: 8.1e5,
        };
        for name in ["popularity", "item_knn", "ease"] {
            ml_1m.ensure_affordable(name).unwrap();
        }
        gowalla.ensure_affordable("item_knn").unwrap();
        let error = gowalla.ensure_affordable("ease").unwrap_err().to_string();
        assert!(
            error.starts_with("by estimate it takes 12 minutes"),
            "{error}"
        );
    }
}

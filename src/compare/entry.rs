//! What is compared: a run, the runs of one group, or a baseline of them.

use super::{EntrySummary, Figure};
use crate::config::Config;
use crate::metrics::MetricValues;
use crate::report::{EvaluatedPart, UserScores};
use crate::run_dir::RunDir;
use crate::stats;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Runs whose scores belong together.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: String,
    pub model: String,
    /// Whether it is there for others to be held against.
    pub baseline: bool,
    pub runs: Vec<RunScores>,
}

/// One run's scores on one part.
#[derive(Clone, Debug)]
pub struct RunScores {
    pub path: PathBuf,
    pub seed: u64,
    pub exam: Exam,
    pub metrics: MetricValues,
    pub scores: UserScores,
}

/// What a run was judged on, and by which rules: equal where scores of a user
/// can be compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exam {
    /// Each with its name for the person, in the order in which they explain
    /// each other.
    facts: Vec<(&'static str, String)>,
}

impl Exam {
    fn of(run: &RunDir, config: &Config) -> Result<Self> {
        let evaluation = &config.evaluation;
        let split = toml::to_string(&crate::data::split::SplitConfig {
            seed: None,
            ..config.split.clone()
        })?;
        let seed = config.split.seed.unwrap_or(config.seed);
        let sampled = evaluation.sampled_negatives.map_or_else(
            || "none".to_string(),
            |n| format!("{n} by seed {}", config.seed),
        );
        Ok(Self {
            facts: vec![
                ("data (hash)", run.file.data.hash.clone()),
                ("[split]", split.trim().replace('\n', ", ")),
                // Comes last in words: the seed only matters where it moved
                // the split.
                ("split (hash of split.bpk)", run.split_sha256()?),
                ("evaluation.mask_seen", evaluation.mask_seen.to_string()),
                ("evaluation.users", format!("{:?}", evaluation.users)),
                ("evaluation.sampled_negatives", sampled),
                ("split seed", seed.to_string()),
            ],
        })
    }

    /// All but the seed, which is there for errors only.
    fn key(&self) -> &[(&'static str, String)] {
        &self.facts[..self.facts.len() - 1]
    }

    #[cfg(test)]
    pub(super) fn for_test(split: &str, seed: u64) -> Self {
        Self {
            facts: vec![
                ("data (hash)", "d".to_string()),
                ("split (hash of split.bpk)", split.to_string()),
                ("split seed", seed.to_string()),
            ],
        }
    }

    pub(super) fn is(&self, key: &[(&'static str, String)]) -> bool {
        self.key() == key
    }

    /// What differs, in words.
    fn difference(&self, other: &Self) -> Option<String> {
        let pairs = self.key().iter().zip(other.key());
        let (ours, theirs) = pairs.into_iter().find(|(a, b)| a != b)?;
        let seeds = (self.facts.last()?, other.facts.last()?);
        if ours.0.starts_with("split (") && seeds.0 != seeds.1 {
            return Some(format!(
                "the split: it was drawn with seed {} and with seed {} (set `split.seed` to keep \
                 one split while `seed` changes)",
                seeds.0.1, seeds.1.1
            ));
        }
        let shown = |value: &str| match value.len() > 48 && !value.contains(' ') {
            true => value.chars().take(12).collect(),
            false if value.is_empty() => "defaults".to_string(),
            false => value.to_string(),
        };
        Some(format!(
            "{}: {} and {}",
            ours.0,
            shown(&ours.1),
            shown(&theirs.1)
        ))
    }
}

/// Where entries come from.
pub struct Sources<'a> {
    pub part: EvaluatedPart,
    pub paths: &'a [PathBuf],
    /// Whether the baselines of the first stand beside them.
    pub baselines: bool,
}

impl Sources<'_> {
    /// Reads them all.
    ///
    /// # Errors
    /// A folder that is neither a run nor a group of runs, or a run without
    /// scores on this part.
    pub fn read(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for path in self.paths {
            entries.push(Entry::read(path, self.part)?);
        }
        if self.baselines {
            let first = entries.first().context("there is a run to compare")?;
            let added = first.baselines(self.part)?;
            ensure!(
                !added.is_empty(),
                "{} has no baselines to compare with; name another run",
                first.name
            );
            entries.extend(added);
        }
        Ok(entries)
    }
}

impl Entry {
    /// From a run directory, or a folder of them.
    ///
    /// # Errors
    /// As [`Sources::read`].
    pub fn read(path: &Path, part: EvaluatedPart) -> Result<Self> {
        let mut runs = Vec::new();
        let mut model = String::new();
        for run in runs_in(path)? {
            let config = run.config()?;
            let report = run.report().with_context(|| unfinished(&run))?;
            model = report.model.name;
            runs.push(RunScores::read(&run, &config, part, None, &report.metrics)?);
        }
        let name = path.display().to_string();
        Ok(Self {
            name: name.trim_end_matches('/').to_string(),
            model,
            baseline: false,
            runs,
        })
    }

    /// A model that was judged as a run was, and has no run of its own.
    ///
    /// # Errors
    /// A run that is damaged.
    pub fn beside(
        run: &RunDir,
        name: &str,
        metrics: MetricValues,
        scores: UserScores,
    ) -> Result<Self> {
        let config = run.config()?;
        Ok(Self {
            name: name.to_string(),
            model: config.model.name.clone(),
            baseline: false,
            runs: vec![RunScores {
                path: run.path().to_path_buf(),
                seed: config.seed,
                exam: Exam::of(run, &config)?,
                metrics,
                scores,
            }],
        })
    }

    /// The baselines that all runs have, as entries.
    fn baselines(&self, part: EvaluatedPart) -> Result<Vec<Self>> {
        let mut entries: Vec<Self> = Vec::new();
        for (number, of_run) in self.runs.iter().enumerate() {
            let run = RunDir::open(&of_run.path)?;
            let config = run.config()?;
            for baseline in run.report()?.baselines {
                if baseline.skipped.is_some() {
                    continue;
                }
                let name = format!("{}: {}", self.name, baseline.label);
                let label = Some(baseline.label.as_str());
                let scores = RunScores::read(&run, &config, part, label, &baseline.metrics)?;
                match entries.iter_mut().find(|e| e.name == name) {
                    Some(entry) => entry.runs.push(scores),
                    None if number == 0 => entries.push(Self {
                        name,
                        model: baseline.name,
                        baseline: true,
                        runs: vec![scores],
                    }),
                    None => {}
                }
            }
        }
        entries.retain(|e| e.runs.len() == self.runs.len());
        Ok(entries)
    }

    /// The exams of its runs.
    pub(super) fn splits(&self) -> BTreeSet<&[(&'static str, String)]> {
        self.runs.iter().map(|r| r.exam.key()).collect()
    }

    /// # Errors
    /// Says what differs.
    pub(super) fn ensure_comparable(&self, other: &Self) -> Result<()> {
        if self.splits() == other.splits() {
            return Ok(());
        }
        let theirs = other.splits();
        let lone = self.runs.iter().find(|r| !theirs.contains(r.exam.key()));
        let ours = self.splits();
        let lone = lone.or_else(|| other.runs.iter().find(|r| !ours.contains(r.exam.key())));
        let (Some(lone), Some(one)) = (lone, other.runs.first()) else {
            bail!(
                "{} and {} were judged on different splits",
                self.name,
                other.name
            );
        };
        // With the run of the other side that is most like it.
        let both = self.runs.iter().chain(&other.runs);
        let facts = |r: &&RunScores| r.exam.difference(&lone.exam);
        let what = facts(&one).or_else(|| both.clone().find_map(|r| facts(&r)));
        bail!(
            "{} and {} cannot be compared, since they differ in {}",
            other.name,
            self.name,
            what.unwrap_or_else(|| "their splits".to_string())
        )
    }

    pub(super) fn metrics_of_users(&self) -> Vec<String> {
        let first = self.runs.first().map(|r| &r.scores.metrics);
        let names = first.into_iter().flatten().map(|(name, _)| name.clone());
        names.filter(|m| self.has(m)).collect()
    }

    pub(super) fn has(&self, metric: &str) -> bool {
        self.runs.iter().all(|r| r.scores.get(metric).is_some())
    }

    /// The mean of a reported metric over runs; `None` where one lacks it.
    pub fn mean(&self, metric: &str) -> Option<f64> {
        Some(stats::mean(&self.values(metric)?))
    }

    fn values(&self, metric: &str) -> Option<Vec<f64>> {
        self.runs.iter().map(|r| r.metrics.get(metric)).collect()
    }

    pub fn summary(&self) -> EntrySummary {
        let reported = self.runs.first().map(|r| &r.metrics);
        let figures = reported.into_iter().flat_map(|m| m.iter());
        let figures = figures.filter_map(|(metric, _)| {
            let values = self.values(metric)?;
            Some(Figure {
                metric: metric.to_string(),
                mean: stats::mean(&values),
                deviation: stats::deviation(&values),
            })
        });
        EntrySummary {
            name: self.name.clone(),
            model: self.model.clone(),
            seeds: self.runs.iter().map(|r| r.seed).collect(),
            metrics: figures.collect(),
        }
    }
}

impl RunScores {
    fn read(
        run: &RunDir,
        config: &Config,
        part: EvaluatedPart,
        baseline: Option<&str>,
        metrics: &crate::report::PartMetrics,
    ) -> Result<Self> {
        let path = run.scores_path(part, baseline);
        ensure!(
            path.is_file(),
            "{} has no scores of users on the {part} part; `recsys eval --run {} --split {part}` \
             makes them",
            run.path().display(),
            run.path().display()
        );
        Ok(Self {
            path: run.path().to_path_buf(),
            seed: config.seed,
            exam: Exam::of(run, config)?,
            metrics: metrics.get(&part).cloned().unwrap_or_default(),
            scores: UserScores::read(&path)?,
        })
    }
}

fn unfinished(run: &RunDir) -> String {
    let path = run.path().display();
    format!("{path} has no report; end its training with `recsys train --resume {path}`")
}

/// The run that a folder is, or the runs in it, by name.
fn runs_in(path: &Path) -> Result<Vec<RunDir>> {
    if RunDir::is_at(path) || !path.is_dir() {
        return Ok(vec![RunDir::open(path)?]);
    }
    let folders =
        std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut folders: Vec<PathBuf> = folders.flatten().map(|e| e.path()).collect();
    folders.retain(|f| RunDir::is_at(f));
    folders.sort();
    ensure!(
        !folders.is_empty(),
        "{} is neither a run nor a group of runs (`recsys train --seeds` makes one)",
        path.display()
    );
    folders.iter().map(|f| RunDir::open(f)).collect()
}

//! What the config as it stands is worth, on both parts. Kept from the first
//! trial, so that it need not be trained again to stand beside the best; no
//! trial is chosen by it.

use crate::compare::{Comparison, Entry, Plan, compare};
use crate::config::Config;
use crate::fsio;
use crate::metrics::MetricValues;
use crate::model::Recommender;
use crate::pipeline;
use crate::report::{EvaluatedPart, PartMetrics, UserScores};
use crate::run_dir::{RunData, RunDir};
use crate::seed::Seed;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;

pub const PARTS: [EvaluatedPart; 2] = [EvaluatedPart::Validation, EvaluatedPart::Test];

/// The name of the figures in their folder.
const FIGURES: &str = "figures.json";

/// The figures of the config as it stands, and its scores of users.
#[derive(Clone, Debug, PartialEq)]
pub struct AsGiven {
    figures: PartMetrics,
    scores: BTreeMap<EvaluatedPart, UserScores>,
}

impl AsGiven {
    /// Judges the model of the first trial by the metrics of a report.
    ///
    /// # Errors
    /// Those of [`pipeline::evaluate_part`].
    pub(super) fn judge(config: &Config, data: &RunData, model: &dyn Recommender) -> Result<Self> {
        let mut given = Self {
            figures: PartMetrics::new(),
            scores: BTreeMap::new(),
        };
        for part in PARTS {
            if let Some(done) = pipeline::evaluate_part(config, data, model, part)? {
                let scores = UserScores::new(&done.per_user, &data.users);
                given.scores.insert(part, scores);
                given.figures.insert(part, done.metrics);
            }
        }
        Ok(given)
    }

    /// # Errors
    /// A disk that is full or not writable.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        for (part, scores) in &self.scores {
            scores.write(&scores_path(folder, *part))?;
        }
        // Last: where it is, the others are.
        let text = serde_json::to_string_pretty(&self.figures).context("cannot write figures")?;
        fsio::write_atomic_bytes(&folder.join(FIGURES), text.as_bytes())
    }

    /// `None` where there are none: the first trial failed.
    ///
    /// # Errors
    /// Files that are damaged.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FIGURES);
        if !path.exists() {
            return Ok(None);
        }
        let figures: PartMetrics = serde_json::from_str(&fsio::read_text(&path)?)
            .with_context(|| format!("{} is damaged", path.display()))?;
        let mut scores = BTreeMap::new();
        for &part in figures.keys() {
            scores.insert(part, UserScores::read(&scores_path(folder, part))?);
        }
        Ok(Some(Self { figures, scores }))
    }

    /// The figures on a part.
    pub fn metrics(&self, part: EvaluatedPart) -> Option<&MetricValues> {
        self.figures.get(&part)
    }

    /// Bit by bit.
    #[cfg(test)]
    pub(super) fn has_scores_of(&self, other: &Self) -> bool {
        self.scores == other.scores
    }

    /// A run on the same split, less the config as it stands, user by user;
    /// `None` without a metric that has a value a user.
    ///
    /// # Errors
    /// Those of [`compare`].
    pub fn against(&self, run: &RunDir, part: EvaluatedPart) -> Result<Option<Comparison>> {
        let (Some(figures), Some(scores)) = (self.figures.get(&part), self.scores.get(&part))
        else {
            return Ok(None);
        };
        if scores.metrics.is_empty() {
            return Ok(None);
        }
        let given = Entry::beside(run, "as configured", figures.clone(), scores.clone())?;
        let mut tuned = Entry::read(run.path(), part)?;
        tuned.name = "tuned".to_string();
        let plan = Plan {
            part,
            metrics: Vec::new(),
            all_pairs: false,
            seed: Seed(0),
        };
        compare(&[given, tuned], &plan).map(Some)
    }
}

fn scores_path(folder: &Path, part: EvaluatedPart) -> std::path::PathBuf {
    folder.join(format!("{part}.parquet"))
}

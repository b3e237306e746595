//! What a run reports: the figures, and all that one needs to believe them.

mod csv;
mod scores;
mod table;
mod verdict;

pub use csv::csv;
pub use scores::UserScores;
pub use table::{align, table};
pub use verdict::{Standing, Verdict};

use crate::data::dataset::{CleaningStep, Dataset};
use crate::data::split::SplitProtocol;
use crate::evaluation::{Evaluation, EvaluationProtocol};
use crate::metrics::{MetricSpec, MetricValues};
use crate::training::TrainingSummary;
use anyhow::{Context, Result};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// `report.json`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Of the model, by part.
    pub metrics: PartMetrics,
    /// Other models on the same parts, in the order of the config.
    #[serde(deserialize_with = "any_baselines")]
    pub baselines: Vec<Baseline>,
    /// How the model stands against them; absent when none was run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    pub model: ModelSummary,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainingReport>,
    pub protocol: Protocol,
    pub data: DataSummary,
    pub provenance: Provenance,
}

/// A model that stands beside the one that was trained.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Baseline {
    /// What tables and files call it: the model's name, with ` (defaults)`
    /// behind it beside a model of that name with other parameters.
    pub label: String,
    pub name: String,
    pub params: toml::Table,
    /// Empty where it was not run.
    pub metrics: PartMetrics,
    /// Why it was not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// Fitting and evaluating, when that was done.
    pub seconds: f64,
    /// Whether the figures were computed for an earlier run.
    pub cached: bool,
}

/// Metrics by part; validation comes before test.
pub type PartMetrics = BTreeMap<EvaluatedPart, MetricValues>;

/// A part of the split that models are evaluated on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EvaluatedPart {
    Validation,
    Test,
}

impl fmt::Display for EvaluatedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Validation => "validation",
            Self::Test => "test",
        })
    }
}

/// The `[model]` section with its defaults filled in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelSummary {
    pub name: String,
    pub params: toml::Table,
}

/// How the training went, without its epochs (they are in `metrics.jsonl`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainingReport {
    pub epochs: usize,
    pub best_epoch: usize,
    /// The validation metric at that epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_value: Option<f64>,
    pub stopped_early: bool,
    pub interrupted: bool,
}

impl From<&TrainingSummary> for TrainingReport {
    fn from(summary: &TrainingSummary) -> Self {
        Self {
            epochs: summary.epochs,
            best_epoch: summary.best_epoch,
            best_value: summary.best_value,
            stopped_early: summary.stopped_early,
            interrupted: summary.interrupted,
        }
    }
}

/// What was asked of the models, and how it was counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Protocol {
    pub split: SplitProtocol,
    /// Of the model, by part.
    pub evaluation: BTreeMap<EvaluatedPart, EvaluationProtocol>,
    /// How equal scores are ranked.
    pub ties: String,
    /// The formula of each metric that is reported.
    pub definitions: BTreeMap<String, String>,
}

impl Protocol {
    pub fn new(split: SplitProtocol, metrics: &[MetricSpec]) -> Self {
        let definition = |spec: &MetricSpec| {
            let suffix = if spec.entry.has_cutoff() { "@k" } else { "" };
            let name = format!("{}{suffix}", spec.entry.name);
            (name, spec.entry.definition.to_string())
        };
        Self {
            split,
            evaluation: BTreeMap::new(),
            ties: "higher score first, then lower item index".to_string(),
            definitions: metrics.iter().map(definition).collect(),
        }
    }
}

/// The data that came out of reading and cleaning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataSummary {
    /// SHA-256 over the input files and the data config.
    pub hash: String,
    pub users: usize,
    pub items: usize,
    pub interactions: usize,
    /// Share of all user-item pairs that have an interaction.
    pub density: f64,
    /// Counts after each step; the first is what was read.
    pub cleaning: Vec<CleaningStep>,
}

impl From<&Dataset> for DataSummary {
    fn from(dataset: &Dataset) -> Self {
        let (users, items) = (dataset.users.len(), dataset.items.len());
        let interactions = dataset.log.len();
        Self {
            hash: dataset.hash.clone(),
            users,
            items,
            interactions,
            density: interactions as f64 / (users as f64 * items as f64).max(1.0),
            cleaning: dataset.cleaning.clone(),
        }
    }
}

/// Where the figures come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// Of this program.
    pub version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_hash: Option<String>,
    pub data_hash: String,
    /// As `--device` takes it, resolved.
    pub device: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    pub seed: u64,
    pub wall_seconds: f64,
    /// Of all threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    /// As it was typed.
    pub command: String,
    /// When the run began: RFC 3339, UTC.
    pub started: String,
}

/// Reports were once written with a map from the name to the figures.
fn any_baselines<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Baseline>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Any {
        List(Vec<Baseline>),
        ByName(BTreeMap<String, PartMetrics>),
    }
    let entry = |(name, metrics): (String, PartMetrics)| Baseline {
        label: name.clone(),
        name,
        metrics,
        ..Baseline::default()
    };
    Ok(match Any::deserialize(deserializer)? {
        Any::List(list) => list,
        Any::ByName(map) => map.into_iter().map(entry).collect(),
    })
}

impl Report {
    /// Takes in the model's evaluation on a part.
    pub fn add(&mut self, part: EvaluatedPart, evaluation: &Evaluation) {
        self.metrics.insert(part, evaluation.metrics.clone());
        let protocol = evaluation.protocol.clone();
        self.protocol.evaluation.insert(part, protocol);
    }

    /// The part to show to a person: test where there is one.
    pub fn main_part(&self) -> Option<EvaluatedPart> {
        self.metrics.keys().next_back().copied()
    }
}

/// The report as JSON, with a line feed at the end.
///
/// # Errors
/// A value that JSON cannot hold.
pub fn json(report: &Report) -> Result<String> {
    let mut text = serde_json::to_string_pretty(report).context("cannot write the report")?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests;

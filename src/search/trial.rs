//! What was tried, one line of JSON each.

use crate::fsio;
use crate::tune::Curve;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One line of `trials.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// From 0, which is the config as it stands.
    pub number: usize,
    pub state: TrialState,
    /// The validation metric, of the best epoch; absent where it failed.
    pub value: Option<f64>,
    #[serde(default)]
    pub epochs: usize,
    #[serde(default)]
    pub best_epoch: usize,
    pub seconds: f64,
    /// By key of the config.
    pub settings: BTreeMap<String, toml::Value>,
    /// Epoch and validation metric.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curve: Vec<(usize, f64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrialState {
    Complete,
    /// Given up: it fell behind.
    Pruned,
    Failed,
}

/// A value as people write it.
pub fn shown(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Float(x) if *x != 0.0 && (x.abs() < 1e-3 || x.abs() >= 1e5) => {
            format!("{x:.2e}")
        }
        toml::Value::Float(x) => format!("{}", (x * 1e4).round() / 1e4),
        other => other.to_string(),
    }
}

/// `trials.jsonl`, and its trials.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    text: String,
    trials: Vec<Trial>,
}

impl Log {
    /// Takes up the log of a search that ended before its time, or begins one.
    ///
    /// # Errors
    /// A log that is damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let mut log = Self {
            path: path.to_path_buf(),
            text: String::new(),
            trials: Vec::new(),
        };
        if path.exists() {
            log.text = fsio::read_text(path)?;
        }
        for (number, line) in log.text.lines().enumerate() {
            let place = || format!("{}:{}", path.display(), number + 1);
            let trial: Trial = serde_json::from_str(line).with_context(place)?;
            ensure!(
                trial.number == number,
                "{}: trial {number} is missing",
                place()
            );
            log.trials.push(trial);
        }
        Ok(log)
    }

    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// Adds a trial, on disk first. It is kept as it reads back, so that a
    /// search that goes on later sees the same numbers.
    ///
    /// # Errors
    /// A disk that is full or not writable.
    pub fn append(&mut self, trial: Trial) -> Result<()> {
        let line = serde_json::to_string(&trial).context("cannot write a trial")?;
        self.text += &line;
        self.text.push('\n');
        fsio::write_atomic_bytes(&self.path, self.text.as_bytes())?;
        self.trials
            .push(serde_json::from_str(&line).context("cannot read a trial back")?);
        Ok(())
    }

    /// Validation curves of what did not fail, and whether it was given up.
    pub fn curves(&self) -> Vec<(Curve, bool)> {
        let kept = self.trials.iter().filter(|t| t.state != TrialState::Failed);
        kept.map(|t| (Curve(t.curve.clone()), t.state == TrialState::Pruned))
            .collect()
    }
}

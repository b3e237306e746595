//! What a run tells MLflow.

use super::{CONFIG, Checkpoints, PAGE, RUNS, RunDir};
use crate::fsio;
use crate::mlflow::{Description, MlflowRun, Status, TrackingConfig};
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::path::Path;

/// Files of a run that MLflow gets a copy of: what people read, but no
/// weights.
const ARTIFACTS: [&str; 3] = [CONFIG, PAGE, "report.json"];

impl RunDir {
    /// [`RunDir::checkpoints`] that write down their curves where `[tracking]`
    /// says, too.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub fn tracked(&self, config: &TrackingConfig) -> Result<Checkpoints> {
        let mut checkpoints = self.checkpoints();
        if let Some(store) = &config.mlflow {
            let run = self.description(config)?;
            checkpoints.mlflow = Some(MlflowRun::begin(Path::new(store), run)?);
        }
        Ok(checkpoints)
    }

    fn description(&self, config: &TrackingConfig) -> Result<Description> {
        let text = fsio::read_text(&self.path.join(CONFIG))?;
        let table: toml::Table = text.parse().context("the config of the run")?;
        let mut params = Vec::new();
        flatten("", table, &mut params);
        let made = &self.file.provenance;
        let started = chrono::DateTime::parse_from_rfc3339(&made.started);
        let started = started.map_or(0, |t| t.timestamp_millis());
        // The same after a resume, and another one for a run that is made
        // again in the same place.
        let id = Sha256::digest(format!("{} {}", made.started, self.file.config_sha256));
        let path = self.path.strip_prefix(RUNS).unwrap_or(&self.path);
        let tags = [
            ("mlflow.source.name", &"recsys".to_string()),
            ("mlflow.source.type", &"LOCAL".to_string()),
            ("recsys.command", &made.command),
            ("recsys.run", &self.path.display().to_string()),
            ("recsys.version", &made.version),
            ("recsys.data", &made.data_hash),
            ("recsys.device", &made.device),
        ];
        Ok(Description {
            experiment: config.experiment().to_string(),
            run_id: format!("{id:x}")[..32].to_string(),
            run_name: path.display().to_string(),
            started,
            params,
            tags: tags.map(|(k, v)| (k.to_string(), v.clone())).to_vec(),
        })
    }
}

impl Checkpoints {
    /// Ends the tracked run: its verdict, the files that people read, and how
    /// far it came. Does nothing for one that is not tracked.
    ///
    /// # Errors
    /// A disk that is full or not writable.
    pub fn end(&self, status: Status, verdict: Option<&str>) -> Result<()> {
        let Some(mlflow) = &self.mlflow else {
            return Ok(());
        };
        if let Some(verdict) = verdict {
            // MLflow shows it as the run's description.
            mlflow.tag("mlflow.note.content", verdict)?;
        }
        for name in ARTIFACTS {
            let path = self.run.join(name);
            if path.exists() {
                mlflow.artifact(&path)?;
            }
        }
        mlflow.set_status(status)
    }
}

/// Every key with its value, `model.name` = `mf`.
fn flatten(prefix: &str, table: toml::Table, params: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let key = match prefix {
            "" => key,
            prefix => format!("{prefix}.{key}"),
        };
        match value {
            toml::Value::Table(table) => flatten(&key, table, params),
            toml::Value::String(text) => params.push((key, text)),
            value => params.push((key, value.to_string())),
        }
    }
}

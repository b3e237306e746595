//! The state of a training on disk.

use crate::event::EpochRecord;
use crate::fsio;
use crate::tensors::NamedTensors;
use crate::training::CheckpointSink;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

pub(super) const FOLDER: &str = "checkpoint";

/// Checkpoints and `metrics.jsonl` of a run directory.
#[derive(Debug)]
pub struct Checkpoints {
    last: PathBuf,
    history: PathBuf,
}

impl Checkpoints {
    pub(super) fn new(run: &Path) -> Self {
        let folder = run.join(FOLDER);
        Self {
            last: folder.join("last.bpk"),
            history: run.join("metrics.jsonl"),
        }
    }

    /// The metrics history so far.
    ///
    /// # Errors
    /// A file that cannot be read, or a damaged line.
    pub fn history(&self) -> Result<Vec<EpochRecord>> {
        if !self.history.exists() {
            return Ok(Vec::new());
        }
        let text = fsio::read_text(&self.history)?;
        text.lines()
            .enumerate()
            .map(|(i, line)| {
                serde_json::from_str(line)
                    .with_context(|| format!("{}:{}: damaged", self.history.display(), i + 1))
            })
            .collect()
    }
}

impl CheckpointSink for Checkpoints {
    fn last(&mut self) -> Result<Option<NamedTensors>> {
        if self.last.exists() {
            NamedTensors::load_burnpack(&self.last).map(Some)
        } else {
            Ok(None)
        }
    }

    fn save_last(&mut self, state: &NamedTensors) -> Result<()> {
        state.save_burnpack(&self.last)
    }

    /// Epochs are few, so the file is written whole each time. What a training
    /// that was killed noted of this epoch and later ones gives way, so that
    /// going on repeats no line.
    fn append(&mut self, record: &EpochRecord) -> Result<()> {
        let mut records = self.history()?;
        records.retain(|r| r.epoch < record.epoch);
        records.push(record.clone());
        let mut text = String::new();
        for record in &records {
            text += &serde_json::to_string(record).context("cannot write the metrics history")?;
            text.push('\n');
        }
        fsio::write_atomic_bytes(&self.history, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn going_on_repeats_no_epoch() {
        let dir = tempfile::tempdir().unwrap();
        let mut sink = Checkpoints::new(dir.path());
        let record = |epoch, loss| EpochRecord {
            epoch,
            loss,
            ..EpochRecord::default()
        };
        for epoch in 1..=3 {
            sink.append(&record(epoch, 1.0)).unwrap();
        }
        sink.append(&record(2, 0.5)).unwrap();
        assert_eq!(sink.history().unwrap(), [record(1, 1.0), record(2, 0.5)]);
    }

    #[test]
    fn no_checkpoint_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut sink = Checkpoints::new(dir.path());
        assert!(sink.last().unwrap().is_none());
    }
}

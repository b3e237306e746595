//! The state of a training on disk.

use crate::event::EpochRecord;
use crate::fsio;
use crate::metrics::MetricValues;
use crate::mlflow::MlflowRun;
use crate::tensorboard::{self, EventWriter};
use crate::tensors::{NamedTensors, Stream};
use crate::training::CheckpointSink;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

pub(super) const FOLDER: &str = "checkpoint";

/// Checkpoints, `metrics.jsonl` and event files of a run directory, and its
/// curves elsewhere.
#[derive(Debug)]
pub struct Checkpoints {
    pub(super) run: PathBuf,
    last: PathBuf,
    history: PathBuf,
    /// Of this session; made with its first epoch.
    events: Option<EventWriter>,
    /// Where `[tracking]` asks for it.
    pub(super) mlflow: Option<MlflowRun>,
}

impl Checkpoints {
    pub(super) fn new(run: &Path) -> Self {
        let folder = run.join(FOLDER);
        Self {
            last: folder.join("last.bpk"),
            history: run.join("metrics.jsonl"),
            run: run.to_path_buf(),
            events: None,
            mlflow: None,
        }
    }

    /// Adds what a finished training reached on test to the curves, at the
    /// epoch whose weights were kept.
    ///
    /// # Errors
    /// A disk that is full or not writable.
    pub fn finish(&mut self, epoch: usize, test: &MetricValues) -> Result<()> {
        let tagged = |(name, value): (&str, f64)| (format!("test/{name}"), value);
        let values: Vec<_> = test.iter().map(tagged).collect();
        let after_all = self.history()?.last().map_or(0, |r| r.epoch) + 1;
        self.events(after_all)?.scalars(epoch as u64, &values)?;
        self.log(epoch, &values)
    }

    fn log(&self, epoch: usize, values: &[(String, f64)]) -> Result<()> {
        match &self.mlflow {
            Some(mlflow) => mlflow.log(epoch as u64, values),
            None => Ok(()),
        }
    }

    /// The event file of this session; the first one of a run holds its
    /// config, too.
    fn events(&mut self, epoch: usize) -> Result<&mut EventWriter> {
        if self.events.is_none() {
            let first = tensorboard::files(&self.run)?.is_empty();
            let mut writer = EventWriter::create(&self.run, epoch as u64)?;
            let config = self.run.join(super::CONFIG);
            if first && config.exists() {
                let text = fsio::read_text(&config)?;
                writer.text("config", &format!("```toml\n{text}```"))?;
            }
            self.events = Some(writer);
        }
        self.events.as_mut().context("was made above")
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

    fn save_last(&mut self, state: Stream) -> Result<()> {
        state.save(&self.last)
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
        fsio::write_atomic_bytes(&self.history, text.as_bytes())?;
        let (epoch, curves) = (record.epoch, curves(record));
        self.events(epoch)?.scalars(epoch as u64, &curves)?;
        self.log(epoch, &curves)
    }
}

/// The values of an epoch by the names of their curves.
fn curves(record: &EpochRecord) -> Vec<(String, f64)> {
    let of_training = [
        ("loss", record.loss),
        ("learning_rate", record.learning_rate),
        ("interactions_per_second", record.interactions_per_second),
    ];
    let of_training = of_training.map(|(name, value)| (format!("train/{name}"), value));
    let validation = record.validation.iter();
    let validation = validation.map(|(name, value)| (format!("validation/{name}"), *value));
    of_training.into_iter().chain(validation).collect()
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
    fn every_session_has_events_and_the_first_one_the_config() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(super::super::CONFIG), "seed = 7\n").unwrap();
        let record = |epoch| EpochRecord {
            epoch,
            validation: [("ndcg@10".to_string(), 0.25)].into(),
            ..EpochRecord::default()
        };
        for epochs in [1..=3, 3..=4] {
            let mut sink = Checkpoints::new(dir.path());
            for epoch in epochs {
                sink.append(&record(epoch)).unwrap();
            }
        }
        let files = tensorboard::files(dir.path()).unwrap();
        let contents: Vec<_> = files.iter().map(|f| std::fs::read(f).unwrap()).collect();
        let holds = |content: &[u8], text: &str| {
            let windows = content.windows(text.len());
            windows.filter(|w| *w == text.as_bytes()).count()
        };
        assert_eq!(contents.len(), 2);
        assert_eq!(holds(&contents[0], "seed = 7"), 1);
        assert_eq!(holds(&contents[1], "seed = 7"), 0);
        assert_eq!(holds(&contents[0], "validation/ndcg@10"), 3);
        assert_eq!(holds(&contents[1], "train/loss"), 2);
    }

    #[test]
    fn no_checkpoint_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut sink = Checkpoints::new(dir.path());
        assert!(sink.last().unwrap().is_none());
    }
}

//! The directory of one training: all that evaluating, recommending and going
//! on need, so that none of them reads raw data or guesses a split.
//!
//! ```text
//! run.json            format, state, provenance, counts of the data
//! config.toml         the config with every default filled in
//! users.parquet       external ids (and titles) in the order of dense indices
//! items.parquet
//! features.bpk        user and item features
//! split.bpk           train, validation and test, with their histories
//! model.bpk           the fitted model
//! model.safetensors   the same weights for other tools
//! checkpoint/last.bpk the state of the training to go on from
//! metrics.jsonl       one line an epoch
//! events.out.tfevents.* the same and more for TensorBoard, one file a session
//! report.json         what `train` reported
//! report.html         the same as a page, report.md as Markdown
//! eval/PART/          what `eval` reported of a part, in the same three forms
//! scores/             each user's metrics: `test.parquet` of the model,
//!                     `test-ease.parquet` of a baseline
//! ```
//!
//! Every file is written whole or not at all, but for the event files, which
//! grow record by record under checksums. What makes a directory a run,
//! `run.json` and then `config.toml`, comes after ids, features and split, and
//! before any training.

mod checkpoints;
mod features;
mod ids;
mod locate;
mod provenance;
mod reports;
mod scores;
mod split;
mod tracking;

pub use checkpoints::Checkpoints;
pub use locate::{RUNS, default_path, newest};
pub use provenance::{Session, provenance};
pub use reports::PAGE;
pub use scores::ScoredPart;

use crate::config::Config;
use crate::data::dataset::Dataset;
use crate::data::features::FeatureTable;
use crate::data::split::Split;
use crate::fsio;
use crate::ids::IdMap;
use crate::model::ModelData;
use crate::report::{DataSummary, Provenance};
use crate::tensors::NamedTensors;
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// The format that this version writes, and the highest that it reads.
///
/// 2: timestamps as seconds beyond the earliest; a validation history that is
/// that of training is not written again.
pub const FORMAT: u64 = 2;

const RUN: &str = "run.json";
const CONFIG: &str = "config.toml";
const MODEL: &str = "model.bpk";
const WEIGHTS: &str = "model.safetensors";

/// How far a training came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Under way, or killed: there may be a checkpoint to go on from.
    Training,
    /// Stopped by the person; there is a model, and a checkpoint to go on from.
    Interrupted,
    /// Finished, with its report.
    Complete,
}

/// `run.json`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunFile {
    pub format: u64,
    pub state: State,
    /// Of `config.toml`: half of a config is a config too, but of another run.
    pub config_sha256: String,
    pub data: DataSummary,
    pub provenance: Provenance,
}

/// A run directory whose `run.json` was read or written.
#[derive(Clone, Debug)]
pub struct RunDir {
    path: PathBuf,
    pub file: RunFile,
}

/// What a run keeps of its data.
#[derive(Clone, Debug)]
pub struct RunData {
    pub users: IdMap,
    pub items: IdMap,
    pub user_features: Option<FeatureTable>,
    pub item_features: Option<FeatureTable>,
    pub split: Split,
}

impl RunData {
    /// Takes over what is needed of a data set once it is divided.
    pub fn new(dataset: Dataset, split: Split) -> Self {
        Self {
            users: dataset.users,
            items: dataset.items,
            user_features: dataset.user_features,
            item_features: dataset.item_features,
            split,
        }
    }

    pub fn model_data(&self) -> ModelData<'_> {
        ModelData {
            train: &self.split.train,
            user_features: self.user_features.as_ref(),
            item_features: self.item_features.as_ref(),
        }
    }

    /// The title of an item, where the data have one.
    pub fn item_title(&self, item: u32) -> Option<&str> {
        self.item_features.as_ref()?.title_of(item)
    }
}

impl RunDir {
    /// Writes all that is known before training into a directory that
    /// [`reserve`] made.
    ///
    /// # Errors
    /// A disk that is full or not writable.
    pub fn create(
        path: &Path,
        config: &Config,
        data: &RunData,
        summary: DataSummary,
        provenance: Provenance,
    ) -> Result<Self> {
        ids::write(path, "users", &data.users, data.user_features.as_ref())?;
        ids::write(path, "items", &data.items, data.item_features.as_ref())?;
        features::write(path, data)?;
        split::write(path, &data.split)?;
        let config = config.to_toml()?;
        let run = Self {
            path: path.to_path_buf(),
            file: RunFile {
                format: FORMAT,
                state: State::Training,
                config_sha256: sha256(&config),
                data: summary,
                provenance,
            },
        };
        run.write_file()?;
        fsio::write_atomic_bytes(&run.path.join(CONFIG), config.as_bytes())?;
        Ok(run)
    }

    /// Opens a directory that [`Self::create`] made.
    ///
    /// # Errors
    /// A directory that is no run, a damaged one, or one from a later version.
    pub fn open(path: &Path) -> Result<Self> {
        let file = path.join(RUN);
        ensure!(
            path.is_dir(),
            "there is no run directory {}",
            path.display()
        );
        ensure!(
            file.is_file(),
            "{} is no run directory, or a half-written one: it has no {RUN}",
            path.display()
        );
        let text = fsio::read_text(&file)?;
        let value: serde_json::Value = serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged", file.display()))?;
        let format = value["format"]
            .as_u64()
            .with_context(|| format!("{} does not say its format", file.display()))?;
        if format > FORMAT {
            bail!(
                "the run {} was written by a later version of recsys ({}, format {format}); this \
                 one reads formats up to {FORMAT}: use a recsys as new as that one",
                path.display(),
                value["provenance"]["version"].as_str().unwrap_or("unknown"),
            );
        }
        Ok(Self {
            path: path.to_path_buf(),
            file: serde_json::from_value(value)
                .with_context(|| format!("{} is damaged", file.display()))?,
        })
    }

    /// Whether a folder claims to be a run.
    pub fn is_at(path: &Path) -> bool {
        path.join(RUN).is_file()
    }

    /// Tells splits apart, with the data in them.
    ///
    /// # Errors
    /// Missing or unreadable.
    pub fn split_sha256(&self) -> Result<String> {
        split::sha256(&self.path)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The config of the run, with every default filled in.
    ///
    /// # Errors
    /// Missing, changed since the training began, or with keys that this
    /// version does not have.
    pub fn config(&self) -> Result<Config> {
        let path = self.path.join(CONFIG);
        let text = fsio::read_text(&path)?;
        ensure!(
            sha256(&text) == self.file.config_sha256,
            "{} is damaged or was changed since the run was made; to train otherwise, train anew \
             with `recsys train --config`",
            path.display()
        );
        Config::parse(&text, &path.display().to_string(), &[])
    }

    /// Ids, features and split.
    ///
    /// # Errors
    /// Files that are missing, damaged, or do not belong together.
    pub fn data(&self) -> Result<RunData> {
        let (users, items) = (
            ids::read(&self.path, "users")?,
            ids::read(&self.path, "items")?,
        );
        let (user_features, item_features) = features::read(&self.path)?;
        let split = split::read(&self.path, users.len(), items.len())?;
        Ok(RunData {
            users,
            items,
            user_features,
            item_features,
            split,
        })
    }

    /// Whether there is a fitted model to evaluate.
    pub fn has_model(&self) -> bool {
        self.path.join(MODEL).is_file()
    }

    /// The weights of the fitted model.
    ///
    /// # Errors
    /// No model yet, or a damaged file.
    pub fn model(&self) -> Result<NamedTensors> {
        ensure!(
            self.has_model(),
            "the run {} has no model: its training did not end; go on with `recsys train --resume {}`",
            self.path.display(),
            self.path.display()
        );
        NamedTensors::load_burnpack(&self.path.join(MODEL))
    }

    /// # Errors
    /// A disk that is full or not writable.
    pub fn save_model(&self, weights: NamedTensors) -> Result<()> {
        weights.save_safetensors(&self.path.join(WEIGHTS))?;
        weights.stream_burnpack(&self.path.join(MODEL)).1
    }

    /// The checkpoints and the metrics history.
    pub fn checkpoints(&self) -> Checkpoints {
        Checkpoints::new(&self.path)
    }

    /// # Errors
    /// A disk that is full or not writable.
    pub fn set_state(&mut self, state: State) -> Result<()> {
        self.file.state = state;
        self.write_file()
    }

    /// # Errors
    /// A disk that is full or not writable.
    pub fn write_file(&self) -> Result<()> {
        write_json(&self.path.join(RUN), &self.file)
    }
}

fn sha256(text: &str) -> String {
    format!("{:x}", Sha256::digest(text))
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)
        .with_context(|| format!("cannot write {}", path.display()))?;
    text.push('\n');
    fsio::write_atomic_bytes(path, text.as_bytes())
}

/// Makes the directory for a run, so that one that cannot be written ends the
/// program before the work begins. A run never overwrites anything: not
/// another run, and nothing else.
///
/// # Errors
/// A directory that is not empty, a file of that name, or no permission.
pub fn reserve(path: &Path) -> Result<Reserved> {
    if path.join(RUN).exists() {
        bail!(
            "{} already holds a run; choose another --output, or go on with `recsys train --resume {}`",
            path.display(),
            path.display()
        );
    }
    ensure_empty(path)?;
    let reserved = Reserved {
        made: !path.exists(),
        path: path.to_path_buf(),
    };
    std::fs::create_dir_all(path.join(checkpoints::FOLDER))
        .with_context(|| format!("cannot make the run directory {}", path.display()))?;
    Ok(reserved)
}

/// # Errors
/// A file, or a folder that holds something.
pub fn ensure_empty(path: &Path) -> Result<()> {
    if path.is_file() {
        bail!("{} is a file; choose another --output", path.display());
    }
    if std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{} is not empty; choose another --output", path.display());
    }
    Ok(())
}

/// A directory that waits for its run.
#[derive(Debug)]
pub struct Reserved {
    path: PathBuf,
    made: bool,
}

impl Reserved {
    /// Leaves things as they were, when there will be no run. What is not
    /// empty stays: removing is a courtesy, not a duty.
    pub fn release(self) {
        let _ = std::fs::remove_dir(self.path.join(checkpoints::FOLDER));
        if self.made {
            let _ = std::fs::remove_dir(&self.path);
        }
    }
}

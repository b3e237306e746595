//! `[tune]`: where to look for better settings, and how to choose the next
//! ones to try. Knows no model and no data; [`crate::search`] tries them.

mod median;
mod space;
mod spaces;
mod tpe;

pub use median::{Curve, Patience, hopeless};
pub use space::{Dimension, Range, Space};
pub use spaces::default_space;
pub use tpe::{Tried, suggest};

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// `[tune]`: read by `recsys tune` alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TuneConfig {
    /// Settings that are tried, the config's own first.
    pub trials: usize,
    /// Of them, those drawn at random before the estimates begin.
    pub random_trials: usize,
    pub prune: Prune,
    /// Validations before a trial may be given up.
    pub prune_after: usize,
    /// Keys of the config and where their values may lie, as in
    /// `model.embedding_dim = { int = [16, 256], log = true }`. Empty: what is
    /// usual for the model.
    pub space: toml::Table,
}

/// When a trial is given up before its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prune {
    Never,
    /// When its best validation so far is worse than the median of those of
    /// earlier trials at the same epoch, and gains as large as its last ones
    /// would not bring it to the median of their ends.
    #[default]
    Median,
}

impl Default for TuneConfig {
    fn default() -> Self {
        Self {
            trials: 30,
            random_trials: 8,
            prune: Prune::Median,
            prune_after: 5,
            space: toml::Table::new(),
        }
    }
}

impl TuneConfig {
    /// # Errors
    /// Names the key and what it must be.
    pub fn validate(&self) -> Result<()> {
        ensure!(self.trials > 0, "`tune.trials` must be at least 1");
        ensure!(
            self.random_trials > 0,
            "`tune.random_trials` must be at least 1"
        );
        ensure!(
            self.prune_after > 0,
            "`tune.prune_after` must be at least 1"
        );
        Space::parse(&self.space).map(|_| ())
    }
}

#[cfg(test)]
mod tests;

//! `[tracking]`

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

const EXPERIMENT: &str = "recsys";

/// `[tracking]`: where else a training is written down, beside its run
/// directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrackingConfig {
    /// The folder of an MLflow file store, e.g. `mlruns`; it may hold other
    /// runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mlflow: Option<String>,
    /// The MLflow experiment that the run belongs to; made where it is not
    /// there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment: Option<String>,
}

impl TrackingConfig {
    /// # Errors
    /// Names the key and what it must be.
    pub fn validate(&self) -> Result<()> {
        ensure!(
            self.mlflow.as_ref().is_none_or(|path| !path.is_empty()),
            "`tracking.mlflow` must name a folder"
        );
        let Some(name) = &self.experiment else {
            return Ok(());
        };
        ensure!(
            self.mlflow.is_some(),
            "`tracking.experiment` is for `tracking.mlflow`, which is not set"
        );
        let usual = |c: char| c.is_ascii_alphanumeric() || " _-./".contains(c);
        ensure!(
            name.chars().all(usual) && name.trim() == name && !name.is_empty(),
            "`tracking.experiment = \"{name}\"` must be of letters, digits and `_-./`, with blanks \
             only inside"
        );
        Ok(())
    }

    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub fn experiment(&self) -> &str {
        self.experiment.as_deref().unwrap_or(EXPERIMENT)
    }
}

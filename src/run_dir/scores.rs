//! The scores of users, beside the report.

use super::RunDir;
use crate::report::{EvaluatedPart, UserScores};
use anyhow::{Context, Result};
use std::path::PathBuf;

const FOLDER: &str = "scores";

/// The users' scores on a part: of the model, or of a baseline by its label.
#[derive(Clone, Debug)]
pub struct ScoredPart {
    pub part: EvaluatedPart,
    pub baseline: Option<String>,
    pub scores: UserScores,
}

impl RunDir {
    /// Where the users' scores are: of the model, or of the baseline of this
    /// label.
    pub fn scores_path(&self, part: EvaluatedPart, baseline: Option<&str>) -> PathBuf {
        let label = baseline.map_or_else(String::new, |l| format!("-{}", l.replace(' ', "-")));
        self.path
            .join(FOLDER)
            .join(format!("{part}{label}.parquet"))
    }

    /// Keeps the users' scores, and what an earlier evaluation of the same
    /// users computed beside them.
    ///
    /// # Errors
    /// A disk that is full or not writable.
    pub fn save_scores(&self, all: &[ScoredPart]) -> Result<()> {
        let folder = self.path.join(FOLDER);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        for ScoredPart {
            part,
            baseline,
            scores,
        } in all
        {
            let path = self.scores_path(*part, baseline.as_deref());
            match UserScores::read(&path) {
                Ok(earlier) => scores.clone().with_columns_of(earlier).write(&path)?,
                // Not there yet, or damaged: either way there is a whole one now.
                Err(_) => scores.write(&path)?,
            }
        }
        Ok(())
    }
}

//! What a run reports, as a page, as Markdown and as JSON.

use super::RunDir;
use crate::fsio;
use crate::report::{self, EvaluatedPart, Report};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// The report as a page, in the run directory.
pub const PAGE: &str = "report.html";
const TEXT: &str = "report.md";
const REPORT: &str = "report.json";

/// What `eval` reported, by part.
const EVALUATIONS: &str = "eval";

impl RunDir {
    /// # Errors
    /// A disk that is full or not writable.
    pub fn save_report(&self, report: &Report) -> Result<()> {
        write_report(&self.path, report)
    }

    /// Keeps what `eval` reported of a part beside what `train` did; returns
    /// the page.
    ///
    /// # Errors
    /// A disk that is full or not writable.
    pub fn save_evaluation(&self, part: EvaluatedPart, report: &Report) -> Result<PathBuf> {
        let folder = self.path.join(EVALUATIONS).join(part.to_string());
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        write_report(&folder, report)?;
        Ok(folder.join(PAGE))
    }

    /// What `train` reported.
    ///
    /// # Errors
    /// Missing or damaged.
    pub fn report(&self) -> Result<Report> {
        serde_json::from_str(&self.report_text()?)
            .with_context(|| format!("{} is damaged", self.path.join(REPORT).display()))
    }

    /// The same as it was written.
    ///
    /// # Errors
    /// Missing.
    pub fn report_text(&self) -> Result<String> {
        fsio::read_text(&self.path.join(REPORT))
    }
}

/// The report in three forms; the one that is read back comes last.
fn write_report(folder: &Path, report: &Report) -> Result<()> {
    fsio::write_atomic_bytes(&folder.join(PAGE), report::html(report).as_bytes())?;
    fsio::write_atomic_bytes(&folder.join(TEXT), report::markdown(report).as_bytes())?;
    fsio::write_atomic_bytes(&folder.join(REPORT), report::json(report)?.as_bytes())
}

//! Figures of baselines from earlier runs on the same split.
//!
//! An entry is two files in `runs/.cache`, named after the hash of all that
//! the figures depend on: the users' scores as Parquet, and then, since it is
//! what makes an entry one, the figures as JSON.

use super::cache_folder;
use super::judge::Judge;
use crate::evaluation::BASELINES;
use crate::event::{Event, Observer};
use crate::fsio;
use crate::metrics::{MetricSpec, MetricValues};
use crate::report::{Baseline, EvaluatedPart, UserScores};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Changes with what an entry holds or how its figures are computed.
const FORMAT: u32 = 1;

/// What is known of a baseline on a part.
pub(super) struct Entry {
    pub metrics: MetricValues,
    pub scores: UserScores,
    /// Since the baseline began to be fitted.
    pub seconds: f64,
}

#[derive(Serialize, Deserialize)]
struct Written {
    /// Floats go as bits: `eval` must repeat what `train` said.
    metrics: Vec<(String, u64)>,
    users: usize,
    seconds: f64,
}

/// Where the entry is or will be, less its extension; `None` where nothing
/// tells the data apart.
pub(super) fn path(
    judge: &Judge<'_>,
    baseline: &Baseline,
    part: EvaluatedPart,
    metrics: &[MetricSpec],
) -> Option<PathBuf> {
    let (config, hash) = (judge.config, &judge.run.file.data.hash);
    if hash.is_empty() {
        return None;
    }
    let names: Vec<String> = metrics.iter().map(ToString::to_string).collect();
    // The default ones draw nothing themselves.
    let draws = config.evaluation.sampled_negatives.is_some()
        || !BASELINES.contains(&baseline.name.as_str());
    let key = serde_json::json!({
        "format": FORMAT,
        "version": env!("CARGO_PKG_VERSION"),
        "commit": option_env!("RECSYS_GIT_HASH"),
        "data": hash,
        "split": config.split,
        "split_seed": config.split.seed.unwrap_or(config.seed),
        "seed": draws.then_some(config.seed),
        "part": part,
        "metrics": names,
        "mask_seen": config.evaluation.mask_seen,
        "sampled_negatives": config.evaluation.sampled_negatives,
        "users": config.evaluation.users,
        "model": baseline.name,
        "params": baseline.params,
    });
    let digest = format!("{:x}", Sha256::digest(key.to_string()));
    Some(cache_folder().join(format!("baseline-{}", &digest[..16])))
}

/// The entry, where there is a whole one.
pub(super) fn read(path: &Path, observer: &mut dyn Observer) -> Option<Entry> {
    let figures = path.with_extension("json");
    if !figures.exists() {
        return None;
    }
    let read = || -> Result<Entry> {
        let written: Written = serde_json::from_str(&fsio::read_text(&figures)?)
            .with_context(|| format!("{} is damaged", figures.display()))?;
        let scores = UserScores::read(&path.with_extension("parquet"))?;
        ensure!(
            scores.held_out.len() == written.users,
            "{} does not belong to its scores",
            figures.display()
        );
        let values = written.metrics.into_iter();
        Ok(Entry {
            metrics: values.map(|(n, bits)| (n, f64::from_bits(bits))).collect(),
            scores,
            seconds: written.seconds,
        })
    };
    match read() {
        Ok(entry) => Some(entry),
        Err(e) => {
            let text = format!("the cached baseline is computed again: {e:#}");
            observer.on(&Event::Warning(text));
            None
        }
    }
}

/// Keeps an entry; that it cannot is a warning.
pub(super) fn write(path: Option<&Path>, entry: &Entry, observer: &mut dyn Observer) {
    let Some(path) = path else { return };
    let values = entry.metrics.iter();
    let written = Written {
        metrics: values.map(|(n, v)| (n.to_string(), v.to_bits())).collect(),
        users: entry.scores.held_out.len(),
        seconds: entry.seconds,
    };
    let write = || -> Result<()> {
        let folder = path.parent().context("the cache has a folder")?;
        std::fs::create_dir_all(folder)?;
        entry.scores.write(&path.with_extension("parquet"))?;
        let text = serde_json::to_string(&written)?;
        fsio::write_atomic_bytes(&path.with_extension("json"), text.as_bytes())
    };
    if let Err(e) = write() {
        observer.on(&Event::Warning(format!(
            "the baseline is not cached: {e:#}"
        )));
    }
}

//! Where runs lie when nobody says where.

use super::{RunDir, provenance::utc};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The folder of runs, in the current directory.
pub const RUNS: &str = "runs";

/// `runs/<config>-<UTC time>-<short id>`: sorts by time, and two runs begun in
/// one second differ.
pub fn default_path(config: &Path) -> PathBuf {
    let stem = config
        .file_stem()
        .map_or_else(|| "run".into(), |s| s.to_string_lossy());
    let now = SystemTime::now();
    let time = utc(now);
    let fraction = time.timestamp_subsec_nanos();
    let id = u64::from(fraction) ^ u64::from(std::process::id()) << 12;
    Path::new(RUNS).join(format!(
        "{stem}-{}-{:04x}",
        time.format("%Y%m%d-%H%M%S"),
        id & 0xffff
    ))
}

/// The newest run in `folder` that has a model.
///
/// # Errors
/// None there.
pub fn newest(folder: &Path) -> Result<RunDir> {
    let entries = std::fs::read_dir(folder)
        .ok()
        .into_iter()
        .flatten()
        .flatten();
    entries
        .filter_map(|entry| RunDir::open(&entry.path()).ok())
        .filter(RunDir::has_model)
        .max_by(|a, b| begun(a).cmp(&begun(b)))
        .with_context(|| {
            format!(
                "there is no finished run in {}/; train one with `recsys train --config FILE`, or name one with --run",
                folder.display()
            )
        })
}

fn begun(run: &RunDir) -> (&str, &Path) {
    (&run.file.provenance.started, run.path())
}

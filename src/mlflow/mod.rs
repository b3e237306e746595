//! Runs in the files of MLflow's file store
//! (`mlflow/store/tracking/file_store.py`):
//!
//! ```text
//! STORE/EXPERIMENT/meta.yaml
//! STORE/EXPERIMENT/RUN/meta.yaml
//!                      params/model.name                a value
//!                      tags/mlflow.runName              a value
//!                      metrics/validation/ndcg_at_10    lines `milliseconds value step`
//!                      artifacts/report.html
//! ```
//!
//! Every file is written whole under the run's folder and then moved to its
//! place, since MLflow takes whatever lies in these folders for a value.

mod config;

pub use config::TrackingConfig;

use crate::fsio;
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What MLflow takes of a parameter.
const MOST_OF_A_VALUE: usize = 6000;

/// What a run is when it begins; the same again when it goes on.
#[derive(Clone, Debug, Default)]
pub struct Description {
    pub experiment: String,
    /// 32 hexadecimal digits.
    pub run_id: String,
    pub run_name: String,
    /// Unix milliseconds.
    pub started: i64,
    pub params: Vec<(String, String)>,
    pub tags: Vec<(String, String)>,
}

/// How far a run came, as MLflow's `RunStatus` numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Running = 1,
    Finished = 3,
    Failed = 4,
    /// Stopped by the person.
    Killed = 5,
}

/// One run of a store.
#[derive(Debug)]
pub struct MlflowRun {
    folder: PathBuf,
    experiment_id: String,
    run: Description,
}

impl MlflowRun {
    /// Makes a run, or takes up the one with that id.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn begin(store: &Path, run: Description) -> Result<Self> {
        let store = std::path::absolute(store)
            .with_context(|| format!("there is no folder {}", store.display()))?;
        let experiment_id = experiment(&store, &run.experiment)?;
        let this = Self {
            folder: store.join(&experiment_id).join(&run.run_id),
            experiment_id,
            run,
        };
        for kind in ["params", "metrics", "tags", "artifacts"] {
            make(&this.folder.join(kind))?;
        }
        this.set_status(Status::Running)?;
        this.tag("mlflow.runName", &this.run.run_name)?;
        for (name, value) in &this.run.tags {
            this.tag(name, value)?;
        }
        for (name, value) in &this.run.params {
            this.put("params", &plain(name), line(value).as_bytes())?;
        }
        Ok(this)
    }

    /// Adds a value to each named curve, in place of what the curve has from
    /// that step on: a run that goes on trains again what came after its
    /// checkpoint.
    ///
    /// # Errors
    /// A disk that is full, or a file of the curve that cannot be read.
    pub fn log(&self, step: u64, values: &[(String, f64)]) -> Result<()> {
        for (name, value) in values {
            let name = plain(&name.replace('@', "_at_"));
            let path = self.folder.join("metrics").join(&name);
            let mut text = match path.exists() {
                true => before(&fsio::read_text(&path)?, step),
                false => String::new(),
            };
            text += &format!("{} {value} {step}\n", milliseconds());
            self.put("metrics", &name, text.as_bytes())?;
        }
        Ok(())
    }

    /// # Errors
    /// A disk that is full.
    pub fn tag(&self, name: &str, value: &str) -> Result<()> {
        self.put("tags", &plain(name), value.as_bytes())
    }

    /// Copies a file to the run.
    ///
    /// # Errors
    /// A file that is not there, a disk that is full.
    pub fn artifact(&self, path: &Path) -> Result<()> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let content = std::fs::read(path);
        let content = content.with_context(|| format!("cannot read {}", path.display()))?;
        self.put("artifacts", &name, &content)
    }

    /// Says how far the run came; all but [`Status::Running`] end it.
    ///
    /// # Errors
    /// A disk that is full.
    pub fn set_status(&self, status: Status) -> Result<()> {
        let end = match status {
            Status::Running => "null".to_string(),
            _ => milliseconds().to_string(),
        };
        let text = format!(
            "artifact_uri: {}\nend_time: {end}\nentry_point_name: ''\nexperiment_id: '{}'\n\
             lifecycle_stage: active\nrun_id: {id}\nrun_uuid: {id}\nrun_name: {}\nsource_name: ''\n\
             source_type: 4\nsource_version: ''\nstart_time: {}\nstatus: {}\ntags: []\nuser_id: ''\n",
            quoted(&uri(&self.folder.join("artifacts"))),
            self.experiment_id,
            quoted(&self.run.run_name),
            self.run.started,
            status as u8,
            id = quoted(&self.run.run_id),
        );
        self.put("", "meta.yaml", text.as_bytes())
    }

    fn put(&self, kind: &str, name: &str, content: &[u8]) -> Result<()> {
        let scratch = self.folder.join("scratch");
        fsio::write_atomic_bytes(&scratch, content)?;
        let path = self.folder.join(kind).join(name);
        make(path.parent().unwrap_or(&self.folder))?;
        std::fs::rename(&scratch, &path).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The id of the experiment with that name; a new one where there is none,
/// which hangs on the name alone, so that two programs make the same one.
fn experiment(store: &Path, name: &str) -> Result<String> {
    make(store)?;
    let entries = std::fs::read_dir(store);
    let entries = entries.with_context(|| format!("cannot read {}", store.display()))?;
    for entry in entries {
        let meta = entry?.path().join("meta.yaml");
        if meta.is_file() {
            let text = fsio::read_text(&meta)?;
            let value = |key: &str| text.lines().find_map(|l| l.strip_prefix(key)).map(bare);
            if let (true, Some(id)) = (value("name: ") == Some(name), value("experiment_id: ")) {
                return Ok(id.to_string());
            }
        }
    }
    let digest = Sha256::digest(name);
    let number = digest[..8].iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
    // Eighteen digits, as MLflow's own.
    let id = (100_000_000_000_000_000 + number % 900_000_000_000_000_000).to_string();
    let folder = store.join(&id);
    make(&folder)?;
    let now = milliseconds();
    let text = format!(
        "artifact_location: {}\ncreation_time: {now}\nexperiment_id: '{id}'\n\
         last_update_time: {now}\nlifecycle_stage: active\nname: {}\n",
        quoted(&uri(&folder)),
        quoted(name)
    );
    fsio::write_atomic_bytes(&folder.join("meta.yaml"), text.as_bytes())?;
    Ok(id)
}

/// A YAML scalar without its quotes, where nothing in it is escaped.
fn bare(text: &str) -> &str {
    let text = text.trim();
    let inner = |quote| {
        text.strip_prefix(quote)
            .and_then(|t: &str| t.strip_suffix(quote))
    };
    inner('\'').or_else(|| inner('"')).unwrap_or(text)
}

/// A YAML scalar: JSON's strings are some of YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The lines of a curve before a step.
fn before(text: &str, step: u64) -> String {
    let step_of = |line: &str| line.rsplit(' ').next().and_then(|s| s.parse::<u64>().ok());
    let kept = text
        .lines()
        .filter(|l| step_of(l).is_some_and(|s| s < step));
    kept.flat_map(|l| [l, "\n"]).collect()
}

/// A name as MLflow allows it.
fn plain(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-. :/".contains(c);
    name.chars()
        .map(|c| if allowed(c) { c } else { '_' })
        .collect()
}

/// A value on one line, as long as MLflow takes it.
fn line(value: &str) -> String {
    let value = value.chars().take(MOST_OF_A_VALUE);
    value.map(|c| if c == '\n' { ' ' } else { c }).collect()
}

/// RFC 8089.
fn uri(path: &Path) -> String {
    let path = path.to_string_lossy().replace('\\', "/");
    let root = if path.starts_with('/') { "" } else { "/" };
    let mut text = format!("file://{root}");
    for byte in path.bytes() {
        match byte {
            b'/' | b':' | b'-' | b'_' | b'.' | b'~' => text.push(byte.into()),
            byte if byte.is_ascii_alphanumeric() => text.push(byte.into()),
            byte => text += &format!("%{byte:02X}"),
        }
    }
    text
}

fn make(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn milliseconds() -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: &str) -> Description {
        Description {
            experiment: "films".into(),
            run_id: id.into(),
            run_name: "a \"b\"".into(),
            started: 1_500_000_000_000,
            params: vec![("model.name".into(), "mf".into())],
            tags: vec![("recsys.data\n".into(), "x\ny".into())],
        }
    }

    #[test]
    fn a_run_that_goes_on_repeats_no_step() {
        let store = tempfile::tempdir().unwrap();
        let curve = |step, value| vec![(format!("validation/ndcg@{}", 10), value + step as f64)];
        let first = MlflowRun::begin(store.path(), run("a1")).unwrap();
        for step in 1..=3 {
            first.log(step, &curve(step, 0.5)).unwrap();
        }
        let again = MlflowRun::begin(store.path(), run("a1")).unwrap();
        assert_eq!(first.folder, again.folder);
        again.log(3, &curve(3, 0.25)).unwrap();
        let read = |name: &str| fsio::read_text(&again.folder.join(name)).unwrap();
        let text = read("metrics/validation/ndcg_at_10");
        let points: Vec<_> = text.lines().map(|l| l.split_once(' ').unwrap().1).collect();
        assert_eq!(points, ["1.5 1", "2.5 2", "3.25 3"]);
        assert_eq!(read("params/model.name"), "mf");
        assert_eq!(read("tags/recsys.data_"), "x\ny");
        assert!(read("meta.yaml").contains("status: 1\n"));
        again.set_status(Status::Finished).unwrap();
        let meta = read("meta.yaml");
        assert!(meta.contains("status: 3\n") && meta.contains("run_name: \"a \\\"b\\\"\"\n"));
        assert!(!again.folder.join("scratch").exists());
    }

    #[test]
    fn an_experiment_is_found_by_its_name() {
        let store = tempfile::tempdir().unwrap();
        let one = experiment(store.path(), "films").unwrap();
        assert_eq!(experiment(store.path(), "films").unwrap(), one);
        assert_ne!(experiment(store.path(), "books").unwrap(), one);
        assert!(one.len() == 18 && one.parse::<u64>().is_ok());
        // As MLflow writes it.
        let theirs = store.path().join("7");
        std::fs::create_dir(&theirs).unwrap();
        let meta = "artifact_location: file:///x\nexperiment_id: '7'\nname: '2024'\n";
        std::fs::write(theirs.join("meta.yaml"), meta).unwrap();
        assert_eq!(experiment(store.path(), "2024").unwrap(), "7");
    }

    #[test]
    fn paths_become_uris() {
        let path = Path::new("/a b/ü/x");
        assert_eq!(uri(path), "file:///a%20b/%C3%BC/x");
        assert_eq!(uri(Path::new("C:\\a")), "file:///C:/a");
    }
}

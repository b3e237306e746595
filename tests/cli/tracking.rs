//! What TensorBoard and MLflow read of a run.
#![cfg(unix)]

use super::{Sandbox, program};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// No checkpoint before it is killed, so that what comes after trains all
/// epochs again.
const LONG: &str = "--quiet train --config config.toml --output run --set training.epochs=60 \
                    --set training.patience=0 --set training.batch_size=2 \
                    --set training.checkpoint_seconds=600 --set tracking.mlflow=\"mlruns\" \
                    --set tracking.experiment=\"films\"";

fn killed_after_three_epochs(sandbox: &Sandbox) {
    let mut child = Command::new(program())
        .args(LONG.split_whitespace())
        .current_dir(sandbox.path(""))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let begun = Instant::now();
    let history = sandbox.path("run/metrics.jsonl");
    while std::fs::read_to_string(&history).map_or(0, |t| t.lines().count()) < 3 {
        assert!(begun.elapsed() < Duration::from_secs(120), "no epoch ends");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("it runs");
    child.wait().expect("it is ours");
}

fn event_files(sandbox: &Sandbox) -> usize {
    let entries = std::fs::read_dir(sandbox.path("run")).expect("the run is there");
    let names = entries.map(|e| e.expect("an entry").file_name());
    let events = names.filter(|n| n.to_string_lossy().starts_with("events.out.tfevents."));
    events.count()
}

/// Reads what was written as other programs do, by a script and the Python of
/// a variable or of a folder in the user's cache.
fn read_by(script: &str, variable: &str, venv: &str, folders: &[PathBuf]) {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let usual = home
        .unwrap_or_default()
        .join(format!(".cache/recsys/{venv}/bin/python"));
    let python = named.unwrap_or(usual);
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(script);
    let Ok(done) = Command::new(&python).arg(script).args(folders).output() else {
        eprintln!("skipped: no Python for this at {}", python.display());
        return;
    };
    assert!(
        done.status.success(),
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn a_resumed_run_is_one_curve() {
    let sandbox = Sandbox::new();
    killed_after_three_epochs(&sandbox);
    sandbox.ok("--quiet train --resume run");
    assert_eq!(event_files(&sandbox), 2);
    let run = sandbox.path("run");
    read_by(
        "scripts/check_events.py",
        "RECSYS_TENSORBOARD_PYTHON",
        "tb-venv",
        std::slice::from_ref(&run),
    );
    read_by(
        "scripts/check_mlflow.py",
        "RECSYS_MLFLOW_PYTHON",
        "mlflow-venv",
        &[run, sandbox.path("mlruns")],
    );
}

#[test]
fn an_experiment_without_a_store_is_an_error() {
    let sandbox = Sandbox::new();
    let error = sandbox
        .fails("train --config config.toml --output run --set tracking.experiment=\"films\"");
    assert!(
        error.contains("`tracking.mlflow`, which is not set"),
        "{error}"
    );
}

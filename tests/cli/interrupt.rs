//! Ctrl-C and SIGKILL.
#![cfg(unix)]

use super::{Sandbox, program};
use serde_json::Value;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Enough epochs that there is time to stop it.
const LONG: &str = "--set training.epochs=60 --set training.patience=0 --set training.batch_size=2";

fn start(sandbox: &Sandbox, output: &str) -> Child {
    Command::new(program())
        .args(format!("--quiet train --config config.toml --output {output} {LONG}").split(' '))
        .current_dir(sandbox.path(""))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits until the run has so many epochs behind it.
fn wait_for_epochs(sandbox: &Sandbox, output: &str, epochs: usize) {
    let path = sandbox.path(output).join("metrics.jsonl");
    let begun = Instant::now();
    let count = || std::fs::read_to_string(&path).map_or(0, |t| t.lines().count());
    while count() < epochs {
        assert!(begun.elapsed() < Duration::from_secs(120), "no epoch ends");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

fn metrics(text: &str) -> Value {
    serde_json::from_str::<Value>(text).unwrap()["metrics"].clone()
}

/// What the history says, less what a clock says.
fn history(sandbox: &Sandbox, output: &str) -> Vec<Value> {
    let text = sandbox.read(&format!("{output}/metrics.jsonl"));
    let record = |line: &str| {
        let mut record: Value = serde_json::from_str(line).unwrap();
        record["seconds"].take();
        record["interactions_per_second"].take();
        record
    };
    text.lines().map(record).collect()
}

#[test]
fn stopped_or_killed_a_training_goes_on_as_if_nothing_had_happened() {
    let sandbox = Sandbox::new();
    let whole = sandbox.ok(&format!(
        "--quiet train --config config.toml --output whole --format json {LONG}"
    ));

    let mut stopped = start(&sandbox, "stopped");
    wait_for_epochs(&sandbox, "stopped", 2);
    signal(&stopped, "-INT");
    assert_eq!(stopped.wait().unwrap().code(), Some(130));
    sandbox.ok("--quiet eval --run stopped");

    let mut killed = start(&sandbox, "killed");
    wait_for_epochs(&sandbox, "killed", 3);
    signal(&killed, "-KILL");
    assert!(!killed.wait().unwrap().success());

    for output in ["stopped", "killed"] {
        let resumed = sandbox.ok(&format!("--quiet train --resume {output} --format json"));
        assert_eq!(metrics(&resumed), metrics(&whole), "{output}");
        assert_eq!(
            history(&sandbox, output),
            history(&sandbox, "whole"),
            "{output}"
        );
        let model = |run: &str| std::fs::read(sandbox.path(run).join("model.bpk")).unwrap();
        assert_eq!(model(output), model("whole"), "{output}");
    }
}

#[test]
fn a_complete_run_has_nothing_to_go_on_with() {
    let sandbox = Sandbox::new();
    let train = sandbox.ok("--quiet train --config config.toml --output run --format json");
    assert_eq!(
        sandbox.ok("--quiet train --resume run --format json"),
        train
    );
}

//! Run directories that are damaged, foreign or too new.

use super::Sandbox;
use insta::assert_snapshot;

#[test]
fn no_run_at_all() {
    let sandbox = Sandbox::new();
    assert_snapshot!(sandbox.fails("eval"), @"error: there is no finished run in runs/; train one with `recsys train --config FILE`, or name one with --run");
    assert_snapshot!(sandbox.fails("eval --run nowhere"), @"error: there is no run directory nowhere");
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    assert_snapshot!(sandbox.fails("recommend --run empty --all"), @"error: empty is no run directory, or a half-written one: it has no run.json");
}

#[test]
fn a_later_version() {
    let sandbox = Sandbox::new();
    sandbox.trained();
    let text = sandbox.read("run/run.json");
    sandbox.write(
        "run/run.json",
        &text.replace("\"format\": 2", "\"format\": 9"),
    );
    let error = sandbox.fails("eval --run run");
    assert!(
        error.contains("written by a later version of recsys") && error.contains("format 9"),
        "{error}"
    );
}

#[test]
fn truncated_files_are_named() {
    let sandbox = Sandbox::new();
    sandbox.trained();
    for file in [
        "run.json",
        "config.toml",
        "model.bpk",
        "split.bpk",
        "users.parquet",
        "items.parquet",
        "features.bpk",
    ] {
        let path = sandbox.path("run").join(file);
        let whole = std::fs::read(&path).unwrap();
        for len in [0, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..len]).unwrap();
            // The last byte of this one is a line feed.
            if file != "run.json" || len + 1 < whole.len() {
                let error = sandbox.fails("--quiet eval --run run");
                assert!(error.contains(file), "{file} cut to {len}: {error}");
            }
        }
        std::fs::remove_file(&path).unwrap();
        let error = sandbox.fails("--quiet eval --run run");
        assert!(
            error.contains(file) || error.contains("no model"),
            "{file} removed: {error}"
        );
        std::fs::write(&path, &whole).unwrap();
    }
    sandbox.ok("--quiet eval --run run");
}

#[test]
fn a_training_that_did_not_end_has_no_model() {
    let sandbox = Sandbox::new();
    sandbox.trained();
    std::fs::remove_file(sandbox.path("run/model.bpk")).unwrap();
    assert_snapshot!(sandbox.fails("--quiet eval --run run"), @"error: the run run has no model: its training did not end; go on with `recsys train --resume run`");
    assert_snapshot!(sandbox.fails("--quiet recommend --user u00"), @"error: there is no finished run in runs/; train one with `recsys train --config FILE`, or name one with --run");
}

#[test]
fn a_run_is_never_overwritten() {
    let sandbox = Sandbox::new();
    sandbox.trained();
    assert_snapshot!(sandbox.fails("train --config config.toml --output run"), @"error: run already holds a run; choose another --output, or go on with `recsys train --resume run`");
}

#[test]
fn everything_lies_in_the_run() {
    let sandbox = Sandbox::new();
    sandbox.trained();
    for file in [
        "run.json",
        "config.toml",
        "users.parquet",
        "items.parquet",
        "features.bpk",
        "split.bpk",
        "model.bpk",
        "model.safetensors",
        "checkpoint/last.bpk",
        "metrics.jsonl",
        "report.json",
    ] {
        assert!(sandbox.path("run").join(file).is_file(), "{file}");
    }
    assert_eq!(sandbox.read("run/metrics.jsonl").lines().count(), 4);
    let run: serde_json::Value = serde_json::from_str(&sandbox.read("run/run.json")).unwrap();
    assert_eq!(run["state"], "complete");
    assert_eq!(run["provenance"]["device"], "cpu");
    assert_eq!(run["provenance"]["seed"], 7);
}

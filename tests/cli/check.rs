//! `data check` and `doctor`, as a person calls them.

use super::{Sandbox, program};
use assert_cmd::Command;

#[test]
fn a_file_alone_is_checked_and_strict_says_it_in_the_exit_status() {
    let sandbox = Sandbox::new();
    let clean = sandbox.run("--quiet data check --config config.toml --strict");
    assert_eq!(clean.status, 0, "{}", clean.out);
    let mut text = sandbox.read("data.csv");
    text += "u00,i00,1000\n";
    sandbox.write("bad.csv", &text);
    let found = sandbox.run("--quiet data check bad.csv --set data.timestamp=\"time\"");
    assert_eq!(found.status, 0, "{}", found.err);
    assert!(
        found.out.contains("bad.csv:322: user u00, item i00"),
        "{}",
        found.out
    );
    let split = "--set split.kind=\"ratio\" --set data.timestamp=\"\"";
    let doubled = text.replacen(
        "u01,",
        "u02,i02,9\nu02,i02,9\nu02,i02,9\nu02,i02,9\nu01,",
        1,
    );
    sandbox.write("bad.csv", &doubled);
    let leak = sandbox.run(&format!(
        "--quiet data check bad.csv --strict --format json {split}"
    ));
    assert_eq!(leak.status, 1, "{}{}", leak.out, leak.err);
    let report: serde_json::Value = serde_json::from_str(&leak.out).expect("JSON");
    assert_eq!(report["findings"][0]["severity"], "error");
}

#[test]
fn doctor_says_what_there_is_and_why_no_adapter_is() {
    let mut command = Command::new(program());
    let hidden = command
        .args(["--quiet", "doctor"])
        .env("VK_DRIVER_FILES", "/nowhere/icd.json")
        .env("VK_ICD_FILENAMES", "/nowhere/icd.json")
        .output()
        .expect("the program starts");
    let text = String::from_utf8(hidden.stdout).expect("UTF-8");
    assert!(hidden.status.success());
    assert!(text.contains("examples/s"), "{text}");
    // OpenGL may still show one.
    if cfg!(feature = "wgpu") && !text.contains("wgpu:0") {
        assert!(
            text.contains("VK_DRIVER_FILES = /nowhere/icd.json"),
            "{text}"
        );
    }
}

#[test]
fn a_model_that_cannot_fit_is_refused_before_anything_is_made() {
    if !cfg!(target_os = "linux") {
        eprintln!("skipped: only Linux tells how much memory is free");
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.config("embedding_dim = 8", "embedding_dim = 4000000000");
    let error = sandbox.fails("train --config config.toml --output run");
    assert!(error.contains("`mf` will take about"), "{error}");
    assert!(
        error.contains("set a smaller model.embedding_dim"),
        "{error}"
    );
    assert!(
        !sandbox.path("run").exists(),
        "a run directory stays behind"
    );
}

#[test]
fn memory_is_foretold_within_a_factor_of_two() {
    let sandbox = Sandbox::new();
    for (i, model) in ["mf", "item_knn", "lightgcn"].iter().enumerate() {
        let set = match *model {
            "item_knn" => "model={name=\"item_knn\"}".to_string(),
            name => format!("model={{name=\"{name}\",embedding_dim=16}}"),
        };
        let run = sandbox.run(&format!(
            "train --config config.toml --set {set} --output run{i}"
        ));
        assert_eq!(run.status, 0, "{}", run.err);
        let told = run.err.lines().find_map(|line| {
            let (_, rest) = line.strip_prefix("takes ")?.split_once("about ")?;
            rest.split_once(" MiB of memory")?.0.parse::<f64>().ok()
        });
        let told = told.unwrap_or_else(|| panic!("no forecast for {model}: {}", run.err));
        let file: serde_json::Value =
            serde_json::from_str(&sandbox.read(&format!("run{i}/run.json"))).expect("JSON");
        let Some(bytes) = file["provenance"]["peak_memory_bytes"].as_f64() else {
            eprintln!("skipped: the system does not tell the peak");
            return;
        };
        let real = bytes / f64::from(1 << 20);
        assert!(
            (0.5..2.0).contains(&(told / real)),
            "{model}: {told} of {real} MiB"
        );
    }
}

#[test]
fn recipes_are_listed_and_a_misspelled_one_is_answered() {
    let sandbox = Sandbox::new();
    assert!(sandbox.ok("reproduce --list").contains("ml-100k/ease"));
    let error = sandbox.fails("--quiet reproduce ml-100k/eaze");
    assert!(error.contains("did you mean `ml-100k/ease`?"), "{error}");
    // Its data are not in the sandbox.
    let error = sandbox.fails("--quiet reproduce ml-100k/ease");
    assert!(error.contains("recsys data fetch ml-100k"), "{error}");
}

//! `data check` and `doctor`, as a person calls them.

use super::{Sandbox, program};
use assert_cmd::Command;

#[test]
fn a_file_alone_is_checked_and_strict_says_it_in_the_exit_status() {
    let sandbox = Sandbox::new();
    let clean = sandbox.run("--quiet data check --config config.toml --strict");
    assert_eq!(clean.status, 0, "{}", clean.out);
    let mut text = sandbox.read("data.csv");
    text += "u01,i03,0\n";
    sandbox.write("bad.csv", &text);
    let found = sandbox.run("--quiet data check bad.csv --set data.timestamp=\"time\"");
    assert_eq!(found.status, 0, "{}", found.err);
    assert!(
        found.out.contains("bad.csv:322: user u01, item i03"),
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

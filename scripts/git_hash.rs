//! Tells the program which commit it was built from, where there is git.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=scripts/git_hash.rs");
    println!("cargo:rerun-if-env-changed=RECSYS_GIT_HASH");
    if std::env::var_os("RECSYS_GIT_HASH").is_some() {
        return;
    }
    // What changes with a commit: HEAD's log, which a checkout without
    // history of its own may lack.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"])
        && Path::new(&log).exists()
    {
        println!("cargo:rerun-if-changed={log}");
    }
    if let Some(hash) = git(&["rev-parse", "HEAD"]) {
        println!("cargo:rustc-env=RECSYS_GIT_HASH={hash}");
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_string()).filter(|t| output.status.success() && !t.is_empty())
}

//! Tells the program which commit it was built from, where there is git, and
//! gives it the configs that `recsys reproduce` trains.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=scripts/build.rs");
    println!("cargo:rerun-if-changed=configs");
    embed_configs();
    tell_commit();
}

/// Writes a list of `(name, text)` of all files below `configs/`; the name is
/// the path without its extension.
fn embed_configs() {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let folder = root.join("configs");
    let mut found = Vec::new();
    collect(&folder, &mut found);
    found.sort();
    let mut code = String::from("&[\n");
    for path in found {
        let name = path.with_extension("");
        let name = name.strip_prefix(&folder).expect("it lies there");
        let name = name.to_string_lossy().replace('\\', "/");
        // Relative to wherever the sources are when the program is compiled: a
        // checkout that was moved does not run this again.
        let file = format!("/configs/{name}.toml");
        let path = format!("concat!(env!(\"CARGO_MANIFEST_DIR\"), {file:?})");
        writeln!(code, "    ({name:?}, include_str!({path})),").expect("a string takes all");
    }
    code.push_str("]\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    std::fs::write(out.join("configs.rs"), code).expect("the build folder is writable");
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|e| e == "toml") {
            found.push(path);
        }
    }
}

fn tell_commit() {
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

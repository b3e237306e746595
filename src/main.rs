//! The `recsys` program.

use clap::Parser;
use recsys::allocator;
use recsys::cli::{Cli, output, run};
use std::process::ExitCode;

/// A training step makes and drops large tensors; the system's allocator
/// gives their pages back each time and pays for it with page faults.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    quiet_wayland();
    allocator::begin();
    match run(Cli::parse()) {
        Ok(status) => ExitCode::from(status),
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Looking for graphics adapters loads libwayland, which prints an error of its
/// own on a machine without a desktop session; with a folder that has no
/// session in it, it says nothing.
fn quiet_wayland() {
    const SESSION: &str = "XDG_RUNTIME_DIR";
    if cfg!(target_os = "linux") && std::env::var_os(SESSION).is_none() {
        // SAFETY: no other thread runs yet.
        unsafe { std::env::set_var(SESSION, std::env::temp_dir()) };
    }
}

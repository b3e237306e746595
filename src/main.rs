//! The `recsys` program.

use clap::Parser;
use recsys::cli::{Cli, output, run};
use std::process::ExitCode;

/// A training step makes and drops large tensors; the system's allocator
/// gives their pages back each time and pays for it with page faults.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(status) => ExitCode::from(status),
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

//! `recsys data`: its commands.

mod check;
pub(super) mod fetch;
pub(super) mod stats;
mod synth;

use anyhow::Result;
use clap::Subcommand;

/// Fetch public data sets, draw synthetic ones, and look at data.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  recsys data fetch ml-100k
  recsys data stats --config configs/ml-100k/mf_bpr.toml
  recsys data check --config configs/ml-100k/mf_bpr.toml
  recsys data synth datasets/synth --users 1000 --items 500 --interactions 50000")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Args),
    Fetch(fetch::Args),
    Stats(stats::Args),
    Synth(synth::Args),
}

pub fn run(args: &Args, quiet: bool) -> Result<u8> {
    match &args.command {
        Command::Check(args) => return check::run(args, quiet),
        Command::Fetch(args) => fetch::run(args, quiet),
        Command::Stats(args) => stats::run(args, quiet),
        Command::Synth(args) => synth::run(args, quiet),
    }?;
    Ok(0)
}

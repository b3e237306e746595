//! `recsys data fetch` and `recsys data stats`

mod fetch;
pub(super) mod stats;

use anyhow::Result;
use clap::Subcommand;

/// Fetch public data sets, and look at data.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  recsys data fetch ml-100k
  recsys data stats --config configs/ml-100k/mf_bpr.toml")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Fetch(fetch::Args),
    Stats(stats::Args),
}

pub fn run(args: &Args, quiet: bool) -> Result<()> {
    match &args.command {
        Command::Fetch(args) => fetch::run(args, quiet),
        Command::Stats(args) => stats::run(args, quiet),
    }
}

//! The command line: one file a command, each a thin layer over the library.
//!
//! Standard output carries what was asked for and nothing else; all that is
//! said on the way goes to standard error.

mod compare;
mod completions;
mod data;
mod devices;
mod doctor;
mod eval;
mod interrupt;
mod metrics;
mod models;
mod open;
pub mod output;
mod part;
mod progress;
mod recommend;
mod reproduce;
mod table;
mod train;
mod tune;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Trains, evaluates and serves recommenders on any GPU or on the CPU, from
/// interaction logs to top-N lists.
#[derive(Debug, Parser)]
#[command(name = "recsys", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Say nothing on the way: only results and errors.
    #[arg(short, long, global = true)]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  recsys train --config configs/quickstart.toml    train, and see how good it is
  recsys recommend --user N14228                   ten items for that user, by the newest run
  recsys eval --metrics ndcg@5,recall@50           judge the newest run by other metrics
  recsys compare runs/a runs/b                     is the difference real?
  recsys tune --config configs/ml-100k/ease.toml   find better settings
  recsys data stats --config configs/quickstart.toml
  recsys models                                    what can stand under [model]

Every command has examples of its own: recsys train --help
Exit status: 0 success, 1 failure, 2 wrong usage, 3 below a --fail-below, 130 stopped by Ctrl-C.";

#[derive(Debug, Subcommand)]
enum Command {
    Train(train::Args),
    Eval(eval::Args),
    Compare(compare::Args),
    Tune(tune::Args),
    Recommend(recommend::Args),
    Data(data::Args),
    Devices(devices::Args),
    Doctor(doctor::Args),
    Models(models::Args),
    Metrics(metrics::Args),
    Reproduce(reproduce::Args),
    Completions(completions::Args),
}

/// Runs a command; returns the exit status of one that did its work.
///
/// # Errors
/// What the command could not do, in words for the person.
pub fn run(cli: Cli) -> Result<u8> {
    let quiet = cli.quiet;
    match cli.command {
        Command::Train(args) => return train::run(&args, quiet),
        Command::Tune(args) => return tune::run(&args, quiet),
        Command::Compare(args) => return compare::run(&args),
        Command::Eval(args) => eval::run(&args, quiet),
        Command::Recommend(args) => recommend::run(&args, quiet),
        Command::Data(args) => return data::run(&args, quiet),
        Command::Devices(args) => devices::run(&args),
        Command::Doctor(args) => doctor::run(&args, quiet),
        Command::Models(args) => models::run(&args),
        Command::Metrics(args) => metrics::run(&args),
        Command::Reproduce(args) => return reproduce::run(&args, quiet),
        Command::Completions(args) => completions::run(&args),
    }?;
    Ok(0)
}

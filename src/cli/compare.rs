//! `recsys compare`

use super::output;
use super::part::Part;
use crate::compare::{self, Comparison, Entry, Limit, Plan, Sources};
use crate::fsio;
use crate::metrics::MetricSpec;
use crate::report::EvaluatedPart;
use crate::seed::Seed;
use anyhow::{Context, Result};
use clap::ValueEnum;
use std::path::PathBuf;

/// Exit status of a comparison in which a figure falls short of `--fail-below`.
pub const FELL_SHORT: u8 = 3;

/// Compare runs on the same split: is the difference real?
///
/// Each run is held against the first one, user by user. A folder of runs (as
/// `recsys train --seeds` makes it) counts as one, with the mean of its runs.
/// A single run is compared with its own baselines.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  recsys compare runs/mine                                 against its baselines
  recsys compare runs/old runs/new                         is `new` better than `old`?
  recsys compare runs/mf-3-seeds runs/neumf-3-seeds --metrics ndcg@10,recall@20
  recsys compare runs/a runs/b runs/c --all-pairs --format markdown
  recsys compare runs/old runs/new --html comparison.html
  recsys compare runs/live runs/new --fail-below ndcg@10=-2%   status 3 if `new` loses over 2%
  recsys compare runs/new --fail-below ndcg@10=0.3             status 3 below 0.3")]
pub struct Args {
    /// Run directories, or folders of them; the others are held against the first.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The part of the split whose scores are compared.
    #[arg(long, value_enum, default_value_t = Part::Test)]
    split: Part,
    /// Metrics to test; default: all that have a value for each user in every run.
    #[arg(long, value_name = "METRIC,...", value_delimiter = ',')]
    metrics: Vec<String>,
    /// Every two runs, and not only each against the first.
    #[arg(long)]
    all_pairs: bool,
    /// The baselines of the first run, too (a single run is always compared with them).
    #[arg(long)]
    baselines: bool,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Also write a page that needs nothing else.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Ends with status 3 when a run after the first (or the only one) has a mean below VALUE, or
    /// falls short of the first by more than PERCENT (written `ndcg@10=-2%`); repeatable.
    #[arg(long, value_name = "METRIC=VALUE|-PERCENT%")]
    fail_below: Vec<Limit>,
    /// Of the resamples.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Table,
    Json,
    Markdown,
    /// One row a test.
    Csv,
}

pub fn run(args: &Args) -> Result<u8> {
    let part = EvaluatedPart::from(args.split);
    let alone = args.runs.len() == 1;
    let sources = Sources {
        part,
        paths: &args.runs,
        baselines: args.baselines || alone,
    };
    let entries = sources.read()?;
    let metrics = args.metrics.iter().map(|m| MetricSpec::parse(m));
    let plan = Plan {
        part,
        metrics: metrics.collect::<Result<_>>()?,
        all_pairs: args.all_pairs,
        seed: Seed(args.seed),
    };
    let comparison = compare::compare(&entries, &plan)?;
    if let Some(path) = &args.html {
        fsio::write_atomic_bytes(path, compare::html(&comparison).as_bytes())?;
    }
    output::print(&text(&comparison, args.format)?)?;
    // Baselines are no candidates: they need not reach anything.
    let candidates = &entries[..args.runs.len()];
    judge(args, candidates)
}

fn text(comparison: &Comparison, format: Format) -> Result<String> {
    Ok(match format {
        Format::Table => compare::table(comparison),
        Format::Markdown => compare::markdown(comparison),
        Format::Csv => compare::csv(comparison),
        Format::Json => {
            let text = serde_json::to_string_pretty(comparison);
            text.context("cannot write the comparison")? + "\n"
        }
    })
}

fn judge(args: &Args, entries: &[Entry]) -> Result<u8> {
    let mut status = 0;
    for limit in &args.fail_below {
        for unmet in limit.unmet(entries)? {
            output::note(&format!("fell short: {unmet}"));
            status = FELL_SHORT;
        }
    }
    Ok(status)
}

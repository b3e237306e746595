//! `recsys data stats`

use crate::cli::interrupt::Interrupt;
use crate::cli::output;
use crate::cli::progress::Progress;
use crate::cli::table::{Align, render};
use crate::config::Config;
use crate::data::dataset::CleaningStep;
use crate::data::stats::{DataStats, Quantiles, stats};
use crate::pipeline;
use anyhow::Result;
use clap::ValueEnum;
use std::fmt::Write;
use std::path::PathBuf;

/// Count what a config's data hold, before and after each cleaning step.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  recsys data stats --config configs/quickstart.toml
  recsys data stats --config configs/quickstart.toml --set data.clean.k_core=5
  recsys data stats --config configs/quickstart.toml --format json")]
pub struct Args {
    /// The config file; of it, only `[data]` counts here.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Overrides a key of the config; repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Table,
    Json,
}

pub fn run(args: &Args, quiet: bool) -> Result<()> {
    let config = Config::load_without_model(&args.config, &args.set)?;
    let mut progress = Progress::new(quiet, Interrupt::default());
    let dataset = pipeline::read(&config, &args.config, &mut progress)?;
    let stats = stats(&dataset);
    match args.format {
        Format::Json => output::print(&(serde_json::to_string_pretty(&stats)? + "\n")),
        Format::Table => output::print(&text(&stats)?),
    }
}

/// Counts after each cleaning step as a table.
pub fn cleaning_table(steps: &[CleaningStep]) -> String {
    let row = |s: &CleaningStep| {
        vec![
            s.name.clone(),
            s.rows.to_string(),
            s.users.to_string(),
            s.items.to_string(),
        ]
    };
    let rows: Vec<_> = steps.iter().map(row).collect();
    let heads = [
        ("after", Align::Left),
        ("interactions", Align::Right),
        ("users", Align::Right),
        ("items", Align::Right),
    ];
    render(&heads, &rows)
}

fn text(stats: &DataStats) -> Result<String> {
    let mut text = cleaning_table(&stats.cleaning);
    writeln!(text)?;
    text += &quantile_table(&[
        ("interactions per user", &stats.per_user),
        ("interactions per item", &stats.per_item),
    ]);
    writeln!(text)?;
    writeln!(
        text,
        "sparsity    {:.4}% of all user-item pairs are empty",
        100.0 * stats.sparsity
    )?;
    writeln!(
        text,
        "duplicates  {} rows repeat a user-item pair",
        stats.duplicates
    )?;
    if let Some(time) = &stats.time {
        writeln!(
            text,
            "time        {} to {} ({:.1} days)",
            time.first, time.last, time.days
        )?;
        writeln!(
            text,
            "ties        {:.2}% of a user's consecutive interactions have equal timestamps",
            100.0 * time.tie_rate
        )?;
    }
    if let Some(ratings) = &stats.ratings {
        writeln!(
            text,
            "weights     {} to {}, mean {:.4}",
            ratings.min, ratings.max, ratings.mean
        )?;
        for (value, count) in ratings.histogram.iter().flatten() {
            writeln!(text, "            {value}: {count}")?;
        }
    }
    for platform in &stats.platforms {
        writeln!(
            text,
            "platform    {}: {} interactions, {} users, {} items",
            platform.name, platform.interactions, platform.users, platform.items
        )?;
    }
    if !stats.platforms.is_empty() {
        writeln!(
            text,
            "shared      {} users and {} items occur on several platforms",
            stats.shared_users, stats.shared_items
        )?;
    }
    for (part, rows) in &stats.parts {
        writeln!(text, "given part  {part}: {rows} interactions")?;
    }
    writeln!(text, "hash        {}", stats.hash)?;
    Ok(text)
}

fn quantile_table(rows: &[(&str, &Quantiles)]) -> String {
    let row = |(name, q): &(&str, &Quantiles)| {
        let mut cells = vec![name.to_string()];
        let quantiles = [q.min, q.p25, q.median, q.p75, q.p90, q.p99, q.max];
        cells.extend(quantiles.map(|v| v.to_string()));
        cells.push(format!("{:.2}", q.mean));
        cells
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    let names = ["min", "25%", "median", "75%", "90%", "99%", "max", "mean"];
    let heads: Vec<_> = [("", Align::Left)]
        .into_iter()
        .chain(names.map(|n| (n, Align::Right)))
        .collect();
    render(&heads, &rows)
}

//! `recsys data check`

use crate::cli::interrupt::Interrupt;
use crate::cli::output;
use crate::cli::progress::Progress;
use crate::cli::table::{Align, WIDTH, render, wrap};
use crate::config::Config;
use crate::data::check::{CheckReport, Example, Finding, Severity, check};
use crate::pipeline;

use crate::seed::Seed;
use anyhow::Result;
use clap::ValueEnum;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Look for what is wrong with data: leaks, duplicates, robots, broken ids.
///
/// The data are read, cleaned and split as the config says, so that a finding
/// is gone once the line that mends it stands in the config.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  recsys data check --config configs/quickstart.toml
  recsys data check ratings.csv                       a file alone, its columns found by name
  recsys data check ratings.dat --set 'data.delimiter=\"::\"' --set data.timestamp=4
  recsys data check --config mine.toml --strict       exit status 1 when there is an error
  recsys data check --config mine.toml --format json | jq '.findings[].message'")]
pub struct Args {
    /// A file with interactions, in place of a config.
    #[arg(value_name = "FILE", required_unless_present = "config")]
    path: Option<PathBuf>,
    /// The config file; of it, `[data]`, `[split]` and `seed` count here.
    #[arg(short, long, value_name = "FILE", conflicts_with = "path")]
    config: Option<PathBuf>,
    /// Overrides a key of the config; repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Exit status 1 when there is a finding of severity `error`.
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Table,
    Json,
}

pub fn run(args: &Args, quiet: bool) -> Result<u8> {
    let (config, path) = config(args)?;
    let mut progress = Progress::new(quiet, Interrupt::default());
    let dataset = pipeline::read(&config, &path, &mut progress)?;
    let report = check(
        &dataset,
        &config.data,
        &config.split,
        Seed(config.seed),
        now(),
        path.parent().unwrap_or(Path::new("")),
        &mut progress,
    )?;
    match args.format {
        Format::Json => output::print(&(serde_json::to_string_pretty(&report)? + "\n"))?,
        Format::Table => output::print(&text(&report)?)?,
    }
    let failed = args.strict && report.count(Severity::Error) > 0;
    Ok(u8::from(failed))
}

/// The config, and the file that its relative paths may stand beside.
fn config(args: &Args) -> Result<(Config, PathBuf)> {
    match (&args.config, &args.path) {
        (None, Some(file)) => {
            let path = toml::Value::String(file.display().to_string());
            let text = format!("[data]\npath = {path}\n");
            let config = Config::parse_without_model(&text, "the command line", &args.set)?;
            Ok((config, PathBuf::new()))
        }
        (Some(file), _) => Ok((
            Config::load_without_model(file, &args.set)?,
            file.to_path_buf(),
        )),
        (None, None) => anyhow::bail!("--config or a file is needed"),
    }
}

fn text(report: &CheckReport) -> Result<String> {
    let mut text = format!(
        "{} interactions, {} users, {} items\n\n",
        report.interactions, report.users, report.items
    );
    if report.findings.is_empty() {
        text += "nothing found: no leaks, duplicates, ties, robots, broken ids or text, odd \
                 ratings or times, empty columns, or twin items\n";
        return Ok(text);
    }
    text += &table(&report.findings);
    for finding in &report.findings {
        describe(&mut text, finding)?;
    }
    let counts = [Severity::Error, Severity::Warning, Severity::Info].map(|severity| {
        let count = report.count(severity);
        match severity {
            Severity::Info => format!("{count} to know"),
            _ => format!(
                "{count} {}{}",
                severity.name(),
                if count == 1 { "" } else { "s" }
            ),
        }
    });
    writeln!(text, "\n{}", counts.join(", "))?;
    Ok(text)
}

fn table(findings: &[Finding]) -> String {
    let row = |f: &Finding| {
        vec![
            f.severity.name().to_string(),
            f.check.to_string(),
            f.count.to_string(),
            f.of.to_string(),
        ]
    };
    let rows: Vec<_> = findings.iter().map(row).collect();
    let heads = [
        ("severity", Align::Left),
        ("finding", Align::Left),
        ("count", Align::Right),
        ("of", Align::Right),
    ];
    render(&heads, &rows)
}

fn describe(text: &mut String, finding: &Finding) -> Result<()> {
    writeln!(text, "\n{}: {}", finding.severity.name(), finding.check)?;
    *text += &wrap(&finding.message, WIDTH, "  ");
    for example in &finding.examples {
        writeln!(text, "  - {}", shown(example))?;
    }
    if let Some(mend) = &finding.mend {
        writeln!(text, "  mend: [{}] {}", mend.section, mend.line)?;
    }
    if let Some(advice) = &finding.advice {
        *text += &wrap(advice, WIDTH, "  ");
    }
    Ok(())
}

fn shown(example: &Example) -> String {
    match (&example.file, example.line) {
        (Some(file), Some(line)) => format!("{file}:{line}: {}", example.text),
        _ => example.text.clone(),
    }
}

/// Unix seconds.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| d.as_secs() as i64)
}

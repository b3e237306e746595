//! `recsys train --seeds`: one config, several seeds, one folder of runs.

use super::{Args, Format, How, interrupted, resume, settle_store, start, train};
use crate::cli::interrupt::Interrupt;
use crate::cli::output;
use crate::cli::progress::Progress;
use crate::compare::{Entry, EntrySummary};
use crate::config::Config;
use crate::fsio;
use crate::report::{EvaluatedPart, Report, align};
use crate::run_dir::{RunDir, default_path, ensure_empty};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What makes a folder a group that can go on: it comes after the config and
/// before any run.
const GROUP: &str = "group.json";

/// With the overrides, and with every default filled in: the file that it came
/// from may change before a group goes on.
const CONFIG: &str = "config.toml";

/// As typed: a count from the config's seed on, or the seeds themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seeds {
    Count(u64),
    List(Vec<u64>),
}

impl FromStr for Seeds {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |text: &str| -> Result<u64> {
            let parsed = text.trim().parse();
            parsed.with_context(|| format!("`{text}` is no whole number"))
        };
        if !text.contains(',') {
            let count = number(text)?;
            ensure!(count > 0, "there must be at least 1 seed");
            return Ok(Self::Count(count));
        }
        let list = text.split(',').filter(|t| !t.trim().is_empty());
        let list: Vec<u64> = list.map(number).collect::<Result<_>>()?;
        let mut distinct = list.clone();
        distinct.sort_unstable();
        distinct.dedup();
        ensure!(distinct.len() == list.len(), "a seed stands there twice");
        Ok(Self::List(list))
    }
}

/// `group.json`: what is needed to go on.
#[derive(Debug, Serialize, Deserialize)]
struct Group {
    /// Where the config came from, and relative paths in it start.
    config: PathBuf,
    seeds: Vec<u64>,
}

/// What `--format json` prints.
#[derive(Serialize)]
struct Output<'a> {
    group: String,
    summary: &'a EntrySummary,
    reports: &'a [Report],
}

/// Trains a group; `None` when this is none.
pub fn run(args: &Args, quiet: bool, interrupt: &Interrupt) -> Result<Option<u8>> {
    let (folder, group) = match (&args.resume, &args.config, &args.seeds) {
        (Some(folder), ..) if folder.join(GROUP).is_file() => {
            let path = folder.join(GROUP);
            let group = serde_json::from_str(&fsio::read_text(&path)?)
                .with_context(|| format!("{} is damaged", path.display()))?;
            (folder.clone(), group)
        }
        (None, Some(config), Some(seeds)) => begin(args, config, seeds)?,
        _ => return Ok(None),
    };
    for seed in &group.seeds {
        if !one(args, &group, *seed, &folder, quiet, interrupt)? {
            return Ok(Some(interrupted(&folder.display().to_string())));
        }
    }
    deliver(args, &folder, &group)?;
    Ok(Some(0))
}

fn begin(args: &Args, path: &Path, seeds: &Seeds) -> Result<(PathBuf, Group)> {
    let mut config = Config::load(path, &args.set)?;
    settle_store(&mut config)?;
    let folder = args.output.clone().unwrap_or_else(|| default_path(path));
    if folder.join(GROUP).is_file() {
        bail!(
            "{0} already holds a group of runs; choose another --output, or go on with `recsys \
             train --resume {0}`",
            folder.display()
        );
    }
    ensure_empty(&folder)?;
    let group = Group {
        config: path.to_path_buf(),
        seeds: match seeds {
            Seeds::Count(count) => (config.seed..).take(*count as usize).collect(),
            Seeds::List(list) => list.clone(),
        },
    };
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    fsio::write_atomic_bytes(&folder.join(CONFIG), config.to_toml()?.as_bytes())?;
    let text = serde_json::to_string_pretty(&group).context("cannot describe the group")?;
    fsio::write_atomic_bytes(&folder.join(GROUP), text.as_bytes())?;
    Ok((folder, group))
}

/// Trains one seed, as far as it is not trained yet; `false` when it was
/// interrupted.
fn one(
    args: &Args,
    group: &Group,
    seed: u64,
    folder: &Path,
    quiet: bool,
    interrupt: &Interrupt,
) -> Result<bool> {
    let mut progress = Progress::new(quiet, interrupt.clone());
    progress.say(&format!("seed {seed}"));
    let path = &folder.join(format!("seed-{seed}"));
    let job = if RunDir::is_at(path) {
        resume(How::of(args, quiet), path)?
    } else {
        let mut config = Config::load(&folder.join(CONFIG), &[])?;
        config.seed = seed;
        Some(start(
            How::of(args, quiet),
            config,
            &group.config,
            path,
            &mut progress,
        )?)
    };
    match job {
        Some(job) => Ok(train(job, &mut progress, interrupt)?.is_some()),
        None => Ok(true),
    }
}

fn deliver(args: &Args, folder: &Path, group: &Group) -> Result<()> {
    let runs = group.seeds.iter().map(|s| folder.join(format!("seed-{s}")));
    let reports = runs.map(|run| RunDir::open(&run)?.report());
    let reports: Vec<Report> = reports.collect::<Result<_>>()?;
    let summary = Entry::read(folder, EvaluatedPart::Test)?.summary();
    output::print(&match args.format {
        Format::Json => {
            let output = Output {
                group: folder.display().to_string(),
                summary: &summary,
                reports: &reports,
            };
            serde_json::to_string_pretty(&output).context("cannot write the reports")? + "\n"
        }
        Format::Table => format!(
            "{}\n\nruns: {}\n",
            align(&table(&summary, &reports)).join("\n"),
            folder.display()
        ),
    })
}

/// Test figures: seeds, then mean and deviation.
fn table(summary: &EntrySummary, reports: &[Report]) -> Vec<Vec<String>> {
    let mut header = vec![format!("test, {}", summary.model)];
    header.extend(
        reports
            .iter()
            .map(|r| format!("seed {}", r.provenance.seed)),
    );
    header.extend(["mean".to_string(), "deviation".to_string()]);
    let mut rows = vec![header];
    for figure in &summary.metrics {
        let value = |report: &Report| {
            let value = report.metrics.get(&EvaluatedPart::Test);
            let value = value.and_then(|m| m.get(&figure.metric));
            value.map_or_else(|| "-".to_string(), |v| format!("{v:.4}"))
        };
        let mut row = vec![figure.metric.clone()];
        row.extend(reports.iter().map(value));
        row.push(format!("{:.4}", figure.mean));
        let deviation = figure.deviation.map(|d| format!("{d:.4}"));
        row.push(deviation.unwrap_or_else(|| "-".to_string()));
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_count_or_a_list() {
        assert_eq!("3".parse::<Seeds>().unwrap(), Seeds::Count(3));
        assert_eq!("7, 1".parse::<Seeds>().unwrap(), Seeds::List(vec![7, 1]));
        assert_eq!("7,".parse::<Seeds>().unwrap(), Seeds::List(vec![7]));
        for (text, part) in [("0", "at least 1"), ("x", "`x`"), ("1,1", "twice")] {
            let error = format!("{:#}", text.parse::<Seeds>().unwrap_err());
            assert!(error.contains(part), "{error}");
        }
    }
}

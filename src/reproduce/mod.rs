//! Recipes: configs whose figures are known, trained again and judged.
//!
//! What is expected is what this program reached when the recipe was written,
//! beside what was published; `recipes.toml` is the list.

mod recipe;
mod verdict;

pub use recipe::{Metric, Recipe, all, config_text, select};
pub use verdict::{Judged, Outcome, Verdict, judge};

use crate::config::Config;
use crate::data::read::content_hash;
use crate::device::{self, DeviceChoice};
use crate::event::{Event, Observer};
use crate::pipeline;
use crate::report::{DataSummary, EvaluatedPart, Report};
use crate::run_dir::{self, RunDir};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// How a recipe is to be run.
pub struct Options<'a> {
    pub device: Option<DeviceChoice>,
    /// Whether all seeds that were measured are trained, or the first alone.
    pub all_seeds: bool,
    /// Overrides of config keys, for all runs.
    pub sets: &'a [String],
    /// The command as it was typed, for the run directories.
    pub command: &'a str,
}

/// Trains a recipe, once or for each of its folds and seeds, and judges the
/// mean. `None` when the person stopped it.
///
/// # Errors
/// Data that are not there (with the command that fetches them), and what a
/// training reports.
pub fn run(
    recipe: &Recipe,
    options: &Options<'_>,
    observer: &mut dyn Observer,
) -> Result<Option<Outcome>> {
    let begun = Instant::now();
    let text = config_text(&recipe.name)?;
    let mut reports = Vec::new();
    let mut folders = Vec::new();
    let mut data_sha256 = Vec::new();
    for sets in overrides(recipe, options) {
        let config = Config::parse(text, &format!("{}.toml", recipe.name), &sets)?;
        let found = content_hash(&config.data, Path::new("")).with_context(|| {
            format!(
                "`{}` needs its data here: `recsys data fetch {}` brings them, or --fetch",
                recipe.name, recipe.data
            )
        })?;
        if !data_sha256.contains(&found) {
            data_sha256.push(found);
        }
        let Some((report, folder)) = train(recipe, config, options, observer)? else {
            return Ok(None);
        };
        reports.push(report);
        folders.push(folder);
    }
    let data_matches = data_sha256.iter().all(|h| recipe.knows_data(h));
    if !data_matches {
        observer.on(&Event::Warning(format!(
            "the files of `{}` are not byte for byte those that its figures were measured on \
             (another order of rows is enough): figures may differ a little",
            recipe.data
        )));
    }
    let values = recipe.metrics.keys().map(|name| {
        let of_run = |report: &Report| {
            let test = report.metrics.get(&EvaluatedPart::Test);
            let value = test.and_then(|m| m.get(name));
            value.with_context(|| format!("the report of `{}` has no {name}", recipe.name))
        };
        let each = reports.iter().map(of_run).collect::<Result<Vec<f64>>>()?;
        let mean = each.iter().sum::<f64>() / each.len() as f64;
        Ok((name.clone(), mean))
    });
    let values = values.collect::<Result<Vec<_>>>()?;
    Ok(Some(Outcome {
        recipe: recipe.name.clone(),
        judged: judge(recipe, &values, options.all_seeds)?,
        runs: folders,
        data_sha256,
        data_matches,
        seconds: begun.elapsed().as_secs_f64(),
    }))
}

/// What each training overrides: folds within seeds, and the caller's last.
fn overrides(recipe: &Recipe, options: &Options<'_>) -> Vec<Vec<String>> {
    let most = if options.all_seeds { usize::MAX } else { 1 };
    let mut seeds: Vec<Vec<String>> = recipe
        .seeds
        .iter()
        .take(most)
        .map(|seed| vec![format!("seed={seed}")])
        .collect();
    if seeds.is_empty() {
        seeds.push(Vec::new());
    }
    let folds = if recipe.runs.is_empty() {
        &[Vec::new()][..]
    } else {
        &recipe.runs[..]
    };
    let mut all = Vec::new();
    for seed in &seeds {
        for fold in folds {
            all.push([seed, fold.as_slice(), options.sets].concat());
        }
    }
    all
}

/// One training in a run directory of its own.
fn train(
    recipe: &Recipe,
    mut config: Config,
    options: &Options<'_>,
    observer: &mut dyn Observer,
) -> Result<Option<(Report, PathBuf)>> {
    config.device = options.device.unwrap_or(config.device);
    let device = device::resolve(config.device)?;
    let name = format!("reproduce-{}", recipe.name.replace('/', "-"));
    let folder = run_dir::default_path(Path::new(&name));
    let dataset = pipeline::read(&config, Path::new(""), observer)?;
    let summary = DataSummary::from(&dataset);
    let data = pipeline::divide(&config, dataset)?;
    pipeline::preflight(&config, &data, &device)?;
    run_dir::reserve(&folder)?;
    let provenance = run_dir::provenance(&config, &device, &summary.hash, options.command);
    let mut run = RunDir::create(&folder, &config, &data, summary, provenance)?;
    let report = pipeline::train(&mut run, &config, &data, &device, observer)?;
    ensure!(
        report.as_ref().is_none_or(|r| !r.metrics.is_empty()),
        "{} has no figures",
        folder.display()
    );
    Ok(report.map(|report| (report, folder)))
}

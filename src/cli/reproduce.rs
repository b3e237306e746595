//! `recsys reproduce`

use super::data::fetch;
use super::interrupt::{EXIT_STATUS, Interrupt};
use super::output;
use super::progress::{Progress, duration};
use super::table::{Align, render};
use crate::device::DeviceChoice;
use crate::reproduce::{Metric, Options, Outcome, Recipe, Verdict, all, run as train, select};
use anyhow::Result;
use clap::ValueEnum;

/// Train a config whose figures are known, and say whether they come out.
///
/// What is expected is what this program reached when the recipe was written,
/// with a tolerance; beside it stands what was published.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  recsys reproduce --list
  recsys reproduce ml-100k/ease                 trained and judged
  recsys reproduce ml-100k/ease gowalla/gf_cf   one after the other
  recsys reproduce ml-100k --all-seeds          all of a folder, mean over the measured seeds
  recsys reproduce gowalla/ease --fetch         downloads the data first, where they are missing

Exit status: 1 when a figure is worse than what is expected by more than its tolerance.")]
pub struct Args {
    /// Recipes, or folders of them.
    #[arg(value_name = "NAME", required_unless_present = "list")]
    names: Vec<String>,
    /// List the recipes, with what is expected of them and what was published.
    #[arg(long)]
    list: bool,
    /// Fetch the data sets that are not there.
    #[arg(long)]
    fetch: bool,
    /// Train with every seed that was measured, and judge the mean.
    #[arg(long)]
    all_seeds: bool,
    /// Overrides a key of the config; repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// As of `train`.
    #[arg(short, long, value_name = "DEVICE")]
    device: Option<DeviceChoice>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Table,
    Json,
}

pub fn run(args: &Args, quiet: bool) -> Result<u8> {
    let mut recipes = Vec::new();
    for name in &args.names {
        recipes.extend(select(name)?);
    }
    if args.list {
        let listed = if recipes.is_empty() { all()? } else { recipes };
        list(&listed, args.format)?;
        return Ok(0);
    }
    if args.fetch {
        let mut data: Vec<&str> = recipes.iter().map(|r| r.data.as_str()).collect();
        data.dedup();
        data.into_iter()
            .try_for_each(|name| fetch::bring(name, quiet))?;
    }
    let interrupt = Interrupt::default();
    interrupt.listen();
    let mut outcomes = Vec::new();
    let command = super::train::typed();
    for recipe in &recipes {
        let mut progress = Progress::new(quiet, interrupt.clone());
        progress.say(&format!("recipe {}: {}", recipe.name, recipe.protocol));
        let options = Options {
            device: args.device,
            all_seeds: args.all_seeds,
            sets: &args.set,
            command: &command,
        };
        match train(recipe, &options, &mut progress)? {
            Some(outcome) => outcomes.push(outcome),
            None => return Ok(EXIT_STATUS),
        }
    }
    match args.format {
        Format::Json => output::print(&(serde_json::to_string_pretty(&outcomes)? + "\n"))?,
        Format::Table => output::print(&table(&outcomes))?,
    }
    let missed = outcomes.iter().any(|o| o.verdict() == Verdict::Missed);
    Ok(u8::from(missed))
}

fn list(recipes: &[Recipe], format: Format) -> Result<()> {
    if matches!(format, Format::Json) {
        return output::print(&(serde_json::to_string_pretty(recipes)? + "\n"));
    }
    let mut text = String::new();
    let mut protocol = "";
    for part in recipes.chunk_by(|a, b| a.protocol == b.protocol && a.data == b.data) {
        if part[0].protocol != protocol {
            let gap = if protocol.is_empty() { "" } else { "\n" };
            text += &format!("{gap}{}: {}\n", part[0].data, part[0].protocol);
            protocol = &part[0].protocol;
        }
        text += &listed(part);
    }
    output::print(&text)
}

fn listed(recipes: &[Recipe]) -> String {
    let row = |recipe: &Recipe| {
        let figures = |of: &dyn Fn(&Metric) -> Option<String>| {
            let each = recipe.metrics.iter();
            let each = each.filter_map(|(name, m)| Some(format!("{name} {}", of(m)?)));
            each.collect::<Vec<_>>().join(", ")
        };
        let expected = |m: &Metric| {
            Some(format!(
                "{} ± {}",
                figure(m.expected),
                figure(m.tolerance())
            ))
        };
        vec![
            recipe.name.clone(),
            figures(&expected),
            figures(&|m| m.published.map(figure)),
            recipe.source.clone().unwrap_or_default(),
        ]
    };
    let heads = [
        ("recipe", Align::Left),
        ("expected", Align::Left),
        ("published", Align::Left),
        ("by", Align::Left),
    ];
    render(&heads, &recipes.iter().map(row).collect::<Vec<_>>())
}

fn table(outcomes: &[Outcome]) -> String {
    let mut rows = Vec::new();
    for outcome in outcomes {
        for (i, judged) in outcome.judged.iter().enumerate() {
            let first = |text: String| if i == 0 { text } else { String::new() };
            let published = judged.published.map_or_else(String::new, figure);
            let reaches = match judged.reaches_published {
                Some(true) => "reached",
                Some(false) => "below",
                None => "",
            };
            rows.push(vec![
                first(outcome.recipe.clone()),
                judged.metric.clone(),
                figure(judged.value),
                format!("{} ± {}", figure(judged.expected), figure(judged.tolerance)),
                match judged.verdict {
                    Verdict::Missed => "missed",
                    Verdict::Matched => "matched",
                    Verdict::Better => "better",
                }
                .to_string(),
                published,
                reaches.to_string(),
                first(duration(outcome.seconds)),
            ]);
        }
    }
    let heads = [
        ("recipe", Align::Left),
        ("metric", Align::Left),
        ("value", Align::Right),
        ("expected", Align::Right),
        ("verdict", Align::Left),
        ("published", Align::Right),
        ("", Align::Left),
        ("time", Align::Right),
    ];
    render(&heads, &rows)
}

fn figure(value: f64) -> String {
    format!("{value:.4}")
}

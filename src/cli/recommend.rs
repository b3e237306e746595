//! `recsys recommend`

mod write;

use super::open::{self, Opened};
use super::output;
use crate::data::split::parse_moment;
use crate::device::DeviceChoice;
use crate::fsio;
use crate::ranking::Ranker;
use crate::recommend::{Filter, Known, Options, Person, allowed};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::time::Instant;
use write::{Format, List};

/// Recommend items to users of a run, or to somebody it never saw.
///
/// All interactions that the run knows of a user count as history, those held
/// out for validation and test too, and are not recommended again unless
/// --include-seen asks for it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  recsys recommend --user N14228                         by the newest run
  recsys recommend --run runs/mf --user 42 --user 43 --k 20
  recsys recommend --history 50,181,172                  somebody new who liked these items
  recsys recommend --user 42 --filter genre=Comedy --filter 'year>=1990'
  recsys recommend --users ids.txt --format csv --output lists.csv
  recsys recommend --all --k 100 --format parquet --output lists.parquet

Filters compare an item feature of the data (see [data.item_features]) with a value:
  genre=Comedy  genre!=Comedy    one of its categories is this one, none is
  year>=1990    also <= > < = != numbers
  title~star                     the text or a category contains it, in any case
An item without a value meets no filter. Several filters must all be met.")]
pub struct Args {
    /// The run directory; without it, the newest in runs/ that has a model.
    #[arg(short, long, value_name = "DIR")]
    run: Option<PathBuf>,
    #[command(flatten)]
    who: Who,
    /// How many items for each.
    #[arg(short, long, default_value_t = 10, value_parser = positive)]
    k: usize,
    /// Recommend what the user already knows, too.
    #[arg(long)]
    include_seen: bool,
    /// When the request happens, in unix seconds or as an ISO date, for models
    /// that look at it; default: when the last item of the history did.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<i64>,
    /// Only items that meet this; repeatable.
    #[arg(long, value_name = "CONDITION")]
    filter: Vec<Filter>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Write to this file in place of standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Where to compute; default: as the run's config says.
    #[arg(short, long, value_name = "DEVICE")]
    device: Option<DeviceChoice>,
}

/// For whom.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Who {
    /// A user id; repeatable.
    #[arg(short, long, value_name = "ID")]
    user: Vec<String>,
    /// A file with one user id a line.
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// Every user of the run.
    #[arg(long)]
    all: bool,
    /// Items that somebody new liked, in order, the latest last.
    #[arg(long, value_name = "ID,ID,...", value_delimiter = ',')]
    history: Vec<String>,
}

fn positive(text: &str) -> Result<usize> {
    let value = text.parse()?;
    ensure!(value > 0, "it must be at least 1");
    Ok(value)
}

fn moment(text: &str) -> Result<i64> {
    let seconds = text.parse().map(toml::Value::Integer);
    parse_moment(&seconds.unwrap_or_else(|_| text.into()))
}

pub fn run(args: &Args, quiet: bool) -> Result<()> {
    args.format.check(args.output.as_deref())?;
    let folder = args.output.as_deref().and_then(Path::parent);
    if let Some(folder) = folder.filter(|f| !f.as_os_str().is_empty()) {
        ensure!(folder.is_dir(), "there is no folder {}", folder.display());
    }
    let opened = open::open(args.run.as_deref(), args.device, quiet)?;
    ensure!(
        args.at.is_none() || opened.model.knows_request_time(),
        "`--at`: model `{}` does not look at the time of a request, so leave it out",
        opened.config.model.name
    );
    let known = Known::new(&opened.data);
    let people = servable(people(&args.who, &known)?, &opened, args.who.all)?;
    let num_items = opened.data.items.len();
    if args.k > num_items {
        output::note(&format!(
            "warning: --k {} asks for more than the {num_items} items that there are",
            args.k
        ));
    }
    let allowed = allowed(&args.filter, opened.data.item_features.as_ref(), num_items)?;
    let options = Options {
        model_name: &opened.config.model.name,
        k: args.k.min(num_items),
        include_seen: args.include_seen,
        at: args.at,
        allowed: &allowed,
    };
    let ranker = Ranker::new(opened.model.as_ref())?;
    let begun = Instant::now();
    let lists = known.recommend(&ranker, &people, &options)?;
    if args.who.all && !quiet {
        output::note(&format!(
            "ranked {num_items} items for each of {} users in {:.4} s",
            lists.len(),
            begun.elapsed().as_secs_f64()
        ));
    }
    let lists: Vec<List> = people
        .into_iter()
        .map(|p| p.user_id)
        .zip(lists)
        .map(|(user_id, items)| List { user_id, items })
        .collect();
    deliver(args, &lists)
}

fn deliver(args: &Args, lists: &[List]) -> Result<()> {
    let bytes = write::write(lists, args.format)?;
    match &args.output {
        Some(path) => fsio::write_atomic_bytes(path, &bytes),
        None => output::print(&String::from_utf8_lossy(&bytes)),
    }
}

fn people(who: &Who, known: &Known<'_>) -> Result<Vec<Person>> {
    if who.all {
        return Ok(known.users());
    }
    if let Some(path) = &who.users {
        return from_file(path, known);
    }
    if !who.history.is_empty() {
        let (person, unknown) = known.history(&who.history)?;
        for line in unknown {
            output::note(&format!("warning: {line}; left out"));
        }
        return Ok(vec![person]);
    }
    who.user.iter().map(|id| known.user(id)).collect()
}

fn from_file(path: &Path, known: &Known<'_>) -> Result<Vec<Person>> {
    let text = fsio::read_text(path)?;
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, l)| !l.trim().is_empty());
    let people: Vec<_> = lines
        .map(|(i, line)| {
            known
                .user(line)
                .with_context(|| format!("{}:{}", path.display(), i + 1))
        })
        .collect::<Result<_>>()?;
    ensure!(!people.is_empty(), "{} names no user", path.display());
    Ok(people)
}

/// With --all, users whom the model cannot serve are left out and counted;
/// one who was named is an error, which ranking reports.
fn servable(people: Vec<Person>, opened: &Opened, all: bool) -> Result<Vec<Person>> {
    if !all || opened.model.serves_new_users().is_ok() {
        return Ok(people);
    }
    let before = people.len();
    let known: Vec<_> = people.into_iter().filter(|p| p.user.is_some()).collect();
    if known.len() < before {
        output::note(&format!(
            "warning: {} users have no training interactions and are left out: model `{}` serves only known users",
            before - known.len(),
            opened.config.model.name
        ));
    }
    Ok(known)
}

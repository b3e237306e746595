//! `recsys data fetch`

use crate::cli::output;
use crate::cli::table::{Align, render};
use crate::data::fetch::{CATALOG, FetchEvent, fetch};
use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::path::{Path, PathBuf};

/// Put a public data set into datasets/NAME/, checked against its checksum.
///
/// Without a name: list the data sets there are. A download that was cut off
/// goes on where it stopped.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  recsys data fetch                                        what there is
  recsys data fetch ml-100k                                from its official address
  recsys data fetch ml-100k --from ~/Downloads/ml-100k.zip a copy you have
  recsys data fetch gowalla --from https://mirror.example/gowalla/")]
pub struct Args {
    /// Name of the data set.
    name: Option<String>,
    /// A zip file, a folder or an address, in place of the official one.
    #[arg(long, value_name = "PATH|URL")]
    from: Option<String>,
    /// The folder that data sets go into.
    #[arg(long, value_name = "DIR", default_value = "datasets")]
    into: PathBuf,
}

pub fn run(args: &Args, quiet: bool) -> Result<()> {
    let Some(name) = &args.name else {
        return output::print(&catalog());
    };
    let folder = get(name, args.from.as_deref(), &args.into, quiet)?;
    output::print(&format!("{}\n", folder.display()))
}

/// Fetches a data set into `datasets/`, where it is not there.
pub fn bring(name: &str, quiet: bool) -> Result<()> {
    get(name, None, Path::new("datasets"), quiet).map(|_| ())
}

fn get(name: &str, from: Option<&str>, into: &Path, quiet: bool) -> Result<PathBuf> {
    let mut bar = None;
    fetch(name, from, into, &mut |event| {
        if !quiet {
            draw(&mut bar, event);
        }
    })
}

fn catalog() -> String {
    let rows: Vec<_> = CATALOG
        .iter()
        .map(|e| vec![e.name.to_string(), e.summary.to_string()])
        .collect();
    render(
        &[("name", Align::Left), ("what it holds", Align::Left)],
        &rows,
    )
}

fn draw(bar: &mut Option<ProgressBar>, event: FetchEvent) {
    if !matches!(event, FetchEvent::Downloaded { .. })
        && let Some(bar) = bar.take()
    {
        bar.finish_and_clear();
    }
    match event {
        FetchEvent::License { name, terms } => output::note(&format!("{name}: {terms}")),
        FetchEvent::Downloaded { url, done, total } => {
            let bar = bar.get_or_insert_with(|| start_bar(&url, total));
            bar.set_position(done);
        }
        FetchEvent::Unpacked { file } => output::note(&format!("unpacked {file}")),
        FetchEvent::Verified { file } => output::note(&format!("checked {file}")),
        FetchEvent::AlreadyThere(_) => output::note("already there, nothing to do"),
    }
}

fn start_bar(url: &str, total: Option<u64>) -> ProgressBar {
    output::note(&format!("downloading {url}"));
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
    let template = match total {
        Some(_) => "{bar:30} {bytes} of {total_bytes}  {bytes_per_sec}  ETA {eta}",
        None => "{spinner} {bytes}  {bytes_per_sec}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸ "));
    }
    bar
}

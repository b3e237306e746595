//! `recsys eval`

use super::interrupt::Interrupt;
use super::open::{Opened, open};
use super::output;
use super::part::Part;
use super::progress::Progress;
use crate::device::DeviceChoice;
use crate::metrics::MetricSpec;
use crate::pipeline::{Judge, Judged};
use crate::report::{self, EvaluatedPart};
use anyhow::{Result, ensure};
use clap::ValueEnum;
use std::path::PathBuf;

/// Judge the model of a run, from its directory alone.
///
/// With the metrics of the run's config the figures equal those that `train`
/// reported.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  recsys eval                                       the newest run, as `train` judged it
  recsys eval --run runs/mine --split validation
  recsys eval --metrics ndcg@10,recall@20,auc       other metrics: see `recsys metrics`
  recsys eval --format csv > figures.csv")]
pub struct Args {
    /// The run directory; without it, the newest in runs/ that has a model.
    #[arg(short, long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// The part of the split to judge on.
    #[arg(long, value_enum, default_value_t = Part::Test)]
    split: Part,
    /// In place of the metrics of the run's config.
    #[arg(long, value_name = "METRIC,...", value_delimiter = ',')]
    metrics: Vec<String>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Where to compute; default: as the run's config says.
    #[arg(short, long, value_name = "DEVICE")]
    device: Option<DeviceChoice>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Table,
    /// The report as `train` writes it.
    Json,
    /// part,model,metric,value
    Csv,
}

pub fn run(args: &Args, quiet: bool) -> Result<()> {
    let opened = open(args.run.as_deref(), args.device, quiet)?;
    let metrics = metrics(args, &opened)?;
    let part = EvaluatedPart::from(args.split);
    ensure!(
        part == EvaluatedPart::Test || opened.data.split.validation.is_some(),
        "the run {} has no validation part",
        opened.run.path().display()
    );
    let mut progress = Progress::new(quiet, Interrupt::default());
    let judge = Judge {
        run: &opened.run,
        config: &opened.config,
        data: &opened.data,
        device: &opened.device,
    };
    let Judged { report, scores } =
        judge.judge(opened.model.as_ref(), &[part], &metrics, &mut progress)?;
    if let Err(error) = opened.run.save_scores(&scores) {
        output::note(&format!(
            "warning: the scores of users are not kept: {error:#}"
        ));
    }
    match opened.run.save_evaluation(part, &report) {
        Ok(page) => progress.say(&format!("page {}", page.display())),
        Err(error) => output::note(&format!("warning: the page is not kept: {error:#}")),
    }
    output::print(&match args.format {
        Format::Table => report::table(&report),
        Format::Json => report::json(&report)?,
        Format::Csv => report::csv(&report),
    })
}

fn metrics(args: &Args, opened: &Opened) -> Result<Vec<MetricSpec>> {
    if args.metrics.is_empty() {
        opened.config.evaluation.specs()
    } else {
        MetricSpec::expand(&args.metrics, &opened.config.evaluation.cutoffs)
    }
}

//! `recsys metrics`

use super::output;
use crate::metrics::{Direction, REGISTRY};
use anyhow::Result;
use std::fmt::Write;

/// List the metrics with their formulas and papers.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  recsys metrics
  recsys eval --metrics ndcg@10,recall@20,coverage@10,auc")]
pub struct Args {}

pub fn run(_: &Args) -> Result<()> {
    let mut text = String::new();
    for entry in REGISTRY {
        let cutoff = if entry.has_cutoff() { "@k" } else { "" };
        let direction = match entry.direction {
            Direction::HigherIsBetter => "higher is better",
            Direction::LowerIsBetter => "lower is better",
        };
        writeln!(
            text,
            "{}{cutoff}: {} ({direction})",
            entry.name, entry.summary
        )?;
        writeln!(text, "  {}", entry.definition)?;
        if !entry.citation.is_empty() {
            writeln!(text, "  {}", entry.citation)?;
        }
    }
    output::print(&text)
}

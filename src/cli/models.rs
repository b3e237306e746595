//! `recsys models`

use super::output;
use crate::models::{ModelEntry, REGISTRY, find};
use anyhow::Result;
use std::fmt::Write;

/// List the models with their parameters, defaults and papers.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  recsys models              all of them
  recsys models neumf        one of them
  recsys train --config F --set 'model={name=\"item_knn\", neighbors=50}'    another model")]
pub struct Args {
    /// Only this model.
    name: Option<String>,
}

pub fn run(args: &Args) -> Result<()> {
    let one = args.name.as_deref().map(find).transpose()?;
    let mut text = String::new();
    match one {
        Some(entry) => describe(&mut text, entry)?,
        None => {
            for (i, entry) in REGISTRY.iter().enumerate() {
                text += if i > 0 { "\n" } else { "" };
                describe(&mut text, entry)?;
            }
        }
    }
    output::print(&text)
}

fn describe(text: &mut String, entry: &ModelEntry) -> Result<()> {
    writeln!(text, "{}: {}", entry.name, entry.summary)?;
    writeln!(text, "  {}", entry.citation)?;
    let defaults = (entry.defaults)();
    let width = entry.params.iter().map(|(n, _)| n.len()).max().unwrap_or(0);
    for (name, meaning) in entry.params {
        let default = match defaults.get(*name) {
            Some(value) => format!("default {}", shown(value)),
            None => "no default".to_string(),
        };
        writeln!(text, "  {name:width$}  {meaning} ({default})")?;
    }
    if entry.gradient {
        writeln!(text, "  trained in epochs: see [training]")?;
    }
    Ok(())
}

/// A number that is a 32-bit one at heart reads as that: 0.01, not
/// 0.009999999776482582.
fn shown(value: &toml::Value) -> String {
    match value {
        toml::Value::Float(wide) if f64::from(*wide as f32) == *wide => (*wide as f32).to_string(),
        other => other.to_string(),
    }
}

//! `recsys data synth`

use crate::ceiling::{self, Ceiling};
use crate::cli::interrupt::Interrupt;
use crate::cli::output;
use crate::cli::progress::Progress;
use crate::cli::table::{Align, render};
use crate::data::synth::{CEILING, CONFIG, SynthConfig, generate};
use crate::device::{self, DeviceChoice};
use crate::event::{Event, Observer};
use crate::fsio;
use anyhow::Result;
use std::fmt::Write;
use std::path::PathBuf;

/// Draw synthetic data of any size from preferences that are known, with a
/// config that trains on them.
///
/// A user takes item i with a chance in proportion to popularity(i) *
/// sigmoid((affinity - threshold) / noise), where the affinity is the inner
/// product of the user's and the item's vector. Says what these true
/// preferences score under the config's own split: no model can do better.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  recsys data synth datasets/synth
  recsys data synth /tmp/big --users 1000000 --items 100000 --interactions 100000000
  recsys data synth /tmp/easy --noise 0.05 --skew 0 --ceiling-users 10000
  recsys data synth /tmp/shops --platforms 3 --no-timestamps
  recsys train --config datasets/synth/config.toml")]
pub struct Args {
    /// The folder to make; must not be there yet.
    folder: PathBuf,
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    users: usize,
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    items: usize,
    /// Every user has at least one.
    #[arg(long, value_name = "N", default_value_t = 250_000)]
    interactions: usize,
    /// Of the users' and the items' vectors.
    #[arg(long, value_name = "D", default_value_t = 16)]
    dimension: usize,
    /// How uneven popularity is: 0 even, 1 Zipf's law.
    #[arg(long, value_name = "X", default_value_t = 0.8)]
    skew: f64,
    /// The affinity, in standard deviations over the catalog, from which on
    /// items are liked: 1.3 makes that a tenth of it.
    #[arg(
        long,
        value_name = "X",
        default_value_t = 1.3,
        allow_negative_numbers = true
    )]
    threshold: f64,
    /// How blurred that limit is, in the same unit.
    #[arg(long, value_name = "X", default_value_t = 0.3)]
    noise: f64,
    /// The time over which timestamps are spread.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 365,
        conflicts_with = "no_timestamps"
    )]
    days: u32,
    /// Leave the timestamps out.
    #[arg(long)]
    no_timestamps: bool,
    /// Number of platforms, one file each, which share users and items.
    #[arg(long, value_name = "N", default_value_t = 1)]
    platforms: usize,
    /// Leave user and item features out.
    #[arg(long)]
    no_features: bool,
    /// Let users take an item again.
    #[arg(long)]
    repeats: bool,
    /// Same seed, same data, on any number of threads.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Judge the true preferences on at most this many users; 0 not at all.
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    ceiling_users: usize,
}

impl Args {
    fn config(&self) -> SynthConfig {
        SynthConfig {
            seed: self.seed,
            users: self.users,
            items: self.items,
            interactions: self.interactions,
            dimension: self.dimension,
            skew: self.skew,
            threshold: self.threshold,
            noise: self.noise,
            days: (!self.no_timestamps).then_some(self.days),
            platforms: self.platforms,
            features: !self.no_features,
            repeats: self.repeats,
        }
    }
}

pub fn run(args: &Args, quiet: bool) -> Result<()> {
    let mut progress = Progress::new(quiet, Interrupt::default());
    let world = generate(&args.config(), &args.folder, &mut progress)?;
    let mut text = format!("{}\n", args.folder.join(CONFIG).display());
    if args.ceiling_users > 0 {
        progress.on(&Event::Stage("measuring the ceiling".into()));
        let device = device::resolve(DeviceChoice::Cpu)?;
        let ceiling = ceiling::measure(
            &world,
            &args.folder,
            args.ceiling_users,
            &device.device,
            &mut progress,
        )?;
        let json = serde_json::to_string_pretty(&ceiling)? + "\n";
        fsio::write_atomic_bytes(&args.folder.join(CEILING), json.as_bytes())?;
        text = table(&ceiling)? + &text;
    }
    output::print(&text)
}

fn table(ceiling: &Ceiling) -> Result<String> {
    let row = |(name, value): (&String, &f64)| {
        let popularity = ceiling.popularity.get(name);
        vec![
            name.clone(),
            format!("{value:.4}"),
            popularity.map_or(String::new(), |p| format!("{p:.4}")),
        ]
    };
    let rows: Vec<_> = ceiling.true_preferences.iter().map(row).collect();
    let heads = [
        ("test", Align::Left),
        ("true preferences", Align::Right),
        ("popularity", Align::Right),
    ];
    let mut text = render(&heads, &rows);
    writeln!(
        text,
        "\n{} users; {}; split: {}",
        ceiling.users, ceiling.ranking, ceiling.split
    )?;
    Ok(text)
}

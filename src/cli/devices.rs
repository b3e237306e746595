//! `recsys devices`

use super::output;
use super::table::{Align, render};
use crate::device::{self, AdapterInfo, DeviceChoice};
use anyhow::Result;
use std::fmt::Write;

/// List the adapters that wgpu sees, and what `--device auto` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  recsys devices
  recsys train --config configs/quickstart.toml --device wgpu:1    the adapter with number 1
  recsys train --config configs/quickstart.toml --device cpu       no adapter at all")]
pub struct Args {}

pub fn run(_: &Args) -> Result<()> {
    let mut text = adapter_table(&device::adapters());
    let backends = device::backends().join(", ");
    writeln!(text, "\nBackends of this build: {backends}")?;
    let auto = device::resolve(DeviceChoice::Auto)?;
    writeln!(text, "`auto` takes: {}", describe(&auto))?;
    if let Some(note) = &auto.note {
        writeln!(text, "  {note}")?;
    }
    output::print(&text)
}

/// A device in one line.
pub fn describe(device: &device::Resolved) -> String {
    let driver = if device.driver.is_empty() {
        String::new()
    } else {
        format!(", driver {}", device.driver)
    };
    format!("{} ({}{driver})", device.name, device.backend)
}

fn adapter_table(adapters: &[AdapterInfo]) -> String {
    if adapters.is_empty() {
        return "wgpu sees no adapter; `recsys doctor` says why, and what to do.\n".to_string();
    }
    let row = |a: &AdapterInfo| {
        vec![
            format!("wgpu:{}", a.index),
            a.name.clone(),
            a.kind.clone(),
            a.backend.clone(),
            a.driver.clone(),
            format!("{:.1} GiB", a.max_buffer_bytes as f64 / f64::from(1 << 30)),
        ]
    };
    let rows: Vec<_> = adapters.iter().map(row).collect();
    let heads = [
        ("device", Align::Left),
        ("name", Align::Left),
        ("type", Align::Left),
        ("backend", Align::Left),
        ("driver", Align::Left),
        ("largest buffer", Align::Right),
    ];
    render(&heads, &rows)
}

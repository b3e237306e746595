//! `recsys doctor`

use super::output;
use super::progress::short;
use super::table::{Align, WIDTH, render, wrap};
use crate::doctor::{Diagnosis, Problem, Surroundings, Trial, Weight, diagnose};
use crate::machine::bytes;
use crate::run_dir::RUNS;
use anyhow::Result;
use clap::ValueEnum;
use std::fmt::Write;
use std::path::Path;

/// Look at this machine, train two seconds on each device, and say what is
/// wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  recsys doctor
  recsys doctor --format json | jq '.problems'")]
pub struct Args {
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Table,
    Json,
}

pub fn run(args: &Args, quiet: bool) -> Result<()> {
    let diagnosis = diagnose(Path::new(RUNS), &surroundings(), &mut |device| {
        if !quiet {
            output::note(&format!("training two seconds on {device}"));
        }
    });
    match args.format {
        Format::Json => output::print(&(serde_json::to_string_pretty(&diagnosis)? + "\n")),
        Format::Table => output::print(&text(&diagnosis)?),
    }
}

fn surroundings() -> Surroundings {
    let variable = |name: &str| Some((name.to_string(), std::env::var(name).ok()?));
    Surroundings {
        vulkan_drivers: variable("VK_DRIVER_FILES").or_else(|| variable("VK_ICD_FILENAMES")),
        threads: std::env::var("RAYON_NUM_THREADS").ok(),
    }
}

fn text(seen: &Diagnosis) -> Result<String> {
    let mut text = String::new();
    let cpu = &seen.cpu;
    writeln!(
        text,
        "recsys   {} ({})",
        seen.version,
        seen.backends.join(", ")
    )?;
    writeln!(
        text,
        "cpu      {}{} threads, {}",
        if cpu.name.is_empty() {
            String::new()
        } else {
            format!("{}, ", cpu.name)
        },
        cpu.threads,
        match cpu.vectors.is_empty() {
            true => "no vector instructions that are used".to_string(),
            false => cpu.vectors.join(" "),
        }
    )?;
    if let Some(memory) = seen.memory {
        let limit = memory
            .limit
            .map_or_else(String::new, |l| format!(", limited to {}", bytes(l)));
        let (total, available) = (bytes(memory.total), bytes(memory.available));
        writeln!(text, "memory   {total}{limit}, {available} available")?;
    }
    if let Some(free) = seen.free_disk {
        writeln!(text, "disk     {} free for {RUNS}/", bytes(free))?;
    }
    for adapter in &seen.adapters {
        let info = &adapter.info;
        let memory = adapter.memory.map_or_else(String::new, |total| {
            let free = adapter
                .free_memory
                .map_or_else(String::new, |f| format!(" ({} free)", bytes(f)));
            format!(", {}{free}", bytes(total))
        });
        let (name, kind, backend, driver) = (&info.name, &info.kind, &info.backend, &info.driver);
        writeln!(
            text,
            "wgpu:{}   {name}, {kind}, {backend}, driver {driver}{memory}",
            info.index
        )?;
    }
    writeln!(text, "auto     {}\n", seen.auto)?;
    text += &trials(&seen.trials);
    writeln!(text)?;
    if seen.problems.is_empty() {
        text += "nothing is wrong\n";
    }
    for problem in &seen.problems {
        describe(&mut text, problem);
    }
    Ok(text)
}

fn trials(trials: &[Trial]) -> String {
    let row = |t: &Trial| {
        let speed = t
            .examples_per_second
            .map(|s| format!("{} examples/s", short(s)));
        vec![
            t.device.clone(),
            speed.unwrap_or_else(|| "failed".into()),
            t.start_seconds
                .map_or_else(String::new, |s| format!("{s:.1} s")),
            t.backend.clone(),
        ]
    };
    let heads = [
        ("device", Align::Left),
        ("two seconds of mf", Align::Right),
        ("start", Align::Right),
        ("backend", Align::Left),
    ];
    render(&heads, &trials.iter().map(row).collect::<Vec<_>>())
}

fn describe(text: &mut String, problem: &Problem) {
    let weight = match problem.weight {
        Weight::Info => "info",
        Weight::Warning => "warning",
        Weight::Error => "error",
    };
    *text += &wrap(&format!("{weight}: {}", problem.what), WIDTH, "");
    *text += &wrap(&problem.todo, WIDTH, "  ");
}

//! What `eval` and `recommend` begin with: a run, its data and its model.

use super::output;
use crate::config::Config;
use crate::device::{self, DeviceChoice, Resolved};
use crate::model::Recommender;
use crate::pipeline;
use crate::run_dir::{RUNS, RunData, RunDir, State, newest};
use anyhow::Result;
use std::path::Path;

pub struct Opened {
    pub run: RunDir,
    pub config: Config,
    pub data: RunData,
    pub model: Box<dyn Recommender>,
    pub device: Resolved,
}

/// Opens the named run, or the newest one and says which that is.
///
/// # Errors
/// No run, a damaged one, one without a model, or a device that is not there.
pub fn open(path: Option<&Path>, choice: Option<DeviceChoice>, quiet: bool) -> Result<Opened> {
    let run = match path {
        Some(path) => RunDir::open(path)?,
        None => newest(Path::new(RUNS))?,
    };
    let config = run.config()?;
    // The most likely mistake is told first: a run that has no model yet.
    let weights = run.model()?;
    if path.is_none() && !quiet {
        output::note(&format!("run {}", run.path().display()));
    }
    if run.file.state == State::Interrupted {
        output::note(&format!(
            "warning: the training of {} was interrupted; this is its best model so far",
            run.path().display()
        ));
    }
    let device = device::resolve(choice.unwrap_or(config.device))?;
    say_device(&device, quiet);
    let data = run.data()?;
    let model = pipeline::load(&config, &data, &weights, &device)?;
    Ok(Opened {
        run,
        config,
        data,
        model,
        device,
    })
}

/// Says where the work is done, and why there.
pub fn say_device(device: &Resolved, quiet: bool) {
    if !quiet {
        let note = device
            .note
            .as_ref()
            .map_or_else(String::new, |n| format!(": {n}"));
        output::note(&format!(
            "device {}{note}",
            super::devices::describe(device)
        ));
    }
}

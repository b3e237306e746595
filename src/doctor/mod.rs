//! What this machine is good for, and what is wrong with it: `recsys doctor`.

mod advice;
mod graphics;
mod trial;

pub use advice::{Problem, Weight, problems};
pub use trial::{Trial, trial};

use crate::device::{self, AdapterInfo, DeviceChoice, vram};
use crate::machine::{self, Cpu, Memory};
use serde::Serialize;
use std::path::Path;

/// All that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    pub version: &'static str,
    pub cpu: Cpu,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Bytes free where runs go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_disk: Option<u64>,
    /// Why nothing can be written there, where that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_error: Option<String>,
    /// Of this build.
    pub backends: Vec<&'static str>,
    pub adapters: Vec<Adapter>,
    /// What `--device auto` takes, and why.
    pub auto: String,
    pub trials: Vec<Trial>,
    pub problems: Vec<Problem>,
}

/// An adapter, with its card's memory where that is known.
#[derive(Clone, Debug, Serialize)]
pub struct Adapter {
    #[serde(flatten)]
    pub info: AdapterInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_memory: Option<u64>,
}

/// What the caller knows of the surroundings of the process.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `VK_DRIVER_FILES` or `VK_ICD_FILENAMES`, which say where Vulkan looks
    /// for drivers.
    pub vulkan_drivers: Option<(String, String)>,
    /// `RAYON_NUM_THREADS`
    pub threads: Option<String>,
}

/// Looks at everything and trains two seconds on each device; `tell` hears of
/// each device before it is tried.
pub fn diagnose(runs: &Path, surroundings: &Surroundings, tell: &mut dyn FnMut(&str)) -> Diagnosis {
    let cards = vram::cards();
    let adapters: Vec<Adapter> = device::adapters()
        .into_iter()
        .map(|info| {
            let card = vram::of_adapter(&info.name, &info.driver, &cards);
            Adapter {
                memory: card.as_ref().map(|c| c.total),
                free_memory: card.map(|c| c.free),
                info,
            }
        })
        .collect();
    let auto = match device::resolve(DeviceChoice::Auto) {
        Ok(device) => match &device.note {
            Some(note) => format!("{} ({}): {note}", device.name, device.backend),
            None => format!("{} ({})", device.name, device.backend),
        },
        Err(e) => format!("{e:#}"),
    };
    let trials = choices(&adapters)
        .into_iter()
        .map(|choice| {
            tell(&choice.to_string());
            trial(choice)
        })
        .collect();
    let mut diagnosis = Diagnosis {
        version: env!("CARGO_PKG_VERSION"),
        cpu: machine::cpu(),
        memory: machine::memory(),
        free_disk: machine::free_disk(runs),
        disk_error: write_error(runs),
        backends: device::backends(),
        adapters,
        auto,
        trials,
        problems: Vec::new(),
    };
    diagnosis.problems = problems(&diagnosis, surroundings);
    diagnosis
}

/// Each backend on the CPU, and each adapter.
fn choices(adapters: &[Adapter]) -> Vec<DeviceChoice> {
    let mut choices = vec![DeviceChoice::Cpu];
    if device::backends().contains(&"ndarray") {
        choices.push(DeviceChoice::Ndarray);
    }
    let index = |a: &Adapter| DeviceChoice::Wgpu(device::Adapter::Index(a.info.index));
    choices.extend(adapters.iter().map(index));
    choices
}

/// Why no run can be written into a folder, which need not be there yet.
fn write_error(runs: &Path) -> Option<String> {
    let there = runs.ancestors().find(|p| p.is_dir());
    let folder = there.unwrap_or(Path::new("."));
    let tried = tempfile::Builder::new()
        .prefix(".doctor")
        .tempfile_in(folder);
    tried.err().map(|e| format!("{}: {e}", folder.display()))
}

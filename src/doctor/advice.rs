//! What is wrong in words, and what to do about it.

use super::{Diagnosis, Surroundings, Trial};
use crate::machine::bytes;
use serde::Serialize;
use std::path::Path;

const LITTLE_DISK: u64 = 2 << 30;
const NO_DISK: u64 = 200 << 20;
const LITTLE_MEMORY: u64 = 2 << 30;
/// The limit that wgpu guarantees is far below; real cards hold more.
const SMALL_BUFFER: u64 = 1 << 30;
/// Versions before which Vulkan compute on these drivers had known faults, or
/// lacked what the kernels ask for.
const OLDEST_NVIDIA: u32 = 525;
const OLDEST_MESA: u32 = 22;

/// How much a problem weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// Good to know.
    Info,
    /// Slower, or less than there could be.
    Warning,
    /// Trainings will fail.
    Error,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub weight: Weight,
    pub what: String,
    pub todo: String,
}

fn problem(weight: Weight, what: impl Into<String>, todo: impl Into<String>) -> Problem {
    Problem {
        weight,
        what: what.into(),
        todo: todo.into(),
    }
}

/// All that is wrong, the worst first.
pub fn problems(seen: &Diagnosis, around: &Surroundings) -> Vec<Problem> {
    let mut found = disk(seen);
    found.extend(memory(seen));
    found.extend(processor(seen, around));
    found.extend(adapters(seen, around));
    found.extend(drivers(seen));
    found.extend(trials(seen));
    found.sort_by_key(|p| std::cmp::Reverse(p.weight));
    found
}

fn disk(seen: &Diagnosis) -> Vec<Problem> {
    let mut found = Vec::new();
    if let Some(error) = &seen.disk_error {
        found.push(problem(
            Weight::Error,
            format!("no run can be written here: {error}"),
            "go to a folder of your own, or give `train` another one with --output",
        ));
    }
    if let Some(free) = seen.free_disk.filter(|f| *f < LITTLE_DISK) {
        let weight = if free < NO_DISK {
            Weight::Error
        } else {
            Weight::Warning
        };
        found.push(problem(
            weight,
            format!("only {} are free where runs go", bytes(free)),
            "delete old folders in runs/ (runs/.cache is made again when needed), or use --output on another disk",
        ));
    }
    found
}

fn memory(seen: &Diagnosis) -> Vec<Problem> {
    let Some(memory) = seen.memory else {
        return Vec::new();
    };
    let mut found = Vec::new();
    if let Some(limit) = memory.limit {
        found.push(problem(
            Weight::Info,
            format!(
                "this process may use {} of the {} of memory (a limit of its control group, as in containers)",
                bytes(limit),
                bytes(memory.total)
            ),
            "raise the limit (docker: --memory, Kubernetes: resources.limits.memory) where data do not fit",
        ));
    }
    if memory.available < LITTLE_MEMORY {
        found.push(problem(
            Weight::Warning,
            format!("only {} of memory are available", bytes(memory.available)),
            "close other programs, or take less data or smaller models: `train` says what a model takes",
        ));
    }
    found
}

fn processor(seen: &Diagnosis, around: &Surroundings) -> Vec<Problem> {
    let cpu = &seen.cpu;
    let mut found = Vec::new();
    if cfg!(target_arch = "x86_64") && !cpu.vectors.contains(&"avx2") {
        found.push(problem(
            Weight::Warning,
            "this processor has no AVX2: training and ranking on the CPU are several times slower",
            "use another machine; in a virtual machine, let it show the host's processor",
        ));
    }
    if let Some(threads) = &around.threads {
        found.push(problem(
            Weight::Info,
            format!("RAYON_NUM_THREADS = {threads} sets the number of threads"),
            "unset it to use all that there are",
        ));
    }
    if cpu.threads < cpu.cores {
        found.push(problem(
            Weight::Info,
            format!(
                "this process may use {} of {} processors",
                cpu.threads, cpu.cores
            ),
            "raise the limit (docker: --cpus, taskset, Slurm) to train faster on the CPU",
        ));
    }
    if cfg!(debug_assertions) {
        found.push(problem(
            Weight::Warning,
            "this program was built without optimization",
            "build it with --release",
        ));
    }
    found
}

fn adapters(seen: &Diagnosis, around: &Surroundings) -> Option<Problem> {
    if !seen.backends.contains(&"wgpu") {
        return Some(problem(
            Weight::Info,
            "this build has no GPU support",
            "build with the default features for it",
        ));
    }
    if seen.adapters.is_empty() {
        return Some(problem(
            Weight::Warning,
            format!("no graphics adapter is seen: {}", why_none(around)),
            todo_without_adapter(around),
        ));
    }
    let hidden = around.vulkan_drivers.as_ref();
    if let Some((variable, value)) = hidden.filter(|(_, value)| names_nothing(value)) {
        return Some(problem(
            Weight::Warning,
            format!("Vulkan sees no adapter: {}", why_none(around)),
            format!("unset {variable}, or let it name a file that is there, not {value}"),
        ));
    }
    let only_software = seen.adapters.iter().all(|a| a.info.software);
    only_software.then(|| {
        let names: Vec<&str> = seen.adapters.iter().map(|a| a.info.name.as_str()).collect();
        let (weight, why) = match card_without_driver() {
            Some(why) => (Weight::Warning, format!(": {why}")),
            None => (Weight::Info, String::new()),
        };
        problem(
            weight,
            format!(
                "the only adapter is software ({}), which runs on the CPU and slower than --device cpu{why}",
                names.join(", ")
            ),
            "use --device cpu (auto does), or install the driver of your card",
        )
    })
}

fn why_none(around: &Surroundings) -> String {
    if let Some((variable, value)) = &around.vulkan_drivers {
        if names_nothing(value) {
            return format!("{variable} = {value} says where drivers are, and nothing is there");
        }
        return format!("{variable} = {value} names the only drivers that are looked at");
    }
    if cfg!(target_os = "linux") && !has_loader() {
        return "the Vulkan loader (libvulkan.so.1) is not installed".into();
    }
    card_without_driver().unwrap_or_else(|| "this machine shows no graphics card".into())
}

fn names_nothing(files: &str) -> bool {
    let mut files = files.split(':').filter(|f| !f.is_empty());
    files.all(|f| !Path::new(f).exists())
}

fn todo_without_adapter(around: &Surroundings) -> String {
    match &around.vulkan_drivers {
        Some((variable, _)) => format!("unset {variable}, or let it name a file that is there"),
        None if cfg!(target_os = "linux") => {
            "with a card: install its driver with Vulkan (Debian, Ubuntu: libvulkan1 and \
             mesa-vulkan-drivers, or NVIDIA's; docker: --gpus all and \
             NVIDIA_DRIVER_CAPABILITIES=all); without one, --device cpu does all"
                .into()
        }
        None => "install the driver of your card; without one, --device cpu does all".into(),
    }
}

fn has_loader() -> bool {
    let folders = [
        "/lib/x86_64-linux-gnu",
        "/usr/lib/x86_64-linux-gnu",
        "/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/lib64",
    ];
    folders
        .iter()
        .any(|f| Path::new(f).join("libvulkan.so.1").exists())
}

/// A card that the kernel knows of, and that Vulkan does not.
fn card_without_driver() -> Option<String> {
    if Path::new("/proc/driver/nvidia").exists() {
        return Some(
            "NVIDIA's kernel driver is loaded, but its Vulkan driver is not installed here".into(),
        );
    }
    let folder = std::fs::read_dir("/dev/dri").ok()?;
    let render = folder
        .flatten()
        .find(|f| f.file_name().to_string_lossy().starts_with("render"))?;
    let path = render.path();
    Some(
        match std::fs::File::options().read(true).write(true).open(&path) {
            Ok(_) => format!("{} is there, but no Vulkan driver for it", path.display()),
            Err(e) => format!(
                "{} cannot be opened ({e}): are you in the group `render`?",
                path.display()
            ),
        },
    )
}

fn drivers(seen: &Diagnosis) -> Vec<Problem> {
    let mut found = Vec::new();
    for adapter in seen.adapters.iter().map(|a| &a.info) {
        if let Some((maker, version, oldest)) = too_old(&adapter.driver) {
            found.push(problem(
                Weight::Warning,
                format!(
                    "the driver of {} is old: {maker} {version}, before {oldest}",
                    adapter.name
                ),
                "update it; kernels may fail or be slow until then",
            ));
        }
        if !adapter.software && adapter.max_buffer_bytes < SMALL_BUFFER {
            found.push(problem(
                Weight::Info,
                format!(
                    "{} holds at most {} in one buffer",
                    adapter.name,
                    bytes(adapter.max_buffer_bytes)
                ),
                "larger tables of embeddings need a smaller embedding_dim or --device cpu",
            ));
        }
    }
    found
}

/// Maker, version and the oldest that will do.
fn too_old(driver: &str) -> Option<(&'static str, String, u32)> {
    for (maker, oldest) in [("NVIDIA", OLDEST_NVIDIA), ("Mesa", OLDEST_MESA)] {
        let Some((_, rest)) = driver.split_once(maker) else {
            continue;
        };
        let version: String = rest
            .trim_start()
            .chars()
            .take_while(|c| c.is_ascii_digit() || *c == '.')
            .collect();
        let major: Option<u32> = version.split('.').next().and_then(|v| v.parse().ok());
        return major
            .filter(|m| *m < oldest)
            .map(|_| (maker, version, oldest));
    }
    None
}

fn trials(seen: &Diagnosis) -> Vec<Problem> {
    let speed = |t: &Trial| t.examples_per_second.unwrap_or(0.0);
    let cpu = seen
        .trials
        .iter()
        .find(|t| t.device == "cpu")
        .map_or(0.0, speed);
    let mut found = Vec::new();
    for trial in &seen.trials {
        let software = seen
            .adapters
            .iter()
            .any(|a| a.info.software && trial.device == format!("wgpu:{}", a.info.index));
        if let Some(error) = &trial.error {
            found.push(problem(
                if software {
                    Weight::Info
                } else {
                    Weight::Error
                },
                format!("training on {} failed: {error}", trial.device),
                "use another --device; with a card, update its driver",
            ));
        } else if trial.device.starts_with("wgpu") && !software && speed(trial) < cpu {
            found.push(problem(
                Weight::Warning,
                format!(
                    "{} ({}) trains this small model slower than the CPU",
                    trial.device, trial.name
                ),
                "use --device cpu for small models and a larger batch_size on this card",
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::AdapterInfo;
    use crate::doctor::Adapter;
    use crate::machine::{Cpu, Memory};

    fn healthy() -> Diagnosis {
        Diagnosis {
            version: "0",
            cpu: Cpu {
                name: "x".into(),
                threads: 8,
                cores: 8,
                vectors: vec!["avx2", "fma"],
            },
            memory: Some(Memory {
                total: 32 << 30,
                available: 20 << 30,
                limit: None,
            }),
            free_disk: Some(100 << 30),
            disk_error: None,
            backends: vec!["cpu", "wgpu"],
            adapters: vec![adapter("NVIDIA H100", "NVIDIA 550.54.15", false)],
            auto: String::new(),
            trials: vec![trial("cpu", 1e6), trial("wgpu:0", 1e8)],
            problems: Vec::new(),
        }
    }

    fn adapter(name: &str, driver: &str, software: bool) -> Adapter {
        Adapter {
            info: AdapterInfo {
                index: 0,
                name: name.into(),
                kind: "discrete".into(),
                backend: "Vulkan".into(),
                driver: driver.into(),
                max_buffer_bytes: 4 << 30,
                software,
            },
            memory: None,
            free_memory: None,
        }
    }

    fn trial(device: &str, speed: f64) -> Trial {
        Trial {
            device: device.into(),
            name: String::new(),
            backend: String::new(),
            driver: String::new(),
            start_seconds: Some(0.1),
            examples_per_second: Some(speed),
            error: None,
        }
    }

    /// What is found once something is changed.
    fn found(change: impl Fn(&mut Diagnosis), around: &Surroundings) -> Vec<(Weight, String)> {
        let mut seen = healthy();
        change(&mut seen);
        let all = problems(&seen, around).into_iter();
        // How this test itself was built is not the question.
        let all = all.filter(|p| !p.what.contains("without optimization"));
        all.map(|p| (p.weight, p.what)).collect()
    }

    fn one(change: impl Fn(&mut Diagnosis), words: &str, weight: Weight) {
        let all = found(change, &Surroundings::default());
        assert_eq!(all.len(), 1, "{all:?}");
        assert!(all[0].1.contains(words), "{all:?}");
        assert_eq!(all[0].0, weight, "{all:?}");
    }

    #[test]
    fn a_healthy_machine_has_no_problems() {
        assert_eq!(found(|_| {}, &Surroundings::default()), []);
    }

    #[test]
    fn each_problem_is_told() {
        one(
            |d| d.free_disk = Some(1 << 30),
            "1.0 GiB are free",
            Weight::Warning,
        );
        one(|d| d.free_disk = Some(1 << 20), "are free", Weight::Error);
        one(
            |d| d.disk_error = Some("x: denied".into()),
            "x: denied",
            Weight::Error,
        );
        let limited = |limit, available| {
            move |d: &mut Diagnosis| {
                d.memory = Some(Memory {
                    total: 32 << 30,
                    available,
                    limit,
                });
            }
        };
        one(
            limited(Some(4 << 30), 3 << 30),
            "4.0 GiB of the 32.0 GiB",
            Weight::Info,
        );
        one(
            limited(None, 1 << 30),
            "only 1.0 GiB of memory",
            Weight::Warning,
        );
        one(|d| d.cpu.threads = 2, "2 of 8 processors", Weight::Info);
        if cfg!(target_arch = "x86_64") {
            one(|d| d.cpu.vectors.clear(), "no AVX2", Weight::Warning);
        }
        one(
            |d| d.adapters[0].info.driver = "NVIDIA 470.1".into(),
            "470.1, before 525",
            Weight::Warning,
        );
        one(
            |d| d.adapters[0].info.driver = "radv Mesa 20.3.5".into(),
            "20.3.5",
            Weight::Warning,
        );
        one(
            |d| d.trials[1].error = Some("lost".into()),
            "wgpu:0 failed: lost",
            Weight::Error,
        );
        one(
            |d| d.trials[1].examples_per_second = Some(1e5),
            "slower than the CPU",
            Weight::Warning,
        );
        one(
            |d| d.adapters[0].info.max_buffer_bytes = 128 << 20,
            "128 MiB in one buffer",
            Weight::Info,
        );
    }

    #[test]
    fn hidden_drivers_are_named() {
        let around = Surroundings {
            vulkan_drivers: Some(("VK_DRIVER_FILES".into(), "/nowhere.json".into())),
            threads: None,
        };
        let all = found(|d| d.adapters.clear(), &around);
        assert!(
            all[0].1.contains("VK_DRIVER_FILES = /nowhere.json")
                && all[0].1.contains("nothing is there"),
            "{all:?}"
        );
        let software =
            |d: &mut Diagnosis| d.adapters = vec![adapter("llvmpipe", "llvmpipe Mesa 25.0", true)];
        let all = found(software, &Surroundings::default());
        assert!(
            all[0].1.contains("the only adapter is software (llvmpipe)"),
            "{all:?}"
        );
    }
}

//! What is wrong in words, and what to do about it.

use super::graphics::{adapters, drivers};
use super::{Diagnosis, Surroundings, Trial};
use crate::machine::bytes;
use serde::Serialize;

const LITTLE_DISK: u64 = 2 << 30;
const NO_DISK: u64 = 200 << 20;
const LITTLE_MEMORY: u64 = 2 << 30;
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

pub(super) fn problem(weight: Weight, what: impl Into<String>, todo: impl Into<String>) -> Problem {
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

//! What is wrong with graphics adapters and their drivers.

use super::advice::{Problem, Weight, problem};
use super::{Diagnosis, Surroundings};
use crate::machine::bytes;
use std::path::Path;

/// The limit that wgpu guarantees is far below; real cards hold more.
const SMALL_BUFFER: u64 = 1 << 30;
/// Versions before which Vulkan compute on these drivers had known faults, or
/// lacked what the kernels ask for.
const OLDEST_NVIDIA: u32 = 525;
const OLDEST_MESA: u32 = 22;

/// Whether there are adapters, and why not.
pub fn adapters(seen: &Diagnosis, around: &Surroundings) -> Option<Problem> {
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

/// Drivers that are too old, and cards of small buffers.
pub fn drivers(seen: &Diagnosis) -> Vec<Problem> {
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

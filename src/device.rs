//! Which device trains: parsing the choice, probing, falling back.
//!
//! The only place that knows which backends this build has. Nobody else
//! constructs a device, and nobody calls `Device::default()`.

use anyhow::{Result, bail};
use burn::backend::DispatchDevice;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

#[cfg(feature = "wgpu")]
mod gpu;
pub mod vram;

#[cfg(feature = "wgpu")]
pub use gpu::client;

/// `--device` and `device =`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// A real GPU when one answers, the CPU otherwise.
    #[default]
    Auto,
    /// burn's flex backend.
    Cpu,
    /// burn's older ndarray backend.
    Ndarray,
    /// An adapter that wgpu sees, software adapters included.
    Wgpu(Adapter),
}

/// Which of wgpu's adapters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adapter {
    /// wgpu's own preference.
    Any,
    /// The number in `recsys devices`.
    Index(usize),
    /// The first on this graphics API.
    Api(Api),
}

/// A graphics API below wgpu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    Vulkan,
    Metal,
    Dx12,
    Gl,
}

const APIS: [(&str, Api); 4] = [
    ("vulkan", Api::Vulkan),
    ("metal", Api::Metal),
    ("dx12", Api::Dx12),
    ("gl", Api::Gl),
];

/// What a person can write.
pub const CHOICES: &str =
    "auto, cpu, ndarray, wgpu, wgpu:N, wgpu:vulkan, wgpu:metal, wgpu:dx12, wgpu:gl";

impl FromStr for DeviceChoice {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim().to_lowercase();
        Ok(match text.as_str() {
            "auto" => Self::Auto,
            "cpu" | "flex" => Self::Cpu,
            "ndarray" => Self::Ndarray,
            "wgpu" | "gpu" => Self::Wgpu(Adapter::Any),
            other => match other.strip_prefix("wgpu:") {
                Some(which) => Self::Wgpu(parse_adapter(which)?),
                None => bail!(
                    "unknown device `{text}`{} (there are: {CHOICES})",
                    crate::suggest::did_you_mean(&text, &["auto", "cpu", "ndarray", "wgpu"])
                ),
            },
        })
    }
}

fn parse_adapter(which: &str) -> Result<Adapter> {
    if let Some((_, api)) = APIS.iter().find(|(name, _)| *name == which) {
        return Ok(Adapter::Api(*api));
    }
    match which.parse() {
        Ok(index) => Ok(Adapter::Index(index)),
        Err(_) => bail!("unknown adapter `wgpu:{which}` (there are: {CHOICES})"),
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Ndarray => f.write_str("ndarray"),
            Self::Wgpu(Adapter::Any) => f.write_str("wgpu"),
            Self::Wgpu(Adapter::Index(n)) => write!(f, "wgpu:{n}"),
            Self::Wgpu(Adapter::Api(api)) => {
                let name = APIS.iter().find(|(_, a)| a == api).map_or("", |(n, _)| n);
                write!(f, "wgpu:{name}")
            }
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}

/// A device that is ready, and what to tell about it.
#[derive(Clone, Debug)]
pub struct Resolved {
    pub device: Device,
    /// `cpu`, `ndarray` or the adapter's name.
    pub name: String,
    /// `flex`, `ndarray`, `Vulkan`, ...
    pub backend: String,
    /// Driver and version, empty on the CPU.
    pub driver: String,
    /// Why `auto` fell back, where it did.
    pub note: Option<String>,
}

/// An adapter that wgpu sees.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdapterInfo {
    /// `wgpu:N`
    pub index: usize,
    pub name: String,
    /// `discrete`, `integrated`, `virtual`, `software` or `other`.
    pub kind: String,
    pub backend: String,
    pub driver: String,
    /// Largest single buffer, in bytes.
    pub max_buffer_bytes: u64,
    /// Runs on the CPU (llvmpipe, lavapipe, WARP): only taken when named.
    pub software: bool,
}

/// Which of our kernels run on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// The CPU through flex: loops over slices.
    Flex,
    /// A GPU through wgpu.
    Gpu,
    /// None: plain tensor operations must do.
    Other,
}

/// The family of a device, with or without autodiff.
pub fn family(device: &Device) -> Family {
    match device.clone().inner().as_dispatch() {
        DispatchDevice::Flex(_) => Family::Flex,
        #[cfg(feature = "wgpu")]
        DispatchDevice::Cube(_) => Family::Gpu,
        _ => Family::Other,
    }
}

/// Whether tensors of this device are served best by plain loops of our own on
/// the CPU. ndarray is not: it stands for burn's operations as they are.
pub fn is_host(device: &Device) -> bool {
    family(device) == Family::Flex
}

/// The host, for models that no other device computes.
pub fn host() -> Device {
    Device::flex()
}

/// Bytes that a device holds in one buffer, where that is less than its memory.
#[cfg(feature = "wgpu")]
pub fn largest_buffer(device: &Device) -> Option<u64> {
    client(device).map(|client| client.properties().memory.max_page_size)
}

/// Bytes that a device holds in one buffer, where that is less than its memory.
#[cfg(not(feature = "wgpu"))]
pub fn largest_buffer(_: &Device) -> Option<u64> {
    None
}

/// # Errors
/// A buffer of so many bytes for `what` is more than the device can hold.
pub fn ensure_fits(device: &Device, what: &str, bytes: usize) -> Result<()> {
    match largest_buffer(device) {
        Some(most) if bytes as u64 > most => bail!(
            "{what} takes {bytes} bytes, and this device has buffers of at most {most}; \
             use a smaller `embedding_dim` or less data, or `--device cpu`"
        ),
        _ => Ok(()),
    }
}

/// The adapters that wgpu sees; none in a build without wgpu.
pub fn adapters() -> Vec<AdapterInfo> {
    #[cfg(feature = "wgpu")]
    return gpu::adapters();
    #[cfg(not(feature = "wgpu"))]
    return Vec::new();
}

/// The backends of this build, as `--device` names them.
pub fn backends() -> Vec<&'static str> {
    let mut backends = vec!["cpu"];
    if cfg!(feature = "ndarray") {
        backends.push("ndarray");
    }
    if cfg!(feature = "wgpu") {
        backends.push("wgpu");
    }
    backends
}

/// Makes the chosen device ready.
///
/// # Errors
/// A named device that this build or this machine does not have. `auto`
/// never fails.
pub fn resolve(choice: DeviceChoice) -> Result<Resolved> {
    match choice {
        DeviceChoice::Cpu => Ok(cpu(None)),
        DeviceChoice::Ndarray => ndarray(),
        DeviceChoice::Wgpu(adapter) => wgpu(adapter),
        DeviceChoice::Auto => Ok(auto()),
    }
}

fn cpu(note: Option<String>) -> Resolved {
    Resolved {
        device: Device::flex(),
        name: "cpu".into(),
        backend: "flex".into(),
        driver: String::new(),
        note,
    }
}

#[cfg(feature = "ndarray")]
fn ndarray() -> Result<Resolved> {
    // Deprecated in favor of flex by burn, and kept here as a second opinion.
    #[allow(deprecated)]
    let device = Device::ndarray();
    Ok(Resolved {
        device,
        name: "cpu".into(),
        backend: "ndarray".into(),
        driver: String::new(),
        note: None,
    })
}

#[cfg(not(feature = "ndarray"))]
fn ndarray() -> Result<Resolved> {
    bail!(
        "this build has no ndarray backend; use `--device cpu`, or build with `--features ndarray`"
    )
}

#[cfg(feature = "wgpu")]
fn wgpu(adapter: Adapter) -> Result<Resolved> {
    gpu::resolve(adapter)
}

#[cfg(not(feature = "wgpu"))]
fn wgpu(_: Adapter) -> Result<Resolved> {
    bail!("this build has no wgpu backend; use `--device cpu`, or build with `--features wgpu`")
}

#[cfg(feature = "wgpu")]
fn auto() -> Resolved {
    let Some(real) = adapters().into_iter().find(|a| !a.software) else {
        return cpu(Some("no GPU found, so the CPU is used".into()));
    };
    match gpu::resolve(Adapter::Index(real.index)) {
        Ok(resolved) => resolved,
        Err(e) => cpu(Some(format!(
            "{} does not answer ({e:#}), so the CPU is used",
            real.name
        ))),
    }
}

#[cfg(not(feature = "wgpu"))]
fn auto() -> Resolved {
    cpu(Some(
        "this build has no GPU support, so the CPU is used".into(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_round_trip() {
        for text in [
            "auto",
            "cpu",
            "ndarray",
            "wgpu",
            "wgpu:1",
            "wgpu:gl",
            "wgpu:vulkan",
        ] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_misspelled_device_is_named_and_answered() {
        let error = "wgup".parse::<DeviceChoice>().unwrap_err().to_string();
        assert!(error.contains("`wgup`, did you mean `wgpu`?"), "{error}");
        assert!("wgpu:x".parse::<DeviceChoice>().is_err());
    }

    #[test]
    fn auto_never_takes_a_software_adapter() {
        let software: Vec<_> = adapters()
            .into_iter()
            .filter(|a| a.software)
            .map(|a| a.name)
            .collect();
        let auto = resolve(DeviceChoice::Auto).unwrap();
        assert!(!software.contains(&auto.name), "{auto:?}");
        assert_eq!(auto.backend == "flex", auto.note.is_some());
    }

    #[cfg(feature = "wgpu")]
    #[test]
    fn an_adapter_that_is_not_there_is_an_error() {
        let error = resolve(DeviceChoice::Wgpu(Adapter::Index(99)))
            .unwrap_err()
            .to_string();
        assert!(error.contains("wgpu:99"), "{error}");
    }
}

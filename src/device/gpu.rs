//! wgpu adapters: listing, probing, and keeping what was made ready.

use super::{APIS, Adapter, AdapterInfo, Api, Resolved};
use anyhow::{Result, anyhow, bail};
use burn::backend::DispatchDevice;
use burn::tensor::{
    Device, DeviceKind,
    wgpu::{WgpuBackend, wgpu},
};
use cubecl::client::Client;
use std::sync::Mutex;

/// An adapter as wgpu and as burn name it.
struct Seen {
    info: wgpu::AdapterInfo,
    limits: wgpu::Limits,
    kind: DeviceKind,
    api: WgpuBackend,
}

fn see() -> Vec<Seen> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapters = cubecl::future::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    let mut seen: Vec<Seen> = Vec::new();
    for adapter in adapters {
        let info = adapter.get_info();
        let Some(api) = api_of(info.backend) else {
            continue;
        };
        // burn counts each type of adapter on each graphics API from zero.
        let before = seen
            .iter()
            .filter(|s| s.api == api && s.info.device_type == info.device_type)
            .count();
        let kind = match info.device_type {
            wgpu::DeviceType::DiscreteGpu => DeviceKind::DiscreteGpu(before),
            wgpu::DeviceType::IntegratedGpu => DeviceKind::IntegratedGpu(before),
            wgpu::DeviceType::VirtualGpu => DeviceKind::VirtualGpu(before),
            wgpu::DeviceType::Cpu if before == 0 => DeviceKind::Cpu,
            // Only what burn can be asked for is listed.
            wgpu::DeviceType::Cpu | wgpu::DeviceType::Other => continue,
        };
        seen.push(Seen {
            info,
            limits: adapter.limits(),
            kind,
            api,
        });
    }
    seen
}

fn api_of(backend: wgpu::Backend) -> Option<WgpuBackend> {
    Some(match backend {
        wgpu::Backend::Vulkan => WgpuBackend::Vulkan,
        wgpu::Backend::Metal => WgpuBackend::Metal,
        wgpu::Backend::Dx12 => WgpuBackend::Dx12,
        wgpu::Backend::Gl => WgpuBackend::Gl,
        wgpu::Backend::Noop | wgpu::Backend::BrowserWebGpu => return None,
    })
}

fn is_software(info: &wgpu::AdapterInfo) -> bool {
    info.device_type == wgpu::DeviceType::Cpu || info.name.to_lowercase().contains("llvmpipe")
}

pub fn adapters() -> Vec<AdapterInfo> {
    let describe = |(index, seen): (usize, Seen)| AdapterInfo {
        index,
        kind: match seen.info.device_type {
            wgpu::DeviceType::DiscreteGpu => "discrete",
            wgpu::DeviceType::IntegratedGpu => "integrated",
            wgpu::DeviceType::VirtualGpu => "virtual",
            wgpu::DeviceType::Cpu => "software",
            wgpu::DeviceType::Other => "other",
        }
        .into(),
        backend: seen.info.backend.to_string(),
        driver: driver_of(&seen.info),
        max_buffer_bytes: seen.limits.max_buffer_size,
        software: is_software(&seen.info),
        name: seen.info.name,
    };
    see().into_iter().enumerate().map(describe).collect()
}

fn driver_of(info: &wgpu::AdapterInfo) -> String {
    format!("{} {}", info.driver, info.driver_info)
        .trim()
        .to_string()
}

/// The queue of a GPU, for kernels that own their buffers; `None` for a device
/// of another kind.
pub fn client(device: &Device) -> Option<Client> {
    match device.clone().inner().as_dispatch() {
        DispatchDevice::Cube(device) => Some(device.client()),
        _ => None,
    }
}

/// What this process has made ready: a runtime cannot be initialized twice.
static READY: Mutex<Vec<(DeviceKind, WgpuBackend, Resolved)>> = Mutex::new(Vec::new());

pub fn resolve(adapter: Adapter) -> Result<Resolved> {
    let (kind, api) = match adapter {
        Adapter::Any => (DeviceKind::DefaultDevice, WgpuBackend::Auto),
        Adapter::Api(api) => (DeviceKind::DefaultDevice, pinned(api)),
        Adapter::Index(index) => by_index(index)?,
    };
    let mut ready = READY
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((_, _, resolved)) = ready.iter().find(|(k, a, _)| *k == kind && *a == api) {
        return Ok(resolved.clone());
    }
    let (device, setup) = Device::wgpu_options()
        .device_kind(kind.clone())
        .graphics_api(api)
        .init_with_setup()
        .map_err(|e| unavailable(adapter, &e.to_string()))?;
    let info = setup.adapter.get_info();
    let resolved = Resolved {
        device,
        name: info.name.clone(),
        backend: format!("wgpu/{}", info.backend),
        driver: driver_of(&info),
        note: is_software(&info)
            .then(|| "this adapter is software: right for tests, slower than `cpu`".into()),
    };
    ready.push((kind, api, resolved.clone()));
    Ok(resolved)
}

fn pinned(api: Api) -> WgpuBackend {
    match api {
        Api::Vulkan => WgpuBackend::Vulkan,
        Api::Metal => WgpuBackend::Metal,
        Api::Dx12 => WgpuBackend::Dx12,
        Api::Gl => WgpuBackend::Gl,
    }
}

fn by_index(index: usize) -> Result<(DeviceKind, WgpuBackend)> {
    let seen = see();
    match seen.get(index) {
        Some(s) => Ok((s.kind.clone(), s.api)),
        None if seen.is_empty() => {
            bail!("there is no adapter wgpu:{index}: wgpu sees none; use `--device cpu`")
        }
        None => bail!(
            "there is no adapter wgpu:{index}; wgpu sees {}",
            seen.iter()
                .enumerate()
                .map(|(i, s)| format!("wgpu:{i} ({})", s.info.name))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}

fn unavailable(adapter: Adapter, why: &str) -> anyhow::Error {
    let on = match adapter {
        Adapter::Api(api) => {
            let name = APIS.iter().find(|(_, a)| *a == api).map_or("", |(n, _)| n);
            format!(" on {name}")
        }
        Adapter::Any | Adapter::Index(_) => String::new(),
    };
    anyhow!(
        "wgpu found no usable adapter{on}: {why}; `recsys devices` lists what there is, `recsys doctor` says what is wrong, `--device cpu` needs none"
    )
}

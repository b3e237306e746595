//! Kernels against the plain tensor operations that they replace, on the CPU
//! and on whatever adapter wgpu finds, on other random inputs in every run. Those
//! that lie behind a model are tested beside their code, and by `fused`.

#[cfg(feature = "wgpu")]
mod examples;
#[path = "../../src/seed/fresh.rs"]
mod fresh;
#[cfg(feature = "wgpu")]
mod mf;
mod propagate;
mod rows;
#[cfg(feature = "wgpu")]
mod top_k;

use burn::tensor::{Device, Int, Tensor, TensorData};
use recsys::device::{self, Adapter, DeviceChoice};
use recsys::params::host;
use recsys::seed::{Rng, Seed};

/// Another one in every run; shown where a test fails.
fn seed() -> Seed {
    Seed(fresh::fresh())
}

/// The CPU, and an adapter where there is one.
fn devices() -> Vec<(&'static str, Device)> {
    let cpu = device::resolve(DeviceChoice::Cpu).unwrap().device;
    let mut devices = vec![("cpu", cpu)];
    match wgpu() {
        Some(device) => devices.push(("wgpu", device)),
        None => eprintln!("skipped on wgpu: it sees no adapter, not even a software one"),
    }
    devices
}

/// An adapter, where there is one.
fn wgpu() -> Option<Device> {
    if device::adapters().is_empty() {
        return None;
    }
    let choice = DeviceChoice::Wgpu(Adapter::Any);
    Some(device::resolve(choice).unwrap().device)
}

fn normals(rng: &mut Rng, shape: [usize; 2], device: &Device) -> Tensor<2> {
    let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| rng.normal()).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn ints(values: &[u32], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.iter().map(|&v| v as i32).collect();
    let len = values.len();
    Tensor::from_data(TensorData::new(values, [len]), device)
}

/// # Panics
/// When two tensors are further apart than `tolerance`, relative to their
/// size.
fn assert_close(name: &str, a: Tensor<2>, b: Tensor<2>, tolerance: f32) {
    let (a, b) = (host(a).unwrap(), host(b).unwrap());
    assert_eq!(a.len(), b.len(), "{name}: sizes differ");
    for (i, (a, b)) in a.iter().zip(&b).enumerate() {
        let apart = (a - b).abs();
        assert!(
            apart <= tolerance * b.abs().max(1.0),
            "{name}: {a} and {b} at {i}"
        );
    }
}

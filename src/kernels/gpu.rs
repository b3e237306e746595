//! What the kernels for GPUs have in common.

use super::update::Hyper;
use crate::optim::OptimizerKind;
use burn::tensor::{DType, Device, Int, Shape, Tensor, TensorData};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::{calculate_cube_count_elemwise, prelude::*};

/// Units of a cube.
pub const UNITS: usize = 256;

/// Cubes for at least so many units.
pub fn cubes(client: &Client, units: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new_1d(UNITS as u32);
    (calculate_cube_count_elemwise(client, units, dim), dim)
}

/// A tensor whose numbers are to be written, on the device of another one.
pub fn empty_beside(tensor: &CubeTensor, shape: Shape, dtype: DType) -> CubeTensor {
    empty_device_contiguous_dtype(tensor.client.clone(), tensor.device.clone(), shape, dtype)
}

/// Words on a device.
pub fn upload(words: impl IntoIterator<Item = u32>, device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = words.into_iter().map(|word| word as i32).collect();
    let len = values.len();
    Tensor::from_data(TensorData::new(values, [len]), device)
}

/// A tensor that may be written: itself where this is its only handle.
pub fn own(tensor: CubeTensor) -> CubeTensor {
    let tensor = into_contiguous(tensor);
    if tensor.can_mut() {
        tensor
    } else {
        tensor.copy()
    }
}

/// A word of the block `high << 32 | low` of a stream, whose key is `k0, k1`
/// and the upper half of whose counter is `c2, c3`: see
/// [`crate::seed::Rng::words`].
#[cube]
pub fn philox(low: u32, high: u32, c2: u32, c3: u32, k0: u32, k1: u32, place: u32) -> u32 {
    let mut c0 = low;
    let mut c1 = high;
    let mut c2 = c2;
    let mut c3 = c3;
    let mut k0 = k0;
    let mut k1 = k1;
    #[unroll]
    for _ in 0..10u32 {
        let high0 = c0.mul_hi(0xD251_1F53u32);
        let low0 = c0 * 0xD251_1F53u32;
        let high1 = c2.mul_hi(0xCD9E_8D57u32);
        let low1 = c2 * 0xCD9E_8D57u32;
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E37_79B9u32;
        k1 += 0xBB67_AE85u32;
    }
    let mut value = c0;
    if place == 1 {
        value = c1;
    } else if place == 2 {
        value = c2;
    } else if place == 3 {
        value = c3;
    }
    value
}

/// The `index`-th word of a stream from its block `high << 32 | low` on;
/// [`crate::seed::Rng::words`] begin at `words[at]`.
#[cube]
pub fn word_at(words: &[u32], at: usize, low: u32, high: u32, index: u32) -> u32 {
    let block = low + index / 4;
    let mut carried = high;
    if block < low {
        carried += 1u32;
    }
    philox(
        block,
        carried,
        words[at + 2],
        words[at + 3],
        words[at],
        words[at + 1],
        index % 4,
    )
}

/// Which formula a kernel is compiled for; AdamW is Adam with other numbers.
#[derive(CubeType, Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Formula {
    Adam,
    Sgd,
    /// SGD without momentum, whose state is the gradient itself, which nobody
    /// needs again.
    PlainSgd,
    Adagrad,
}

impl Formula {
    pub fn of(hyper: &Hyper) -> Self {
        match hyper.kind {
            OptimizerKind::Adam | OptimizerKind::Adamw => Self::Adam,
            OptimizerKind::Sgd if hyper.momentum == 0.0 => Self::PlainSgd,
            OptimizerKind::Sgd => Self::Sgd,
            OptimizerKind::Adagrad => Self::Adagrad,
        }
    }
}

/// The numbers of [`Hyper`].
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub struct Numbers {
    rate: f32,
    coupled_decay: f32,
    kept: f32,
    momentum: f32,
    beta1: f32,
    beta2: f32,
    share1: f32,
    share2: f32,
    epsilon: f32,
}

impl NumbersLaunch {
    pub fn of(hyper: &Hyper) -> Self {
        Self::new(
            hyper.rate,
            hyper.coupled_decay,
            hyper.kept,
            hyper.momentum,
            hyper.beta1,
            hyper.beta2,
            hyper.share1,
            hyper.share2,
            hyper.epsilon,
        )
    }
}

/// One step of the formula on the number at `at`, as in
/// [`super::update::update_row`].
#[cube]
pub fn update_number(
    weights: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
    at: usize,
    gradient: f32,
    n: &Numbers,
    #[comptime] formula: Formula,
) {
    let w = weights[at];
    let g = gradient + n.coupled_decay * w;
    match formula {
        Formula::Adam => {
            let m = n.beta1 * first[at] + n.share1 * g;
            let v = n.beta2 * second[at] + n.share2 * g * g;
            first[at] = m;
            second[at] = v;
            weights[at] = n.kept * w - n.rate * m / (v.sqrt() + n.epsilon);
        }
        Formula::Sgd => {
            let m = n.momentum * first[at] + g;
            first[at] = m;
            weights[at] = w - n.rate * m;
        }
        Formula::PlainSgd => {
            weights[at] = w - n.rate * g;
        }
        Formula::Adagrad => {
            let v = first[at] + g * g;
            first[at] = v;
            weights[at] = w - n.rate * g / (v.sqrt() + n.epsilon);
        }
    }
}

/// Where kernels are tried, if there is one.
#[cfg(test)]
pub fn adapter() -> Option<burn::tensor::Device> {
    use crate::device::{Adapter, DeviceChoice, adapters, resolve};
    if adapters().is_empty() {
        eprintln!("skipped: wgpu sees no adapter, not even a software one");
        return None;
    }
    let device = resolve(DeviceChoice::Wgpu(Adapter::Any)).expect("it was just seen");
    Some(device.device)
}

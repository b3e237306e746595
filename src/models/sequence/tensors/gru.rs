//! Gated recurrent units, all sequences a place at a time where there is no
//! kernel for them.

use super::TensorLayers;
#[cfg(feature = "wgpu")]
use crate::device::{Family, family};
use crate::kernels::layers::GruWeights;
#[cfg(feature = "wgpu")]
use crate::kernels::padded;
use burn::tensor::{Tensor, activation};

impl TensorLayers<'_> {
    /// The formulas of [`crate::kernels::layers::Graph::gru`]; the state stays
    /// zero until a sequence begins.
    pub(super) fn recur(&mut self, x: Tensor<3>, weights: GruWeights) -> Tensor<3> {
        let recurrent = self.weight(weights.recurrent);
        let bias = self.weight(weights.bias);
        #[cfg(feature = "wgpu")]
        if family(&self.device()) == Family::Gpu && padded::fits(x.dims()[0], x.dims()[2] / 3) {
            return padded::gru(x, self.real.clone(), recurrent, bias);
        }
        by_columns(x, self.real.clone(), recurrent, bias)
    }
}

/// The states `[sequences, length, d]` from `x` `[sequences, length, 3 d]`, by operations on the rows of a place.
fn by_columns(x: Tensor<3>, begun: Tensor<3>, recurrent: Tensor<2>, bias: Tensor<2>) -> Tensor<3> {
    let [sequences, _, triple] = x.dims();
    let width = triple / 3;
    let part = |x: &Tensor<2>, gate: usize| {
        let own = gate * width..(gate + 1) * width;
        x.clone().slice([0..sequences, own])
    };
    let mut state = Tensor::zeros([sequences, width], &x.device());
    let mut states: Vec<Tensor<3>> = Vec::new();
    for (x, begun) in columns(x).into_iter().zip(columns(begun)) {
        let sums = state.clone().matmul(recurrent.clone()) + bias.clone();
        let reset = activation::sigmoid(part(&x, 0) + part(&sums, 0));
        let update = activation::sigmoid(part(&x, 1) + part(&sums, 1));
        let new = activation::tanh(part(&x, 2) + reset * part(&sums, 2));
        state = (new.clone() + update * (state - new)) * begun;
        states.push(state.clone().unsqueeze_dim(1));
    }
    Tensor::cat(states, 1)
}

/// The columns of `[sequences, length, columns]`, by halves: backward of a
/// slice is as large as what it is a slice of.
fn columns(x: Tensor<3>) -> Vec<Tensor<2>> {
    let [sequences, length, columns_of] = x.dims();
    if length == 1 {
        return vec![x.reshape([sequences, columns_of])];
    }
    let half = length / 2;
    let part = |range| x.clone().slice([0..sequences, range, 0..columns_of]);
    let mut all = columns(part(0..half));
    all.extend(columns(part(half..length)));
    all
}

#[cfg(all(test, feature = "wgpu"))]
mod tests {
    use super::*;
    use crate::params::host;
    use crate::seed::{Rng, Seed};
    use burn::tensor::{Device, TensorData};

    const SEQUENCES: usize = 3;
    const LENGTH: usize = 5;

    struct Case {
        width: usize,
        x: Vec<f32>,
        recurrent: Vec<f32>,
        bias: Vec<f32>,
        /// What the states are multiplied by before they are added up.
        above: Vec<f32>,
    }

    impl Case {
        fn new(width: usize, random: &mut Rng) -> Self {
            let mut draw = |len: usize, scale: f32| -> Vec<f32> {
                (0..len).map(|_| scale * random.normal()).collect()
            };
            let places = SEQUENCES * LENGTH;
            Self {
                width,
                x: draw(places * 3 * width, 1.0),
                recurrent: draw(3 * width * width, 1.0 / (width as f32).sqrt()),
                bias: draw(3 * width, 0.5),
                above: draw(places * width, 1.0),
            }
        }

        /// States, and the slopes by `x`, the matrix and the bias.
        fn run(&self, device: &Device, kernel: bool) -> [Vec<f32>; 4] {
            let device = device.clone().autodiff();
            let width = self.width;
            let leaf = |values: &[f32], shape: [usize; 2]| -> Tensor<2> {
                let data = TensorData::new(values.to_vec(), shape);
                Tensor::from_data(data, &device).require_grad()
            };
            let x = leaf(&self.x, [SEQUENCES * LENGTH, 3 * width]);
            let recurrent = leaf(&self.recurrent, [width, 3 * width]);
            let bias = leaf(&self.bias, [1, 3 * width]);
            let above = leaf(&self.above, [SEQUENCES * LENGTH, width]);
            // Sequences of five, three and one places, padded on the left.
            let begun: Vec<f32> = (0..SEQUENCES * LENGTH)
                .map(|at| f32::from(u8::from(at % LENGTH >= 2 * (at / LENGTH))))
                .collect();
            let begun = TensorData::new(begun, [SEQUENCES, LENGTH, 1]);
            let begun: Tensor<3> = Tensor::from_data(begun, &device);
            let run = if kernel { padded::gru } else { by_columns };
            let states = run(
                x.clone().reshape([SEQUENCES, LENGTH, 3 * width]),
                begun,
                recurrent.clone(),
                bias.clone(),
            );
            let above = above.reshape([SEQUENCES, LENGTH, width]);
            let grads = (states.clone() * above).sum().backward();
            let slopes = |leaf: &Tensor<2>| host(leaf.grad(&grads).unwrap()).unwrap();
            [
                host(states.inner()).unwrap(),
                slopes(&x),
                slopes(&recurrent),
                slopes(&bias),
            ]
        }
    }

    /// Narrower than a cube has units, and wider.
    #[test]
    fn the_kernel_is_the_loop_over_places() {
        let Some(device) = crate::kernels::gpu::adapter() else {
            return;
        };
        let mut random = Seed::fresh().stream("gru");
        for width in [20, 300] {
            let case = Case::new(width, &mut random);
            let plain = case.run(&Device::flex(), false);
            let kernel = case.run(&device, true);
            let names = ["states", "x", "recurrent", "bias"];
            for ((name, plain), kernel) in names.into_iter().zip(plain).zip(kernel) {
                assert_eq!(plain.len(), kernel.len());
                for (i, (a, b)) in kernel.iter().zip(&plain).enumerate() {
                    let apart = (a - b).abs() / b.abs().max(1.0);
                    assert!(apart < 2e-4, "{name}, width {width}, at {i}: {a} {b}");
                }
            }
        }
    }
}

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
        let [sequences, _, triple] = x.dims();
        let width = triple / 3;
        let recurrent = self.weight(weights.recurrent);
        let bias = self.weight(weights.bias);
        #[cfg(feature = "wgpu")]
        if family(&self.device()) == Family::Gpu && padded::fits(sequences, width) {
            return padded::gru(x, self.real.clone(), recurrent, bias);
        }
        let begun = columns(self.real.clone());
        let part = |x: &Tensor<2>, gate: usize| {
            let own = gate * width..(gate + 1) * width;
            x.clone().slice([0..sequences, own])
        };
        let mut state = Tensor::zeros([sequences, width], &self.device());
        let mut states: Vec<Tensor<3>> = Vec::new();
        for (x, begun) in columns(x).into_iter().zip(begun) {
            let sums = state.clone().matmul(recurrent.clone()) + bias.clone();
            let reset = activation::sigmoid(part(&x, 0) + part(&sums, 0));
            let update = activation::sigmoid(part(&x, 1) + part(&sums, 1));
            let new = activation::tanh(part(&x, 2) + reset * part(&sums, 2));
            state = (new.clone() + update * (state - new)) * begun;
            states.push(state.clone().unsqueeze_dim(1));
        }
        Tensor::cat(states, 1)
    }
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

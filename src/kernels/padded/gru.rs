//! Gated recurrent units, all places of a sequence in one launch; the formulas
//! are those of [`crate::kernels::layers::Graph::gru`].
//!
//! A cube goes through a sequence, with its state in shared memory. Automatic
//! differentiation knows the layer as one operation: backward goes through a
//! sequence from its end in one launch, and what reaches the weights is one
//! product over all places.

use crate::kernels::gpu::{UNITS, empty_beside};
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{Shape, Slice, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use cubecl::prelude::*;

/// The widest state that shared memory has room for, with the products.
const WIDEST: usize = 1024;

/// The most cubes of a launch.
const MOST: usize = 65_535;

/// Whether there is a kernel for so many sequences and columns.
pub fn fits(sequences: usize, width: usize) -> bool {
    sequences <= MOST && width <= WIDEST
}

/// The states `[sequences, length, d]` from the inputs to the gates, `x`
/// `[sequences, length, 3 d]`; `recurrent` is `[d, 3 d]`, `bias` `[1, 3 d]`,
/// and `begun` `[sequences, length, 1]` is 0 where a sequence has not begun
/// and the state stays zero.
pub fn gru(x: Tensor<3>, begun: Tensor<3>, recurrent: Tensor<2>, bias: Tensor<2>) -> Tensor<3> {
    let [sequences, length, _] = x.dims();
    let begun = begun.reshape([sequences, length]);
    Tensor::from_dispatch(Dispatch::gru_states(
        x.into_dispatch(),
        begun.into_dispatch(),
        recurrent.into_dispatch(),
        bias.into_dispatch(),
    ))
}

fn states_of(x: &Shape) -> Shape {
    Shape::new([x[0], x[1], x[2] / 3])
}

#[backend_extension(Cube, Fusion, Autodiff)]
trait GruOps: Backend {
    #[fusion(dtype = x, shape = states_of(x))]
    fn gru_states(
        x: FloatTensor<Self>,
        begun: FloatTensor<Self>,
        recurrent: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// The slopes by `x` and by the products `before U + b`, `[2, sequences *
    /// length, 3 d]`, from those by the states; `sums` are these products and
    /// `before` the states before each place.
    #[fusion(dtype = x, shape = Shape::new([2, x[0] * x[1], x[2]]))]
    fn gru_slopes(
        x: FloatTensor<Self>,
        begun: FloatTensor<Self>,
        transposed: FloatTensor<Self>,
        sums: FloatTensor<Self>,
        before: FloatTensor<Self>,
        above: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// Backward of the layer.
#[derive(Debug)]
struct Gru;

/// What it looks at.
#[derive(Clone, Debug)]
struct Seen<B: Backend> {
    x: FloatTensor<B>,
    begun: FloatTensor<B>,
    recurrent: FloatTensor<B>,
    bias: FloatTensor<B>,
    states: FloatTensor<B>,
}

impl<B: Backend + GruOps> Backward<B, 3> for Gru {
    type State = Seen<B>;

    fn backward(self, ops: Ops<Seen<B>, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let above = grads.consume::<B>(&ops.node);
        let seen = ops.state;
        let shape = seen.x.shape();
        let (sequences, length, triple) = (shape[0], shape[1], shape[2]);
        let (rows, width) = (sequences * length, triple / 3);
        let before = earlier::<B>(seen.states);
        let flat = B::float_reshape(before.clone(), Shape::new([rows, width]));
        let sums = B::float_matmul(flat.clone(), seen.recurrent.clone());
        let sums = B::float_add(sums, seen.bias);
        let transposed = B::float_transpose(seen.recurrent);
        let slopes = B::gru_slopes(seen.x, seen.begun, transposed, sums, before, above);
        let part = |number: usize| {
            let ranges = [number..number + 1, 0..rows, 0..triple].map(Slice::from);
            B::float_slice(slopes.clone(), &ranges)
        };
        let [x, recurrent, bias] = ops.parents;
        let to_sums = B::float_reshape(part(1), Shape::new([rows, triple]));
        if let Some(node) = x {
            grads.register::<B>(node.id, B::float_reshape(part(0), shape));
        }
        if let Some(node) = recurrent {
            let flat = B::float_transpose(flat);
            grads.register::<B>(node.id, B::float_matmul(flat, to_sums.clone()));
        }
        if let Some(node) = bias {
            grads.register::<B>(node.id, B::float_sum_dim(to_sums, 0));
        }
    }
}

/// The state before each place: that of the place before.
fn earlier<B: Backend>(states: FloatTensor<B>) -> FloatTensor<B> {
    let shape = states.shape();
    let [sequences, length, width] = [shape[0], shape[1], shape[2]];
    let zeros = B::float_zeros(
        Shape::new([sequences, 1, width]),
        &states.device(),
        states.dtype().into(),
    );
    let ranges = [0..sequences, 0..length - 1, 0..width].map(Slice::from);
    B::float_cat(vec![zeros, B::float_slice(states, &ranges)], 1)
}

impl<B: Backend + GruOps, C: CheckpointStrategy> GruOps for Autodiff<B, C> {
    fn gru_states(
        x: FloatTensor<Self>,
        begun: FloatTensor<Self>,
        recurrent: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (recurrent, recurrent_node) = recurrent.into_parts();
        let (bias, bias_node) = bias.into_parts();
        let begun = begun.into_primitive();
        let states = B::gru_states(x.clone(), begun.clone(), recurrent.clone(), bias.clone());
        let kind = Gru
            .prepare::<C>([x_node, recurrent_node, bias_node])
            .compute_bound()
            .stateful();
        match kind {
            OpsKind::Tracked(prep) => prep.finish(
                Seen {
                    x,
                    begun,
                    recurrent,
                    bias,
                    states: states.clone(),
                },
                states,
            ),
            OpsKind::UnTracked(prep) => prep.finish(states),
        }
    }

    fn gru_slopes(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        unreachable!("slopes have no slopes")
    }
}

impl GruOps for CubeBackend {
    fn gru_states(
        x: FloatTensor<Self>,
        begun: FloatTensor<Self>,
        recurrent: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let [x, begun, recurrent, bias] = [x, begun, recurrent, bias].map(into_contiguous);
        let shape = x.shape();
        let states = empty_beside(&x, states_of(&shape), x.dtype);
        let client = x.client.clone();
        // SAFETY: a cube for each sequence, and shapes that fit each other.
        unsafe {
            kernel::states::launch_unchecked(
                &client,
                CubeCount::Static(shape[0] as u32, 1, 1),
                CubeDim::new_1d(UNITS as u32),
                x.into_buffer_arg(),
                begun.into_buffer_arg(),
                recurrent.into_buffer_arg(),
                bias.into_buffer_arg(),
                states.clone().into_buffer_arg(),
                shape[1] as u32,
                shape[2] / 3,
            );
        }
        states
    }

    fn gru_slopes(
        x: FloatTensor<Self>,
        begun: FloatTensor<Self>,
        transposed: FloatTensor<Self>,
        sums: FloatTensor<Self>,
        before: FloatTensor<Self>,
        above: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let [x, begun, transposed, sums, before, above] =
            [x, begun, transposed, sums, before, above].map(into_contiguous);
        let shape = x.shape();
        let rows = shape[0] * shape[1];
        let slopes = empty_beside(&x, Shape::new([2, rows, shape[2]]), x.dtype);
        let client = x.client.clone();
        // SAFETY: as above.
        unsafe {
            kernel::slopes::launch_unchecked(
                &client,
                CubeCount::Static(shape[0] as u32, 1, 1),
                CubeDim::new_1d(UNITS as u32),
                x.into_buffer_arg(),
                begun.into_buffer_arg(),
                transposed.into_buffer_arg(),
                sums.into_buffer_arg(),
                before.into_buffer_arg(),
                above.into_buffer_arg(),
                slopes.clone().into_buffer_arg(),
                shape[1] as u32,
                rows as u32,
                shape[2] / 3,
            );
        }
        slopes
    }
}

mod kernel {
    use crate::kernels::gpu::UNITS;
    use cubecl::prelude::*;

    #[cube]
    fn sigmoid(x: f32) -> f32 {
        1.0f32 / (1.0f32 + (-x).exp())
    }

    /// `2 s(2 x) - 1`, as on the host.
    #[cube]
    fn tanh(x: f32) -> f32 {
        2.0f32 / (1.0f32 + (-2.0f32 * x).exp()) - 1.0f32
    }

    #[cube(launch_unchecked)]
    pub fn states(
        x: &[f32],
        begun: &[f32],
        recurrent: &[f32],
        bias: &[f32],
        states: &mut [f32],
        length: u32,
        #[comptime] width: usize,
    ) {
        let mut state = Shared::<[f32]>::new_slice(width);
        let mut sums = Shared::<[f32]>::new_slice(comptime!(3 * width));
        let unit = UNIT_POS as usize;
        let length = length as usize;
        let triple = comptime!(3 * width);
        let mut i = unit;
        while i < width {
            state[i] = 0.0f32;
            i += UNITS;
        }
        sync_cube();
        for place in 0..length {
            let row = CUBE_POS * length + place;
            let mut j = unit;
            while j < triple {
                let mut sum = bias[j];
                for k in 0..width {
                    sum += state[k] * recurrent[k * triple + j];
                }
                sums[j] = sum;
                j += UNITS;
            }
            sync_cube();
            let own = row * triple;
            let mut i = unit;
            while i < width {
                let reset = sigmoid(x[own + i] + sums[i]);
                let update = sigmoid(x[own + width + i] + sums[width + i]);
                let new = tanh(x[own + 2 * width + i] + reset * sums[2 * width + i]);
                let next = (new + update * (state[i] - new)) * begun[row];
                state[i] = next;
                states[row * width + i] = next;
                i += UNITS;
            }
            sync_cube();
        }
    }

    #[cube(launch_unchecked)]
    pub fn slopes(
        x: &[f32],
        begun: &[f32],
        transposed: &[f32],
        sums: &[f32],
        before: &[f32],
        above: &[f32],
        slopes: &mut [f32],
        length: u32,
        rows: u32,
        #[comptime] width: usize,
    ) {
        let mut carried = Shared::<[f32]>::new_slice(width);
        let mut of_sums = Shared::<[f32]>::new_slice(comptime!(3 * width));
        let unit = UNIT_POS as usize;
        let (length, rows) = (length as usize, rows as usize);
        let triple = comptime!(3 * width);
        let mut i = unit;
        while i < width {
            carried[i] = 0.0f32;
            i += UNITS;
        }
        sync_cube();
        for back in 0..length {
            let row = CUBE_POS * length + length - 1 - back;
            let own = row * triple;
            let second = rows * triple + own;
            let mut i = unit;
            while i < width {
                let inner = sums[own + 2 * width + i];
                let reset = sigmoid(x[own + i] + sums[own + i]);
                let update = sigmoid(x[own + width + i] + sums[own + width + i]);
                let new = tanh(x[own + 2 * width + i] + reset * inner);
                let slope = (above[row * width + i] + carried[i]) * begun[row];
                let of_new = slope * (1.0f32 - update) * (1.0f32 - new * new);
                let of_update =
                    slope * (before[row * width + i] - new) * update * (1.0f32 - update);
                let of_reset = of_new * inner * reset * (1.0f32 - reset);
                slopes[own + i] = of_reset;
                slopes[own + width + i] = of_update;
                slopes[own + 2 * width + i] = of_new;
                slopes[second + i] = of_reset;
                slopes[second + width + i] = of_update;
                slopes[second + 2 * width + i] = of_new * reset;
                of_sums[i] = of_reset;
                of_sums[width + i] = of_update;
                of_sums[2 * width + i] = of_new * reset;
                carried[i] = slope * update;
                i += UNITS;
            }
            sync_cube();
            let mut i = unit;
            while i < width {
                let mut sum = carried[i];
                for j in 0..triple {
                    sum += of_sums[j] * transposed[j * width + i];
                }
                carried[i] = sum;
                i += UNITS;
            }
            sync_cube();
        }
    }
}

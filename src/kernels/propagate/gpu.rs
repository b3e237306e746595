//! Sums over neighbors on GPUs: a unit for each column of each node, units of
//! neighboring columns side by side.

use super::tensor::SumNeighbors;
use crate::kernels::gpu::{cubes, empty_beside};
use burn::backend::TensorMetadata;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;

impl SumNeighbors for CubeBackend {
    fn sum_neighbors(x: FloatTensor<Self>, packed: IntTensor<Self>) -> FloatTensor<Self> {
        let (x, packed) = (into_contiguous(x), into_contiguous(packed));
        let (client, shape) = (x.client.clone(), x.shape());
        let (nodes, columns) = (shape[0], shape[1]);
        let sums = empty_beside(&x, shape, x.dtype);
        let (count, dim) = cubes(&client, nodes * columns);
        // SAFETY: the kernel checks its own bounds; neighbors are nodes.
        unsafe {
            kernel::sum_neighbors::launch_unchecked(
                &client,
                count,
                dim,
                x.into_buffer_arg(),
                packed.into_buffer_arg(),
                sums.clone().into_buffer_arg(),
                nodes as u32,
                columns as u32,
            );
        }
        sums
    }
}

mod kernel {
    use cubecl::prelude::*;

    #[cube(launch_unchecked)]
    pub fn sum_neighbors(x: &[f32], packed: &[i32], sums: &mut [f32], nodes: u32, columns: u32) {
        let unit = ABSOLUTE_POS;
        let (nodes, columns) = (nodes as usize, columns as usize);
        if unit < nodes * columns {
            let node = unit / columns;
            let column = unit % columns;
            let first = nodes + 1;
            let mut sum = 0.0f32;
            for edge in packed[node] as usize..packed[node + 1] as usize {
                sum += x[packed[first + edge] as usize * columns + column];
            }
            sums[unit] = sum;
        }
    }
}

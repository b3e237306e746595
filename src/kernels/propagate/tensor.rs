//! Propagation of tensors.

use super::Graph;
use crate::device::{Family, family};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{DType, Device, IndexingUpdateOp, Int, Tensor, TensorData};
use rayon::prelude::*;

/// A graph on a device, for tensors `[nodes, columns]` in the order of the
/// nodes.
#[derive(Clone, Debug)]
pub struct DeviceGraph {
    /// Where the neighbors of each node begin `[nodes + 1]`, and the neighbors
    /// `[2 * edges]`, one after the other.
    packed: Tensor<1, Int>,
    /// One over the root of each node's degree, `[nodes, 1]`.
    scales: Tensor<2>,
    /// Both ends of each edge, for devices without a kernel.
    ends: Option<[Tensor<1, Int>; 2]>,
}

impl DeviceGraph {
    pub fn new(graph: &Graph, device: &Device) -> Self {
        let nodes = graph.num_nodes();
        let mut packed = vec![0];
        let (mut from, mut to) = (Vec::new(), Vec::new());
        for (node, &row) in (0i32..).zip(graph.rows()) {
            let neighbors = graph.neighbors_of(row as usize).iter();
            from.extend(neighbors.map(|&other| graph.nodes()[other as usize] as i32));
            from[packed[node as usize] as usize..].sort_unstable();
            to.resize(from.len(), node);
            packed.push(from.len() as i32);
        }
        packed.extend(&from);
        let scales: Vec<f32> = graph
            .rows()
            .iter()
            .map(|&row| graph.scale(row as usize))
            .collect();
        let ints = |values: Vec<i32>| {
            let len = values.len();
            Tensor::from_data(TensorData::new(values, [len]), device)
        };
        Self {
            packed: ints(packed),
            scales: Tensor::from_data(TensorData::new(scales, [nodes, 1]), device),
            ends: (family(device) == Family::Other).then(|| [ints(from), ints(to)]),
        }
    }

    /// `D^-1/2 A D^-1/2 x`, outside of any autodiff graph.
    pub fn propagate(&self, x: Tensor<2>) -> Tensor<2> {
        let scaled = x * self.scales.clone();
        let sums = match &self.ends {
            Some([from, to]) => {
                let parts = scaled.clone().select(0, from.clone());
                scaled
                    .zeros_like()
                    .select_assign(0, to.clone(), parts, IndexingUpdateOp::Add)
            }
            None => Tensor::from_dispatch(Dispatch::sum_neighbors(
                scaled.into_dispatch(),
                self.packed.clone().into_dispatch(),
            )),
        };
        sums * self.scales.clone()
    }
}

/// The sum over the neighbors of each node as the backends implement it;
/// `packed` is as in [`DeviceGraph`].
#[backend_extension(Cube: cfg(feature = "wgpu"), Flex, Fusion: cfg(feature = "wgpu"))]
pub trait SumNeighbors: Backend {
    #[fusion(dtype = x, shape = burn::tensor::Shape::new([x[0], x[1]]))]
    fn sum_neighbors(x: FloatTensor<Self>, packed: IntTensor<Self>) -> FloatTensor<Self>;
}

/// A loop for tests and for who must not fuse; training on the CPU goes by
/// [`super::pass`].
impl SumNeighbors for Flex {
    fn sum_neighbors(x: FloatTensor<Self>, packed: IntTensor<Self>) -> FloatTensor<Self> {
        let (x, packed) = (x.to_contiguous(), packed.to_contiguous());
        let shape = x.layout().shape().clone();
        let (nodes, columns) = (shape[0], shape[1]);
        let mut sums = FloatTensor::<Self>::zeros(shape, DType::F32);
        let values: &[f32] = x.as_slice().expect("contiguous numbers of 32 bits");
        let packed: &[i32] = packed.as_slice().expect("contiguous integers of 32 bits");
        let (offsets, neighbors) = packed.split_at(nodes + 1);
        let rows = sums.storage_mut::<f32>().par_chunks_mut(columns);
        rows.zip(offsets.par_windows(2)).for_each(|(sum, ends)| {
            for &other in &neighbors[ends[0] as usize..ends[1] as usize] {
                let row = &values[other as usize * columns..][..columns];
                sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            }
        });
        sums
    }
}

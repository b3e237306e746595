//! Chains of the occurrences of a row, which a GPU makes by itself: a row's head
//! names one of them, and each names the one before it.

use crate::kernels::gpu::{cubes, empty_beside, own};
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::IntTensor;
use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{DType, Int, Shape, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;

/// See [`crate::kernels::rows::Chains`]: the heads, all zero again, and what
/// [`super::Grouping`] says of the occurrences; of the rows that `heads` has, or
/// of those of the occurrences.
pub fn chain(
    heads: Tensor<1, Int>,
    ids: Tensor<1, Int>,
    of_table: bool,
) -> (Tensor<1, Int>, Tensor<1, Int>) {
    let (heads, ids) = (heads.into_dispatch(), ids.into_dispatch());
    let (heads, links) = Dispatch::chain_rows(heads, ids, of_table);
    (Tensor::from_dispatch(heads), Tensor::from_dispatch(links))
}

/// Rows that may have occurrences.
fn rows_of(heads: usize, occurrences: usize, of_table: bool) -> usize {
    if of_table { heads } else { occurrences }
}

/// The heads as they are, two numbers for each row, and one for each
/// occurrence.
fn chained(heads: &TensorSpec, ids: &TensorSpec, of_table: bool) -> (TensorSpec, TensorSpec) {
    let occurrences = ids.shape[0];
    let rows = rows_of(heads.shape[0], occurrences, of_table);
    let links = TensorSpec::new(Shape::new([2 * rows + occurrences]), DType::I32);
    (heads.clone(), links)
}

#[backend_extension(Cube, Fusion)]
trait ChainOps: Backend {
    #[fusion(meta = |heads, ids, of_table| chained(heads, ids, *of_table))]
    fn chain_rows(
        heads: IntTensor<Self>,
        ids: IntTensor<Self>,
        of_table: bool,
    ) -> (IntTensor<Self>, IntTensor<Self>);
}

impl ChainOps for CubeBackend {
    fn chain_rows(
        heads: IntTensor<Self>,
        ids: IntTensor<Self>,
        of_table: bool,
    ) -> (IntTensor<Self>, IntTensor<Self>) {
        let (heads, ids) = (own(heads), into_contiguous(ids));
        let occurrences = ids.shape()[0];
        let rows = rows_of(heads.shape()[0], occurrences, of_table);
        let links = empty_beside(&ids, Shape::new([2 * rows + occurrences]), ids.dtype);
        let client = ids.client.clone();
        let (count, dim) = cubes(&client, occurrences);
        let (of_rows, _) = cubes(&client, rows);
        // SAFETY: the kernels check their own bounds; ids are below 0 or rows
        // of the table that the heads are of.
        unsafe {
            kernel::link::launch_unchecked(
                &client,
                count,
                dim,
                heads.clone().into_buffer_arg(),
                ids.into_buffer_arg(),
                links.clone().into_buffer_arg(),
                rows as u32,
                occurrences as u32,
                of_table,
            );
            kernel::take_heads::launch_unchecked(
                &client,
                of_rows,
                dim,
                heads.clone().into_buffer_arg(),
                links.clone().into_buffer_arg(),
                rows as u32,
                occurrences as u32,
                of_table,
            );
        }
        (heads, links)
    }
}

mod kernel {
    use cubecl::prelude::*;

    /// Links each occurrence to one that came before it. One of no row is in
    /// no chain: that it follows itself keeps it from being taken for the end
    /// of one.
    #[cube(launch_unchecked)]
    pub fn link(
        heads: &[Atomic<u32>],
        ids: &[i32],
        links: &mut [u32],
        rows: u32,
        occurrences: u32,
        #[comptime] of_table: bool,
    ) {
        let place = ABSOLUTE_POS;
        if place < occurrences as usize {
            let own = place as u32 + 1;
            let mut id = 0u32;
            let mut before = own;
            if ids[place] >= 0i32 {
                id = ids[place] as u32;
                before = heads[id as usize].exchange(own);
            }
            if !of_table.comptime() {
                links[place] = id;
            }
            links[rows as usize + place] = before;
        }
    }

    /// A row of the table takes its head. Where rows are those of the
    /// occurrences, the last of a chain, which came first, takes it.
    #[cube(launch_unchecked)]
    pub fn take_heads(
        heads: &[Atomic<u32>],
        links: &mut [u32],
        rows: u32,
        occurrences: u32,
        #[comptime] of_table: bool,
    ) {
        let row = ABSOLUTE_POS;
        let (rows, occurrences) = (rows as usize, occurrences as usize);
        if row < rows {
            let mut first = 0u32;
            if of_table.comptime() {
                links[row] = row as u32;
                first = heads[row].exchange(0u32);
            } else if links[rows + row] == 0u32 {
                let head = &heads[links[row] as usize];
                first = head.exchange(0u32);
            }
            links[rows + occurrences + row] = first;
        }
    }
}

//! The row kernels for GPUs: a unit for each column of each touched row.

use super::{RowOps, Step};
use crate::kernels::gpu::{Formula, NumbersLaunch, cubes, empty_beside, own};
use burn::backend::TensorMetadata;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::tensor::Shape;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

impl RowOps for CubeBackend {
    fn sum_segments(
        grads: FloatTensor<Self>,
        segments: IntTensor<Self>,
        rows: usize,
    ) -> FloatTensor<Self> {
        let (grads, segments) = (into_contiguous(grads), into_contiguous(segments));
        let columns = grads.shape()[1];
        let sums = empty_beside(&grads, Shape::new([rows, columns]), grads.dtype);
        let client = grads.client.clone();
        let (count, dim) = cubes(&client, rows * columns);
        // SAFETY: the kernel checks its own bounds; `Segments` checked the
        // rest when it was made.
        unsafe {
            kernel::sum_rows::launch_unchecked(
                &client,
                count,
                dim,
                grads.into_buffer_arg(),
                segments.into_buffer_arg(),
                sums.clone().into_buffer_arg(),
                rows as u32,
                columns as u32,
            );
        }
        sums
    }

    fn update_with_one_state(
        table: FloatTensor<Self>,
        first: FloatTensor<Self>,
        grads: FloatTensor<Self>,
        segments: IntTensor<Self>,
        step: Step,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (table, first) = (own(table), own(first));
        launch([&table, &first], None, grads, segments, step);
        (table, first)
    }

    fn update_with_two_states(
        table: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        grads: FloatTensor<Self>,
        segments: IntTensor<Self>,
        step: Step,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (table, first, second) = (own(table), own(first), own(second));
        launch([&table, &first], Some(&second), grads, segments, step);
        (table, first, second)
    }
}

fn launch(
    [table, first]: [&CubeTensor; 2],
    second: Option<&CubeTensor>,
    grads: CubeTensor,
    segments: CubeTensor,
    step: Step,
) {
    let (grads, segments) = (into_contiguous(grads), into_contiguous(segments));
    let client = grads.client.clone();
    let columns = grads.shape()[1];
    let (count, dim) = cubes(&client, step.rows * columns);
    let second = match second {
        Some(second) => second.clone().into_buffer_arg(),
        // SAFETY: four bytes hold the one number that nobody reads.
        None => unsafe { BufferArg::from_raw_parts(client.empty(4), 1) },
    };
    // SAFETY: as above.
    unsafe {
        kernel::update_rows::launch_unchecked(
            &client,
            count,
            dim,
            table.clone().into_buffer_arg(),
            first.clone().into_buffer_arg(),
            second,
            grads.into_buffer_arg(),
            segments.into_buffer_arg(),
            NumbersLaunch::of(&step.hyper),
            step.rows as u32,
            columns as u32,
            Formula::of(&step.hyper),
            step.summed,
        );
    }
}

mod kernel {
    use crate::kernels::gpu::{Formula, Numbers, update_number};
    use cubecl::prelude::*;

    /// The gradient of a row in one column.
    #[cube]
    fn add_up(
        grads: &[f32],
        segments: &[i32],
        row: usize,
        column: usize,
        rows: usize,
        columns: usize,
    ) -> f32 {
        let from = segments[rows + row] as usize;
        let to = segments[rows + row + 1] as usize;
        let order = 2 * rows + 1;
        let mut sum = 0.0f32;
        for k in from..to {
            sum += grads[segments[order + k] as usize * columns + column];
        }
        sum
    }

    #[cube(launch_unchecked)]
    pub fn sum_rows(grads: &[f32], segments: &[i32], sums: &mut [f32], rows: u32, columns: u32) {
        let unit = ABSOLUTE_POS;
        let (rows, columns) = (rows as usize, columns as usize);
        if unit < rows * columns {
            sums[unit] = add_up(
                grads,
                segments,
                unit / columns,
                unit % columns,
                rows,
                columns,
            );
        }
    }

    #[cube(launch_unchecked)]
    pub fn update_rows(
        table: &mut [f32],
        first: &mut [f32],
        second: &mut [f32],
        grads: &[f32],
        segments: &[i32],
        numbers: Numbers,
        rows: u32,
        columns: u32,
        #[comptime] formula: Formula,
        #[comptime] summed: bool,
    ) {
        let unit = ABSOLUTE_POS;
        let (rows, columns) = (rows as usize, columns as usize);
        if unit < rows * columns {
            let row = unit / columns;
            let column = unit % columns;
            let gradient = if summed.comptime() {
                grads[unit]
            } else {
                add_up(grads, segments, row, column, rows, columns)
            };
            let at = segments[row] as usize * columns + column;
            update_number(table, first, second, at, gradient, &numbers, formula);
        }
    }
}

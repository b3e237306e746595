//! The row kernels for GPUs: a unit for each column of each touched row.

mod chains;

pub use chains::chain;

use super::{Grouping, RowOps, Step};
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
        of: Grouping,
    ) -> FloatTensor<Self> {
        let rows = of.rows;
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
                of.occurrences as u32,
                of.chained,
                of.owned,
            );
        }
        sums
    }

    fn put_segments(
        table: FloatTensor<Self>,
        grads: FloatTensor<Self>,
        segments: IntTensor<Self>,
        of: Grouping,
    ) -> FloatTensor<Self> {
        let rows = of.rows;
        let table = own(table);
        let (grads, segments) = (into_contiguous(grads), into_contiguous(segments));
        let columns = grads.shape()[1];
        let client = grads.client.clone();
        let (count, dim) = cubes(&client, rows * columns);
        // SAFETY: as above.
        unsafe {
            kernel::put_rows::launch_unchecked(
                &client,
                count,
                dim,
                grads.into_buffer_arg(),
                segments.into_buffer_arg(),
                table.clone().into_buffer_arg(),
                rows as u32,
                columns as u32,
                of.occurrences as u32,
                of.chained,
                of.owned,
            );
        }
        table
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
    let (count, dim) = cubes(&client, step.of.rows * columns);
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
            step.of.rows as u32,
            columns as u32,
            step.of.occurrences as u32,
            Formula::of(&step.hyper),
            step.summed,
            step.of.chained,
            step.of.owned,
        );
    }
}

mod kernel {
    use crate::kernels::gpu::{Formula, Numbers, update_number};
    use cubecl::prelude::*;

    /// Whether a unit's row is its own: of rows of one number, only the one
    /// that holds its chain takes care of it.
    #[cube]
    fn is_own(
        segments: &[i32],
        row: usize,
        rows: usize,
        occurrences: usize,
        #[comptime] chained: bool,
    ) -> bool {
        let mut own = true;
        if chained.comptime() {
            own = segments[rows + occurrences + row] != 0i32;
        }
        own
    }

    /// The gradient of a row in one column.
    #[cube]
    fn add_up(
        grads: &[f32],
        segments: &[i32],
        row: usize,
        column: usize,
        rows: usize,
        columns: usize,
        occurrences: usize,
        #[comptime] chained: bool,
        #[comptime] owned: bool,
    ) -> f32 {
        let mut sum = 0.0f32;
        if chained.comptime() {
            let head = segments[rows + occurrences + row];
            let owners = 2 * rows + occurrences;
            sum = of_chain(grads, segments, head, column, rows, columns, owners, owned);
        } else {
            let from = segments[rows + row] as usize;
            let to = segments[rows + row + 1] as usize;
            let order = 2 * rows + 1;
            for k in from..to {
                sum += grads[segments[order + k] as usize * columns + column];
            }
        }
        sum
    }

    /// The gradient of an occurrence in one column.
    #[cube]
    fn part_of(
        grads: &[f32],
        links: &[i32],
        place: usize,
        column: usize,
        columns: usize,
        owners: usize,
        #[comptime] owned: bool,
    ) -> f32 {
        let mut row = place;
        if owned.comptime() {
            row = links[owners + place] as usize;
        }
        grads[row * columns + column]
    }

    /// A chain is in the order in which its occurrences came, which differs
    /// from run to run. Two numbers have one sum. More are added up as
    /// integers, in units of a fraction of the largest, which no order can
    /// change.
    #[cube]
    fn of_chain(
        grads: &[f32],
        links: &[i32],
        head: i32,
        column: usize,
        rows: usize,
        columns: usize,
        owners: usize,
        #[comptime] owned: bool,
    ) -> f32 {
        let mut link = head;
        let mut count = 0.0f32;
        let mut sum = 0.0f32;
        let mut largest = 0.0f32;
        while link != 0i32 {
            let place = link as usize - 1;
            let part = part_of(grads, links, place, column, columns, owners, owned);
            sum += part;
            largest = largest.max(part.abs());
            count += 1.0;
            link = links[rows + place];
        }
        if count > 2.5 {
            sum = 0.0;
            if largest > 1e-30 {
                let units = 1_073_741_824.0 / count;
                let mut whole = 0i32;
                link = head;
                while link != 0i32 {
                    let place = link as usize - 1;
                    let part = part_of(grads, links, place, column, columns, owners, owned);
                    whole += i32::cast_from((part / largest * units).round());
                    link = links[rows + place];
                }
                sum = f32::cast_from(whole) / units * largest;
            }
        }
        sum
    }

    #[cube(launch_unchecked)]
    pub fn sum_rows(
        grads: &[f32],
        segments: &[i32],
        sums: &mut [f32],
        rows: u32,
        columns: u32,
        occurrences: u32,
        #[comptime] chained: bool,
        #[comptime] owned: bool,
    ) {
        let unit = ABSOLUTE_POS;
        let (rows, columns) = (rows as usize, columns as usize);
        let occurrences = occurrences as usize;
        if unit < rows * columns {
            let (row, column) = (unit / columns, unit % columns);
            let mut sum = 0.0f32;
            if is_own(segments, row, rows, occurrences, chained) {
                sum = add_up(
                    grads,
                    segments,
                    row,
                    column,
                    rows,
                    columns,
                    occurrences,
                    chained,
                    owned,
                );
            }
            sums[unit] = sum;
        }
    }

    #[cube(launch_unchecked)]
    pub fn put_rows(
        grads: &[f32],
        segments: &[i32],
        table: &mut [f32],
        rows: u32,
        columns: u32,
        occurrences: u32,
        #[comptime] chained: bool,
        #[comptime] owned: bool,
    ) {
        let unit = ABSOLUTE_POS;
        let (rows, columns) = (rows as usize, columns as usize);
        let occurrences = occurrences as usize;
        if unit < rows * columns {
            let (row, column) = (unit / columns, unit % columns);
            if is_own(segments, row, rows, occurrences, chained) {
                let at = segments[row] as usize * columns + column;
                table[at] = add_up(
                    grads,
                    segments,
                    row,
                    column,
                    rows,
                    columns,
                    occurrences,
                    chained,
                    owned,
                );
            }
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
        occurrences: u32,
        #[comptime] formula: Formula,
        #[comptime] summed: bool,
        #[comptime] chained: bool,
        #[comptime] owned: bool,
    ) {
        let unit = ABSOLUTE_POS;
        let (rows, columns) = (rows as usize, columns as usize);
        let occurrences = occurrences as usize;
        if unit < rows * columns {
            let (row, column) = (unit / columns, unit % columns);
            if is_own(segments, row, rows, occurrences, chained) {
                let gradient = if summed.comptime() {
                    grads[unit]
                } else {
                    add_up(
                        grads,
                        segments,
                        row,
                        column,
                        rows,
                        columns,
                        occurrences,
                        chained,
                        owned,
                    )
                };
                let at = segments[row] as usize * columns + column;
                update_number(table, first, second, at, gradient, &numbers, formula);
            }
        }
    }
}

//! The row kernels for GPUs: a unit for each column of each touched row.

use super::{Grouping, RowOps, Step};
use crate::kernels::gpu::{Formula, NumbersLaunch, cubes, empty_beside, own};
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{DType, Int, Shape, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

/// See [`super::Chains`]: the heads, all zero again, and what
/// [`super::Grouping`] says of the occurrences.
pub fn chain(heads: Tensor<1, Int>, ids: Tensor<1, Int>) -> (Tensor<1, Int>, Tensor<1, Int>) {
    let (heads, links) = Dispatch::chain_rows(heads.into_dispatch(), ids.into_dispatch());
    (Tensor::from_dispatch(heads), Tensor::from_dispatch(links))
}

/// See [`super::Chains::find_owned`]: as [`chain`], for each row of the table.
pub fn chain_by_row(
    heads: Tensor<1, Int>,
    ids: Tensor<1, Int>,
) -> (Tensor<1, Int>, Tensor<1, Int>) {
    let (heads, links) = Dispatch::chain_table(heads.into_dispatch(), ids.into_dispatch());
    (Tensor::from_dispatch(heads), Tensor::from_dispatch(links))
}

/// The heads as they are, two numbers for each row, and one for each
/// occurrence.
fn chained_by_row(heads: &TensorSpec, ids: &TensorSpec) -> (TensorSpec, TensorSpec) {
    let len = 2 * heads.shape[0] + ids.shape[0];
    let links = TensorSpec::new(Shape::new([len]), DType::I32);
    (heads.clone(), links)
}

/// The heads as they are, and three numbers for each occurrence.
fn chained(heads: &TensorSpec, ids: &TensorSpec) -> (TensorSpec, TensorSpec) {
    let links = TensorSpec::new(Shape::new([3 * ids.shape[0]]), DType::I32);
    (heads.clone(), links)
}

#[backend_extension(Cube, Fusion)]
trait ChainOps: Backend {
    #[fusion(meta = |heads, ids| chained(heads, ids))]
    fn chain_rows(
        heads: IntTensor<Self>,
        ids: IntTensor<Self>,
    ) -> (IntTensor<Self>, IntTensor<Self>);

    #[fusion(meta = |heads, ids| chained_by_row(heads, ids))]
    fn chain_table(
        heads: IntTensor<Self>,
        ids: IntTensor<Self>,
    ) -> (IntTensor<Self>, IntTensor<Self>);
}

impl ChainOps for CubeBackend {
    fn chain_rows(
        heads: IntTensor<Self>,
        ids: IntTensor<Self>,
    ) -> (IntTensor<Self>, IntTensor<Self>) {
        let (heads, ids) = (own(heads), into_contiguous(ids));
        let rows = ids.shape()[0];
        let links = empty_beside(&ids, Shape::new([3 * rows]), ids.dtype);
        let client = ids.client.clone();
        let (count, dim) = cubes(&client, rows);
        // SAFETY: the kernels check their own bounds; ids are below 0 or rows
        // of the table that the heads are of.
        unsafe {
            kernel::link::launch_unchecked(
                &client,
                count.clone(),
                dim,
                heads.clone().into_buffer_arg(),
                ids.into_buffer_arg(),
                links.clone().into_buffer_arg(),
                rows as u32,
            );
            kernel::seal::launch_unchecked(
                &client,
                count,
                dim,
                heads.clone().into_buffer_arg(),
                links.clone().into_buffer_arg(),
                rows as u32,
            );
        }
        (heads, links)
    }

    fn chain_table(
        heads: IntTensor<Self>,
        ids: IntTensor<Self>,
    ) -> (IntTensor<Self>, IntTensor<Self>) {
        let (heads, ids) = (own(heads), into_contiguous(ids));
        let (rows, occurrences) = (heads.shape()[0], ids.shape()[0]);
        let links = empty_beside(&ids, Shape::new([2 * rows + occurrences]), ids.dtype);
        let client = ids.client.clone();
        let (count, dim) = cubes(&client, occurrences);
        let (of_rows, _) = cubes(&client, rows);
        // SAFETY: as above.
        unsafe {
            kernel::link_after::launch_unchecked(
                &client,
                count,
                dim,
                heads.clone().into_buffer_arg(),
                ids.into_buffer_arg(),
                links.clone().into_buffer_arg(),
                rows as u32,
                occurrences as u32,
            );
            kernel::take_heads::launch_unchecked(
                &client,
                of_rows,
                dim,
                heads.clone().into_buffer_arg(),
                links.clone().into_buffer_arg(),
                rows as u32,
                occurrences as u32,
            );
        }
        (heads, links)
    }
}

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

    /// Links each occurrence to one that came before it. One of no row is in
    /// no chain: that it follows itself keeps it from being taken for the end
    /// of one.
    #[cube(launch_unchecked)]
    pub fn link(heads: &[Atomic<u32>], ids: &[i32], links: &mut [u32], rows: u32) {
        let place = ABSOLUTE_POS;
        let rows = rows as usize;
        if place < rows {
            let own = place as u32 + 1;
            if ids[place] < 0i32 {
                links[place] = 0u32;
                links[rows + place] = own;
            } else {
                let id = ids[place] as u32;
                links[place] = id;
                links[rows + place] = heads[id as usize].exchange(own);
            }
        }
    }

    /// The last of a chain, which came first, takes its head over.
    #[cube(launch_unchecked)]
    pub fn seal(heads: &[Atomic<u32>], links: &mut [u32], rows: u32) {
        let place = ABSOLUTE_POS;
        let rows = rows as usize;
        if place < rows {
            let mut first = 0u32;
            if links[rows + place] == 0u32 {
                let head = &heads[links[place] as usize];
                first = head.exchange(0u32);
            }
            links[2 * rows + place] = first;
        }
    }

    /// As [`link`], for a table whose rows come before the links.
    #[cube(launch_unchecked)]
    pub fn link_after(
        heads: &[Atomic<u32>],
        ids: &[i32],
        links: &mut [u32],
        rows: u32,
        occurrences: u32,
    ) {
        let place = ABSOLUTE_POS;
        if place < occurrences as usize {
            let mut next = 0u32;
            if ids[place] >= 0i32 {
                next = heads[ids[place] as usize].exchange(place as u32 + 1);
            }
            links[rows as usize + place] = next;
        }
    }

    /// Each row takes the head of its chain.
    #[cube(launch_unchecked)]
    pub fn take_heads(heads: &[Atomic<u32>], links: &mut [u32], rows: u32, occurrences: u32) {
        let row = ABSOLUTE_POS;
        let (rows, occurrences) = (rows as usize, occurrences as usize);
        if row < rows {
            links[row] = row as u32;
            links[rows + occurrences + row] = heads[row].exchange(0u32);
        }
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

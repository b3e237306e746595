//! The row kernels as loops over slices; a row is one thread's.

use super::{Grouping, RowOps, Step};
use crate::kernels::simd::{self, Isa, Job};
use crate::kernels::update::update_row;
use burn::backend::Flex;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::tensor::{DType, Shape};
use rayon::prelude::*;
use std::marker::PhantomData;
use std::ops::Range;

/// Rows that a thread takes at a time.
const CHUNK: usize = 128;

impl RowOps for Flex {
    fn sum_segments(
        grads: FloatTensor<Self>,
        segments: IntTensor<Self>,
        of: Grouping,
    ) -> FloatTensor<Self> {
        assert!(!of.chained, "only GPUs find rows by themselves");
        let rows = of.rows;
        let (grads, segments) = (grads.to_contiguous(), segments.to_contiguous());
        let columns = grads.layout().shape()[1];
        let mut sums = FloatTensor::<Self>::zeros(Shape::new([rows, columns]), DType::F32);
        let (values, packed) = (floats(&grads), Packed::new(ints(&segments), rows));
        let parts = sums.storage_mut::<f32>().par_chunks_mut(CHUNK * columns);
        parts.enumerate().for_each(|(chunk, sums)| {
            simd::run(Sums {
                first: chunk * CHUNK,
                packed,
                grads: values,
                sums,
                columns,
            });
        });
        sums
    }

    fn put_segments(
        mut table: FloatTensor<Self>,
        grads: FloatTensor<Self>,
        segments: IntTensor<Self>,
        of: Grouping,
    ) -> FloatTensor<Self> {
        let sums = Self::sum_segments(grads, segments.clone(), of);
        let (sums, segments) = (sums.to_contiguous(), segments.to_contiguous());
        let columns = sums.layout().shape()[1];
        let to = table.storage_mut::<f32>();
        let rows = floats(&sums).chunks_exact(columns).zip(ints(&segments));
        for (sum, &row) in rows {
            to[row as usize * columns..][..columns].copy_from_slice(sum);
        }
        table
    }

    fn update_with_one_state(
        mut table: FloatTensor<Self>,
        mut first: FloatTensor<Self>,
        grads: FloatTensor<Self>,
        segments: IntTensor<Self>,
        step: Step,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        update([&mut table, &mut first], grads, segments, step);
        (table, first)
    }

    fn update_with_two_states(
        mut table: FloatTensor<Self>,
        mut first: FloatTensor<Self>,
        mut second: FloatTensor<Self>,
        grads: FloatTensor<Self>,
        segments: IntTensor<Self>,
        step: Step,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        update([&mut table, &mut first, &mut second], grads, segments, step);
        (table, first, second)
    }
}

/// Takes the step in all threads.
///
/// # Panics
/// On a row that the table does not have.
fn update<const N: usize>(
    tensors: [&mut FloatTensor<Flex>; N],
    grads: FloatTensor<Flex>,
    segments: IntTensor<Flex>,
    step: Step,
) {
    let (grads, segments) = (grads.to_contiguous(), segments.to_contiguous());
    let packed = Packed::new(ints(&segments), step.of.rows);
    let columns = grads.layout().shape()[1];
    let tables = tensors.map(|tensor| Table::new(tensor, columns));
    (0..step.of.rows.div_ceil(CHUNK))
        .into_par_iter()
        .for_each(|chunk| {
            simd::run(Update {
                rows: chunk * CHUNK..((chunk + 1) * CHUNK).min(step.of.rows),
                packed,
                grads: floats(&grads),
                tables: &tables,
                columns,
                step,
            });
        });
}

fn floats(tensor: &FloatTensor<Flex>) -> &[f32] {
    tensor.as_slice().expect("contiguous numbers of 32 bits")
}

fn ints(tensor: &IntTensor<Flex>) -> &[i32] {
    tensor.as_slice().expect("contiguous integers of 32 bits")
}

/// See [`super::Segments`].
#[derive(Clone, Copy)]
struct Packed<'a> {
    rows: &'a [i32],
    offsets: &'a [i32],
    order: &'a [i32],
}

impl<'a> Packed<'a> {
    fn new(packed: &'a [i32], rows: usize) -> Self {
        let (ids, rest) = packed.split_at(rows);
        let (offsets, order) = rest.split_at(rows + 1);
        Self {
            rows: ids,
            offsets,
            order,
        }
    }

    #[inline(always)]
    fn occurrences(&self, row: usize) -> &'a [i32] {
        &self.order[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }
}

/// The sum of a row's gradients.
#[inline(always)]
fn add_up(sum: &mut [f32], grads: &[f32], occurrences: &[i32]) {
    let columns = sum.len();
    sum.fill(0.0);
    for &occurrence in occurrences {
        let grad = &grads[occurrence as usize * columns..][..columns];
        for (sum, g) in sum.iter_mut().zip(grad) {
            *sum += g;
        }
    }
}

struct Sums<'a> {
    first: usize,
    packed: Packed<'a>,
    grads: &'a [f32],
    sums: &'a mut [f32],
    columns: usize,
}

impl Job for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        for (row, sum) in (self.first..).zip(self.sums.chunks_exact_mut(self.columns)) {
            add_up(sum, self.grads, self.packed.occurrences(row));
        }
    }
}

/// A table whose rows several threads write, each row by one thread alone.
struct Table<'a> {
    start: *mut f32,
    rows: usize,
    columns: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: a `Table` is an exclusive borrow of its numbers; `Table::row` asks
// its callers to keep the rows of different threads apart.
unsafe impl Sync for Table<'_> {}

impl<'a> Table<'a> {
    fn new(tensor: &'a mut FloatTensor<Flex>, columns: usize) -> Self {
        if tensor.layout().contiguous_offsets().is_none() {
            *tensor = tensor.to_contiguous();
        }
        let offsets = tensor.layout().contiguous_offsets();
        let (from, to) = offsets.expect("just made contiguous");
        let values = &mut tensor.storage_mut::<f32>()[from..to];
        Self {
            start: values.as_mut_ptr(),
            rows: values.len() / columns,
            columns,
            borrow: PhantomData,
        }
    }

    /// # Safety
    /// Nobody else may hold this row.
    ///
    /// # Panics
    /// When there is no such row.
    #[inline(always)]
    unsafe fn row(&self, row: usize) -> &'a mut [f32] {
        assert!(
            row < self.rows,
            "a table of {} rows has no row {row}",
            self.rows
        );
        // SAFETY: the row lies inside the borrow, and is the caller's alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.columns), self.columns) }
    }
}

struct Update<'a, const N: usize> {
    rows: Range<usize>,
    packed: Packed<'a>,
    grads: &'a [f32],
    /// The weights, and the one or two states.
    tables: &'a [Table<'a>; N],
    columns: usize,
    step: Step,
}

impl<'a, const N: usize> Job for Update<'a, N> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let columns = self.columns;
        let mut sum = vec![0.0; columns];
        for segment in self.rows {
            let occurrences = self.packed.occurrences(segment);
            let grad = if self.step.summed {
                &self.grads[segment * columns..][..columns]
            } else if let [only] = occurrences {
                &self.grads[*only as usize * columns..][..columns]
            } else {
                add_up(&mut sum, self.grads, occurrences);
                &sum
            };
            let row = self.packed.rows[segment] as usize;
            // SAFETY: rows are distinct, and each segment is in one job alone.
            let row = |table: &'a Table<'a>| unsafe { table.row(row) };
            let (weights, first) = (row(&self.tables[0]), row(&self.tables[1]));
            let second = self.tables.get(2).map_or(&mut [][..], row);
            update_row::<S>(&self.step.hyper, weights, first, second, grad);
        }
    }
}

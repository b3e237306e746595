//! The update of the rows of an embedding table that a batch looked up.
//!
//! A row can be looked up many times in a batch. One pass over the touched
//! rows adds up the gradients of a row's occurrences, always in their order in
//! the batch, and takes the optimizer's step on that row alone, in place. So a
//! step costs what the batch costs, whatever the size of the table, and
//! repeats bit by bit.
//!
//! Which occurrences are of one row, the host says by sorting them; or a GPU
//! finds out by itself, where it has drawn them (`Chains`).

mod cpu;
#[cfg(feature = "wgpu")]
mod gpu;

use super::update::Hyper;
use crate::device::{Family, family};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{Device, Int, Tensor, TensorData};

/// Whether the kernels of this module run on a device; elsewhere plain
/// operations must do.
pub fn supported(device: &Device) -> bool {
    family(device) != Family::Other
}

/// Which occurrences of a batch belong to which row of a table.
#[derive(Clone, Debug)]
pub struct Segments {
    /// The rows `[n]`, where the occurrences of each begin `[n + 1]`, and the
    /// occurrences by row `[m]`, one after the other.
    packed: Tensor<1, Int>,
    of: Grouping,
}

/// How occurrences are grouped.
#[derive(Clone, Copy, Debug)]
struct Grouping {
    /// Rows that may have occurrences, `n`.
    rows: usize,
    /// Occurrences, `m`; only told of chains.
    #[cfg(feature = "wgpu")]
    occurrences: usize,
    /// Made by `Chains`: the rows `[n]`; of each occurrence the next one of the
    /// same row, counted from 1, or 0 `[m]`; and of each row the first
    /// occurrence, or 0 where there is none or another row of the same number
    /// has it `[n]`.
    chained: bool,
    /// After these, of each occurrence the row of the gradients that it has
    /// `[m]`; otherwise that is the occurrence's own.
    #[cfg(feature = "wgpu")]
    owned: bool,
}

/// Finds the occurrences of each row on a GPU.
#[cfg(feature = "wgpu")]
#[derive(Clone, Debug)]
pub struct Chains {
    /// Zero for each row of a table, but while rows are found.
    heads: Option<Tensor<1, Int>>,
}

#[cfg(feature = "wgpu")]
impl Chains {
    /// For tables of so many rows, on a device of [`Family::Gpu`].
    pub fn new(table_rows: usize, device: &Device) -> Self {
        Self {
            heads: Some(Tensor::zeros([table_rows], device)),
        }
    }

    /// Occurrence `i` is of row `ids[i]`, which the table must have, or of none
    /// where that is below 0.
    pub fn find(&mut self, ids: Tensor<1, Int>) -> Segments {
        self.chain(ids, false)
    }

    /// As [`Self::find`], where occurrences have gradients in common: that of
    /// occurrence `i` is row `owners[i]` of them. There may be far more
    /// occurrences than gradients, and than rows of the table: then what is made
    /// of a row is kept for each row of the table, and otherwise for each
    /// occurrence, so that a large table costs what the occurrences cost.
    pub fn find_owned(&mut self, ids: Tensor<1, Int>, owners: Tensor<1, Int>) -> Segments {
        let many = self.heads.as_ref().map(|heads| heads.dims()[0]) < Some(ids.dims()[0]);
        let found = self.chain(ids, many);
        Segments {
            packed: Tensor::cat(vec![found.packed, owners], 0),
            of: Grouping {
                owned: true,
                ..found.of
            },
        }
    }

    fn chain(&mut self, ids: Tensor<1, Int>, of_table: bool) -> Segments {
        let occurrences = ids.dims()[0];
        // The only handle, so that they are written in place.
        let heads = self.heads.take().expect("every call puts them back");
        let rows = if of_table {
            heads.dims()[0]
        } else {
            occurrences
        };
        let (heads, packed) = gpu::chain(heads, ids, of_table);
        self.heads = Some(heads);
        Segments {
            packed,
            of: Grouping {
                rows,
                occurrences,
                chained: true,
                owned: false,
            },
        }
    }
}

impl Segments {
    /// Occurrence `i` is of row `rows[inverse[i]]`, or of none where that is
    /// `u32::MAX`; `rows` are distinct.
    pub fn new(rows: &[u32], inverse: &[u32], device: &Device) -> Self {
        let mut packed = Vec::with_capacity(2 * rows.len() + 1 + inverse.len());
        packed.extend(rows.iter().map(|&row| row as i32));
        let members = inverse.iter().filter(|&&row| row != u32::MAX).count();
        packed.resize(2 * rows.len() + 1 + members, 0);
        let (offsets, order) = packed[rows.len()..].split_at_mut(rows.len() + 1);
        // A counting sort: it keeps the order inside a row.
        for &row in inverse.iter().filter(|&&row| row != u32::MAX) {
            offsets[row as usize + 1] += 1;
        }
        for i in 1..offsets.len() {
            offsets[i] += offsets[i - 1];
        }
        let mut next = offsets[..rows.len()].to_vec();
        for (occurrence, &row) in (0..).zip(inverse).filter(|o| *o.1 != u32::MAX) {
            let place = &mut next[row as usize];
            order[*place as usize] = occurrence;
            *place += 1;
        }
        Self::packed(packed, rows.len(), device)
    }

    /// Segment `b` holds the members `offsets[b]..offsets[b + 1]`, to be added
    /// up by [`Self::sum`].
    pub fn of_bags(offsets: &[usize], members: &[u32], device: &Device) -> Self {
        let rows = offsets.len() - 1;
        let mut packed = Vec::with_capacity(rows + offsets.len() + members.len());
        packed.extend(0..rows as i32);
        packed.extend(offsets.iter().map(|&offset| offset as i32));
        packed.extend(members.iter().map(|&member| member as i32));
        Self::packed(packed, rows, device)
    }

    /// Rows with the owners of their gradients, sorted by row: the gradient of
    /// a row is the sum of those of its owners.
    pub fn of_owners(owners: &[(u32, u32)], device: &Device) -> Self {
        let segments = owners.chunk_by(|a, b| a.0 == b.0);
        let mut packed: Vec<i32> = segments.clone().map(|s| s[0].0 as i32).collect();
        let rows = packed.len();
        packed.push(0);
        let ends = segments.scan(0, |end, segment| {
            *end += segment.len() as i32;
            Some(*end)
        });
        packed.extend(ends);
        packed.extend(owners.iter().map(|owner| owner.1 as i32));
        Self::packed(packed, rows, device)
    }

    fn packed(packed: Vec<i32>, rows: usize, device: &Device) -> Self {
        let len = packed.len();
        Self {
            packed: Tensor::from_data(TensorData::new(packed, [len]), device),
            of: Grouping {
                rows,
                #[cfg(feature = "wgpu")]
                occurrences: 0,
                chained: false,
                #[cfg(feature = "wgpu")]
                owned: false,
            },
        }
    }

    /// The rows `[n]`, each once; of `Chains` those of the occurrences, with
    /// some row in place of none, or all of the table where there are fewer.
    pub fn rows(&self) -> Tensor<1, Int> {
        self.packed.clone().narrow(0, 0, self.of.rows)
    }

    /// The gradient of each row `[n, columns]` from those of the occurrences
    /// `[m, columns]`. Of `Chains` it has a row for each of [`Self::rows`], and
    /// is zero but for one of each number.
    pub fn sum(&self, occurrences: Tensor<2>) -> Tensor<2> {
        let segments = self.packed.clone().into_dispatch();
        Tensor::from_dispatch(Dispatch::sum_segments(
            occurrences.into_dispatch(),
            segments,
            self.of,
        ))
    }

    /// The same as rows of a table of so many rows, `[table_rows, columns]`,
    /// zero where there is no occurrence.
    ///
    /// # Panics
    /// On a row that the table does not have, on the host.
    pub fn spread(&self, occurrences: Tensor<2>, table_rows: usize) -> Tensor<2> {
        let shape = [table_rows, occurrences.dims()[1]];
        let zeros = Tensor::<2>::zeros(shape, &occurrences.device());
        let segments = self.packed.clone().into_dispatch();
        Tensor::from_dispatch(Dispatch::put_segments(
            zeros.into_dispatch(),
            occurrences.into_dispatch(),
            segments,
            self.of,
        ))
    }

    /// One step of the optimizer on the rows of `table`, with the table's
    /// states in the order of [`crate::optim::num_states`]. `grads` are those
    /// of the occurrences `[m, columns]`, or with `summed` those of the rows,
    /// as [`Self::sum`] gives them.
    ///
    /// The rows are written in place where `table` and `states` are the only
    /// handles.
    ///
    /// # Panics
    /// When there are no states or more than two.
    pub fn update(
        &self,
        table: Tensor<2>,
        states: Vec<Tensor<2>>,
        grads: Tensor<2>,
        summed: bool,
        hyper: Hyper,
    ) -> (Tensor<2>, Vec<Tensor<2>>) {
        let step = Step {
            hyper,
            of: self.of,
            summed,
        };
        let (table, grads) = (table.into_dispatch(), grads.into_dispatch());
        let segments = self.packed.clone().into_dispatch();
        let mut states = states.into_iter().map(Tensor::into_dispatch);
        let first = states.next().expect("every optimizer keeps a state");
        match states.next() {
            None => {
                let (table, first) =
                    Dispatch::update_with_one_state(table, first, grads, segments, step);
                let table = Tensor::from_dispatch(table);
                (table, vec![Tensor::from_dispatch(first)])
            }
            Some(second) => {
                assert!(states.next().is_none(), "no optimizer keeps three states");
                let (table, first, second) =
                    Dispatch::update_with_two_states(table, first, second, grads, segments, step);
                let states = [first, second].map(Tensor::from_dispatch);
                (Tensor::from_dispatch(table), states.into())
            }
        }
    }
}

/// What a kernel must know of a step.
#[derive(Clone, Copy, Debug)]
struct Step {
    hyper: Hyper,
    of: Grouping,
    /// Whether the gradients are those of the rows.
    summed: bool,
}

/// The operations as the backends implement them; `segments` is packed as in
/// [`Segments`]. The host has no chains.
#[backend_extension(Cube: cfg(feature = "wgpu"), Flex, Fusion: cfg(feature = "wgpu"))]
trait RowOps: Backend {
    #[fusion(dtype = grads, shape = burn::tensor::Shape::new([of.rows, grads[1]]))]
    fn sum_segments(
        grads: FloatTensor<Self>,
        segments: IntTensor<Self>,
        of: Grouping,
    ) -> FloatTensor<Self>;

    #[fusion(meta = |table, _grads, _segments, _of| table.clone())]
    fn put_segments(
        table: FloatTensor<Self>,
        grads: FloatTensor<Self>,
        segments: IntTensor<Self>,
        of: Grouping,
    ) -> FloatTensor<Self>;

    #[fusion(meta = |table, first, _grads, _segments, _step| (table.clone(), first.clone()))]
    fn update_with_one_state(
        table: FloatTensor<Self>,
        first: FloatTensor<Self>,
        grads: FloatTensor<Self>,
        segments: IntTensor<Self>,
        step: Step,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    #[fusion(meta = |table, first, second, _grads, _segments, _step| {
        (table.clone(), first.clone(), second.clone())
    })]
    fn update_with_two_states(
        table: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        grads: FloatTensor<Self>,
        segments: IntTensor<Self>,
        step: Step,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

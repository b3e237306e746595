//! Bags of rows that a GPU fills by itself: histories are uploaded once, and a
//! step is told whose bags it wants. What corruption takes of them is drawn by
//! the counters of the host.

use super::gpu::{cubes, empty_beside, own, upload};
use super::rows::{Chains, Segments};
use crate::device::ensure_fits;
use crate::seed::Rng;
use anyhow::Result;
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{DType, Device, Int, Shape, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;

/// Words of a stream, with which the table of a step begins.
const STREAM: usize = 4;

/// Histories on a device, one after the other.
pub struct DeviceHistories {
    items: Tensor<1, Int>,
    device: Device,
}

/// Bags of a step, each of one history.
pub struct Wanted<'a> {
    /// Where each history begins among all.
    pub first: &'a [usize],
    /// Where each bag begins and where the last one ends: none is empty.
    pub offsets: &'a [usize],
    /// What corruption is drawn from, a word for each item.
    pub stream: &'a Rng,
    /// The share that it takes.
    pub dropout: f64,
}

/// What a step is made of.
pub struct StepBags {
    pub clean: DeviceBags,
    /// Less what corruption took.
    pub corrupted: DeviceBags,
    /// The items of each bag, filled up to the size of the largest one with row
    /// 0, and 1 or 0 for what is one of its items or not: `[bags, largest]`.
    pub positives: Tensor<2, Int>,
    pub present: Tensor<2>,
}

/// Some bags of row numbers on a device.
#[derive(Clone, Debug)]
pub struct DeviceBags {
    /// The members of all bags, -1 for one that was taken.
    members: Tensor<1, Int>,
    /// The bag of each of them.
    owners: Tensor<1, Int>,
    /// As the kernels read where bags begin.
    table: Tensor<1, Int>,
    bags: usize,
}

/// What a launch must know of the bags.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    bags: usize,
    members: usize,
    largest: usize,
    /// What is taken has 24 upper bits of its word below it.
    limit: u32,
}

impl DeviceHistories {
    /// # Errors
    /// More than the device holds in one buffer.
    pub fn new(items: &[u32], device: &Device) -> Result<Self> {
        ensure_fits(device, "the histories", size_of_val(items))?;
        Ok(Self {
            items: upload(items.iter().copied(), device),
            device: device.clone(),
        })
    }

    pub fn bags(&self, wanted: &Wanted<'_>) -> StepBags {
        let Wanted { first, offsets, .. } = *wanted;
        let lengths = offsets.windows(2).map(|ends| ends[1] - ends[0]);
        let sizes = Sizes {
            bags: first.len(),
            members: offsets[first.len()],
            largest: lengths.max().unwrap_or(0),
            limit: (wanted.dropout * f64::from(1u32 << 24)).ceil() as u32,
        };
        let words = wanted.stream.words().into_iter();
        let places = offsets.iter().chain(first).map(|&place| place as u32);
        let table = upload(words.chain(places), &self.device);
        let (clean, kept, owners) = members(&self.items, &table, sizes);
        let (positives, present) = Dispatch::pad_bags(
            self.items.clone().into_dispatch(),
            table.clone().into_dispatch(),
            sizes,
        );
        let shape = [sizes.bags, sizes.largest];
        let bags = |members| DeviceBags {
            members,
            owners: owners.clone(),
            table: table.clone(),
            bags: sizes.bags,
        };
        StepBags {
            clean: bags(clean),
            corrupted: bags(kept),
            positives: Tensor::<1, Int>::from_dispatch(positives).reshape(shape),
            present: Tensor::<1>::from_dispatch(present).reshape(shape),
        }
    }
}

/// The members of all bags, those that are kept, and their bags.
fn members(
    items: &Tensor<1, Int>,
    table: &Tensor<1, Int>,
    sizes: Sizes,
) -> (Tensor<1, Int>, Tensor<1, Int>, Tensor<1, Int>) {
    let (clean, kept, owners) = Dispatch::fill_bags(
        items.clone().into_dispatch(),
        table.clone().into_dispatch(),
        sizes,
    );
    let ints = Tensor::from_dispatch;
    (ints(clean), ints(kept), ints(owners))
}

impl DeviceBags {
    /// For each bag the sum of the table's rows in it: `[bags, columns]`.
    pub fn sum(&self, table: Tensor<2>) -> Tensor<2> {
        Tensor::from_dispatch(Dispatch::sum_bags(
            table.into_dispatch(),
            self.members.clone().into_dispatch(),
            self.table.clone().into_dispatch(),
            self.bags,
        ))
    }

    /// How often each bag has each row, once or not at all: `[bags, rows]`.
    pub fn counts(&self, rows: usize) -> Tensor<2> {
        let zeros: Tensor<2> = Tensor::zeros([self.bags, rows], &self.members.device());
        Tensor::from_dispatch(Dispatch::count_bags(
            zeros.into_dispatch(),
            self.members.clone().into_dispatch(),
            self.owners.clone().into_dispatch(),
        ))
    }

    /// For the update of the table: which bags each row is in.
    pub fn transposed(&self, chains: &mut Chains) -> Segments {
        chains.find_owned(self.members.clone(), self.owners.clone())
    }
}

fn spec(len: usize, dtype: DType) -> TensorSpec {
    TensorSpec::new(Shape::new([len]), dtype)
}

fn filled(sizes: &Sizes) -> (TensorSpec, TensorSpec, TensorSpec) {
    let ints = || spec(sizes.members, DType::I32);
    (ints(), ints(), ints())
}

fn padded(sizes: &Sizes) -> (TensorSpec, TensorSpec) {
    let len = sizes.bags * sizes.largest;
    (spec(len, DType::I32), spec(len, DType::F32))
}

#[backend_extension(Cube, Fusion)]
trait BagOps: Backend {
    #[fusion(meta = |_items, _table, sizes| filled(sizes))]
    fn fill_bags(
        items: IntTensor<Self>,
        table: IntTensor<Self>,
        sizes: Sizes,
    ) -> (IntTensor<Self>, IntTensor<Self>, IntTensor<Self>);

    #[fusion(meta = |_items, _table, sizes| padded(sizes))]
    fn pad_bags(
        items: IntTensor<Self>,
        table: IntTensor<Self>,
        sizes: Sizes,
    ) -> (IntTensor<Self>, FloatTensor<Self>);

    #[fusion(dtype = rows, shape = Shape::new([*bags, rows[1]]))]
    fn sum_bags(
        rows: FloatTensor<Self>,
        members: IntTensor<Self>,
        table: IntTensor<Self>,
        bags: usize,
    ) -> FloatTensor<Self>;

    #[fusion(meta = |zeros, _members, _owners| zeros.clone())]
    fn count_bags(
        zeros: FloatTensor<Self>,
        members: IntTensor<Self>,
        owners: IntTensor<Self>,
    ) -> FloatTensor<Self>;
}

impl BagOps for CubeBackend {
    fn fill_bags(
        items: IntTensor<Self>,
        table: IntTensor<Self>,
        sizes: Sizes,
    ) -> (IntTensor<Self>, IntTensor<Self>, IntTensor<Self>) {
        let (items, table) = (into_contiguous(items), into_contiguous(table));
        let ints = || empty_beside(&table, Shape::new([sizes.members]), table.dtype);
        let (clean, kept, owners) = (ints(), ints(), ints());
        let client = table.client.clone();
        let (count, dim) = cubes(&client, sizes.members);
        // SAFETY: the kernel checks its own bounds; histories lie inside of
        // the items that the host took them from.
        unsafe {
            kernel::fill_bags::launch_unchecked(
                &client,
                count,
                dim,
                items.into_buffer_arg(),
                table.into_buffer_arg(),
                clean.clone().into_buffer_arg(),
                kept.clone().into_buffer_arg(),
                owners.clone().into_buffer_arg(),
                sizes.bags as u32,
                sizes.members as u32,
                sizes.limit,
            );
        }
        (clean, kept, owners)
    }

    fn pad_bags(
        items: IntTensor<Self>,
        table: IntTensor<Self>,
        sizes: Sizes,
    ) -> (IntTensor<Self>, FloatTensor<Self>) {
        let (items, table) = (into_contiguous(items), into_contiguous(table));
        let len = sizes.bags * sizes.largest;
        let positives = empty_beside(&table, Shape::new([len]), table.dtype);
        let present = empty_beside(&table, Shape::new([len]), DType::F32);
        let client = table.client.clone();
        let (count, dim) = cubes(&client, len);
        // SAFETY: as above.
        unsafe {
            kernel::pad_bags::launch_unchecked(
                &client,
                count,
                dim,
                items.into_buffer_arg(),
                table.into_buffer_arg(),
                positives.clone().into_buffer_arg(),
                present.clone().into_buffer_arg(),
                sizes.bags as u32,
                sizes.largest as u32,
            );
        }
        (positives, present)
    }

    fn sum_bags(
        rows: FloatTensor<Self>,
        members: IntTensor<Self>,
        table: IntTensor<Self>,
        bags: usize,
    ) -> FloatTensor<Self> {
        let rows = into_contiguous(rows);
        let (members, table) = (into_contiguous(members), into_contiguous(table));
        let columns = rows.shape()[1];
        let sums = empty_beside(&rows, Shape::new([bags, columns]), rows.dtype);
        let client = rows.client.clone();
        let (count, dim) = cubes(&client, bags * columns);
        // SAFETY: as above; members are rows that there are.
        unsafe {
            kernel::sum_bags::launch_unchecked(
                &client,
                count,
                dim,
                rows.into_buffer_arg(),
                members.into_buffer_arg(),
                table.into_buffer_arg(),
                sums.clone().into_buffer_arg(),
                bags as u32,
                columns as u32,
            );
        }
        sums
    }

    fn count_bags(
        zeros: FloatTensor<Self>,
        members: IntTensor<Self>,
        owners: IntTensor<Self>,
    ) -> FloatTensor<Self> {
        let counts = own(zeros);
        let (members, owners) = (into_contiguous(members), into_contiguous(owners));
        let client = counts.client.clone();
        let (len, rows) = (members.shape()[0], counts.shape()[1]);
        let (count, dim) = cubes(&client, len);
        // SAFETY: as above.
        unsafe {
            kernel::count_bags::launch_unchecked(
                &client,
                count,
                dim,
                members.into_buffer_arg(),
                owners.into_buffer_arg(),
                counts.clone().into_buffer_arg(),
                len as u32,
                rows as u32,
            );
        }
        counts
    }
}

mod kernel {
    use super::STREAM;
    use crate::kernels::gpu::word_at;
    use cubecl::prelude::*;

    /// The bag of a member: the last one that does not begin after it.
    #[cube]
    fn owner_of(table: &[u32], member: u32, bags: u32) -> u32 {
        let mut low = 0u32;
        let mut high = bags;
        while low < high {
            let middle = (low + high) / 2;
            if table[STREAM + middle as usize + 1] <= member {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// A unit for each member of each bag.
    #[cube(launch_unchecked)]
    pub fn fill_bags(
        items: &[u32],
        table: &[u32],
        clean: &mut [u32],
        kept: &mut [u32],
        owners: &mut [u32],
        bags: u32,
        members: u32,
        limit: u32,
    ) {
        let unit = ABSOLUTE_POS as u32;
        if unit < members {
            let owner = owner_of(table, unit, bags);
            let first = table[STREAM + 1 + bags as usize + owner as usize];
            let item = items[(first + (unit - table[STREAM + owner as usize])) as usize];
            let mut left = item;
            if word_at(table, 0, 0u32, 0u32, unit) >> 8 < limit {
                left = 0xFFFF_FFFFu32;
            }
            clean[unit as usize] = item;
            kept[unit as usize] = left;
            owners[unit as usize] = owner;
        }
    }

    /// A unit for each place of each bag.
    #[cube(launch_unchecked)]
    pub fn pad_bags(
        items: &[u32],
        table: &[u32],
        positives: &mut [u32],
        present: &mut [f32],
        bags: u32,
        largest: u32,
    ) {
        let unit = ABSOLUTE_POS as u32;
        if unit < bags * largest {
            let bag = (unit / largest) as usize;
            let place = unit % largest;
            let mut item = 0u32;
            let mut is_one = 0.0f32;
            if place < table[STREAM + bag + 1] - table[STREAM + bag] {
                item = items[(table[STREAM + 1 + bags as usize + bag] + place) as usize];
                is_one = 1.0f32;
            }
            positives[unit as usize] = item;
            present[unit as usize] = is_one;
        }
    }

    /// A unit for each column of each bag.
    #[cube(launch_unchecked)]
    pub fn sum_bags(
        rows: &[f32],
        members: &[i32],
        table: &[u32],
        sums: &mut [f32],
        bags: u32,
        columns: u32,
    ) {
        let unit = ABSOLUTE_POS;
        let columns = columns as usize;
        if unit < bags as usize * columns {
            let (bag, column) = (unit / columns, unit % columns);
            let mut place = table[STREAM + bag] as usize;
            let end = table[STREAM + bag + 1] as usize;
            let mut sum = 0.0f32;
            while place < end {
                let member = members[place];
                if member >= 0i32 {
                    sum += rows[member as usize * columns + column];
                }
                place += 1;
            }
            sums[unit] = sum;
        }
    }

    /// A unit for each member; no bag has one twice.
    #[cube(launch_unchecked)]
    pub fn count_bags(members: &[i32], owners: &[u32], counts: &mut [f32], len: u32, rows: u32) {
        let unit = ABSOLUTE_POS;
        if unit < len as usize {
            let member = members[unit];
            if member >= 0i32 {
                counts[owners[unit] as usize * rows as usize + member as usize] = 1.0f32;
            }
        }
    }
}

//! Rows of numbers for kernels on the CPU.

use super::simd::{Isa, Lane, WIDTH, flat, flat_mut, prefetch_at};
use std::marker::PhantomData;

/// A matrix whose rows are padded with zeros to whole cache lines.
#[derive(Clone, Debug, Default)]
pub struct Table {
    lanes: Vec<Lane>,
    per_row: usize,
}

impl Table {
    pub fn zeros(rows: usize, columns: usize) -> Self {
        let per_row = columns.div_ceil(WIDTH);
        Self {
            lanes: zeros(rows * per_row),
            per_row,
        }
    }

    /// Puts row-major values of `columns` columns into the columns from
    /// `first` on.
    pub fn put(&mut self, first: usize, columns: usize, values: &[f32]) {
        let rows = self.lanes.chunks_exact_mut(self.per_row.max(1));
        for (row, values) in rows.zip(values.chunks_exact(columns)) {
            flat_mut(row)[first..first + columns].copy_from_slice(values);
        }
    }

    /// The columns from `first` on, row-major.
    pub fn take(&self, first: usize, columns: usize) -> Vec<f32> {
        let rows = self.lanes.chunks_exact(self.per_row.max(1));
        let mut values = Vec::with_capacity(rows.len() * columns);
        for row in rows {
            values.extend_from_slice(&flat(row)[first..first + columns]);
        }
        values
    }

    /// Lanes in a row.
    pub fn per_row(&self) -> usize {
        self.per_row
    }

    pub fn num_rows(&self) -> usize {
        self.lanes.len() / self.per_row.max(1)
    }

    #[inline(always)]
    pub fn row(&self, row: u32) -> &[Lane] {
        let start = row as usize * self.per_row;
        &self.lanes[start..start + self.per_row]
    }

    /// Asks for a row that will be read soon.
    #[inline(always)]
    pub fn prefetch(&self, row: u32) {
        prefetch_row(self.lanes.as_ptr(), row, self.per_row);
    }

    /// All rows, one after the other.
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// As [`Self::lanes`], to write; what pads a row must stay zero.
    pub fn lanes_mut(&mut self) -> &mut [Lane] {
        &mut self.lanes
    }

    /// For threads that write different rows.
    pub fn shared(&mut self) -> SharedRows<'_> {
        SharedRows::of(&mut self.lanes, self.per_row)
    }
}

impl Table {
    /// For threads that write whatever rows they come to.
    pub fn racing(&mut self) -> RacingRows<'_> {
        RacingRows {
            lanes: self.lanes.as_mut_ptr(),
            len: self.lanes.len(),
            per_row: self.per_row,
            table: PhantomData,
        }
    }
}

/// A table that all threads read and write.
#[derive(Clone, Copy)]
pub struct RacingRows<'a> {
    lanes: *mut Lane,
    len: usize,
    per_row: usize,
    table: PhantomData<&'a mut [Lane]>,
}

// SAFETY: it stands for a unique borrow of plain numbers, which it reaches
// through `Isa::load_racing` and `Isa::store_racing` alone.
unsafe impl Send for RacingRows<'_> {}
// SAFETY: as above.
unsafe impl Sync for RacingRows<'_> {}

impl<'a> RacingRows<'a> {
    /// Lanes in a row.
    pub fn per_row(&self) -> usize {
        self.per_row
    }

    /// The same, where the compiler shall know how many lanes a row has.
    ///
    /// # Panics
    /// Another number than the table's.
    #[inline(always)]
    pub fn of_width(self, lanes: usize) -> Self {
        assert_eq!(self.per_row, lanes, "lanes of a row of the table");
        Self {
            per_row: lanes,
            ..self
        }
    }

    /// # Panics
    /// A row that the table does not have.
    #[inline(always)]
    pub fn row(&self, row: u32) -> RacingRow<'a> {
        let start = row as usize * self.per_row;
        assert!(start + self.per_row <= self.len, "a row of the table");
        RacingRow {
            start: self.lanes.wrapping_add(start),
            lanes: self.per_row,
            table: PhantomData,
        }
    }

    /// Asks for a row that will be written soon; any number will do.
    #[inline(always)]
    pub fn prefetch(&self, row: u32) {
        prefetch_row(self.lanes, row, self.per_row);
    }
}

/// A row of [`RacingRows`].
#[derive(Clone, Copy)]
pub struct RacingRow<'a> {
    start: *mut Lane,
    lanes: usize,
    table: PhantomData<&'a mut [Lane]>,
}

impl RacingRow<'_> {
    /// # Panics
    /// A lane that the row does not have.
    #[inline(always)]
    pub fn load<S: Isa>(self, lane: usize) -> S::Vector {
        assert!(lane < self.lanes, "a lane of the row");
        // SAFETY: inside of the table, as was just checked; all that hold the
        // table reach it in this way.
        unsafe { S::load_racing(self.start.wrapping_add(lane)) }
    }

    /// # Panics
    /// A lane that the row does not have.
    #[inline(always)]
    pub fn store<S: Isa>(self, vector: S::Vector, lane: usize) {
        assert!(lane < self.lanes, "a lane of the row");
        // SAFETY: as in `load`.
        unsafe { S::store_racing(vector, self.start.wrapping_add(lane)) };
    }

    /// Copies the row.
    #[inline(always)]
    pub fn read<S: Isa>(self, into: &mut [Lane]) {
        for (lane, into) in into.iter_mut().enumerate() {
            S::store(self.load::<S>(lane), into);
        }
    }

    /// Writes the row.
    #[inline(always)]
    pub fn write<S: Isa>(self, from: &[Lane]) {
        for (lane, from) in from.iter().enumerate() {
            self.store::<S>(S::load(from), lane);
        }
    }
}

/// A table whose rows several threads write, each row by one of them.
pub struct SharedRows<'a> {
    lanes: *mut Lane,
    len: usize,
    per_row: usize,
    table: PhantomData<&'a mut [Lane]>,
}

// SAFETY: it stands for a unique borrow of plain numbers; that no two threads
// hold one row is what `row` asks of its callers.
unsafe impl Send for SharedRows<'_> {}
// SAFETY: as above.
unsafe impl Sync for SharedRows<'_> {}

impl<'a> SharedRows<'a> {
    /// Rows of `per_row` lanes each, one after the other.
    pub fn of(lanes: &'a mut [Lane], per_row: usize) -> Self {
        Self {
            lanes: lanes.as_mut_ptr(),
            len: lanes.len(),
            per_row,
            table: PhantomData,
        }
    }
}

impl SharedRows<'_> {
    /// A row to write.
    ///
    /// # Safety
    /// Nothing else may hold the same row at the same time.
    ///
    /// # Panics
    /// A row that the table does not have.
    #[inline(always)]
    pub unsafe fn row(&self, row: u32) -> RowMut<'_> {
        let start = row as usize * self.per_row;
        assert!(start + self.per_row <= self.len, "a row of the table");
        // SAFETY: inside of the table, as was just checked, and not held by
        // anybody else, as the caller promises.
        RowMut(unsafe { std::slice::from_raw_parts_mut(self.lanes.add(start), self.per_row) })
    }
}

impl SharedRows<'_> {
    /// Asks for a row that will be written soon.
    #[inline(always)]
    pub fn prefetch(&self, row: u32) {
        prefetch_row(self.lanes, row, self.per_row);
    }
}

/// Asks for a row of a table that begins here, in few instructions: those that
/// ask wait until their address is translated, and more of them wait together
/// where less stands between them.
#[inline(always)]
fn prefetch_row(table: *const Lane, row: u32, per_row: usize) {
    let start = table.wrapping_add(row as usize * per_row);
    let mut lane = 0;
    while lane + 4 <= per_row {
        for k in 0..4 {
            prefetch_at(start.wrapping_add(lane + k));
        }
        lane += 4;
    }
    while lane < per_row {
        prefetch_at(start.wrapping_add(lane));
        lane += 1;
    }
}

/// A row that is held alone.
pub struct RowMut<'a>(pub &'a mut [Lane]);

/// Zeros to be read and written in no order. With small pages, nearly every
/// access to a large table would cost a look into the page table, so the system
/// is asked for pages of 2 MiB before the memory is first written; it may
/// refuse.
pub fn zeros<T: Copy + Default>(len: usize) -> Vec<T> {
    let mut values = Vec::with_capacity(len);
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 2 << 20;
        let bytes = values.spare_capacity_mut().as_mut_ptr_range();
        let start = (bytes.start as usize).next_multiple_of(PAGE);
        let end = bytes.end as usize / PAGE * PAGE;
        if start < end {
            // SAFETY: advice on memory that is ours alone; it changes none.
            unsafe { libc::madvise(start as *mut _, end - start, libc::MADV_HUGEPAGE) };
        }
    }
    values.resize(len, T::default());
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::Portable;

    #[test]
    fn columns_come_back_as_they_went_in() {
        let mut table = Table::zeros(2, 17);
        table.put(0, 16, &(0..32).map(|i| i as f32).collect::<Vec<_>>());
        table.put(16, 1, &[-1.0, -2.0]);
        assert_eq!(table.per_row(), 2);
        assert_eq!(table.take(16, 1), [-1.0, -2.0]);
        assert_eq!(table.take(14, 3), [14.0, 15.0, -1.0, 30.0, 31.0, -2.0]);
        assert_eq!(table.row(1)[0].0[0], 16.0);
        let racing = table.racing();
        let mut row = [Lane::ZERO; 2];
        racing.row(1).read::<Portable>(&mut row);
        row[1].0[15] = 4.0;
        racing.row(1).write::<Portable>(&row);
        assert_eq!(row[0].0[..3], [16.0, 17.0, 18.0]);
        assert_eq!(flat(table.row(1))[31], 4.0);
        let shared = table.shared();
        // SAFETY: the only row that is held.
        unsafe { shared.row(1) }.0[1].0[0] = 5.0;
        assert_eq!(table.take(16, 1), [-1.0, 5.0]);
    }
}

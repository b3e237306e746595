//! The items' embeddings at length one.

use crate::kernels::layers::{ToUnit, unit_backward};
use crate::kernels::simd::{self, Isa};
use crate::kernels::table::Table;
use rayon::prelude::*;

/// Rows that a thread takes at least.
const ROWS: usize = 256;

/// A table's rows at length one, kept beside it.
pub struct UnitRows {
    pub rows: Table,
    /// One over the length of each row of the table.
    inverse: Vec<f32>,
}

impl UnitRows {
    pub fn of(table: &Table) -> Self {
        let mut units = Self {
            rows: table.clone(),
            inverse: vec![0.0; table.num_rows()],
        };
        units.renew_all(table);
        units
    }

    /// Follows the table in all rows.
    pub fn renew_all(&mut self, table: &Table) {
        let all: Vec<u32> = (0..table.num_rows() as u32).collect();
        self.renew(table, &all);
    }

    /// Follows the table in these rows.
    ///
    /// # Panics
    /// When they do not ascend.
    pub fn renew(&mut self, table: &Table, rows: &[u32]) {
        assert!(rows.is_sorted_by(|a, b| a < b), "distinct rows");
        let width = table.per_row();
        let shared = self.rows.shared();
        let unit = |&row: &u32| {
            // SAFETY: the rows are distinct, as was just checked.
            let rows = unsafe { shared.row(row) }.0;
            rows.copy_from_slice(table.row(row));
            let mut inverse = [0.0];
            simd::run(ToUnit {
                rows,
                width,
                length: 1.0,
                inverse: &mut inverse,
            });
            inverse[0]
        };
        let made: Vec<f32> = rows.par_iter().with_min_len(ROWS).map(unit).collect();
        for (&row, inverse) in rows.iter().zip(made) {
            self.inverse[row as usize] = inverse;
        }
    }

    /// Turns the gradient of a unit row into that of the table's row.
    #[inline(always)]
    pub fn to_items<S: Isa>(&self, row: u32, table: &Table, gradient: &mut [simd::Lane]) {
        unit_backward::<S>(gradient, table.row(row), 1.0, self.inverse[row as usize]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    const DIM: usize = 20;

    #[test]
    fn touched_rows_are_renewed_and_no_others() {
        let mut rng = Seed(4).stream("rows");
        let mut table = Table::zeros(600, DIM);
        let values: Vec<f32> = (0..600 * DIM).map(|_| rng.normal()).collect();
        table.put(0, DIM, &values);
        let before = UnitRows::of(&table);
        let values: Vec<f32> = (0..600 * DIM).map(|_| rng.normal()).collect();
        table.put(0, DIM, &values);
        let after = UnitRows::of(&table);
        let touched: Vec<u32> = (0..600).step_by(3).collect();
        let mut units = UnitRows::of(&table);
        units.rows = before.rows.clone();
        units.inverse.clone_from(&before.inverse);
        units.renew(&table, &touched);
        for row in 0..600 {
            let expected = if row % 3 == 0 { &after } else { &before };
            assert_eq!(units.rows.row(row), expected.rows.row(row));
            assert_eq!(units.inverse[row as usize], expected.inverse[row as usize]);
            let length = simd::flat(expected.rows.row(row)).iter().map(|x| x * x);
            assert!((length.sum::<f32>() - 1.0).abs() < 1e-5);
        }
        units.renew_all(&table);
        assert_eq!(units.rows.lanes(), after.rows.lanes());
    }
}

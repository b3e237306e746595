//! The items' embeddings at length one.

use crate::kernels::layers::{ToUnit, unit_backward};
use crate::kernels::simd::{self, Isa};
use crate::kernels::table::Table;
use rayon::prelude::*;

/// Rows that a thread takes at a time.
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
        units.renew(table, &vec![true; table.num_rows()], true);
        units
    }

    /// Follows the table where it was `touched`, or in `all` rows.
    pub fn renew(&mut self, table: &Table, touched: &[bool], all: bool) {
        let width = table.per_row();
        self.rows
            .lanes_mut()
            .par_chunks_mut(ROWS * width)
            .zip(self.inverse.par_chunks_mut(ROWS))
            .zip(table.lanes().par_chunks(ROWS * width))
            .zip(touched.par_chunks(ROWS))
            .for_each(|(((rows, inverse), table), touched)| {
                let rows = rows.chunks_exact_mut(width);
                let table = table.chunks_exact(width);
                let each = rows.zip(inverse.chunks_exact_mut(1)).zip(table);
                for (((rows, inverse), from), _) in each.zip(touched).filter(|e| all || *e.1) {
                    rows.copy_from_slice(from);
                    simd::run(ToUnit {
                        rows,
                        width,
                        length: 1.0,
                        inverse,
                    });
                }
            });
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
        let touched: Vec<bool> = (0..600).map(|row| row % 3 == 0).collect();
        let mut units = UnitRows::of(&table);
        units.rows = before.rows.clone();
        units.inverse.clone_from(&before.inverse);
        units.renew(&table, &touched, false);
        for (row, &touched) in touched.iter().enumerate() {
            let expected = if touched { &after } else { &before };
            assert_eq!(units.rows.row(row as u32), expected.rows.row(row as u32));
            assert_eq!(units.inverse[row], expected.inverse[row]);
            let length = simd::flat(expected.rows.row(row as u32))
                .iter()
                .map(|x| x * x);
            assert!((length.sum::<f32>() - 1.0).abs() < 1e-5);
        }
        units.renew(&table, &touched, true);
        assert_eq!(units.rows.lanes(), after.rows.lanes());
    }
}

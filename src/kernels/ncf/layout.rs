//! Where the parameters of a network lie.

use crate::kernels::simd::{Lane, WIDTH, flat, flat_mut};
use crate::kernels::table::Table;
use std::ops::Range;

/// The branches of a network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Branches {
    /// Width of the GMF embeddings; 0 without that branch.
    pub gmf: usize,
    /// Width of the MLP embeddings; 0 without that branch.
    pub mlp: usize,
    /// Widths of the MLP's layers.
    pub hidden: Vec<usize>,
}

/// A matrix inside of an array of lanes; rows are padded to whole lanes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Matrix {
    start: usize,
    pub rows: usize,
    pub columns: usize,
}

impl Matrix {
    /// Lanes in a row.
    #[inline(always)]
    pub fn width(self) -> usize {
        self.columns.div_ceil(WIDTH)
    }

    #[inline(always)]
    pub fn range(self) -> Range<usize> {
        self.start..self.start + self.rows * self.width()
    }

    #[inline(always)]
    pub fn of(self, lanes: &[Lane]) -> &[Lane] {
        &lanes[self.range()]
    }

    #[inline(always)]
    pub fn of_mut(self, lanes: &mut [Lane]) -> &mut [Lane] {
        &mut lanes[self.range()]
    }

    /// Puts row-major values in place.
    pub fn put(self, lanes: &mut [Lane], values: &[f32]) {
        let rows = self.of_mut(lanes).chunks_exact_mut(self.width());
        for (row, values) in rows.zip(values.chunks_exact(self.columns)) {
            flat_mut(row)[..self.columns].copy_from_slice(values);
        }
    }

    /// The values, row-major.
    pub fn take(self, lanes: &[Lane]) -> Vec<f32> {
        let rows = self.of(lanes).chunks_exact(self.width());
        rows.flat_map(|row| &flat(row)[..self.columns])
            .copied()
            .collect()
    }

    /// The transposed matrix, its rows padded to whole lanes.
    pub fn transposed(self, lanes: &[Lane]) -> Table {
        let mut table = Table::zeros(self.columns, self.rows);
        let rows = self.of(lanes).chunks_exact(self.width());
        for (at, row) in rows.enumerate() {
            let per_row = table.per_row() * WIDTH;
            let to = flat_mut(table.lanes_mut());
            for (column, value) in flat(row)[..self.columns].iter().enumerate() {
                to[column * per_row + at] = *value;
            }
        }
        table
    }
}

/// The tower over the MLP embeddings.
#[derive(Clone, Debug, PartialEq)]
pub struct Tower {
    pub first_user: Matrix,
    pub first_item: Matrix,
    pub first_bias: Matrix,
    /// Weight and bias of each further layer.
    pub layers: Vec<(Matrix, Matrix)>,
    /// One row.
    pub output: Matrix,
}

/// All parameters but the embeddings, in one array.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    pub branches: Branches,
    /// One row.
    pub gmf_output: Option<Matrix>,
    pub tower: Option<Tower>,
    pub bias: Matrix,
    /// Lanes of all.
    pub len: usize,
}

impl Layout {
    pub fn new(branches: Branches) -> Self {
        let mut len = 0;
        let mut place = |rows: usize, columns: usize| {
            let matrix = Matrix {
                start: len,
                rows,
                columns,
            };
            len = matrix.range().end;
            matrix
        };
        let gmf_output = (branches.gmf > 0).then(|| place(1, branches.gmf));
        let tower = (branches.mlp > 0).then(|| {
            let hidden = &branches.hidden;
            Tower {
                first_user: place(branches.mlp, hidden[0]),
                first_item: place(branches.mlp, hidden[0]),
                first_bias: place(1, hidden[0]),
                layers: hidden
                    .windows(2)
                    .map(|w| (place(w[0], w[1]), place(1, w[1])))
                    .collect(),
                output: place(1, hidden[hidden.len() - 1]),
            }
        });
        let bias = place(1, 1);
        Self {
            branches,
            gmf_output,
            tower,
            bias,
            len,
        }
    }

    /// A parameter by the name that the model gives it.
    pub fn matrix(&self, name: &str) -> Option<Matrix> {
        let tower = self.tower.as_ref();
        match name {
            "gmf_output" => self.gmf_output,
            "output_bias" => Some(self.bias),
            "mlp_first_user" => Some(tower?.first_user),
            "mlp_first_item" => Some(tower?.first_item),
            "mlp_first_bias" => Some(tower?.first_bias),
            "mlp_output" => Some(tower?.output),
            name => {
                let (number, kind) = name.strip_prefix("mlp_")?.split_once('_')?;
                let layer = number.parse::<usize>().ok()?.checked_sub(2)?;
                let (weight, bias) = *tower?.layers.get(layer)?;
                match kind {
                    "weight" => Some(weight),
                    "bias" => Some(bias),
                    _ => None,
                }
            }
        }
    }

    /// Lanes of an embedding row that belong to GMF; those of MLP follow.
    #[inline(always)]
    pub fn gmf_width(&self) -> usize {
        self.branches.gmf.div_ceil(WIDTH)
    }

    /// Columns of an embedding row: both branches, GMF's padded to lanes.
    pub fn row_columns(&self) -> usize {
        self.gmf_width() * WIDTH + self.branches.mlp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_lie_next_to_each_other_and_come_back_as_put() {
        let layout = Layout::new(Branches {
            gmf: 20,
            mlp: 3,
            hidden: vec![17, 2],
        });
        let tower = layout.tower.clone().unwrap();
        assert_eq!(tower.first_user.range(), 2..8);
        assert_eq!(tower.layers[0].0.range(), 16..33);
        assert_eq!(layout.len, 36);
        assert_eq!(layout.row_columns(), 35);
        let mut lanes = vec![Lane::ZERO; layout.len];
        let values: Vec<f32> = (0..51).map(|i| i as f32).collect();
        tower.first_item.put(&mut lanes, &values);
        assert_eq!(tower.first_item.take(&lanes), values);
        assert_eq!(tower.first_user.take(&lanes), [0.0; 51]);
        let transposed = tower.first_item.transposed(&lanes);
        assert_eq!(&flat(transposed.row(16))[..4], [16.0, 33.0, 50.0, 0.0]);
    }
}

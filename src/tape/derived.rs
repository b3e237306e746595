//! Leaves whose gradient reaches the whole parameter in a way of its own, and
//! lookups in pieces.
//!
//! Where backward of a plain operation would cost more than the batch does, or
//! add up in no order, the operation is taken outside of the graph: what it
//! gives is the leaf.

use super::index::{Distinct, Index};
use super::{Leaf, Part, Tape, Updates};
use crate::kernels::rows::Segments;
use crate::params::Param;
use burn::tensor::Tensor;

/// From the gradient of what was made of a parameter to that of the parameter.
pub type WayBack = Box<dyn Fn(Tensor<2>) -> Tensor<2>>;

/// The sums over the occurrences of each row of a table of so many rows.
pub(super) fn summed(segments: &Segments, rows: usize) -> Part {
    let segments = segments.clone();
    Part::Derived(Box::new(move |gradient| segments.spread(gradient, rows)))
}

impl Leaf {
    /// Whether its gradient is one of some rows alone.
    pub(super) fn is_rows(&self) -> bool {
        matches!(self.part, Part::Rows(_) | Part::Occurrences(_))
    }
}

impl Tape {
    /// Whether lookups touch no more than their rows.
    pub fn updates_rows(&self) -> bool {
        self.updates == Updates::Rows
    }

    /// As [`Self::lookup`], in pieces of so many rows: backward of a slice of
    /// a large tensor would be as large.
    ///
    /// # Panics
    /// When the sizes are not those of the index.
    pub fn lookup_pieces(
        &mut self,
        table: &Param,
        index: &Index,
        sizes: &[usize],
    ) -> Vec<Tensor<2>> {
        assert_eq!(
            sizes.iter().sum::<usize>(),
            index.len(),
            "pieces of a lookup"
        );
        let rows = self.lookup(table, index);
        let as_leaves = matches!(
            index.distinct,
            Some(Distinct::Segments(_) | Distinct::Whole(_))
        );
        let columns = table.shape()[1];
        if !as_leaves {
            let ends = sizes.iter().scan(0, |end, size| {
                *end += size;
                Some(*end)
            });
            let pieces = ends.zip(sizes);
            return pieces
                .map(|(end, size)| rows.clone().slice([end - size..end, 0..columns]))
                .collect();
        }
        let leaf = self.leaves.pop().expect("`lookup` has left a leaf");
        drop(rows);
        let (mut from, mut pieces) = (0, Vec::with_capacity(sizes.len()));
        for &size in sizes {
            let rows = leaf.tensor.clone().inner();
            let piece = rows.slice([from..from + size, 0..columns]);
            pieces.push(Tensor::from_inner(piece).require_grad());
            from += size;
        }
        self.leaves.extend(pieces.iter().map(|piece| Leaf {
            name: leaf.name.clone(),
            tensor: piece.clone(),
            part: Part::Before,
        }));
        if let Some(last) = self.leaves.last_mut() {
            last.part = leaf.part;
        }
        pieces
    }

    /// What `make` makes of a parameter outside of the graph, `back` being the
    /// way from its gradient to that of the parameter.
    pub fn derived(
        &mut self,
        param: &Param,
        make: impl FnOnce(Tensor<2>) -> Tensor<2>,
        back: WayBack,
    ) -> Tensor<2> {
        let value = make(param.value());
        if !self.training {
            return value;
        }
        let leaf = Tensor::from_inner(value).require_grad();
        self.leaves.push(Leaf {
            name: param.name().to_string(),
            tensor: leaf.clone(),
            part: Part::Derived(back),
        });
        leaf
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::{Optimizer, OptimizerConfig};
    use crate::params::host;
    use crate::seed::Seed;
    use crate::tape::NO_ROW;
    use burn::tensor::Device;

    fn table() -> Param {
        let values = (0..8).map(|v| v as f32).collect();
        Param::new("t", [4, 2], values, &Device::flex())
    }

    /// A step of plain gradient descent, of what `read` gives times weights.
    fn step(read: impl Fn(&mut Tape, &Param) -> Tensor<1>, clip: f64) -> Vec<f32> {
        let mut table = table();
        let mut optimizer = Optimizer::new(OptimizerConfig {
            gradient_clip: clip,
            ..OptimizerConfig::plain_sgd()
        });
        let mut tape = Tape::training(&Device::flex(), Updates::Rows);
        tape.begin(Seed(1).stream("dropout"));
        let grads = read(&mut tape, &table).backward();
        optimizer.step(vec![&mut table], tape.take_leaves(), &grads, 1.0);
        table.host().unwrap()
    }

    const IDS: [u32; 5] = [3, 0, NO_ROW, 3, 1];

    fn weights(tape: &Tape) -> Tensor<2> {
        let values = vec![1.0, 2.0, 4.0, 0.5, 9.0, 9.0, -1.0, 3.0, 0.25, 1.0];
        tape.floats(values, [5, 2])
    }

    fn moved(rows: [[f32; 2]; 4]) -> Vec<f32> {
        let rows = rows.as_flattened().iter();
        (0..8).zip(rows).map(|(v, g)| v as f32 - g).collect()
    }

    const EXPECTED: [[f32; 2]; 4] = [[4.0, 0.5], [0.25, 1.0], [0.0, 0.0], [0.0, 5.0]];

    #[test]
    fn pieces_of_a_lookup_move_its_rows_and_no_row_moves_none() {
        for whole in [false, true] {
            let read = |tape: &mut Tape, table: &Param| {
                let index = match whole {
                    true => tape.index_of_whole(&IDS[..].into(), 4),
                    false => tape.index(IDS.to_vec(), 4),
                };
                let pieces = tape.lookup_pieces(table, &index, &[2, 3]);
                let rows = Tensor::cat(pieces, 0);
                (rows * weights(tape)).sum()
            };
            assert_eq!(step(read, 0.0), moved(EXPECTED), "whole: {whole}");
        }
    }

    #[test]
    fn a_whole_table_may_be_looked_up_too() {
        let read = |tape: &mut Tape, table: &Param| {
            let index = tape.index_of_whole(&IDS[..].into(), 4);
            let rows = tape.lookup_pieces(table, &index, &[5]).remove(0);
            (rows * weights(tape)).sum() + tape.param(table).sum() * 2.0
        };
        let expected = EXPECTED.map(|row| row.map(|g| g + 2.0));
        assert_eq!(step(read, 0.0), moved(expected));
        let length = expected.as_flattened().iter().map(|g| g * g).sum::<f32>();
        let clipped = step(read, 1.0);
        for (value, expected) in clipped
            .iter()
            .zip(moved(expected.map(|row| row.map(|g| g / length.sqrt()))))
        {
            assert!((value - expected).abs() < 1e-6, "{value} {expected}");
        }
    }

    #[test]
    fn what_is_made_of_a_parameter_goes_its_own_way_back() {
        let read = |tape: &mut Tape, table: &Param| {
            let back: WayBack = Box::new(|gradient| gradient.repeat_dim(0, 2));
            let made = tape.derived(table, |t| t.slice([0..2, 0..2]) * 10.0, back);
            assert_eq!(host(made.clone().inner()).unwrap(), [0.0, 10.0, 20.0, 30.0]);
            made.sum()
        };
        assert_eq!(step(read, 0.0), moved([[1.0; 2]; 4]));
    }
}

//! What scores of the whole catalog add to the loss of a step.

use super::loss::with_value;
use burn::tensor::{Int, Tensor};

/// Scores of the whole catalog that are held at a time.
pub const SCORES: usize = 1 << 25;

/// Which rows of a batch are predictions.
pub struct Taken {
    pub count: usize,
    /// Their numbers: `[count]`.
    pub rows: Tensor<1, Int>,
    /// For each row the number of its prediction, `count` where it is none.
    pub places: Tensor<1, Int>,
}

/// The rows of a batch that predict.
pub struct Picked {
    /// `[sequences * predictions, d]`
    pub rows: Tensor<2>,
    pub taken: Taken,
    /// Of each row in the mean: `[sequences * predictions, 1]`.
    pub shares: Tensor<2>,
}

/// The mean over all predictions of the mean score of the catalog, whose rows
/// are those of `table`.
pub fn even_scores(picked: &[Picked], table: &Tensor<2>) -> Tensor<1> {
    let mean = table.clone().mean_dim(0);
    let each = picked.iter().map(|picked| {
        let scores = (picked.rows.clone() * mean.clone()).sum_dim(1);
        (scores * picked.shares.clone()).sum()
    });
    let sum = each.reduce(|a, b| a + b);
    sum.expect("a step has predictions")
}

/// The mean over all predictions of the log of the sum of the catalog's
/// powers, with `table` as its rows.
///
/// The scores of a step would not fit where the catalog is large, so those of
/// some rows are made at a time, outside of the graph, and with them both
/// gradients. What is left in the graph has these gradients.
pub fn normalizers(picked: &[Picked], table: Tensor<2>, predictions: usize) -> Tensor<1> {
    let items = table.clone().inner();
    let share = 1.0 / predictions as f32;
    let mut value = Tensor::zeros([1], &items.device());
    let mut to_items: Tensor<2> = items.zeros_like();
    let mut graph: Option<Tensor<1>> = None;
    for picked in picked {
        let all = picked.rows.clone().inner();
        let columns = all.dims()[1];
        let rows = all.select(0, picked.taken.rows.clone());
        let taken = picked.taken.count;
        let height = (SCORES / items.dims()[0]).clamp(1, taken);
        let mut to_rows = Vec::new();
        for from in (0..taken).step_by(height) {
            let rows = rows
                .clone()
                .slice([from..(from + height).min(taken), 0..columns]);
            let scores = rows.clone().matmul(items.clone().transpose());
            let most = scores.clone().max_dim(1);
            let powers = (scores - most.clone()).exp();
            let sums = powers.clone().sum_dim(1);
            value = value + (most + sums.clone().log()).sum() * share;
            let slopes = powers * (sums.recip() * share);
            to_items = to_items + slopes.clone().transpose().matmul(rows);
            to_rows.push(slopes.matmul(items.clone()));
        }
        // Rows that predict nothing take the row of zeros at the end.
        to_rows.push(Tensor::zeros([1, columns], &items.device()));
        let slopes = Tensor::cat(to_rows, 0).select(0, picked.taken.places.clone());
        let own = (picked.rows.clone() * Tensor::from_inner(slopes)).sum();
        graph = Some(match graph {
            None => own,
            Some(graph) => graph + own,
        });
    }
    let by_items = (table * Tensor::from_inner(to_items)).sum();
    let graph = match graph {
        None => by_items,
        Some(graph) => graph + by_items,
    };
    with_value(graph, value)
}

//! The loss of a step, by the tape.

use super::{Batch, hidden, scored};
use crate::kernels::catalog::Goal;
use crate::models::sequence::decay::Decay;
use crate::models::sequence::network::Network;
use crate::models::sequence::part::Part;
use crate::models::sequence::setup::NegativesFor;
use crate::models::sequence::step::Negatives;
use crate::tape::{NO_ROW, Tape};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};

/// Scores of the whole catalog that are held at a time.
pub const SCORES: usize = 1 << 25;

/// What a step trains on.
pub struct TapeStep<'a> {
    pub network: &'a Network,
    pub parts: &'a [Part],
    /// `None` for the whole catalog.
    pub goal: Option<Goal>,
    /// Of the target, over the whole catalog.
    pub smoothing: f32,
    pub negatives: Option<Negatives<'a>>,
}

/// The rows of a batch that predict.
struct Picked {
    /// `[sequences * predictions, d]`
    rows: Tensor<2>,
    /// Those that are predictions.
    taken: Vec<u32>,
    /// Of each row in the mean: `[sequences * predictions, 1]`.
    shares: Tensor<2>,
}

impl TapeStep<'_> {
    /// The mean over all predictions.
    pub fn loss(&self, tape: &mut Tape) -> Tensor<1> {
        let network = self.network;
        let batches = Batch::all(self.parts, network.setup.max_length);
        let drawn: Vec<Vec<u32>> = batches.iter().map(|batch| self.drawn(batch)).collect();
        let (mut ids, mut sizes) = (Vec::new(), Vec::new());
        for (batch, drawn) in batches.iter().zip(&drawn) {
            for items in [&batch.inputs(), &batch.targets(), drawn] {
                if !items.is_empty() {
                    sizes.push(items.len());
                    ids.extend_from_slice(items);
                }
            }
        }
        let rows = network.items.shape()[0];
        let index = if self.goal.is_some() && tape.updates_rows() {
            tape.index(ids.clone(), rows)
        } else {
            tape.index_of_whole(ids.clone(), rows)
        };
        let pieces = tape.lookup_pieces(&network.items, &index, &sizes);
        let penalty = self.penalty(tape, &pieces, &ids);
        let mut pieces = pieces.into_iter();
        let mut next = || pieces.next().expect("a piece for each that was asked for");
        let predictions: usize = self.parts.iter().map(Part::predictions).sum();
        let (mut picked, mut total) = (Vec::new(), None);
        for (batch, drawn) in batches.iter().zip(&drawn) {
            let rows = self.picked(tape, batch, next());
            let targets = scored(next(), &network.setup);
            let taken = batch.slots(0.0, |_, _| 1.0 / predictions as f32);
            let shares = tape.floats(taken, [rows.dims()[0], 1]);
            let own = (rows.clone() * targets).sum_dim(1);
            let loss = match self.goal {
                None => own.neg(),
                Some(goal) => {
                    let scores = self.negative_scores(tape, rows.clone(), next(), drawn);
                    judged(goal, own, scores)
                }
            };
            let loss = (loss * shares.clone()).sum();
            total = Some(match total {
                None => loss,
                Some(total) => total + loss,
            });
            if self.goal.is_none() {
                picked.push(Picked {
                    rows,
                    taken: batch.taken(),
                    shares,
                });
            }
        }
        let mut total = total.expect("a step has predictions");
        if self.goal.is_none() {
            let table = tape.param(&network.items);
            let table = table.slice([0..network.num_items, 0..network.setup.embedding_dim]);
            let table = scored(table, &network.setup);
            if self.smoothing > 0.0 {
                // Of the target, what is not the item's own.
                let even = even_scores(&picked, &table) * self.smoothing;
                total = total * (1.0 - self.smoothing) - even;
            }
            total = total + normalizers(&picked, table, predictions);
        }
        match penalty {
            Some(penalty) => total + penalty / predictions as f32,
            None => total,
        }
    }

    /// The sum of the penalties of all items that are looked up.
    fn penalty(&self, tape: &Tape, pieces: &[Tensor<2>], ids: &[u32]) -> Option<Tensor<1>> {
        let decay = Decay::of(&self.network.setup)?;
        let mut from = 0;
        let each = pieces.iter().map(|rows| {
            let count = rows.dims()[0];
            let real = ids[from..from + count].iter();
            let real = real.map(|&id| f32::from(u8::from(id != NO_ROW))).collect();
            from += count;
            decay.of_rows(rows.clone(), tape.floats(real, [count, 1]))
        });
        each.reduce(|a, b| a + b)
    }

    /// Negatives in the order of a batch: of each prediction, or of each
    /// sequence; none for the whole catalog.
    fn drawn(&self, batch: &Batch<'_>) -> Vec<u32> {
        let Some(from) = self.negatives.filter(|_| self.goal.is_some()) else {
            return Vec::new();
        };
        let shared = self.network.setup.negatives_for == NegativesFor::Sequence;
        let (mut all, mut own) = (Vec::new(), Vec::new());
        for sequence in &batch.sequences {
            let (user, place, count) = batch.parts[sequence.part].sequences[sequence.number];
            from.draw(user, place, if shared { 1 } else { count }, &mut own);
            let slots = if shared { 1 } else { batch.predictions };
            let before = if batch.all_predict {
                slots.saturating_sub(count)
            } else {
                0
            };
            let start = all.len();
            if !shared {
                all.resize(start + before * from.count, NO_ROW);
            }
            all.extend_from_slice(&own);
            all.resize(start + slots * from.count, NO_ROW);
        }
        all
    }

    fn picked(&self, tape: &mut Tape, batch: &Batch<'_>, items: Tensor<2>) -> Tensor<2> {
        let rows = hidden(tape, self.network, batch, items);
        let [sequences, _, columns] = rows.dims();
        let rows = if batch.all_predict {
            rows
        } else {
            picks(batch, &rows.device()).matmul(rows)
        };
        rows.reshape([sequences * batch.predictions, columns])
    }

    /// The scores `[rows, negatives]` of the negatives of each row.
    fn negative_scores(
        &self,
        tape: &Tape,
        rows: Tensor<2>,
        negatives: Tensor<2>,
        drawn: &[u32],
    ) -> Tensor<2> {
        let from = self.negatives.expect("losses with a goal have negatives");
        let [count, columns] = rows.dims();
        let sets = drawn.len() / from.count;
        let negatives = scored(negatives, &self.network.setup);
        let negatives = negatives.reshape([sets, from.count, columns]);
        let rows = rows.reshape([sets, count / sets, columns]);
        let mut scores = rows.matmul(negatives.swap_dims(1, 2));
        if let Some(log_expected) = from.log_expected {
            let of = |&item: &u32| log_expected.get(item as usize).copied().unwrap_or(0.0);
            let expected = drawn.iter().map(of).collect();
            scores = scores - tape.floats(expected, [sets, 1, from.count]);
        }
        scores.reshape([count, from.count])
    }
}

/// For each prediction of each sequence, 1 in the column of its place:
/// `[sequences, predictions, length]`. A product with it is faster on a GPU
/// than backward of a selection, and made there so that it is not uploaded.
fn picks(batch: &Batch<'_>, device: &Device) -> Tensor<3> {
    let (shape, length) = ([batch.len(), batch.predictions], batch.length);
    let picked: Tensor<2, Int> = Tensor::from_data(TensorData::new(batch.picks(), shape), device);
    let columns = Tensor::<1, Int>::arange(0..length as i64, device);
    let shape = [shape[0], shape[1], length];
    let picked = picked.unsqueeze_dim::<3>(2).expand(shape);
    picked
        .equal(columns.reshape([1, 1, length]).expand(shape))
        .float()
}

/// The loss of each row `[rows, 1]` from the scores of its item, `[rows, 1]`,
/// and of its negatives, `[rows, negatives]`.
fn judged(goal: Goal, own: Tensor<2>, negatives: Tensor<2>) -> Tensor<2> {
    let [rows, count] = negatives.dims();
    match goal {
        Goal::Softmax { smoothing } => {
            let all = Tensor::cat(vec![own, negatives], 1);
            let logs = activation::log_softmax(all, 1);
            let class = logs.clone().slice([0..rows, 0..1]).neg();
            if smoothing == 0.0 {
                return class;
            }
            class * (1.0 - smoothing) - logs.mean_dim(1) * smoothing
        }
        Goal::Bce {
            positive,
            offset,
            smoothing,
        } => {
            let (own, negatives) = (own + offset, negatives + offset);
            let mut sum = activation::log_sigmoid(own.clone()) * positive
                + activation::log_sigmoid(negatives.clone().neg()).sum_dim(1);
            if smoothing > 0.0 {
                sum = sum + (negatives.sum_dim(1) - own) * smoothing;
            }
            sum.neg() / (1 + count) as f32
        }
        Goal::Bpr => activation::log_sigmoid(own - negatives).mean_dim(1).neg(),
        Goal::Ccl {
            margin,
            negative_weight,
        } => {
            let close = activation::relu(negatives - margin).mean_dim(1);
            close * negative_weight - own + 1.0
        }
    }
}

/// The mean over all predictions of the mean score of the catalog, whose rows
/// are those of `table`.
fn even_scores(picked: &[Picked], table: &Tensor<2>) -> Tensor<1> {
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
fn normalizers(picked: &[Picked], table: Tensor<2>, predictions: usize) -> Tensor<1> {
    let items = table.clone().inner();
    let share = 1.0 / predictions as f32;
    let mut value = Tensor::zeros([1], &items.device());
    let mut to_items: Tensor<2> = items.zeros_like();
    let mut graph: Option<Tensor<1>> = None;
    for picked in picked {
        let all = picked.rows.clone().inner();
        let (count, columns) = (all.dims()[0], all.dims()[1]);
        let rows = all.select(0, ints(&picked.taken, &items));
        let taken = picked.taken.len();
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
        let mut places = vec![taken as u32; count];
        for (place, &row) in (0..).zip(&picked.taken) {
            places[row as usize] = place;
        }
        let slopes = Tensor::cat(to_rows, 0).select(0, ints(&places, &items));
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

fn ints(values: &[u32], like: &Tensor<2>) -> Tensor<1, Int> {
    let values: Vec<i32> = values.iter().map(|&v| v as i32).collect();
    Tensor::from_ints(values.as_slice(), &like.device())
}

/// A tensor with the gradients of `graph`, and another value.
pub fn with_value(graph: Tensor<1>, value: Tensor<1>) -> Tensor<1> {
    let moved = value - graph.clone().inner();
    graph + Tensor::from_inner(moved)
}

//! The loss of a step, by the tape.

use super::ids::{BatchIds, Given, StepIds};
use super::whole::{Picked, even_scores, normalizers};
use super::{Batch, hidden, scored};
use crate::kernels::catalog::Goal;
use crate::models::sequence::decay::Decay;
use crate::models::sequence::network::Network;
use crate::models::sequence::on_device::OnDevice;
use crate::models::sequence::part::Part;
use crate::models::sequence::step::Negatives;
use crate::tape::{Ids, Tape};
use burn::tensor::{Int, Tensor, activation};

/// What a step trains on.
pub struct TapeStep<'a> {
    pub network: &'a Network,
    pub parts: &'a [Part],
    /// `None` for the whole catalog.
    pub goal: Option<Goal>,
    /// Of the target, over the whole catalog.
    pub smoothing: f32,
    pub negatives: Option<Negatives<'a>>,
    /// Of the training, where it is on a GPU.
    pub on_device: &'a OnDevice,
}

impl TapeStep<'_> {
    /// The mean over all predictions.
    pub fn loss(&self, tape: &mut Tape) -> Tensor<1> {
        let network = self.network;
        let batches = Batch::all(self.parts, network.setup.max_length);
        let ids = StepIds::of(self, tape, &batches);
        let rows = network.items.shape()[0];
        let index = if self.goal.is_some() && tape.updates_rows() {
            tape.index_of(&ids.all, rows)
        } else {
            tape.index_of_whole(&ids.all, rows)
        };
        let pieces = tape.lookup_pieces(&network.items, &index, &ids.sizes);
        let penalty = self.penalty(tape, &pieces, &ids.batches);
        let mut pieces = pieces.into_iter();
        let mut next = || pieces.next().expect("a piece for each that was asked for");
        let predictions: usize = self.parts.iter().map(Part::predictions).sum();
        let (mut picked, mut total) = (Vec::new(), None);
        for (batch, ids) in batches.iter().zip(ids.batches) {
            let rows = self.picked(tape, batch, &ids, next());
            let targets = scored(next(), &network.setup);
            let shares = tape.present(&ids.targets) * (1.0 / predictions as f32);
            let shares = shares.reshape([rows.dims()[0], 1]);
            let own = (rows.clone() * targets).sum_dim(1);
            let loss = match self.goal {
                None => own.neg(),
                Some(goal) => {
                    let drawn = ids.negatives.as_ref().expect("a goal has negatives");
                    judged(
                        goal,
                        own,
                        self.negative_scores(tape, rows.clone(), next(), drawn),
                    )
                }
            };
            let loss = (loss * shares.clone()).sum();
            total = Some(match total {
                None => loss,
                Some(total) => total + loss,
            });
            picked.extend(ids.taken.map(|taken| Picked {
                rows,
                taken,
                shares,
            }));
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
    fn penalty(&self, tape: &Tape, pieces: &[Tensor<2>], ids: &[BatchIds]) -> Option<Tensor<1>> {
        let decay = Decay::of(&self.network.setup)?;
        let ids = ids.iter().flat_map(BatchIds::pieces);
        let each = pieces.iter().zip(ids).map(|(rows, ids)| {
            let present = tape.present(ids).reshape([ids.len(), 1]);
            decay.of_rows(rows.clone(), present)
        });
        each.reduce(|a, b| a + b)
    }

    fn picked(
        &self,
        tape: &mut Tape,
        batch: &Batch<'_>,
        ids: &BatchIds,
        items: Tensor<2>,
    ) -> Tensor<2> {
        let given = Given {
            real: tape.present(&ids.inputs),
            buckets: ids.buckets.clone(),
        };
        let mut rows = hidden(tape, self.network, batch, given, items);
        if let Some(columns) = &ids.picks {
            rows = picks(batch, columns.clone()).matmul(rows);
        }
        let [sequences, predictions, columns] = rows.dims();
        rows.reshape([sequences * predictions, columns])
    }

    /// The scores `[rows, negatives]` of the negatives of each row.
    fn negative_scores(
        &self,
        tape: &Tape,
        rows: Tensor<2>,
        negatives: Tensor<2>,
        drawn: &Ids,
    ) -> Tensor<2> {
        let from = self.negatives.expect("losses with a goal have negatives");
        let [count, columns] = rows.dims();
        let sets = drawn.len() / from.count;
        let negatives = scored(negatives, &self.network.setup);
        let negatives = negatives.reshape([sets, from.count, columns]);
        let rows = rows.reshape([sets, count / sets, columns]);
        let mut scores = rows.matmul(negatives.swap_dims(1, 2));
        if let Some(expected) = self.expected(tape, drawn) {
            scores = scores - expected.reshape([sets, 1, from.count]);
        }
        scores.reshape([count, from.count])
    }
}

/// For each prediction of each sequence, 1 in the column of its place:
/// `[sequences, predictions, length]`. A product with it is faster on a GPU
/// than backward of a selection, and made there so that it is not uploaded.
fn picks(batch: &Batch<'_>, picked: Tensor<1, Int>) -> Tensor<3> {
    let shape = [batch.len(), batch.predictions, batch.length];
    let columns = Tensor::<1, Int>::arange(0..shape[2] as i64, &picked.device());
    picked
        .reshape([shape[0], shape[1], 1])
        .expand(shape)
        .equal(columns.reshape([1, 1, shape[2]]).expand(shape))
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

/// A tensor with the gradients of `graph`, and another value.
pub fn with_value(graph: Tensor<1>, value: Tensor<1>) -> Tensor<1> {
    let moved = value - graph.clone().inner();
    graph + Tensor::from_inner(moved)
}

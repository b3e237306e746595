//! Which rows of the items a step looks up: put together on the host, or by a
//! GPU that holds the log of the training.

use super::Batch;
use super::loss::TapeStep;
use super::whole::Taken;
use crate::models::sequence::setup::NegativesFor;
use crate::tape::{Ids, NO_ROW, Tape};
use burn::tensor::{Device, Int, Tensor};

/// What a batch is besides its items.
pub struct Given {
    /// 1 where there is an item: `[sequences * length]`.
    pub real: Tensor<1>,
    /// See [`Batch::buckets`]; made of its times where they are not given.
    pub buckets: Option<Tensor<1, Int>>,
}

/// What is looked up for some batches.
pub(super) struct StepIds {
    /// The pieces of all batches, one after the other.
    pub all: Ids,
    pub sizes: Vec<usize>,
    pub batches: Vec<BatchIds>,
}

/// What is looked up for a batch.
pub(super) struct BatchIds {
    /// Items that are read: `[sequences * length]`.
    pub inputs: Ids,
    /// Items that are predicted: `[sequences * predictions]`.
    pub targets: Ids,
    /// Of each prediction, or of each sequence.
    pub negatives: Option<Ids>,
    /// See [`Batch::picks`]; `None` where every place predicts.
    pub picks: Option<Tensor<1, Int>>,
    pub buckets: Option<Tensor<1, Int>>,
    /// For scores of the whole catalog.
    pub taken: Option<Taken>,
}

impl BatchIds {
    /// In the order in which they are looked up.
    pub fn pieces(&self) -> impl Iterator<Item = &Ids> {
        [&self.inputs, &self.targets]
            .into_iter()
            .chain(&self.negatives)
    }
}

impl StepIds {
    pub fn of(step: &TapeStep<'_>, tape: &Tape, batches: &[Batch<'_>]) -> Self {
        #[cfg(feature = "wgpu")]
        if let Some(log) = step.on_device.log() {
            return super::windows::ids_on_device(step, log, batches);
        }
        // Only GPUs read by themselves.
        #[cfg(not(feature = "wgpu"))]
        let _ = step.on_device;
        step.ids_on_host(tape, batches)
    }
}

impl TapeStep<'_> {
    pub(super) fn ids_on_host(&self, tape: &Tape, batches: &[Batch<'_>]) -> StepIds {
        let batches: Vec<BatchIds> = batches
            .iter()
            .map(|batch| BatchIds {
                inputs: batch.inputs().into(),
                targets: batch.targets().into(),
                negatives: self.drawn(batch).map(Ids::from),
                picks: (!batch.all_predict).then(|| ints(&batch.picks(), tape.device())),
                buckets: None,
                taken: self
                    .goal
                    .is_none()
                    .then(|| Taken::of(batch, &tape.device().clone().inner())),
            })
            .collect();
        let (mut all, mut sizes) = (Vec::new(), Vec::new());
        for ids in batches.iter().flat_map(BatchIds::pieces) {
            let Ids::Host(ids) = ids else {
                unreachable!("they were just made on the host");
            };
            all.extend_from_slice(ids);
            sizes.push(ids.len());
        }
        StepIds {
            all: all.into(),
            sizes,
            batches,
        }
    }

    /// Negatives in the order of a batch: of each prediction, or of each
    /// sequence; none for the whole catalog.
    fn drawn(&self, batch: &Batch<'_>) -> Option<Vec<u32>> {
        self.goal?;
        let from = self.negatives?;
        let shared = self.network.setup.negatives_for == NegativesFor::Sequence;
        let (mut all, mut own) = (Vec::new(), Vec::new());
        for sequence in &batch.sequences {
            let origin = batch.origin(sequence);
            let draws = if shared { 1 } else { origin.count };
            from.draw(origin.user, origin.place, draws, &mut own);
            let slots = if shared { 1 } else { batch.predictions };
            let before = if shared {
                0
            } else {
                batch.first_slot(sequence)
            };
            let start = all.len();
            all.resize(start + before * from.count, NO_ROW);
            all.extend_from_slice(&own);
            all.resize(start + slots * from.count, NO_ROW);
        }
        Some(all)
    }

    /// Logarithms of how often negatives are expected, where the loss corrects
    /// for it: `[drawn.len()]`.
    pub(super) fn expected(&self, tape: &Tape, drawn: &Ids) -> Option<Tensor<1>> {
        match drawn {
            Ids::Host(ids) => {
                let all = self.negatives?.log_expected?;
                let of = |&item: &u32| all.get(item as usize).copied().unwrap_or(0.0);
                Some(tape.floats(ids.iter().map(of).collect(), [ids.len()]))
            }
            #[cfg(feature = "wgpu")]
            Ids::Device(ids) => {
                let expected = self.on_device.log()?.expected(Tensor::clone(ids))?;
                Some(Tensor::from_inner(expected))
            }
            #[cfg(not(feature = "wgpu"))]
            Ids::Device(_) => unreachable!("only a GPU draws row numbers by itself"),
        }
    }
}

impl Taken {
    fn of(batch: &Batch<'_>, device: &Device) -> Self {
        let taken = batch.taken();
        let count = taken.len();
        let mut places = vec![count as i32; batch.len() * batch.predictions];
        for (place, &row) in (0..).zip(&taken) {
            places[row as usize] = place;
        }
        let rows: Vec<i32> = taken.iter().map(|&row| row as i32).collect();
        Self {
            count,
            rows: ints(&rows, device),
            places: ints(&places, device),
        }
    }
}

fn ints(values: &[i32], device: &Device) -> Tensor<1, Int> {
    Tensor::from_ints(values, device)
}

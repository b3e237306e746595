//! What a step looks up, by a GPU that holds the log of the training: it is
//! told where windows lie, and in a cloze task which of their items are masked.
//! The host draws those, since how many there are says how large a step is.

use super::Batch;
use super::batch::Sequence;
use super::ids::{BatchIds, StepIds};
use super::loss::TapeStep;
use super::whole::Taken;
use crate::kernels::windows::{Block, DeviceLog, Draws, StepWindows, Window};
use crate::models::sequence::part::Clock;
use crate::models::sequence::setup::NegativesFor;
use crate::tape::Ids;
use burn::tensor::{Int, Tensor};

/// As [`TapeStep::ids_on_host`].
pub(super) fn ids_on_device(
    step: &TapeStep<'_>,
    log: &DeviceLog,
    batches: &[Batch<'_>],
) -> StepIds {
    let cloze = step.network.body.cloze().is_some();
    let blocks: Vec<Block> = batches.iter().map(|batch| block(batch, cloze)).collect();
    let sampled = step.negatives.filter(|_| step.goal.is_some());
    let draws = sampled.map(|from| Draws {
        stream: from.stream,
        count: from.count,
        shared: step.network.setup.negatives_for == NegativesFor::Sequence,
    });
    let windows = log.step(&blocks, draws.as_ref());
    let (all, sizes) = (windows.ids(), windows.sizes());
    let mut pieces = divided(&all, &sizes).into_iter();
    let mut next = || pieces.next().expect("a piece for each that was asked for");
    let of = |(number, batch): (usize, &Batch<'_>)| BatchIds {
        inputs: next(),
        targets: next(),
        negatives: draws.map(|_| next()),
        picks: (!batch.all_predict).then(|| windows.picks(number)),
        buckets: buckets(step, &windows, number),
        taken: step.goal.is_none().then(|| taken(&windows, number)),
    };
    let batches = batches.iter().enumerate().map(of).collect();
    StepIds {
        all: all.into(),
        sizes,
        batches,
    }
}

fn divided(all: &Tensor<1, Int>, sizes: &[usize]) -> Vec<Ids> {
    let ends = sizes.iter().scan(0, |end, size| {
        *end += size;
        Some(*end)
    });
    let pieces = ends.zip(sizes);
    pieces
        .map(|(end, &size)| all.clone().narrow(0, end - size, size).into())
        .collect()
}

fn buckets(
    step: &TapeStep<'_>,
    windows: &StepWindows<'_>,
    number: usize,
) -> Option<Tensor<1, Int>> {
    match step.network.body.clock() {
        Clock::None => None,
        clock => Some(windows.buckets(number, clock == Clock::Request)),
    }
}

fn taken(windows: &StepWindows<'_>, number: usize) -> Taken {
    let (rows, places) = windows.taken(number);
    Taken {
        count: rows.dims()[0],
        rows,
        places,
    }
}

fn block(batch: &Batch<'_>, cloze: bool) -> Block {
    Block {
        windows: batch
            .sequences
            .iter()
            .map(|sequence| window(batch, sequence, cloze))
            .collect(),
        length: batch.length,
        predictions: batch.predictions,
        to_right: batch.all_predict,
    }
}

fn window(batch: &Batch<'_>, sequence: &Sequence, cloze: bool) -> Window {
    let origin = batch.origin(sequence);
    Window {
        user: origin.user,
        first: origin.first,
        len: sequence.len,
        place: origin.place,
        predictions: sequence.count,
        masked: cloze.then(|| batch.masked(sequence)),
    }
}

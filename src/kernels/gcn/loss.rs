//! The losses of a batch, and the gradients by what they see of its nodes.

use super::{Batch, Gcn, Settings, Space, View, Views};
use crate::kernels::lengths;
use crate::kernels::mf::Goal;
use crate::kernels::simd::{self, Isa, Job, Lane, add, add_scaled, dot};
use crate::kernels::table::Table;
use rayon::prelude::*;

/// Examples or slots that a thread takes at a time.
const CHUNK: usize = 64;

/// Fills the gradients of `gcn.space`; returns the loss.
pub fn loss(gcn: &mut Gcn, batch: &Batch) -> f64 {
    let per_row = gcn.scaled.per_row();
    let len = (batch.groups.len() + 1) * per_row;
    gcn.space.finals.resize(len, Lane::ZERO);
    gcn.space.chosen.clear();
    if gcn.settings.cosine {
        let slots: Vec<u32> = (0..=batch.groups.len() as u32).collect();
        let finals = &gcn.views[0].finals;
        lengths::inverses(finals, per_row, &slots, &mut gcn.space.scales);
    }
    let ranking = ranking(gcn, batch, per_row);
    let penalty = by_node(gcn, batch, per_row);
    ranking + penalty + contrast(&gcn.settings, &gcn.views, batch, per_row, &mut gcn.space)
}

/// The loss of the scores; leaves its derivatives by them.
fn ranking(gcn: &mut Gcn, batch: &Batch, per_row: usize) -> f64 {
    let (view, goal, space) = (&gcn.views[0], gcn.goal, &mut gcn.space);
    let (cosine, scales) = (gcn.settings.cosine, &space.scales);
    let (examples, width) = (batch.users.len(), batch.width());
    space.derivatives.resize(batch.items.len(), 0.0);
    space.losses.resize(examples.div_ceil(CHUNK), 0.0);
    let scale = 1.0 / goal.divisor(examples, width);
    let chunks = space.derivatives.par_chunks_mut(CHUNK * width);
    chunks
        .zip(&mut space.losses)
        .enumerate()
        .for_each(|(chunk, (derivatives, loss))| {
            *loss = simd::run(Scores {
                finals: &view.finals,
                scales: cosine.then_some(scales),
                goal,
                batch,
                per_row,
                first: chunk * CHUNK,
                derivatives,
                scale,
            });
        });
    space.losses.iter().sum::<f64>() * f64::from(scale)
}

struct Scores<'a> {
    finals: &'a [Lane],
    /// See [`Space::scales`].
    scales: Option<&'a Vec<f32>>,
    goal: Goal,
    batch: &'a Batch,
    per_row: usize,
    /// The first of its examples.
    first: usize,
    derivatives: &'a mut [f32],
    scale: f32,
}

impl Job for Scores<'_> {
    type Output = f64;

    #[inline(always)]
    fn call<S: Isa>(self) -> f64 {
        let width = self.batch.width();
        let row = |row: u32| slot_row(self.finals, self.batch, self.per_row, row);
        let mut total = 0.0;
        for (number, scores) in self.derivatives.chunks_exact_mut(width).enumerate() {
            let example = self.first + number;
            let (user, own) = (
                row(self.batch.users[example]),
                scale_of(self.scales, self.batch, self.batch.users[example]),
            );
            let items = &self.batch.items[example * width..][..width];
            for (score, &item) in scores.iter_mut().zip(items) {
                let scale = own * scale_of(self.scales, self.batch, item);
                *score = scale * dot::<S>(user, row(item));
            }
            total += f64::from(self.goal.derive(scores, 0.0, self.scale));
        }
        total
    }
}

/// What a row of the graph is multiplied by before it makes scores.
#[inline(always)]
fn scale_of(scales: Option<&Vec<f32>>, batch: &Batch, row: u32) -> f32 {
    scales.map_or(1.0, |scales| scales[batch.slots[row as usize] as usize])
}

/// What is kept for the slot of a row of the graph.
#[inline(always)]
fn slot_row<'a>(rows: &'a [Lane], batch: &Batch, per_row: usize, row: u32) -> &'a [Lane] {
    &rows[batch.slots[row as usize] as usize * per_row..][..per_row]
}

/// Gathers the gradients of each node; returns the regularizer.
fn by_node(gcn: &mut Gcn, batch: &Batch, per_row: usize) -> f64 {
    let Space {
        finals,
        derivatives,
        losses,
        scales,
        ..
    } = &mut gcn.space;
    let cosine = gcn.settings.cosine;
    losses.resize(batch.groups.len().div_ceil(CHUNK), 0.0);
    let decay = gcn.settings.regularization / batch.users.len() as f32;
    let (none, gradients) = finals.split_at_mut(per_row);
    none.fill(Lane::ZERO);
    gradients
        .par_chunks_mut(CHUNK * per_row)
        .zip(&mut *losses)
        .enumerate()
        .for_each(|(chunk, (gradients, loss))| {
            *loss = simd::run(Gather {
                finals: &gcn.views[0].finals,
                scales: cosine.then_some(&*scales),
                embeddings: &gcn.side.weights,
                batch,
                derivatives,
                per_row,
                first: chunk * CHUNK,
                gradients,
                decay,
            });
        });
    losses.iter().sum()
}

struct Gather<'a> {
    finals: &'a [Lane],
    /// See [`Space::scales`].
    scales: Option<&'a Vec<f32>>,
    embeddings: &'a Table,
    batch: &'a Batch,
    derivatives: &'a [f32],
    per_row: usize,
    /// The first of its nodes, of the batch's distinct ones.
    first: usize,
    gradients: &'a mut [Lane],
    decay: f32,
}

impl Job for Gather<'_> {
    type Output = f64;

    #[inline(always)]
    fn call<S: Isa>(self) -> f64 {
        let (batch, per_row) = (self.batch, self.per_row);
        let (examples, width) = (batch.users.len(), batch.width());
        let row = |row: u32| slot_row(self.finals, batch, per_row, row);
        let mut penalty = 0.0;
        for (number, gradient) in self.gradients.chunks_exact_mut(per_row).enumerate() {
            let group = self.first + number;
            let places = batch.groups.places_of(group);
            gradient.fill(Lane::ZERO);
            for &place in places {
                let place = place as usize;
                if place < examples {
                    let at = place * width..(place + 1) * width;
                    let items = batch.items[at.clone()].iter();
                    for (&item, &slope) in items.zip(&self.derivatives[at]) {
                        let slope = slope * scale_of(self.scales, batch, item);
                        add_scaled::<S>(gradient, slope, row(item));
                    }
                } else {
                    let item = place - examples;
                    let user = batch.users[item / width];
                    let slope = self.derivatives[item] * scale_of(self.scales, batch, user);
                    add_scaled::<S>(gradient, slope, row(user));
                }
            }
            if self.scales.is_some() {
                lengths::through::<S>(gradient, row(batch.groups.rows[group]));
            }
            let own = self.embeddings.row(batch.groups.rows[group]);
            let square = f64::from(dot::<S>(own, own));
            penalty += f64::from(self.decay) * places.len() as f64 * square;
        }
        penalty
    }
}

/// The weighted contrast of the batch's users, and that of its positives.
fn contrast(
    settings: &Settings,
    views: &[View],
    batch: &Batch,
    per_row: usize,
    space: &mut Space,
) -> f64 {
    let Some(contrasting) = settings.contrast else {
        return 0.0;
    };
    let Space {
        finals,
        chosen,
        pairs: [a, b, to_a, to_b],
        contrast,
        ..
    } = space;
    let crossing = matches!(contrasting.views, Views::Layer(_));
    let sides = if crossing {
        chosen.resize(finals.len(), Lane::ZERO);
        [&views[0].finals, &views[0].chosen]
    } else {
        [&views[1].finals, &views[2].finals]
    };
    let mut loss = 0.0;
    for slots in batch.to_contrast() {
        for (rows, side) in [&mut *a, &mut *b].into_iter().zip(sides) {
            let at = slots.iter().map(|&slot| slot as usize * per_row);
            rows.clear();
            rows.extend(at.flat_map(|at| &side[at..at + per_row]));
        }
        to_a.resize(a.len(), Lane::ZERO);
        to_b.resize(b.len(), Lane::ZERO);
        let gradients = [&mut to_a[..], &mut to_b[..]];
        loss += contrasting.loss.loss([a, b], per_row, gradients, contrast);
        add_rows(finals, &slots, to_a, per_row);
        let second = if crossing { &mut *chosen } else { &mut *finals };
        add_rows(second, &slots, to_b, per_row);
    }
    loss
}

/// Adds rows to those of distinct slots.
fn add_rows(to: &mut [Lane], slots: &[u32], rows: &[Lane], per_row: usize) {
    for (&slot, row) in slots.iter().zip(rows.chunks_exact(per_row)) {
        let to = &mut to[slot as usize * per_row..][..per_row];
        add(to, row);
    }
}

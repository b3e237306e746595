//! The gradients back through the layers, and the update.

use super::{Batch, Gcn, Settings};
use crate::kernels::mf::SharedSide;
use crate::kernels::propagate::{Finish, Graph, Source, pass};
use crate::kernels::simd::{self, Isa, Job, Lane, add_scaled, flat_mut};
use crate::kernels::table::{SharedRows, Table};
use crate::kernels::update::{Hyper, clip_scale, sum_of_squares};
use rayon::prelude::*;

/// Rows that a thread takes at a time where no neighbors are added.
const CHUNK: usize = 256;

pub fn backward(gcn: &mut Gcn, batch: &Batch, hyper: &Hyper) {
    let per_row = gcn.scaled.per_row();
    let (graph, settings) = (&*gcn.graph, gcn.settings);
    let own = Own {
        settings: &settings,
        batch,
        per_row,
        finals: &gcn.space.finals,
        chosen: &gcn.space.chosen,
    };
    let top = &mut gcn.space.top;
    top.clear();
    top.resize(own.finals.len(), Lane::ZERO);
    simd::run(Top { graph, own, top });
    let top = Source::Some {
        rows: top,
        per_row,
        slots: &batch.slots,
    };
    for (number, layer) in (1..settings.layers).rev().enumerate() {
        let [even, odd] = &mut gcn.hidden;
        let (to, from) = if number % 2 == 0 {
            (even, odd)
        } else {
            (odd, even)
        };
        let source = if number == 0 { top } else { Source::All(from) };
        let finish = Hidden {
            graph,
            own,
            layer,
            rows: to.shared(),
        };
        pass(graph, source, &finish);
    }
    let source = match settings.layers {
        1 => top,
        layers => Source::All(&gcn.hidden[layers % 2]),
    };
    let end = End {
        own,
        decay: settings.regularization / batch.users.len() as f32,
        update: Update {
            graph,
            side: SharedSide::of(&mut gcn.side),
            scaled: gcn.scaled.shared(),
            hyper,
        },
    };
    if settings.gradient_clip == 0.0 {
        pass(graph, source, &end);
        return;
    }
    let rows = gcn.gradients.shared();
    pass(graph, source, &Kept { end: &end, rows });
    clip(gcn.gradients.lanes_mut(), settings.gradient_clip);
    end.update.all(&gcn.gradients);
}

/// What the loss says of the batch's nodes.
#[derive(Clone, Copy)]
struct Own<'a> {
    settings: &'a Settings,
    batch: &'a Batch,
    per_row: usize,
    finals: &'a [Lane],
    chosen: &'a [Lane],
}

impl Own<'_> {
    /// Adds the gradient by this layer itself, 0 for the embeddings, of the
    /// node with this slot.
    #[inline(always)]
    fn add<S: Isa>(&self, layer: usize, slot: u32, to: &mut [Lane]) {
        let place = slot as usize * self.per_row..(slot as usize + 1) * self.per_row;
        if slot == 0 {
            return;
        }
        if layer > 0 || self.settings.first {
            add_scaled::<S>(to, self.settings.share(), &self.finals[place.clone()]);
        }
        if self.settings.contrast_layer() == Some(layer) {
            add_scaled::<S>(to, 1.0, &self.chosen[place]);
        }
    }
}

/// Fills the gradients by the last layer.
struct Top<'a> {
    graph: &'a Graph,
    own: Own<'a>,
    top: &'a mut [Lane],
}

impl Job for Top<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let rows = self.top[self.own.per_row..].chunks_exact_mut(self.own.per_row);
        let layer = self.own.settings.layers;
        for ((slot, to), &row) in (1..).zip(rows).zip(&self.own.batch.groups.rows) {
            self.own.add::<S>(layer, slot, to);
            let scale = self.graph.scale(row as usize);
            flat_mut(to).iter_mut().for_each(|x| *x *= scale);
        }
    }
}

/// The gradient by a layer between the first and the last.
struct Hidden<'a> {
    graph: &'a Graph,
    own: Own<'a>,
    layer: usize,
    rows: SharedRows<'a>,
}

impl Finish for Hidden<'_> {
    #[inline(always)]
    fn finish<S: Isa>(&self, row: usize, sum: &mut [Lane]) {
        let scale = self.graph.scale(row);
        // SAFETY: a pass comes to each row once.
        let to = unsafe { self.rows.row(row as u32) }.0;
        to.fill(Lane::ZERO);
        add_scaled::<S>(to, scale, sum);
        self.own.add::<S>(self.layer, self.own.batch.slots[row], to);
        flat_mut(to).iter_mut().for_each(|x| *x *= scale);
    }
}

/// The gradient by an embedding, and its update.
struct End<'a> {
    own: Own<'a>,
    /// Regularization for each time that a node is looked up.
    decay: f32,
    update: Update<'a>,
}

impl End<'_> {
    /// Turns a sum over neighbors into the gradient.
    #[inline(always)]
    fn gradient<S: Isa>(&self, row: usize, sum: &mut [Lane]) {
        let slot = self.own.batch.slots[row];
        let scale = self.update.graph.scale(row);
        flat_mut(sum).iter_mut().for_each(|x| *x *= scale);
        self.own.add::<S>(0, slot, sum);
        if slot > 0 && self.decay > 0.0 {
            let places = self.own.batch.groups.places_of(slot as usize - 1).len();
            // SAFETY: a pass comes to each row once, and what is read here is
            // given back before the update.
            let row = unsafe { self.update.side.row(row as u32) };
            add_scaled::<S>(sum, 2.0 * self.decay * places as f32, row.weights);
        }
    }
}

impl Finish for End<'_> {
    #[inline(always)]
    fn finish<S: Isa>(&self, row: usize, sum: &mut [Lane]) {
        self.gradient::<S>(row, sum);
        self.update.row::<S>(row, sum);
    }
}

/// Gradients that are kept for an update that comes later.
struct Kept<'a> {
    end: &'a End<'a>,
    rows: SharedRows<'a>,
}

impl Finish for Kept<'_> {
    #[inline(always)]
    fn finish<S: Isa>(&self, row: usize, sum: &mut [Lane]) {
        self.end.gradient::<S>(row, sum);
        // SAFETY: a pass comes to each row once.
        unsafe { self.rows.row(row as u32) }.0.copy_from_slice(sum);
    }
}

/// Scales gradients by `min(1, limit / norm)`; the order of the sum does not
/// depend on threads.
fn clip(gradients: &mut [Lane], limit: f32) {
    let parts = gradients.par_chunks(CHUNK).map(sum_of_squares);
    let squares = parts.collect::<Vec<f64>>().into_iter().sum();
    let scale = clip_scale(squares, f64::from(limit));
    gradients.par_chunks_mut(CHUNK).for_each(|lanes| {
        flat_mut(lanes).iter_mut().for_each(|g| *g *= scale);
    });
}

/// The optimizer's step on rows.
struct Update<'a> {
    graph: &'a Graph,
    side: SharedSide<'a>,
    scaled: SharedRows<'a>,
    hyper: &'a Hyper,
}

impl Update<'_> {
    /// Each row must be in one thread alone.
    #[inline(always)]
    fn row<S: Isa>(&self, row: usize, gradient: &[Lane]) {
        let number = row as u32;
        // SAFETY: passes come to each row once, and what is held of it here
        // is given back before the next line.
        unsafe { self.side.row(number) }.update::<S>(self.hyper, gradient);
        // SAFETY: as above.
        let (held, scaled) = unsafe { (self.side.row(number), self.scaled.row(number).0) };
        scaled.fill(Lane::ZERO);
        add_scaled::<S>(scaled, self.graph.scale(row), held.weights);
    }

    /// The step on every row by its gradient.
    fn all(&self, gradients: &Table) {
        let chunks = self.graph.num_nodes().div_ceil(CHUNK);
        (0..chunks).into_par_iter().for_each(|chunk| {
            simd::run(Updates {
                update: self,
                gradients,
                first: chunk * CHUNK,
            });
        });
    }
}

struct Updates<'a> {
    update: &'a Update<'a>,
    gradients: &'a Table,
    first: usize,
}

impl Job for Updates<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let last = (self.first + CHUNK).min(self.update.graph.num_nodes());
        for row in self.first..last {
            self.update.row::<S>(row, self.gradients.row(row as u32));
        }
    }
}

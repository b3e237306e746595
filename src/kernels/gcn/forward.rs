//! The layers, and their mean for the nodes of the batch.

use super::{Batch, Gcn, Layer, Noise, Settings, View};
use crate::kernels::propagate::{Finish, Graph, Source, pass, pass_at};
use crate::kernels::simd::{Isa, Lane, add_scaled, flat_mut};
use crate::kernels::table::{SharedRows, Table};
use crate::seed::Rng;

pub fn forward(gcn: &mut Gcn, batch: &Batch, stream: &Rng) {
    let (graph, settings) = (&*gcn.graph, gcn.settings);
    let noise = |view: &View, layer| noise(&settings, graph, view.noise?, layer, stream);
    if settings.layers > 1 {
        let outputs = gcn.views.iter_mut().map(|view| Output {
            noise: noise(view, 1),
            rows: view.layers[0].shared(),
        });
        let outputs = outputs.collect();
        pass(graph, Source::All(&gcn.scaled), &Middle { graph, outputs });
    }
    for view in &mut gcn.views {
        for layer in 2..settings.layers {
            let noise = noise(view, layer);
            let (done, rest) = view.layers.split_at_mut(layer - 1);
            let rows = rest[0].shared();
            let outputs = vec![Output { rows, noise }];
            let from = Source::All(&done[layer - 2]);
            pass(graph, from, &Middle { graph, outputs });
        }
        let noise = noise(view, settings.layers);
        last(
            graph,
            &settings,
            view,
            noise,
            batch,
            [&gcn.side.weights, &gcn.scaled],
        );
    }
}

fn noise<'a>(
    settings: &Settings,
    graph: &Graph,
    view: usize,
    layer: usize,
    stream: &'a Rng,
) -> Option<Noise<'a>> {
    let layer = Layer {
        view,
        layer,
        layers: settings.layers,
        nodes: graph.num_nodes(),
    };
    Some(Noise {
        stream,
        strength: settings.contrast?.noise,
        columns: settings.columns,
        first: layer.first(),
    })
}

/// Where a layer of a view goes.
struct Output<'a> {
    rows: SharedRows<'a>,
    noise: Option<Noise<'a>>,
}

/// A layer before the last, of all views that have the layer before in
/// common.
struct Middle<'a> {
    graph: &'a Graph,
    outputs: Vec<Output<'a>>,
}

impl Finish for Middle<'_> {
    #[inline(always)]
    fn finish<S: Isa>(&self, row: usize, sum: &mut [Lane]) {
        let scale = self.graph.scale(row);
        for output in &self.outputs {
            // SAFETY: a pass comes to each row once.
            let to = unsafe { output.rows.row(row as u32) }.0;
            to.fill(Lane::ZERO);
            if let Some(noise) = &output.noise {
                add_scaled::<S>(to, scale, sum);
                with_space(to.len(), |space| {
                    noise.add::<S>(self.graph.nodes()[row], to, space);
                });
                flat_mut(to).iter_mut().for_each(|x| *x *= scale);
            } else {
                add_scaled::<S>(to, scale * scale, sum);
            }
        }
    }
}

/// Lanes that need no memory of their own for rows of the usual lengths.
#[inline(always)]
fn with_space(lanes: usize, work: impl FnOnce(&mut [Lane])) {
    let mut few = [Lane::ZERO; 8];
    match few.get_mut(..lanes) {
        Some(space) => work(space),
        None => work(&mut vec![Lane::ZERO; lanes]),
    }
}

fn last(
    graph: &Graph,
    settings: &Settings,
    view: &mut View,
    noise: Option<Noise<'_>>,
    batch: &Batch,
    [embeddings, scaled]: [&Table; 2],
) {
    let per_row = scaled.per_row();
    let len = (batch.groups.len() + 1) * per_row;
    view.finals.resize(len, Lane::ZERO);
    let contrast_layer = settings.contrast_layer();
    let chosen = if contrast_layer.is_some() { len } else { 0 };
    view.chosen.resize(chosen, Lane::ZERO);
    let finish = Last {
        graph,
        settings,
        layers: &view.layers,
        embeddings,
        noise,
        contrast_layer,
        batch: &batch.groups.rows,
        finals: SharedRows::of(&mut view.finals, per_row),
        chosen: SharedRows::of(&mut view.chosen, per_row),
    };
    let from = view.layers.last().unwrap_or(scaled);
    pass_at(graph, from, &batch.groups.rows, &finish);
}

/// The last layer, and the mean over all of them.
struct Last<'a> {
    graph: &'a Graph,
    settings: &'a Settings,
    layers: &'a [Table],
    embeddings: &'a Table,
    noise: Option<Noise<'a>>,
    contrast_layer: Option<usize>,
    batch: &'a [u32],
    finals: SharedRows<'a>,
    chosen: SharedRows<'a>,
}

impl Finish for Last<'_> {
    #[inline(always)]
    fn finish<S: Isa>(&self, number: usize, sum: &mut [Lane]) {
        let row = self.batch[number];
        let (slot, root) = (number as u32 + 1, self.graph.root(row as usize));
        let scale = self.graph.scale(row as usize);
        flat_mut(sum).iter_mut().for_each(|x| *x *= scale);
        if let Some(noise) = &self.noise {
            with_space(sum.len(), |space| {
                noise.add::<S>(self.graph.nodes()[row as usize], sum, space);
            });
        }
        if let Some(layer) = self.contrast_layer {
            // SAFETY: a pass comes to each row once.
            let chosen = unsafe { self.chosen.row(slot) }.0;
            match self.layers.get(layer - 1) {
                Some(table) => {
                    chosen.fill(Lane::ZERO);
                    add_scaled::<S>(chosen, root, table.row(row));
                }
                None => chosen.copy_from_slice(sum),
            }
        }
        for table in self.layers {
            add_scaled::<S>(sum, root, table.row(row));
        }
        if self.settings.first {
            add_scaled::<S>(sum, 1.0, self.embeddings.row(row));
        }
        // SAFETY: as above.
        let finals = unsafe { self.finals.row(slot) }.0;
        finals.fill(Lane::ZERO);
        add_scaled::<S>(finals, self.settings.share(), sum);
    }
}

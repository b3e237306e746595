//! One training step of a graph convolution without weights (LightGCN and
//! what was made of it) on the CPU: layers, loss, gradients and the update of
//! every embedding, by passes over the graph.
//!
//! - Forward, all layers but the last are computed for every node, the last
//!   one only for the nodes of the batch.
//! - The gradient of the last layer has rows for the nodes of the batch alone,
//!   so the first pass backward skips all other neighbors.
//! - The last pass backward updates a node's embedding as soon as its gradient
//!   is there, and leaves the scaled row that the next step begins with.
//!
//! Tables between the passes hold rows that are divided by the root of their
//! node's degree, as [`super::propagate`] wants them.

mod backward;
mod batch;
mod embed;
mod forward;
mod loss;
mod noise;

pub use batch::Batch;
pub use embed::{Embedded, embed};
pub use noise::{Layer, Noise};

use super::contrast::{self, Contrast};
use super::mf::{Goal, Side};
use super::propagate::Graph;
use super::simd::Lane;
use super::table::Table;
use super::update::Hyper;
use crate::seed::Rng;
use std::sync::Arc;

/// What does not change between the steps of a training.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Columns of the embeddings.
    pub columns: usize,
    /// Layers of propagation, at least one.
    pub layers: usize,
    /// Whether the mean over layers begins with the embeddings themselves.
    pub first: bool,
    /// Scores are cosines of what comes out, in place of inner products.
    pub cosine: bool,
    /// L2 on the embeddings that a batch looks up, per example.
    pub regularization: f32,
    /// Largest norm of a step's gradients; 0 does not clip.
    pub gradient_clip: f32,
    pub contrast: Option<Contrasting>,
}

/// The contrast between noised views.
#[derive(Clone, Copy, Debug)]
pub struct Contrasting {
    pub views: Views,
    pub loss: Contrast,
    /// Length of the noise on a node of a layer.
    pub noise: f32,
}

/// What is held against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Views {
    /// Two noised views, beside the one without noise that recommends
    /// (SimGCL).
    Two,
    /// The mean over layers and this layer, from 1, of one noised view that
    /// recommends, too (XSimGCL).
    Layer(usize),
}

impl Settings {
    /// What a layer's share of the mean is.
    pub fn share(&self) -> f32 {
        1.0 / (self.layers + usize::from(self.first)) as f32
    }

    /// The layer that the mean is held against.
    pub fn contrast_layer(&self) -> Option<usize> {
        match self.contrast?.views {
            Views::Two => None,
            Views::Layer(layer) => Some(layer),
        }
    }

    /// For each view its number among those with noise; the first view
    /// recommends.
    pub fn views(&self) -> &'static [Option<usize>] {
        match self.contrast.map(|c| c.views) {
            None => &[None],
            Some(Views::Two) => &[None, Some(0), Some(1)],
            Some(Views::Layer(_)) => &[Some(0)],
        }
    }
}

/// The embeddings of all nodes with the optimizer's states, and memory that
/// steps use again.
pub struct Gcn {
    graph: Arc<Graph>,
    settings: Settings,
    goal: Goal,
    /// In the order of the graph's rows.
    side: Side,
    /// The embeddings, divided by the root of the degree.
    scaled: Table,
    views: Vec<View>,
    /// Gradients on their way back.
    hidden: [Table; 2],
    /// All gradients, where they must wait for the norm.
    gradients: Table,
    space: Space,
}

/// A pass through the layers.
struct View {
    /// Its number among those with noise.
    noise: Option<usize>,
    /// The layers from the first to the one before the last.
    layers: Vec<Table>,
    /// The mean over layers of the batch's nodes, by slot.
    finals: Vec<Lane>,
    /// The layer to contrast of the batch's nodes, by slot.
    chosen: Vec<Lane>,
}

/// Memory of a step, by slot where not said otherwise.
#[derive(Default)]
struct Space {
    /// Derivatives of the loss by the scores, parallel to the batch's items.
    derivatives: Vec<f32>,
    /// Gradients by the means over layers, of all views together.
    finals: Vec<Lane>,
    /// Gradients by the layer to contrast.
    chosen: Vec<Lane>,
    /// Gradients by the last layer, divided by the root of the degree.
    top: Vec<Lane>,
    losses: Vec<f64>,
    /// One over the length of the nodes' means over layers, for cosines.
    scales: Vec<f32>,
    contrast: contrast::Space,
    /// The views' rows to contrast and their gradients, one after the other.
    pairs: [Vec<Lane>; 4],
}

impl Gcn {
    /// `embeddings` and `states` are row-major, users first.
    pub fn new(
        graph: Arc<Graph>,
        settings: Settings,
        goal: Goal,
        embeddings: &[f32],
        states: &[Vec<f32>],
    ) -> Self {
        let (nodes, columns) = (graph.num_nodes(), settings.columns);
        let table = || Table::zeros(nodes, columns);
        let mut side = Side::zeros(nodes, columns, states.len());
        put(&graph, &mut side.weights, embeddings, columns);
        for (table, state) in [&mut side.first, &mut side.second].into_iter().zip(states) {
            put(&graph, table, state, columns);
        }
        let hidden = settings.layers - 1;
        let views = settings.views().iter().map(|&noise| View {
            noise,
            layers: (0..hidden).map(|_| table()).collect(),
            finals: Vec::new(),
            chosen: Vec::new(),
        });
        let clips = settings.gradient_clip > 0.0;
        Self {
            scaled: embed::scaled(&graph, &side.weights),
            views: views.collect(),
            hidden: [1, 2]
                .map(|number| Table::zeros(if hidden >= number { nodes } else { 0 }, columns)),
            gradients: Table::zeros(if clips { nodes } else { 0 }, columns),
            space: Space::default(),
            graph,
            settings,
            goal,
            side,
        }
    }

    /// One step; returns the mean loss of the batch, with the regularizer and
    /// the contrast. `noise` is the step's own stream.
    pub fn step(&mut self, batch: &Batch, hyper: &Hyper, noise: &Rng) -> f64 {
        forward::forward(self, batch, noise);
        let loss = loss::loss(self, batch);
        backward::backward(self, batch, hyper);
        loss
    }

    /// The embeddings and the optimizer's states, row-major, users first.
    pub fn take(&self) -> (Vec<f32>, Vec<Vec<f32>>) {
        let values = |table: &Table| take(&self.graph, table, self.settings.columns);
        let states = [&self.side.first, &self.side.second];
        let states = states.into_iter().filter(|table| table.per_row() > 0);
        (values(&self.side.weights), states.map(values).collect())
    }
}

/// From the order of nodes to that of the graph's rows.
fn put(graph: &Graph, table: &mut Table, values: &[f32], columns: usize) {
    let nodes = graph.nodes().iter();
    let moved = nodes.flat_map(|&node| &values[node as usize * columns..][..columns]);
    table.put(0, columns, &moved.copied().collect::<Vec<_>>());
}

/// The other way round.
fn take(graph: &Graph, table: &Table, columns: usize) -> Vec<f32> {
    let values = table.take(0, columns);
    let rows = graph.rows().iter();
    let moved = rows.flat_map(|&row| &values[row as usize * columns..][..columns]);
    moved.copied().collect()
}

#[cfg(test)]
mod tests;

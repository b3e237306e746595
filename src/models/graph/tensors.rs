//! The loss of a batch by tensors, for devices other than the CPU.
//!
//! Layers are linear in the embeddings and the graph is symmetric, so they
//! need no autodiff: it gives the gradients by the rows that the losses see,
//! and these go back through the layers by the same propagation.

use crate::kernels::gcn::{Batch, Contrasting, Layer, Noise, Settings, Views};
use crate::kernels::propagate::{DeviceGraph, Graph};
use crate::kernels::rows::{Segments, supported};
use crate::kernels::simd::{self, Isa, Job, Lane, WIDTH, flat};
use crate::losses::{self, Loss};
use crate::models::embeddings::Embeddings;
use crate::models::pairwise::Objective;
use crate::params::Param;
use crate::seed::Rng;
use crate::tape::Tape;
use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};
use rayon::prelude::*;
use std::sync::Arc;

/// Nodes whose noise a thread draws at a time.
const CHUNK: usize = 256;

pub struct OnTensors {
    graph: Arc<Graph>,
    on_device: DeviceGraph,
    settings: Settings,
    device: Device,
}

/// What a training minimizes, and on which embeddings.
#[derive(Clone, Copy)]
pub struct Goals {
    pub objective: Objective,
    pub smoothing: f64,
    pub embeddings: Embeddings,
}

/// The embeddings that a step goes by, and what was kept of them where some
/// were dropped, as a factor.
fn disturb(
    tape: &mut Tape,
    table: Tensor<2>,
    embeddings: &Embeddings,
) -> (Tensor<2>, Option<Tensor<2>>) {
    let [rows, columns] = table.dims();
    let kept = (embeddings.embedding_dropout > 0.0).then(|| {
        let ones = tape.floats(vec![1.0; rows * columns], [rows, columns]);
        tape.dropout(ones, embeddings.embedding_dropout).inner()
    });
    let table = match &kept {
        Some(kept) => table * kept.clone(),
        None => table,
    };
    if embeddings.embedding_noise == 0.0 {
        return (table, kept);
    }
    let noised = tape.noise(Tensor::from_inner(table), embeddings.embedding_noise);
    (noised.inner(), kept)
}

/// A pass through the layers, `[nodes, columns]` each.
struct View {
    finals: Tensor<2>,
    /// The layer to contrast with.
    chosen: Option<Tensor<2>>,
}

/// Rows that a loss sees, as an autodiff leaf.
struct Seen {
    nodes: Vec<u32>,
    leaf: Tensor<2>,
    /// Whether they are of the layer to contrast with.
    chosen: bool,
}

impl OnTensors {
    pub fn new(graph: Arc<Graph>, settings: Settings, device: &Device) -> Self {
        Self {
            on_device: DeviceGraph::new(&graph, device),
            graph,
            settings,
            device: device.clone(),
        }
    }

    /// A loss with the value of the batch's, and with its gradient by the
    /// tables of users and items.
    pub fn loss(
        &self,
        tape: &mut Tape,
        params: [&Param; 2],
        goals: Goals,
        batch: &Batch,
        stream: &Rng,
    ) -> Tensor<1> {
        let embeddings = Tensor::cat(params.map(Param::value).to_vec(), 0);
        let (seen_as, kept) = disturb(tape, embeddings.clone(), &goals.embeddings);
        let views: Vec<View> = self
            .settings
            .views()
            .iter()
            .map(|&noise| self.view(&seen_as, noise.map(|view| (view, stream))))
            .collect();
        let (loss, seen) = self.losses(&views, goals, batch);
        let gradients = loss.backward();
        let total = |chosen: bool| {
            let parts = seen.iter().filter(|s| s.chosen == chosen);
            let parts = parts.filter_map(|s| Some((&s.nodes[..], s.leaf.grad(&gradients)?)));
            self.scatter(parts.collect())
        };
        let gradient = self.back(total(false), total(true));
        let (penalty, decay) = self.penalty(&embeddings, goals.embeddings.l1, batch);
        let gradient = gradient.map(|gradient| match kept {
            Some(kept) => gradient * kept,
            None => gradient,
        });
        let gradient = Tensor::from_inner(gradient.expect("every batch has users") + decay);
        let value = Tensor::from_inner(loss.inner() + penalty);
        let users = params[0].shape()[0];
        let places = [0..users, users..self.graph.num_nodes()];
        let products = params.into_iter().zip(places).map(|(param, rows)| {
            let gradient = gradient.clone().slice([rows]);
            (tape.param(param) * gradient).sum()
        });
        let product = products.reduce(|a, b| a + b).expect("two tables");
        // Nothing but its gradient is left of the product.
        product.clone() - product.detach() + value
    }

    fn view(&self, embeddings: &Tensor<2>, noise: Option<(usize, &Rng)>) -> View {
        let layers = self.settings.layers;
        let contrast_layer = self.settings.contrast_layer();
        let mut layer = embeddings.clone();
        let mut sum = self.settings.first.then(|| embeddings.clone());
        let mut chosen = None;
        for number in 1..=layers {
            layer = self.on_device.propagate(layer);
            if let Some((view, stream)) = noise {
                let noise = self.noise(view, number, stream);
                layer = layer.clone() + layer.sign() * noise;
            }
            if contrast_layer == Some(number) {
                chosen = Some(layer.clone());
            }
            sum = Some(match sum {
                Some(sum) => sum + layer.clone(),
                None => layer.clone(),
            });
        }
        View {
            finals: sum.expect("there is a layer") * self.settings.share(),
            chosen,
        }
    }

    /// Drawn on the host, so that it is the same on every device.
    fn noise(&self, view: usize, layer: usize, stream: &Rng) -> Tensor<2> {
        let (nodes, columns) = (self.graph.num_nodes(), self.settings.columns);
        let layer = Layer {
            view,
            layer,
            layers: self.settings.layers,
            nodes,
        };
        let noise = Noise {
            stream,
            strength: self.settings.contrast.map_or(0.0, |c| c.noise),
            columns,
            first: layer.first(),
        };
        let mut values = vec![0.0; nodes * columns];
        let chunks = values.par_chunks_mut(CHUNK * columns).enumerate();
        chunks.for_each(|(chunk, values)| {
            simd::run(Draw {
                noise,
                first: chunk * CHUNK,
                values,
            });
        });
        Tensor::from_data(TensorData::new(values, [nodes, columns]), &self.device)
    }

    /// The loss but for the regularizer, and the rows that it sees.
    fn losses(&self, views: &[View], goals: Goals, batch: &Batch) -> (Tensor<1>, Vec<Seen>) {
        let nodes = |rows: &[u32]| -> Vec<u32> {
            let nodes = self.graph.nodes();
            rows.iter().map(|&row| nodes[row as usize]).collect()
        };
        let Goals {
            objective,
            smoothing,
            ..
        } = goals;
        let finals = |view: &View, nodes| self.see(&view.finals, nodes, false);
        let (examples, width, dim) = (batch.users.len(), batch.width(), self.settings.columns);
        let users = finals(&views[0], nodes(&batch.users));
        let over_catalog = objective.loss == Loss::FullSoftmax;
        let positives = nodes(&batch.items);
        let first = self.graph.num_users() as u32;
        let items = if over_catalog {
            finals(&views[0], (first..self.graph.num_nodes() as u32).collect())
        } else {
            finals(&views[0], positives.clone())
        };
        let of_users = self.scored(users.leaf.clone());
        let of_items = self.scored(items.leaf.clone());
        let mut loss = if over_catalog {
            let scores = of_users.matmul(of_items.transpose()) / objective.temperature;
            let positives: Vec<u32> = positives.iter().map(|node| node - first).collect();
            losses::full_softmax(scores, Tensor::from_inner(self.ints(&positives)), smoothing)
        } else {
            let products =
                of_users.reshape([examples, 1, dim]) * of_items.reshape([examples, width, dim]);
            let scores = products.sum_dim(2).reshape([examples, width]);
            objective.sampled(scores, None, smoothing)
        };
        let mut seen = vec![users, items];
        if let Some(contrast) = self.settings.contrast {
            for slots in batch.to_contrast() {
                let rows = slots
                    .iter()
                    .map(|&slot| batch.groups.rows[slot as usize - 1]);
                let rows = nodes(&rows.collect::<Vec<_>>());
                let [a, b] = match (contrast.views, &views[0].chosen) {
                    (Views::Layer(_), Some(chosen)) => [
                        finals(&views[0], rows.clone()),
                        self.see(chosen, rows, true),
                    ],
                    _ => [finals(&views[1], rows.clone()), finals(&views[2], rows)],
                };
                loss = loss + info_nce(&contrast, a.leaf.clone(), b.leaf.clone());
                seen.extend([a, b]);
            }
        }
        (loss, seen)
    }

    /// What scores are inner products of.
    fn scored(&self, rows: Tensor<2>) -> Tensor<2> {
        if self.settings.cosine {
            return losses::unit_rows(rows);
        }
        rows
    }

    fn see(&self, tensor: &Tensor<2>, nodes: Vec<u32>, chosen: bool) -> Seen {
        let rows = tensor.clone().select(0, self.ints(&nodes));
        Seen {
            leaf: Tensor::from_inner(rows).require_grad(),
            nodes,
            chosen,
        }
    }

    fn ints(&self, values: &[u32]) -> Tensor<1, Int> {
        let values: Vec<i32> = values.iter().map(|&v| v as i32).collect();
        let len = values.len();
        Tensor::from_data(TensorData::new(values, [len]), &self.device)
    }

    /// The sum of rows' gradients by node, `[nodes, columns]`.
    fn scatter(&self, parts: Vec<(&[u32], Tensor<2>)>) -> Option<Tensor<2>> {
        if parts.is_empty() {
            return None;
        }
        let (at, parts): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let (at, parts) = (at.concat(), Tensor::cat(parts, 0));
        let nodes = self.graph.num_nodes();
        if supported(&self.device) {
            let all: Vec<u32> = (0..nodes as u32).collect();
            return Some(Segments::new(&all, &at, &self.device).sum(parts));
        }
        let sums = Tensor::zeros([nodes, self.settings.columns], &self.device);
        Some(sums.select_assign(0, self.ints(&at), parts, IndexingUpdateOp::Add))
    }

    /// From the gradients by the mean over layers and by the layer to
    /// contrast with to that by the embeddings.
    fn back(&self, finals: Option<Tensor<2>>, chosen: Option<Tensor<2>>) -> Option<Tensor<2>> {
        let finals = finals? * self.settings.share();
        let mut gradient: Option<Tensor<2>> = None;
        for layer in (1..=self.settings.layers).rev() {
            let mut own = finals.clone();
            if self.settings.contrast_layer() == Some(layer)
                && let Some(chosen) = &chosen
            {
                own = own + chosen.clone();
            }
            let by_layer = match gradient {
                Some(gradient) => gradient + own,
                None => own,
            };
            gradient = Some(self.on_device.propagate(by_layer));
        }
        if self.settings.first {
            return gradient.map(|gradient| gradient + finals);
        }
        gradient
    }

    /// The regularizer, and its gradient by all embeddings.
    fn penalty(&self, embeddings: &Tensor<2>, l1: f64, batch: &Batch) -> (Tensor<1>, Tensor<2>) {
        let nodes = self.graph.num_nodes();
        let mut uses = vec![0.0; nodes];
        for (group, &row) in batch.groups.rows.iter().enumerate() {
            let places = batch.groups.places_of(group).len();
            uses[self.graph.nodes()[row as usize] as usize] = places as f32;
        }
        let examples = batch.users.len() as f32;
        let uses = Tensor::from_data(TensorData::new(uses, [nodes, 1]), &self.device) / examples;
        let pulled = embeddings.clone() * uses.clone() * self.settings.regularization;
        let l2 = (pulled.clone() * embeddings.clone()).sum();
        if l1 == 0.0 {
            return (l2, pulled * 2.0);
        }
        let pushed = embeddings.clone().sign() * uses * l1;
        let l1 = (pushed.clone() * embeddings.clone()).sum();
        (l2 + l1, pulled * 2.0 + pushed)
    }
}

/// See [`crate::kernels::contrast`].
fn info_nce(contrasting: &Contrasting, a: Tensor<2>, b: Tensor<2>) -> Tensor<1> {
    let (a, b) = (losses::unit_rows(a), losses::unit_rows(b));
    let sharpness = 1.0 / contrasting.loss.temperature;
    let own = ((a.clone() * b.clone()).sum_dim(1) - 1.0) * sharpness;
    let all = (a.matmul(b.transpose()) - 1.0) * sharpness;
    (all.exp().sum_dim(1).log() - own).mean() * contrasting.loss.weight
}

/// The noise of nodes in a row.
struct Draw<'a> {
    noise: Noise<'a>,
    first: usize,
    values: &'a mut [f32],
}

impl Job for Draw<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let columns = self.noise.columns;
        let mut lanes = vec![Lane::ZERO; columns.div_ceil(WIDTH)];
        for (node, values) in (self.first as u32..).zip(self.values.chunks_exact_mut(columns)) {
            self.noise.draw::<S>(node, &mut lanes);
            values.copy_from_slice(&flat(&lanes)[..columns]);
        }
    }
}

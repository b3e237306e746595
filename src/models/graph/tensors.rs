//! The loss of a batch by tensors, for devices other than the CPU.
//!
//! Layers are linear in the embeddings and the graph is symmetric, so they
//! need no autodiff: it gives the gradients by the rows that the losses see,
//! and these go back through the layers by the same propagation.

use super::noise::Noises;
use crate::kernels::gcn::{Batch, Contrasting, Settings, Views};
use crate::kernels::propagate::{DeviceGraph, Graph};
use crate::kernels::rows::{Segments, supported};
use crate::losses::{self, Loss};
use crate::models::embeddings::Embeddings;
use crate::models::pairwise::Objective;
use crate::params::Param;
use crate::seed::Rng;
use crate::tape::Tape;
use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};
use std::sync::Arc;

pub struct OnTensors {
    graph: Arc<Graph>,
    on_device: DeviceGraph,
    settings: Settings,
    noise: Noises,
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
        let ones: Tensor<2> = Tensor::ones([rows, columns], tape.device());
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
    at: At,
    leaf: Tensor<2>,
    /// Whether they are of the layer to contrast with.
    chosen: bool,
}

/// Of which nodes rows are.
enum At {
    Nodes(Vec<u32>),
    /// All items, in their order.
    Items,
}

impl OnTensors {
    pub fn new(graph: Arc<Graph>, settings: Settings, device: &Device) -> Self {
        Self {
            noise: Noises::new(&settings, graph.num_nodes(), device),
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
            let parts = parts.filter_map(|s| Some((&s.at, s.leaf.grad(&gradients)?)));
            self.by_node(parts.collect())
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
                let noise = self.noise.layer(view, number, stream);
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
        let finals = |view: &View, nodes| self.see(&view.finals, At::Nodes(nodes), false);
        let (examples, width, dim) = (batch.users.len(), batch.width(), self.settings.columns);
        let users = finals(&views[0], nodes(&batch.users));
        let over_catalog = objective.loss == Loss::FullSoftmax;
        let positives = nodes(&batch.items);
        let first = self.graph.num_users() as u32;
        let items = if over_catalog {
            self.see(&views[0].finals, At::Items, false)
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
                        self.see(chosen, At::Nodes(rows), true),
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

    fn see(&self, tensor: &Tensor<2>, at: At, chosen: bool) -> Seen {
        let rows = match &at {
            At::Nodes(nodes) => tensor.clone().select(0, self.ints(nodes)),
            At::Items => {
                let items = self.graph.num_users()..self.graph.num_nodes();
                tensor.clone().slice([items])
            }
        };
        Seen {
            leaf: Tensor::from_inner(rows).require_grad(),
            at,
            chosen,
        }
    }

    fn ints(&self, values: &[u32]) -> Tensor<1, Int> {
        let values: Vec<i32> = values.iter().map(|&v| v as i32).collect();
        let len = values.len();
        Tensor::from_data(TensorData::new(values, [len]), &self.device)
    }

    /// The sum of rows' gradients by node, `[nodes, columns]`.
    fn by_node(&self, parts: Vec<(&At, Tensor<2>)>) -> Option<Tensor<2>> {
        let (mut nodes, mut listed, mut sums) = (Vec::new(), Vec::new(), None);
        for (at, part) in parts {
            match at {
                At::Nodes(of_part) => {
                    nodes.extend_from_slice(of_part);
                    listed.push(part);
                }
                At::Items => {
                    let users = [self.graph.num_users(), part.dims()[1]];
                    let none = Tensor::zeros(users, &self.device);
                    sums = Some(Tensor::cat(vec![none, part], 0));
                }
            }
        }
        let of_listed = (!listed.is_empty()).then(|| self.scatter(&nodes, Tensor::cat(listed, 0)));
        of_listed.into_iter().chain(sums).reduce(|a, b| a + b)
    }

    /// The sum of `rows` `[n, columns]` of these nodes, `[nodes, columns]`.
    /// Nothing is uploaded that is longer than `rows`.
    fn scatter(&self, nodes: &[u32], rows: Tensor<2>) -> Tensor<2> {
        let shape = [self.graph.num_nodes(), rows.dims()[1]];
        if supported(&self.device) {
            let mut owners: Vec<(u32, u32)> = nodes.iter().copied().zip(0..).collect();
            owners.sort_unstable();
            return Segments::of_owners(&owners, &self.device).spread(rows, shape[0]);
        }
        let sums = Tensor::zeros(shape, &self.device);
        sums.select_assign(0, self.ints(nodes), rows, IndexingUpdateOp::Add)
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
        let nodes = self.graph.nodes();
        let looked_up = batch.users.iter().chain(&batch.items);
        let looked_up: Vec<u32> = looked_up.map(|&row| nodes[row as usize]).collect();
        let ones = Tensor::ones([looked_up.len(), 1], &self.device);
        let uses = self.scatter(&looked_up, ones) / batch.users.len() as f32;
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

//! The loss of a batch by tensors, for devices other than the CPU.
//!
//! Layers are linear in the embeddings and the graph is symmetric, so they
//! need no autodiff: it gives the gradients by the rows that the losses see,
//! and these go back through the layers by the same propagation.

use super::noise::Noises;
use crate::kernels::gcn::{Contrasting, Settings, Views};
use crate::kernels::propagate::{DeviceGraph, Graph};
#[cfg(feature = "wgpu")]
use crate::kernels::rows::Chains;
use crate::kernels::rows::{Segments, supported};
use crate::losses::{self, Loss};
use crate::models::embeddings::Embeddings;
use crate::models::pairwise::Objective;
use crate::params::Param;
use crate::seed::Rng;
use crate::tape::{Ids, Tape};
use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};
use std::sync::Arc;

pub struct OnTensors {
    graph: Arc<Graph>,
    on_device: DeviceGraph,
    settings: Settings,
    noise: Noises,
    device: Device,
    /// Finds the nodes that a GPU has drawn more than once.
    #[cfg(feature = "wgpu")]
    chains: Option<Chains>,
}

/// The examples of a step.
pub struct Step {
    /// The user of each.
    pub users: Ids,
    /// `[positive, negative, ...]` of each, as nodes.
    pub items: Ids,
    /// The distinct nodes of users, and of positives, for models that contrast
    /// them.
    pub contrasted: Option<[Vec<u32>; 2]>,
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
    Nodes(Ids),
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
            #[cfg(feature = "wgpu")]
            chains: None,
        }
    }

    /// A loss with the value of the batch's, and with its gradient by the
    /// tables of users and items.
    pub fn loss(
        &mut self,
        tape: &mut Tape,
        params: [&Param; 2],
        goals: Goals,
        step: &Step,
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
        let (loss, seen) = self.losses(&views, goals, step);
        let gradients = loss.backward();
        let mut total = |chosen: bool| {
            let parts = seen.iter().filter(|s| s.chosen == chosen);
            let parts = parts.filter_map(|s| Some((&s.at, s.leaf.grad(&gradients)?)));
            self.by_node(parts.collect())
        };
        let (finals, chosen) = (total(false), total(true));
        let gradient = self.back(finals, chosen);
        let (penalty, decay) = self.penalty(&embeddings, goals.embeddings.l1, step);
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
    fn losses(&self, views: &[View], goals: Goals, step: &Step) -> (Tensor<1>, Vec<Seen>) {
        let Goals {
            objective,
            smoothing,
            ..
        } = goals;
        let finals = |view: &View, nodes: &Ids| {
            let at = At::Nodes(nodes.clone());
            self.see(&view.finals, at, false)
        };
        let (examples, dim) = (step.users.len(), self.settings.columns);
        let width = step.items.len() / examples;
        let users = finals(&views[0], &step.users);
        let over_catalog = objective.loss == Loss::FullSoftmax;
        let items = if over_catalog {
            self.see(&views[0].finals, At::Items, false)
        } else {
            finals(&views[0], &step.items)
        };
        let of_users = self.scored(users.leaf.clone());
        let of_items = self.scored(items.leaf.clone());
        let mut loss = if over_catalog {
            let scores = of_users.matmul(of_items.transpose()) / objective.temperature;
            let classes = self.ids(&step.items) - self.graph.num_users() as i32;
            losses::full_softmax(scores, Tensor::from_inner(classes), smoothing)
        } else {
            let products =
                of_users.reshape([examples, 1, dim]) * of_items.reshape([examples, width, dim]);
            let scores = products.sum_dim(2).reshape([examples, width]);
            objective.sampled(scores, None, smoothing)
        };
        let mut seen = vec![users, items];
        if let (Some(contrast), Some(both)) = (self.settings.contrast, &step.contrasted) {
            for nodes in both {
                let nodes = Ids::Host(nodes.clone());
                let [a, b] = match (contrast.views, &views[0].chosen) {
                    (Views::Layer(_), Some(chosen)) => [
                        finals(&views[0], &nodes),
                        self.see(chosen, At::Nodes(nodes), true),
                    ],
                    _ => [finals(&views[1], &nodes), finals(&views[2], &nodes)],
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
            At::Nodes(nodes) => tensor.clone().select(0, self.ids(nodes)),
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

    fn ids(&self, ids: &Ids) -> Tensor<1, Int> {
        match ids {
            Ids::Host(values) => self.ints(values),
            Ids::Device(ids) => Tensor::clone(ids),
        }
    }

    fn ints(&self, values: &[u32]) -> Tensor<1, Int> {
        let values: Vec<i32> = values.iter().map(|&v| v as i32).collect();
        let len = values.len();
        Tensor::from_data(TensorData::new(values, [len]), &self.device)
    }

    /// The sum of rows' gradients by node, `[nodes, columns]`.
    fn by_node(&mut self, parts: Vec<(&At, Tensor<2>)>) -> Option<Tensor<2>> {
        let (mut nodes, mut listed, mut sums) = (Vec::new(), Vec::new(), None);
        for (at, part) in parts {
            match at {
                At::Nodes(of_part) => {
                    nodes.push(of_part);
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

    /// The sum of `rows` `[n, columns]` of these nodes, one list after the
    /// other, `[nodes, columns]`. Nothing is uploaded that is longer than
    /// `rows`.
    fn scatter(&mut self, nodes: &[&Ids], rows: Tensor<2>) -> Tensor<2> {
        let shape = [self.graph.num_nodes(), rows.dims()[1]];
        let on_host = nodes.iter().map(|ids| match ids {
            Ids::Host(ids) => Some(&ids[..]),
            Ids::Device(_) => None,
        });
        let Some(on_host) = on_host.collect::<Option<Vec<_>>>() else {
            let parts = nodes.iter().map(|ids| self.ids(ids)).collect();
            return self
                .drawn_segments(Tensor::cat(parts, 0))
                .spread(rows, shape[0]);
        };
        let nodes = on_host.concat();
        if supported(&self.device) {
            let mut owners: Vec<(u32, u32)> = nodes.iter().copied().zip(0..).collect();
            owners.sort_unstable();
            return Segments::of_owners(&owners, &self.device).spread(rows, shape[0]);
        }
        let sums = Tensor::zeros(shape, &self.device);
        sums.select_assign(0, self.ints(&nodes), rows, IndexingUpdateOp::Add)
    }

    #[cfg(feature = "wgpu")]
    fn drawn_segments(&mut self, nodes: Tensor<1, Int>) -> Segments {
        let make = || Chains::new(self.graph.num_nodes(), &self.device);
        self.chains.get_or_insert_with(make).find(nodes)
    }

    #[cfg(not(feature = "wgpu"))]
    fn drawn_segments(&mut self, _: Tensor<1, Int>) -> Segments {
        unreachable!("only a GPU draws nodes by itself")
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
    fn penalty(&mut self, embeddings: &Tensor<2>, l1: f64, step: &Step) -> (Tensor<1>, Tensor<2>) {
        let examples = step.users.len();
        let ones = Tensor::ones([examples + step.items.len(), 1], &self.device);
        let uses = self.scatter(&[&step.users, &step.items], ones) / examples as f32;
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

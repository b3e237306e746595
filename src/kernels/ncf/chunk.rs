//! Forward and backward of some examples.

use super::dropout::{Mask, Masks};
use super::layout::Layout;
use super::{Batch, Settings};
use crate::kernels::simd::{Isa, Lane, add_scaled, dot, flat, flat_mut};
use crate::kernels::table::Table;
use crate::seed::Rng;

/// What all chunks of a step read.
pub struct Network<'a> {
    pub settings: Settings,
    pub layout: &'a Layout,
    pub weights: &'a [Lane],
    pub transposes: &'a Transposes,
    pub users: &'a Table,
    pub items: &'a Table,
    pub masks: Option<LayerMasks<'a>>,
    pub batch: Batch<'a>,
    /// Items of an example.
    pub width: usize,
    /// One over what the sum of losses is divided by.
    pub scale: f32,
    /// Regularization of a row for each of its places.
    pub decay: f32,
}

/// The tower's weights, transposed.
#[derive(Default)]
pub struct Transposes {
    pub first_user: Table,
    pub first_item: Table,
    pub layers: Vec<Table>,
}

impl Transposes {
    pub fn new(layout: &Layout, weights: &[Lane]) -> Self {
        let Some(tower) = &layout.tower else {
            return Self::default();
        };
        Self {
            first_user: tower.first_user.transposed(weights),
            first_item: tower.first_item.transposed(weights),
            layers: tower
                .layers
                .iter()
                .map(|(weight, _)| weight.transposed(weights))
                .collect(),
        }
    }
}

/// The masks of a step, in the order in which the tape draws them.
pub struct LayerMasks<'a> {
    pub users: Mask<'a>,
    pub items: Mask<'a>,
    /// Of the inputs of the layers after the first.
    pub hidden: Vec<Mask<'a>>,
}

impl<'a> LayerMasks<'a> {
    /// `None` where nothing is dropped. `examples` and `pairs` are those of
    /// the whole batch.
    pub fn new(
        stream: &'a Rng,
        rate: f64,
        layout: &Layout,
        (examples, pairs): (usize, usize),
    ) -> Option<Self> {
        let (branches, mut masks) = (&layout.branches, Masks::new(stream, rate));
        (rate > 0.0 && branches.mlp > 0).then(|| {
            let (_, inputs) = branches.hidden.split_last().expect("a tower has a layer");
            Self {
                users: masks.take(examples * branches.mlp),
                items: masks.take(pairs * branches.mlp),
                hidden: inputs.iter().map(|h| masks.take(pairs * h)).collect(),
            }
        })
    }
}

/// Where gradients go.
pub struct Gradients<'a> {
    /// Of the weights, as the layout places them; added to.
    pub dense: &'a mut [Lane],
    /// Of the embedding rows of each example, and of each pair.
    pub users: &'a mut [Lane],
    pub items: &'a mut [Lane],
}

/// Memory that chunks use one after the other.
#[derive(Default)]
pub struct Scratch {
    pub factors: Vec<f32>,
    /// Masked embeddings, and their masks.
    pub users: Vec<Lane>,
    pub items: Vec<Lane>,
    pub user_factors: Vec<f32>,
    pub item_factors: Vec<f32>,
    /// First layer's part of each example.
    pub user_part: Vec<Lane>,
    /// Activations of each layer, masked where they are an input.
    pub layers: Vec<Vec<Lane>>,
    /// Gradients of a layer's sums, and of its input.
    pub above: Vec<Lane>,
    pub below: Vec<Lane>,
    /// Scores, then the derivatives of the loss by them.
    pub scores: Vec<f32>,
    pub weighted: Vec<Lane>,
    pub sum: Vec<Lane>,
}

pub fn reset(lanes: &mut Vec<Lane>, len: usize) {
    lanes.clear();
    lanes.resize(len, Lane::ZERO);
}

/// Trains on the examples `first..first + count`; returns the sum of their
/// losses, the regularizer's share among it, in units of the mean.
#[inline(always)]
pub fn train<S: Isa>(
    net: &Network<'_>,
    range: (usize, usize),
    scratch: &mut Scratch,
    mut gradients: Gradients<'_>,
) -> f64 {
    let mut chunk = Chunk::new(net, range, scratch);
    chunk.forward::<S>();
    let loss = chunk.derive(&mut gradients);
    if net.layout.gmf_output.is_some() {
        chunk.gmf_backward::<S>(&mut gradients);
    }
    if let Some(tower) = &net.layout.tower {
        chunk.tower_backward::<S>(tower, &mut gradients);
    }
    loss + chunk.regularize::<S>(&mut gradients)
}

/// The scores of the examples `first..first + count`, row-major.
#[inline(always)]
pub fn scores<'s, S: Isa>(
    net: &Network<'_>,
    range: (usize, usize),
    scratch: &'s mut Scratch,
) -> &'s [f32] {
    Chunk::new(net, range, scratch).forward::<S>();
    &scratch.scores
}

pub struct Chunk<'a, 'b> {
    pub net: &'a Network<'a>,
    pub users: &'a [u32],
    pub items: &'a [u32],
    /// Number of the first example in the batch.
    pub first: usize,
    pub scratch: &'b mut Scratch,
}

impl<'a, 'b> Chunk<'a, 'b> {
    fn new(net: &'a Network<'a>, (first, count): (usize, usize), scratch: &'b mut Scratch) -> Self {
        let pairs = first * net.width..(first + count) * net.width;
        Self {
            net,
            users: &net.batch.users[first..first + count],
            items: &net.batch.items[pairs],
            first,
            scratch,
        }
    }
}

impl Chunk<'_, '_> {
    #[inline(always)]
    fn forward<S: Isa>(&mut self) {
        let net = self.net;
        let bias = flat(net.layout.bias.of(net.weights))[0];
        self.scratch.scores.clear();
        self.scratch.scores.resize(self.items.len(), bias);
        if net.layout.gmf_output.is_some() {
            self.gmf_forward::<S>();
        }
        if let Some(tower) = &net.layout.tower {
            self.tower_forward::<S>(tower);
        }
    }

    /// Derivatives of the losses in place of the scores.
    #[inline(always)]
    fn derive(&mut self, gradients: &mut Gradients<'_>) -> f64 {
        let (net, scale) = (self.net, self.net.scale);
        let (mut loss, mut bias) = (0.0, 0.0);
        let examples = self.scratch.scores.chunks_exact_mut(net.width);
        for (scores, example) in examples.zip(self.first..) {
            let target = net.batch.targets.get(example).copied().unwrap_or(0.0);
            let value = net.settings.goal.derive(scores, target, scale);
            loss += f64::from(value * scale);
            bias += scores.iter().sum::<f32>();
        }
        flat_mut(net.layout.bias.of_mut(gradients.dense))[0] += bias;
        loss
    }

    #[inline(always)]
    fn gmf_forward<S: Isa>(&mut self) {
        let (net, width) = (self.net, self.net.layout.gmf_width());
        let output = net.layout.gmf_output.expect("a GMF branch");
        let output = output.of(net.weights);
        let scores = self.scratch.scores.chunks_exact_mut(net.width);
        let items = self.items.chunks_exact(net.width);
        for ((scores, items), &user) in scores.zip(items).zip(self.users) {
            let weighted = &mut self.scratch.weighted;
            multiply(&net.users.row(user)[..width], output, weighted);
            for (score, &item) in scores.iter_mut().zip(items) {
                *score += dot::<S>(weighted, &net.items.row(item)[..width]);
            }
        }
    }

    #[inline(always)]
    fn gmf_backward<S: Isa>(&mut self, gradients: &mut Gradients<'_>) {
        let (net, width) = (self.net, self.net.layout.gmf_width());
        let matrix = net.layout.gmf_output.expect("a GMF branch");
        let output = matrix.of(net.weights);
        let to_output = matrix.of_mut(gradients.dense);
        let per_row = net.users.per_row();
        let rows = self.users.iter().zip(self.items.chunks_exact(net.width));
        let derivatives = self.scratch.scores.chunks_exact(net.width);
        let to_users = gradients.users.chunks_exact_mut(per_row);
        let to_items = gradients.items.chunks_exact_mut(per_row * net.width);
        for (((row, derivatives), to_user), to_items) in
            rows.zip(derivatives).zip(to_users).zip(to_items)
        {
            let (weighted, sum) = (&mut self.scratch.weighted, &mut self.scratch.sum);
            let user = &net.users.row(*row.0)[..width];
            multiply(user, output, weighted);
            reset(sum, width);
            let to_items = to_items.chunks_exact_mut(per_row);
            for ((&item, &derivative), to_item) in row.1.iter().zip(derivatives).zip(to_items) {
                add_scaled::<S>(sum, derivative, &net.items.row(item)[..width]);
                to_item[..width].fill(Lane::ZERO);
                add_scaled::<S>(&mut to_item[..width], derivative, weighted);
            }
            multiply(user, sum, weighted);
            add_scaled::<S>(to_output, 1.0, weighted);
            multiply(sum, output, weighted);
            to_user[..width].copy_from_slice(weighted);
        }
    }

    /// L2 on the rows that were read.
    #[inline(always)]
    fn regularize<S: Isa>(&mut self, gradients: &mut Gradients<'_>) -> f64 {
        let (net, decay) = (self.net, self.net.decay);
        if decay == 0.0 {
            return 0.0;
        }
        let per_row = net.users.per_row();
        let mut squares = 0.0;
        let sides = [
            (self.users, net.users, &mut *gradients.users),
            (self.items, net.items, &mut *gradients.items),
        ];
        for (ids, table, gradients) in sides {
            for (&id, gradient) in ids.iter().zip(gradients.chunks_exact_mut(per_row)) {
                let row = table.row(id);
                squares += f64::from(dot::<S>(row, row));
                add_scaled::<S>(gradient, 2.0 * decay, row);
            }
        }
        squares * f64::from(decay)
    }
}

/// `to = a * b`, number by number.
#[inline(always)]
fn multiply(a: &[Lane], b: &[Lane], to: &mut Vec<Lane>) {
    to.clear();
    let product = |(a, b): (&Lane, &Lane)| Lane(std::array::from_fn(|i| a.0[i] * b.0[i]));
    to.extend(a.iter().zip(b).map(product));
}

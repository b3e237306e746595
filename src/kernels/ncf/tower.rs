//! Forward and backward of the MLP branch.

use super::chunk::{Chunk, Gradients, reset};
use super::layout::Tower;
use crate::kernels::gemm::{Left, add_product};
use crate::kernels::simd::{Isa, Lane, WIDTH, add_scaled, dot, flat, flat_mut, relu};
use crate::kernels::table::Table;

impl Chunk<'_, '_> {
    #[inline(always)]
    pub fn tower_forward<S: Isa>(&mut self, tower: &Tower) {
        let (net, scratch) = (self.net, &mut *self.scratch);
        let from = net.layout.gmf_width();
        let (first, width) = (self.first, tower.first_bias.width());
        gather(net.users, self.users, from, &mut scratch.users);
        gather(net.items, self.items, from, &mut scratch.items);
        let depth = net.users.per_row() - from;
        let columns = net.layout.branches.mlp;
        if let Some(masks) = &net.masks {
            let sides = [
                (
                    masks.users,
                    first,
                    &mut scratch.users,
                    &mut scratch.user_factors,
                ),
                (
                    masks.items,
                    first * net.width,
                    &mut scratch.items,
                    &mut scratch.item_factors,
                ),
            ];
            for (mask, row, rows, factors) in sides {
                let len = rows.len() / depth * columns;
                mask.fill(row * columns, len, factors);
                apply(factors, columns, rows, depth);
            }
        }
        repeat(
            tower.first_bias.of(net.weights),
            self.users.len(),
            &mut scratch.user_part,
        );
        let weights = tower.first_user.of(net.weights);
        let users = plain(&scratch.users, depth);
        add_product::<S>(users, weights, &mut scratch.user_part, width);
        let layers = tower.layers.len() + 1;
        scratch.layers.resize_with(layers, Vec::new);
        scratch.layers[0].clear();
        for part in scratch.user_part.chunks_exact(width) {
            for _ in 0..net.width {
                scratch.layers[0].extend_from_slice(part);
            }
        }
        let weights = tower.first_item.of(net.weights);
        let items = plain(&scratch.items, depth);
        add_product::<S>(items, weights, &mut scratch.layers[0], width);
        for layer in 0..layers {
            self.activate::<S>(tower, layer);
            if layer + 1 < layers {
                self.next_layer::<S>(tower, layer);
            }
        }
        let output = tower.output.of(net.weights);
        let rows = self.scratch.layers[layers - 1].chunks_exact(tower.output.width());
        for (score, row) in self.scratch.scores.iter_mut().zip(rows) {
            *score += dot::<S>(row, output);
        }
    }

    /// From the sums of a layer to what it hands on.
    #[inline(always)]
    fn activate<S: Isa>(&mut self, tower: &Tower, layer: usize) {
        let values = &mut self.scratch.layers[layer];
        relu::<S>(values);
        let masks = self.net.masks.as_ref();
        let Some(mask) = masks.and_then(|m| m.hidden.get(layer)) else {
            return;
        };
        let columns = tower.layers[layer].0.rows;
        let (row, rows) = (self.first * self.net.width, self.items.len());
        mask.fill(row * columns, rows * columns, &mut self.scratch.factors);
        let width = columns.div_ceil(WIDTH);
        apply(&self.scratch.factors, columns, values, width);
    }

    /// The sums of the layer after `layer`.
    #[inline(always)]
    fn next_layer<S: Isa>(&mut self, tower: &Tower, layer: usize) {
        let (weight, bias) = tower.layers[layer];
        let (input, output) = self.scratch.layers.split_at_mut(layer + 1);
        let (input, output) = (&input[layer], &mut output[0]);
        repeat(bias.of(self.net.weights), self.items.len(), output);
        let input = plain(input, weight.rows.div_ceil(WIDTH));
        let weights = weight.of(self.net.weights);
        add_product::<S>(input, weights, output, weight.width());
    }

    #[inline(always)]
    pub fn tower_backward<S: Isa>(&mut self, tower: &Tower, gradients: &mut Gradients<'_>) {
        let (net, scratch) = (self.net, &mut *self.scratch);
        let dense = &mut *gradients.dense;
        let keep = net.masks.as_ref().map_or(1.0, |m| m.users.keep());
        let last = &scratch.layers[tower.layers.len()];
        let width = tower.output.width();
        reset(&mut scratch.above, last.len());
        let rows = last.chunks_exact(width).zip(&scratch.scores);
        for ((row, &derivative), above) in rows.zip(scratch.above.chunks_exact_mut(width)) {
            add_scaled::<S>(tower.output.of_mut(dense), derivative, row);
            add_scaled::<S>(above, derivative, tower.output.of(net.weights));
        }
        through_relu(last, 1.0, &mut scratch.above);
        for (layer, &(weight, bias)) in tower.layers.iter().enumerate().rev() {
            let input = &scratch.layers[layer];
            let (width, depth) = (weight.width(), weight.rows.div_ceil(WIDTH));
            add_rows::<S>(&scratch.above, bias.of_mut(dense));
            let to_weight = weight.of_mut(dense);
            add_product::<S>(turned(input, depth), &scratch.above, to_weight, width);
            reset(&mut scratch.below, input.len());
            let transposed = net.transposes.layers[layer].lanes();
            let above = plain(&scratch.above, width);
            add_product::<S>(above, transposed, &mut scratch.below, depth);
            through_relu(input, keep, &mut scratch.below);
            std::mem::swap(&mut scratch.above, &mut scratch.below);
        }
        self.first_layer_backward::<S>(tower, gradients);
    }

    /// From the gradients of the first layer's sums, which are in `above`.
    #[inline(always)]
    fn first_layer_backward<S: Isa>(&mut self, tower: &Tower, gradients: &mut Gradients<'_>) {
        let (net, scratch) = (self.net, &mut *self.scratch);
        let dense = &mut *gradients.dense;
        let width = tower.first_bias.width();
        let depth = net.users.per_row() - net.layout.gmf_width();
        reset(&mut scratch.user_part, self.users.len() * width);
        let examples = scratch.above.chunks_exact(width * net.width);
        for (part, pairs) in scratch.user_part.chunks_exact_mut(width).zip(examples) {
            add_rows::<S>(pairs, part);
        }
        add_rows::<S>(&scratch.user_part, tower.first_bias.of_mut(dense));
        let sides = [
            (
                (&scratch.user_part, &scratch.users, &scratch.user_factors),
                (tower.first_user, &net.transposes.first_user),
                &mut *gradients.users,
            ),
            (
                (&scratch.above, &scratch.items, &scratch.item_factors),
                (tower.first_item, &net.transposes.first_item),
                &mut *gradients.items,
            ),
        ];
        for ((sums, rows, factors), (weight, transposed), gradients) in sides {
            let to_weight = weight.of_mut(dense);
            add_product::<S>(turned(rows, depth), sums, to_weight, width);
            reset(&mut scratch.below, rows.len());
            let sums = plain(sums, width);
            add_product::<S>(sums, transposed.lanes(), &mut scratch.below, depth);
            if net.masks.is_some() {
                apply(factors, net.layout.branches.mlp, &mut scratch.below, depth);
            }
            let from = net.layout.gmf_width();
            let rows = gradients.chunks_exact_mut(from + depth);
            for (row, gradient) in rows.zip(scratch.below.chunks_exact(depth)) {
                row[from..].copy_from_slice(gradient);
            }
        }
    }
}

/// The left operand that holds a matrix of lanes as it is.
#[inline(always)]
fn plain(lanes: &[Lane], width: usize) -> Left<'_> {
    Left {
        values: flat(lanes),
        row: width * WIDTH,
        depth: 1,
    }
}

/// The left operand that holds a matrix of lanes transposed.
#[inline(always)]
fn turned(lanes: &[Lane], width: usize) -> Left<'_> {
    Left {
        values: flat(lanes),
        row: 1,
        depth: width * WIDTH,
    }
}

/// The lanes from `from` on of some rows.
#[inline(always)]
fn gather(table: &Table, rows: &[u32], from: usize, to: &mut Vec<Lane>) {
    to.clear();
    for &row in rows {
        to.extend_from_slice(&table.row(row)[from..]);
    }
}

/// As many copies of a row.
#[inline(always)]
fn repeat(row: &[Lane], count: usize, to: &mut Vec<Lane>) {
    to.clear();
    for _ in 0..count {
        to.extend_from_slice(row);
    }
}

/// Multiplies `columns` numbers of each row by their factors.
#[inline(always)]
fn apply(factors: &[f32], columns: usize, rows: &mut [Lane], width: usize) {
    let rows = rows.chunks_exact_mut(width);
    for (row, factors) in rows.zip(factors.chunks_exact(columns)) {
        let row = &mut flat_mut(row)[..columns];
        row.iter_mut().zip(factors).for_each(|(x, f)| *x *= f);
    }
}

/// Gradients of sums from those of the activations that came of them, which
/// are above zero exactly where the sum was and the mask kept it.
#[inline(always)]
fn through_relu(activations: &[Lane], keep: f32, gradients: &mut [Lane]) {
    let pairs = flat_mut(gradients).iter_mut().zip(flat(activations));
    pairs.for_each(|(g, x)| *g = if *x > 0.0 { *g * keep } else { 0.0 });
}

/// `to += row` for each row.
#[inline(always)]
fn add_rows<S: Isa>(rows: &[Lane], to: &mut [Lane]) {
    for row in rows.chunks_exact(to.len()) {
        add_scaled::<S>(to, 1.0, row);
    }
}

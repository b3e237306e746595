//! Scores of a whole catalog.

use super::layout::{Layout, Tower};
use crate::kernels::gemm::{Left, add_product};
use crate::kernels::simd::{self, Isa, Job, Lane, WIDTH, dot, flat, relu};
use crate::kernels::table::Table;
use rayon::prelude::*;

/// Users that are scored together: a lane of them.
const USERS: usize = WIDTH;

/// Items whose activations stay in the nearest cache together.
const ITEMS: usize = 64;

/// A network and what all users have in common.
pub struct Scorer<'a> {
    layout: &'a Layout,
    weights: &'a [Lane],
    num_items: usize,
    /// GMF's item vectors.
    gmf: Table,
    /// Items after the first layer, without what comes of the user.
    items: Table,
}

/// Rows of the user or the item tables, row-major; empty without that branch.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    pub gmf: &'a [f32],
    pub mlp: &'a [f32],
}

impl<'a> Scorer<'a> {
    /// `items` are all rows of the item tables.
    pub fn new(layout: &'a Layout, weights: &'a [Lane], num_items: usize, items: Rows<'_>) -> Self {
        let branches = &layout.branches;
        let mut gmf = Table::zeros(0, 0);
        if branches.gmf > 0 {
            gmf = Table::zeros(num_items, branches.gmf);
            gmf.put(0, branches.gmf, items.gmf);
        }
        let mut parts = Table::zeros(0, 0);
        if let Some(tower) = &layout.tower {
            parts = Table::zeros(num_items, tower.first_item.columns);
            let width = parts.per_row();
            let rows = parts.lanes_mut().par_chunks_mut(width * ITEMS);
            let items = items.mlp.par_chunks(branches.mlp * ITEMS);
            let weight = tower.first_item.of(weights);
            rows.zip(items).for_each(|(rows, items)| {
                simd::run(Product {
                    left: Left {
                        values: items,
                        row: branches.mlp,
                        depth: 1,
                    },
                    right: weight,
                    to: rows,
                    width,
                });
            });
        }
        Self {
            layout,
            weights,
            num_items,
            gmf,
            items: parts,
        }
    }

    /// Scores the catalog for users; `scores` is `users x num_items`.
    pub fn score(&self, users: Rows<'_>, scores: &mut [f32]) {
        let branches = &self.layout.branches;
        let tile = USERS * self.num_items;
        scores
            .par_chunks_mut(tile)
            .enumerate()
            .for_each(|(number, scores)| {
                let (first, count) = (number * USERS, scores.len() / self.num_items);
                let part =
                    |rows: &'_ [f32], dim: usize| rows[first * dim..(first + count) * dim].to_vec();
                simd::run(Block {
                    scorer: self,
                    gmf: part(users.gmf, branches.gmf),
                    mlp: part(users.mlp, branches.mlp),
                    count,
                    scores,
                });
            });
    }
}

struct Product<'a> {
    left: Left<'a>,
    right: &'a [Lane],
    to: &'a mut [Lane],
    width: usize,
}

impl Job for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        add_product::<S>(self.left, self.right, self.to, self.width);
    }
}

/// A lane of users against all items.
struct Block<'a> {
    scorer: &'a Scorer<'a>,
    gmf: Vec<f32>,
    mlp: Vec<f32>,
    count: usize,
    scores: &'a mut [f32],
}

impl Job for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(mut self) {
        let net = self.scorer;
        let bias = flat(net.layout.bias.of(net.weights))[0];
        self.scores.fill(bias);
        if let Some(output) = net.layout.gmf_output {
            self.add_gmf::<S>(flat(output.of(net.weights)));
        }
        if let Some(tower) = &net.layout.tower {
            self.add_tower::<S>(tower);
        }
    }
}

impl Block<'_> {
    #[inline(always)]
    fn add_gmf<S: Isa>(&mut self, output: &[f32]) {
        let net = self.scorer;
        // A column for each user.
        let mut users = vec![Lane::ZERO; net.layout.branches.gmf];
        for (place, vector) in self.gmf.chunks_exact(users.len()).enumerate() {
            for ((column, value), weight) in users.iter_mut().zip(vector).zip(output) {
                column.0[place] = value * weight;
            }
        }
        let per_row = net.gmf.per_row();
        let mut products = vec![Lane::ZERO; ITEMS];
        for (block, items) in net.gmf.lanes().chunks(ITEMS * per_row).enumerate() {
            let products = &mut products[..items.len() / per_row];
            products.fill(Lane::ZERO);
            let left = Left {
                values: flat(items),
                row: per_row * WIDTH,
                depth: 1,
            };
            add_product::<S>(left, &users, products, 1);
            for (place, scores) in self.scores.chunks_exact_mut(net.num_items).enumerate() {
                let scores = scores[block * ITEMS..].iter_mut();
                for (score, product) in scores.zip(&*products) {
                    *score += product.0[place];
                }
            }
        }
    }

    #[inline(always)]
    fn add_tower<S: Isa>(&mut self, tower: &Tower) {
        let net = self.scorer;
        let width = tower.first_bias.width();
        let mut users = Vec::new();
        for _ in 0..self.count {
            users.extend_from_slice(tower.first_bias.of(net.weights));
        }
        let left = Left {
            values: &self.mlp,
            row: net.layout.branches.mlp,
            depth: 1,
        };
        let weights = tower.first_user.of(net.weights);
        add_product::<S>(left, weights, &mut users, width);
        let mut layers: Vec<Vec<Lane>> = vec![Vec::new(); 1 + tower.layers.len()];
        for (block, items) in net.items.lanes().chunks(ITEMS * width).enumerate() {
            for (place, user) in users.chunks_exact(width).enumerate() {
                let start = place * net.num_items + block * ITEMS;
                let scores = &mut self.scores[start..][..items.len() / width];
                relu_sums::<S>(user, items, &mut layers[0]);
                climb::<S>(tower, net.weights, &mut layers, scores.len());
                let rows = layers[tower.layers.len()].chunks_exact(tower.output.width());
                let output = tower.output.of(net.weights);
                for (score, row) in scores.iter_mut().zip(rows) {
                    *score += dot::<S>(row, output);
                }
            }
        }
    }
}

/// What is above zero of a user's part and each item's.
#[inline(always)]
fn relu_sums<S: Isa>(user: &[Lane], items: &[Lane], to: &mut Vec<Lane>) {
    to.resize(items.len(), Lane::ZERO);
    let rows = items.chunks_exact(user.len());
    for (to, item) in to.chunks_exact_mut(user.len()).zip(rows) {
        for ((to, user), item) in to.iter_mut().zip(user).zip(item) {
            S::store(S::relu(S::add(S::load(user), S::load(item))), to);
        }
    }
}

/// From the first layer to the last.
#[inline(always)]
fn climb<S: Isa>(tower: &Tower, weights: &[Lane], layers: &mut [Vec<Lane>], rows: usize) {
    for (layer, &(weight, bias)) in tower.layers.iter().enumerate() {
        let (input, output) = layers.split_at_mut(layer + 1);
        let (input, output) = (&input[layer], &mut output[0]);
        output.clear();
        for _ in 0..rows {
            output.extend_from_slice(bias.of(weights));
        }
        let left = Left {
            values: flat(input),
            row: weight.rows.div_ceil(WIDTH) * WIDTH,
            depth: 1,
        };
        add_product::<S>(left, weight.of(weights), output, weight.width());
        relu::<S>(output);
    }
}

//! The branches of NeuMF and what they compute.

use super::fused;
use crate::device;
use crate::model::{ItemVectors, QueryVectors};
use crate::models::embeddings::Embeddings;
use crate::models::pairwise::{Fuse, FusedPairs, PairNetwork, score_by_tiles};
use crate::params::{Param, host};
use crate::tape::{Ids, Index, Tape};
use anyhow::{Context, Result};
use burn::tensor::{Tensor, activation};

pub struct Gmf {
    pub users: Param,
    pub items: Param,
    pub output: Param,
}

pub struct Mlp {
    pub users: Param,
    pub items: Param,
    pub first_user: Param,
    pub first_item: Param,
    pub first_bias: Param,
    pub layers: Vec<(Param, Param)>,
    pub output: Param,
    pub dropout: f64,
}

pub struct Network {
    pub gmf: Option<Gmf>,
    pub mlp: Option<Mlp>,
    pub bias: Param,
    pub regularization: f64,
    pub num_items: usize,
    pub disturbance: Embeddings,
}

/// Embedding rows of a batch in one branch.
struct Branch {
    users: Tensor<2>,
    items: Tensor<2>,
}

impl Branch {
    fn squares(&self) -> Tensor<1> {
        (self.users.clone() * self.users.clone()).sum()
            + (self.items.clone() * self.items.clone()).sum()
    }
}

impl Gmf {
    /// `[users, width]` from rows `[users, dim]` and `[users * width, dim]`.
    fn forward(&self, tape: &mut Tape, rows: Branch) -> Tensor<2> {
        let [batch, dim] = rows.users.dims();
        let width = rows.items.dims()[0] / batch;
        let weighted = rows.users * tape.param(&self.output).transpose();
        let products = weighted.reshape([batch, 1, dim]) * rows.items.reshape([batch, width, dim]);
        products.sum_dim(2).reshape([batch, width])
    }
}

impl Mlp {
    fn forward(&self, tape: &mut Tape, rows: Branch) -> Tensor<2> {
        let [batch, _] = rows.users.dims();
        let width = rows.items.dims()[0] / batch;
        let users = tape.dropout(rows.users, self.dropout);
        let items = tape.dropout(rows.items, self.dropout);
        let users = users.matmul(tape.param(&self.first_user)) + tape.param(&self.first_bias);
        let items = items.matmul(tape.param(&self.first_item));
        let h = items.dims()[1];
        let sum = users.reshape([batch, 1, h]) + items.reshape([batch, width, h]);
        self.tower(tape, sum).reshape([batch, width])
    }

    /// From the first layer's sums `[a, b, h]` to scores `[a * b, 1]`.
    fn tower(&self, tape: &mut Tape, sums: Tensor<3>) -> Tensor<2> {
        let [a, b, h] = sums.dims();
        let mut x = activation::relu(sums.reshape([a * b, h]));
        for (weight, bias) in &self.layers {
            x = tape.dropout(x, self.dropout);
            x = activation::relu(x.matmul(tape.param(weight)) + tape.param(bias));
        }
        x.matmul(tape.param(&self.output))
    }
}

impl Network {
    /// For training.
    pub fn regularize(&mut self, embeddings: Embeddings) {
        self.disturbance = embeddings;
        let gmf = self.gmf.iter_mut().map(|g| (&mut g.users, &mut g.items));
        let mlp = self.mlp.iter_mut().map(|m| (&mut m.users, &mut m.items));
        for (users, items) in gmf.chain(mlp) {
            users.keep_within(embeddings.max_norm);
            items.keep_within(embeddings.max_norm);
        }
    }

    /// Rows as the branches see them.
    fn seen(&self, tape: &mut Tape, rows: Branch) -> Branch {
        Branch {
            users: self.disturbance.disturb(tape, rows.users),
            items: self.disturbance.disturb(tape, rows.items),
        }
    }

    /// The regularizer of a branch's rows.
    fn penalty(&self, rows: &Branch, examples: usize) -> Option<Tensor<1>> {
        let l1 = self
            .disturbance
            .l1_of(&[&rows.users, &rows.items], examples);
        let l2 = (self.regularization > 0.0)
            .then(|| rows.squares() * (self.regularization / examples as f64));
        l2.into_iter().chain(l1).reduce(|a, b| a + b)
    }

    /// A table with a row for each user.
    pub fn user_table(&self) -> &Param {
        let mlp = self.mlp.as_ref().map(|m| &m.users);
        let table = self.gmf.as_ref().map(|g| &g.users).or(mlp);
        table.expect("a network has a branch")
    }

    fn rows(tape: &mut Tape, users: &Param, items: &Param, at: (&Index, &Index)) -> Branch {
        Branch {
            users: tape.lookup(users, at.0),
            items: tape.lookup(items, at.1),
        }
    }
}

/// Activations that a tile of catalog scores may hold at once, in elements.
const TILE: usize = 1 << 23;

impl PairNetwork for Network {
    fn params(&self) -> Vec<&Param> {
        let mut params = Vec::new();
        if let Some(g) = &self.gmf {
            params.extend([&g.users, &g.items, &g.output]);
        }
        if let Some(m) = &self.mlp {
            params.extend([
                &m.users,
                &m.items,
                &m.first_user,
                &m.first_item,
                &m.first_bias,
                &m.output,
            ]);
            params.extend(m.layers.iter().flat_map(|(w, b)| [w, b]));
        }
        params.push(&self.bias);
        params
    }

    fn params_mut(&mut self) -> Vec<&mut Param> {
        let mut params = Vec::new();
        if let Some(g) = &mut self.gmf {
            params.extend([&mut g.users, &mut g.items, &mut g.output]);
        }
        if let Some(m) = &mut self.mlp {
            params.extend([
                &mut m.users,
                &mut m.items,
                &mut m.first_user,
                &mut m.first_item,
                &mut m.first_bias,
                &mut m.output,
            ]);
            params.extend(m.layers.iter_mut().flat_map(|(w, b)| [w, b]));
        }
        params.push(&mut self.bias);
        params
    }

    fn scores(&self, tape: &mut Tape, users: &Ids, items: &Ids) -> (Tensor<2>, Option<Tensor<1>>) {
        let rows = self.user_table().shape()[0];
        let at = (
            tape.index_of(users, rows),
            tape.index_of(items, self.num_items),
        );
        let (mut scores, mut penalties) = (Vec::new(), Vec::new());
        if let Some(gmf) = &self.gmf {
            let rows = Self::rows(tape, &gmf.users, &gmf.items, (&at.0, &at.1));
            penalties.extend(self.penalty(&rows, users.len()));
            let rows = self.seen(tape, rows);
            scores.push(gmf.forward(tape, rows));
        }
        if let Some(mlp) = &self.mlp {
            let rows = Self::rows(tape, &mlp.users, &mlp.items, (&at.0, &at.1));
            penalties.extend(self.penalty(&rows, users.len()));
            let rows = self.seen(tape, rows);
            scores.push(mlp.forward(tape, rows));
        }
        let scores = scores.into_iter().reduce(|a, b| a + b);
        let scores = scores.expect("a network has a branch") + tape.param(&self.bias);
        (scores, penalties.into_iter().reduce(|a, b| a + b))
    }

    /// Of GMF alone: a product of matrices. The MLP's layers would see each
    /// user with each item.
    fn catalog_scores(
        &self,
        tape: &mut Tape,
        users: &[u32],
        positives: &[u32],
    ) -> Option<(Tensor<2>, Option<Tensor<1>>)> {
        let (Some(gmf), None) = (&self.gmf, &self.mlp) else {
            return None;
        };
        let index = tape.index(users.to_vec(), gmf.users.shape()[0]);
        let catalog = tape.param(&gmf.items);
        let mut rows = Branch {
            users: tape.lookup(&gmf.users, &index),
            items: catalog.clone().select(0, tape.ints(positives)),
        };
        let penalty = self.penalty(&rows, users.len());
        rows.items = catalog;
        let rows = self.seen(tape, rows);
        let weighted = rows.users * tape.param(&gmf.output).transpose();
        let scores = weighted.matmul(rows.items.transpose()) + tape.param(&self.bias);
        Some((scores, penalty))
    }

    fn user_tables(&self) -> Vec<&Param> {
        let gmf = self.gmf.as_ref().map(|g| &g.users);
        gmf.into_iter()
            .chain(self.mlp.as_ref().map(|m| &m.users))
            .collect()
    }

    fn item_vectors(&self) -> Result<Option<ItemVectors>> {
        let (Some(gmf), None) = (&self.gmf, &self.mlp) else {
            return Ok(None);
        };
        Ok(Some(ItemVectors {
            dim: gmf.items.shape()[1],
            vectors: gmf.items.host()?,
            biases: None,
        }))
    }

    /// Of GMF alone: its output weights go to the users' side.
    fn query_vectors(&self, rows: Vec<Vec<f32>>) -> Result<QueryVectors> {
        let gmf = self.gmf.as_ref().context("a GMF branch")?;
        let mut vectors = rows.into_iter().next().context("a table of users")?;
        let weights = gmf.output.host()?;
        for vector in vectors.chunks_exact_mut(weights.len()) {
            for (value, weight) in vector.iter_mut().zip(&weights) {
                *value *= weight;
            }
        }
        let offsets = vec![self.bias.host()?[0]; vectors.len() / weights.len()];
        Ok(QueryVectors { vectors, offsets })
    }

    fn fuse(&self, around: &Fuse<'_>) -> Result<Option<Box<dyn FusedPairs>>> {
        if !self.disturbance.is_off() {
            return Ok(None);
        }
        fused::fuse(self, around)
    }

    fn tile(&self, rows: &[Tensor<2>]) -> Tensor<2> {
        let mut tape = Tape::inference(&rows[0].device());
        let count = rows[0].dims()[0];
        let mut rows = rows.iter().cloned();
        let mut scores = None;
        if let Some(gmf) = &self.gmf {
            let users = rows.next().expect("a table of users for each branch");
            let weighted = users * gmf.output.value().transpose();
            scores = Some(weighted.matmul(gmf.items.value().transpose()));
        }
        if let Some(mlp) = &self.mlp {
            let users = rows.next().expect("a table of users for each branch");
            let users = users.matmul(mlp.first_user.value()) + mlp.first_bias.value();
            let items = mlp.items.value().matmul(mlp.first_item.value());
            let (n, h) = (self.num_items, items.dims()[1]);
            let sums = users.reshape([count, 1, h]) + items.reshape([1, n, h]);
            let tower = mlp.tower(&mut tape, sums).reshape([count, n]);
            scores = Some(match scores {
                Some(s) => s + tower,
                None => tower,
            });
        }
        scores.expect("a network has a branch") + self.bias.value()
    }

    fn tile_height(&self) -> usize {
        let width = self.mlp.as_ref().map_or(1, |m| m.first_bias.shape()[1]);
        (TILE / (self.num_items * width)).max(1)
    }

    fn score_rows(&self, rows: &[Tensor<2>], scores: &mut [f32]) -> Result<()> {
        if device::is_host(&rows[0].device()) {
            let rows = rows.iter().cloned().map(host).collect::<Result<Vec<_>>>()?;
            return fused::score(self, &rows, scores);
        }
        score_by_tiles(self, rows, scores)
    }
}

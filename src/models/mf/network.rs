//! Embeddings and biases in a network of pairs.

use super::fused::{self, SideParams};
use crate::kernels::lengths::to_unit;
use crate::losses;
use crate::model::{ItemVectors, QueryVectors};
use crate::models::embeddings::Embeddings;
use crate::models::pairwise::{Fuse, FusedPairs, PairNetwork};
use crate::params::Param;
use crate::tape::{Ids, Index, Tape};
use anyhow::{Context, Result};
use burn::tensor::Tensor;

pub struct Network {
    pub users: Param,
    pub items: Param,
    pub user_bias: Option<Param>,
    pub item_bias: Option<Param>,
    pub user_regularization: f64,
    pub item_regularization: f64,
    pub cosine: bool,
    pub disturbance: Embeddings,
}

/// The rows of a batch: embeddings, and biases where there are some.
struct Rows {
    vectors: Tensor<2>,
    biases: Option<Tensor<2>>,
}

impl Rows {
    fn squares(&self) -> Tensor<1> {
        let vectors = (self.vectors.clone() * self.vectors.clone()).sum();
        match &self.biases {
            Some(biases) => vectors + (biases.clone() * biases.clone()).sum(),
            None => vectors,
        }
    }
}

impl Network {
    fn rows(tape: &mut Tape, table: &Param, bias: Option<&Param>, index: &Index) -> Rows {
        Rows {
            vectors: tape.lookup(table, index),
            biases: bias.map(|b| tape.lookup(b, index)),
        }
    }

    fn look_up(&self, tape: &mut Tape, users: &Ids, items: &Ids) -> (Rows, Rows) {
        let users = tape.index_of(users, self.users.shape()[0]);
        let items = tape.index_of(items, self.items.shape()[0]);
        (
            Self::rows(tape, &self.users, self.user_bias.as_ref(), &users),
            Self::rows(tape, &self.items, self.item_bias.as_ref(), &items),
        )
    }

    /// For training.
    pub fn regularize(&mut self, embeddings: Embeddings) {
        self.disturbance = embeddings;
        for table in [&mut self.users, &mut self.items] {
            table.keep_within(embeddings.max_norm);
        }
    }

    /// What scores are inner products of, in training.
    fn seen(&self, tape: &mut Tape, rows: Tensor<2>) -> Tensor<2> {
        self.vectors(self.disturbance.disturb(tape, rows))
    }

    /// What scores are inner products of.
    fn vectors(&self, rows: Tensor<2>) -> Tensor<2> {
        if self.cosine {
            return losses::unit_rows(rows);
        }
        rows
    }

    /// Scores of all users against all items of these.
    fn all_pairs(&self, tape: &mut Tape, users: Rows, items: Rows) -> Tensor<2> {
        let user = self.seen(tape, users.vectors);
        let item = self.seen(tape, items.vectors);
        let scores = user.matmul(item.transpose());
        match (users.biases, items.biases) {
            (Some(user), Some(item)) => scores + item.transpose() + user,
            _ => scores,
        }
    }

    fn penalty(&self, users: &Rows, items: &Rows) -> Option<Tensor<1>> {
        let examples = users.vectors.dims()[0];
        let embeddings = [&users.vectors, &items.vectors];
        let l1 = self.disturbance.l1_of(&embeddings, examples);
        let sides = [
            (users, self.user_regularization),
            (items, self.item_regularization),
        ];
        sides
            .into_iter()
            .filter(|(_, strength)| *strength > 0.0)
            .map(|(rows, strength)| rows.squares() * (strength / examples as f64))
            .chain(l1)
            .reduce(|a, b| a + b)
    }
}

/// Scores of a tile of queries and items.
const TILE: usize = 1 << 24;

impl PairNetwork for Network {
    fn params(&self) -> Vec<&Param> {
        [
            Some(&self.users),
            Some(&self.items),
            self.user_bias.as_ref(),
            self.item_bias.as_ref(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn params_mut(&mut self) -> Vec<&mut Param> {
        [
            Some(&mut self.users),
            Some(&mut self.items),
            self.user_bias.as_mut(),
            self.item_bias.as_mut(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn scores(&self, tape: &mut Tape, users: &Ids, items: &Ids) -> (Tensor<2>, Option<Tensor<1>>) {
        let (batch, dim) = (users.len(), self.users.shape()[1]);
        let width = items.len() / batch;
        let (u, i) = self.look_up(tape, users, items);
        let penalty = self.penalty(&u, &i);
        let (user, item) = (self.seen(tape, u.vectors), self.seen(tape, i.vectors));
        let products = user.reshape([batch, 1, dim]) * item.reshape([batch, width, dim]);
        let mut scores = products.sum_dim(2).reshape([batch, width]);
        if let (Some(user), Some(item)) = (u.biases, i.biases) {
            scores = scores + item.reshape([batch, width]) + user;
        }
        (scores, penalty)
    }

    fn cross_scores(
        &self,
        tape: &mut Tape,
        users: &[u32],
        items: &[u32],
    ) -> Option<(Tensor<2>, Option<Tensor<1>>)> {
        let [users, items] = [users, items].map(Ids::from);
        let (u, i) = self.look_up(tape, &users, &items);
        let penalty = self.penalty(&u, &i);
        Some((self.all_pairs(tape, u, i), penalty))
    }

    fn catalog_scores(
        &self,
        tape: &mut Tape,
        users: &[u32],
        positives: &[u32],
    ) -> Option<(Tensor<2>, Option<Tensor<1>>)> {
        let index = tape.index(users.to_vec(), self.users.shape()[0]);
        let u = Self::rows(tape, &self.users, self.user_bias.as_ref(), &index);
        let catalog = Rows {
            vectors: tape.param(&self.items),
            biases: self.item_bias.as_ref().map(|b| tape.param(b)),
        };
        let at = tape.ints(positives);
        let touched = Rows {
            vectors: catalog.vectors.clone().select(0, at.clone()),
            biases: catalog.biases.clone().map(|b| b.select(0, at)),
        };
        let penalty = self.penalty(&u, &touched);
        Some((self.all_pairs(tape, u, catalog), penalty))
    }

    fn user_tables(&self) -> Vec<&Param> {
        std::iter::once(&self.users)
            .chain(self.user_bias.as_ref())
            .collect()
    }

    fn tile(&self, rows: &[Tensor<2>]) -> Tensor<2> {
        let items = self.vectors(self.items.value());
        let tile = self.vectors(rows[0].clone()).matmul(items.transpose());
        match (rows.get(1), &self.item_bias) {
            (Some(user), Some(item)) => tile + item.value().transpose() + user.clone(),
            _ => tile,
        }
    }

    fn tile_height(&self) -> usize {
        (TILE / self.items.shape()[0].max(1)).max(1)
    }

    fn item_vectors(&self) -> Result<Option<ItemVectors>> {
        let dim = self.items.shape()[1];
        let mut vectors = self.items.host()?;
        if self.cosine {
            to_unit(&mut vectors, dim);
        }
        Ok(Some(ItemVectors {
            dim,
            vectors,
            biases: self.item_bias.as_ref().map(Param::host).transpose()?,
        }))
    }

    fn query_vectors(&self, rows: Vec<Vec<f32>>) -> Result<QueryVectors> {
        let mut rows = rows.into_iter();
        let mut vectors = rows.next().context("a table of user embeddings")?;
        if self.cosine {
            to_unit(&mut vectors, self.users.shape()[1]);
        }
        let queries = vectors.len() / self.users.shape()[1];
        Ok(QueryVectors {
            vectors,
            offsets: rows.next().unwrap_or_else(|| vec![0.0; queries]),
        })
    }

    fn fuse(&self, around: &Fuse<'_>) -> Result<Option<Box<dyn FusedPairs>>> {
        let users = SideParams {
            embeddings: &self.users,
            biases: self.user_bias.as_ref(),
            regularization: self.user_regularization,
        };
        let items = SideParams {
            embeddings: &self.items,
            biases: self.item_bias.as_ref(),
            regularization: self.item_regularization,
        };
        if !self.disturbance.is_off() {
            return Ok(None);
        }
        fused::fuse(users, items, self.cosine, around)
    }
}

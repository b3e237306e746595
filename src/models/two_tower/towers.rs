//! What the towers compute.

use super::Params;
use crate::models::autoencoder::{Init, Linear};
use crate::models::embeddings::Embeddings;
use crate::models::features::{Embedder, Mlp};
use crate::params::Param;
use crate::tape::{Bags, Tape};
use burn::tensor::Tensor;

/// Both towers, and the tables that they read.
pub struct Towers {
    pub users: Embedder,
    items: Embedder,
    /// What an item says about somebody who has it.
    history: Param,
    history_length: usize,
    user: Tower,
    item: Tower,
    normalize: bool,
    regularization: f64,
    embeddings: Embeddings,
}

/// Hidden layers, and a linear one behind them.
struct Tower {
    hidden: Mlp,
    output: Linear,
}

impl Tower {
    fn new(name: &str, input: usize, params: &Params, init: Init<'_>) -> Self {
        let last = params.hidden.last().copied().unwrap_or(input);
        let hidden = Mlp::new(
            &format!("{name}_tower"),
            input,
            &params.hidden,
            params.dropout,
            init,
        );
        let shape = [last, params.output_dim];
        Self {
            hidden,
            output: Linear::new(&format!("{name}_output"), shape, init),
        }
    }

    fn forward(&self, tape: &mut Tape, input: Tensor<2>) -> Tensor<2> {
        let hidden = self.hidden.forward(tape, input);
        self.output.forward(tape, hidden)
    }
}

/// What came out of a tower, and the embeddings that went in.
pub struct Out {
    /// `[count, output_dim]`
    pub vectors: Tensor<2>,
    /// `[count, width]`: those of all fields, and of users the mean of their
    /// history's.
    pub input: Tensor<2>,
}

/// Below it, a vector counts as zero.
const SMALLEST: f64 = 1e-12;

impl Towers {
    pub fn new(
        params: &Params,
        users: Embedder,
        items: Embedder,
        history: Param,
        init: Init<'_>,
    ) -> Self {
        let dim = params.embedding_dim;
        let user_input = (users.side().fields() + 1) * dim;
        let item_input = items.side().fields() * dim;
        Self {
            user: Tower::new("user", user_input, params, init),
            item: Tower::new("item", item_input, params, init),
            users,
            items,
            history,
            history_length: params.history_length,
            normalize: params.normalize,
            regularization: params.regularization,
            embeddings: params.embeddings,
        }
    }

    pub fn params(&self) -> Vec<&Param> {
        let tables = self.users.params().chain(self.items.params());
        let mut params: Vec<&Param> = tables.chain([&self.history]).collect();
        for tower in [&self.user, &self.item] {
            params.extend(tower.hidden.params());
            params.extend(tower.output.params());
        }
        params
    }

    pub fn params_mut(&mut self) -> Vec<&mut Param> {
        let tables = self.users.params_mut().chain(self.items.params_mut());
        let mut params: Vec<&mut Param> = tables.chain([&mut self.history]).collect();
        for tower in [&mut self.user, &mut self.item] {
            params.extend(tower.hidden.params_mut());
            params.extend(tower.output.params_mut());
        }
        params
    }

    /// Users by their numbers among those with features and by their
    /// histories, the latest last.
    pub fn users<'a>(
        &self,
        tape: &mut Tape,
        users: &[u32],
        histories: impl Iterator<Item = Vec<u32>> + 'a,
    ) -> Out {
        let (mut offsets, mut rows, mut scales) = (vec![0], Vec::new(), Vec::new());
        for history in histories {
            let latest = &history[history.len().saturating_sub(self.history_length)..];
            rows.extend_from_slice(latest);
            offsets.push(rows.len());
            let scale = 1.0 / latest.len().max(1) as f32;
            scales.push(scale);
        }
        let bags = Bags::new(offsets, rows, self.history.shape()[0]);
        let count = users.len();
        let mut input = tape.bag_sums(&self.history, &bags) * tape.floats(scales, [count, 1]);
        if let Some(fields) = self.users.embed(tape, users, None) {
            let width = fields.dims()[1] * fields.dims()[2];
            input = Tensor::cat(vec![input, fields.reshape([count, width])], 1);
        }
        self.out(tape, &self.user, input)
    }

    pub fn items(&self, tape: &mut Tape, items: &[u32], anonymous: Option<&[bool]>) -> Out {
        let fields = self
            .items
            .embed(tape, items, anonymous)
            .expect("an item has an id");
        let [count, fields_count, dim] = fields.dims();
        let input = fields.reshape([count, fields_count * dim]);
        self.out(tape, &self.item, input)
    }

    fn out(&self, tape: &mut Tape, tower: &Tower, input: Tensor<2>) -> Out {
        let seen = self.embeddings.disturb(tape, input.clone());
        let mut vectors = tower.forward(tape, seen);
        if self.normalize {
            let lengths = (vectors.clone() * vectors.clone()).sum_dim(1) + SMALLEST;
            vectors = vectors / lengths.sqrt();
        }
        Out { vectors, input }
    }

    /// From now on no update leaves a row of a table longer than this; 0 for
    /// any length.
    pub fn keep_within(&mut self, max_norm: f64) {
        let tables = self.users.params_mut().chain(self.items.params_mut());
        let tables = tables.chain([&mut self.history]);
        tables.for_each(|table| table.keep_within(max_norm));
    }

    /// The regularizer of what went into both towers for some pairs, as a mean
    /// over them; there may be several rows of items for a user's one.
    pub fn penalty(&self, users: &Tensor<2>, items: &Tensor<2>) -> Option<Tensor<1>> {
        let pairs = users.dims()[0];
        let squares = |rows: &Tensor<2>| (rows.clone() * rows.clone()).sum();
        let l2 = (self.regularization > 0.0)
            .then(|| (squares(users) + squares(items)) * (self.regularization / pairs as f64));
        let l1 = self.embeddings.l1_of(&[users, items], pairs);
        l2.into_iter().chain(l1).reduce(|a, b| a + b)
    }
}

//! Fields of a user and an item, and the score that comes of them.

use super::embedder::Embedder;
use crate::models::embeddings::Embeddings;
use crate::params::Param;
use crate::tape::Tape;
use burn::tensor::{Device, Tensor};

/// A way from the embeddings of fields to a score.
pub trait Head: Send + Sync {
    fn params(&self) -> Vec<&Param>;

    fn params_mut(&mut self) -> Vec<&mut Param>;

    /// Scores `[pairs, 1]` of the fields `[pairs, fields, width]`, those of the
    /// user before those of the item.
    fn forward(&self, tape: &mut Tape, fields: Tensor<3>) -> Tensor<2>;

    /// Where a score is `user.vectors . item.vectors + user.offsets +
    /// item.offsets`, and the bias, which is in neither: one of the two, from
    /// its own fields alone.
    fn split(&self, _: Tensor<3>) -> Option<Split> {
        None
    }
}

/// See [`Head::split`].
pub struct Split {
    /// `[count, dim]`
    pub vectors: Tensor<2>,
    /// `[count, 1]`
    pub offsets: Tensor<2>,
}

/// The whole model.
pub struct Network {
    pub users: Embedder,
    pub items: Embedder,
    pub head: Box<dyn Head>,
    pub bias: Param,
    regularization: f64,
    embeddings: Embeddings,
}

/// Pairs whose users or items are to come without their ids.
pub struct Anonymous {
    pub users: Vec<bool>,
    pub items: Vec<bool>,
}

impl Network {
    pub fn new(
        users: Embedder,
        items: Embedder,
        head: Box<dyn Head>,
        (regularization, embeddings): (f64, Embeddings),
        device: &Device,
    ) -> Self {
        Self {
            users,
            items,
            head,
            bias: Param::zeros("bias", [1, 1], device),
            regularization,
            embeddings,
        }
    }

    /// From now on no update leaves a row of a table longer than this; 0 for
    /// any length.
    pub fn keep_within(&mut self, max_norm: f64) {
        let tables = self.users.params_mut().chain(self.items.params_mut());
        tables.for_each(|table| table.keep_within(max_norm));
    }

    pub fn params(&self) -> Vec<&Param> {
        let tables = self.users.params().chain(self.items.params());
        let mut params: Vec<&Param> = tables.collect();
        params.extend(self.head.params());
        params.push(&self.bias);
        params
    }

    pub fn params_mut(&mut self) -> Vec<&mut Param> {
        let tables = self.users.params_mut().chain(self.items.params_mut());
        let mut params: Vec<&mut Param> = tables.collect();
        params.extend(self.head.params_mut());
        params.push(&mut self.bias);
        params
    }

    /// Scores `[pairs, 1]`, and the regularizer as a mean over the pairs.
    pub fn scores(
        &self,
        tape: &mut Tape,
        (users, items): (&[u32], &[u32]),
        anonymous: Option<&Anonymous>,
    ) -> (Tensor<2>, Option<Tensor<1>>) {
        let user = self.user_fields(tape, users, anonymous.map(|a| a.users.as_slice()));
        let item = self.item_fields(tape, items, anonymous.map(|a| a.items.as_slice()));
        let fields = Tensor::cat(vec![user, item], 1);
        let penalty = self.penalty(&[&fields], users.len());
        let fields = self.embeddings.disturb(tape, fields);
        (self.score(tape, fields), penalty)
    }

    /// Scores `[pairs, 1]` of the fields of users and items; see
    /// [`Head::forward`].
    pub fn score(&self, tape: &mut Tape, fields: Tensor<3>) -> Tensor<2> {
        self.head.forward(tape, fields) + tape.param(&self.bias)
    }

    /// `[users, fields, width]`
    pub fn user_fields(
        &self,
        tape: &mut Tape,
        users: &[u32],
        anonymous: Option<&[bool]>,
    ) -> Tensor<3> {
        let fields = self.users.embed(tape, users, anonymous);
        fields.expect("a user's id is a field")
    }

    /// `[items, fields, width]`
    pub fn item_fields(
        &self,
        tape: &mut Tape,
        items: &[u32],
        anonymous: Option<&[bool]>,
    ) -> Tensor<3> {
        let fields = self.items.embed(tape, items, anonymous);
        fields.expect("an item's id is a field")
    }

    /// The regularizer of the fields of so many pairs, as a mean over them.
    fn penalty(&self, fields: &[&Tensor<3>], pairs: usize) -> Option<Tensor<1>> {
        let l2 = (self.regularization > 0.0).then(|| {
            let squares = fields.iter().map(|f| ((*f).clone() * (*f).clone()).sum());
            let squares = squares.reduce(|a, b| a + b).expect("there are fields");
            squares * (self.regularization / pairs as f64)
        });
        let l1 = self.embeddings.l1_of(fields, pairs);
        l2.into_iter().chain(l1).reduce(|a, b| a + b)
    }

    /// Scores `[users, catalog]` of users, who have one of the catalog each as
    /// their `positives`, and the regularizer of those pairs; `None` where
    /// scores are not inner products. See [`Head::split`].
    pub fn catalog_scores(
        &self,
        tape: &mut Tape,
        (users, positives): (&[u32], &[u32]),
        catalog: &[u32],
        anonymous: Option<&Anonymous>,
    ) -> Option<(Tensor<2>, Option<Tensor<1>>)> {
        let hidden = anonymous.map(|a| a.users.as_slice());
        let user = self.user_fields(tape, users, hidden);
        let hidden = anonymous.map(|a| a.items.as_slice());
        let item = self.item_fields(tape, catalog, hidden);
        let own = item.clone().select(0, tape.ints(positives));
        let penalty = self.penalty(&[&user, &own], users.len());
        let user = self.embeddings.disturb(tape, user);
        let item = self.embeddings.disturb(tape, item);
        let (user, item) = (self.head.split(user)?, self.head.split(item)?);
        let products = user.vectors.matmul(item.vectors.transpose());
        let offsets = user.offsets + tape.param(&self.bias);
        Some((products + item.offsets.transpose() + offsets, penalty))
    }

    /// Scores `[users, items]` of each with each, from their fields
    /// `[users, fields, width]` and `[items, fields, width]`.
    pub fn cross(&self, tape: &mut Tape, users: Tensor<3>, items: Tensor<3>) -> Tensor<2> {
        let ([n, of_user, width], [m, of_item, _]) = (users.dims(), items.dims());
        let users = users.reshape([n, 1, of_user * width]);
        let items = items.reshape([1, m, of_item * width]);
        let fields = vec![users.repeat_dim(1, m), items.repeat_dim(0, n)];
        let fields = Tensor::cat(fields, 2).reshape([n * m, of_user + of_item, width]);
        self.score(tape, fields).reshape([n, m])
    }
}

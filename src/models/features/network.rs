//! Fields of a user and an item, and the score that comes of them.

use super::embedder::Embedder;
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
        regularization: f64,
        device: &Device,
    ) -> Self {
        Self {
            users,
            items,
            head,
            bias: Param::zeros("bias", [1, 1], device),
            regularization,
        }
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
        let penalty = (self.regularization > 0.0).then(|| {
            let squares = (fields.clone() * fields.clone()).sum();
            squares * (self.regularization / users.len() as f64)
        });
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
}

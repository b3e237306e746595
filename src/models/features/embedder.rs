//! Embeddings of the fields of users, or of items.

use super::side::Side;
use crate::params::Param;
use crate::seed::Seed;
use crate::tape::{Bags, Tape};
use burn::tensor::{Device, Tensor};

/// One embedding for each field: that of the id or category, that of the
/// number times it, or the mean of those in a list.
pub struct Embedder {
    side: Side,
    table: Option<Param>,
    lists: Option<Param>,
    width: usize,
}

/// How embeddings begin.
#[derive(Clone, Copy)]
pub struct Start<'a> {
    /// Absent: all zero, to be loaded.
    pub seed: Option<Seed>,
    /// Of the normal.
    pub deviation: f64,
    pub device: &'a Device,
}

impl Start<'_> {
    /// A table of embeddings.
    pub fn table(&self, name: &str, rows: usize, width: usize) -> Param {
        let Some(seed) = self.seed else {
            return Param::zeros(name, [rows, width], self.device);
        };
        let stream = seed.stream(&format!("init/{name}"));
        Param::normal(name, [rows, width], self.deviation, &stream, self.device)
    }
}

impl Embedder {
    /// `name` begins the names of the tables.
    pub fn new(name: &str, side: Side, width: usize, start: Start<'_>) -> Self {
        let table = |what: &str, rows: usize| {
            (rows > 0).then(|| start.table(&format!("{name}_{what}"), rows, width))
        };
        Self {
            table: table("embedding", side.rows()),
            lists: table("list_embedding", side.list_rows()),
            width,
            side,
        }
    }

    pub fn side(&self) -> &Side {
        &self.side
    }

    pub fn params(&self) -> impl Iterator<Item = &Param> {
        self.table.iter().chain(&self.lists)
    }

    pub fn params_mut(&mut self) -> impl Iterator<Item = &mut Param> {
        self.table.iter_mut().chain(&mut self.lists)
    }

    /// `[entities, fields, width]`; see [`Side::encode`].
    pub fn embed(
        &self,
        tape: &mut Tape,
        entities: &[u32],
        anonymous: Option<&[bool]>,
    ) -> Option<Tensor<3>> {
        let (count, singles, lists) = (entities.len(), self.side.singles(), self.side.lists());
        let encoded = self.side.encode(entities, anonymous);
        let mut parts = Vec::with_capacity(2);
        if let Some(table) = self.table.as_ref().filter(|_| singles > 0) {
            let index = tape.index(encoded.rows, self.side.rows());
            let rows = tape.lookup(table, &index);
            let rows = rows.reshape([count, singles, self.width]);
            parts.push(match encoded.scales {
                Some(scales) => rows * tape.floats(scales, [count, singles, 1]),
                None => rows,
            });
        }
        if let Some(table) = &self.lists {
            let bags = Bags::new(encoded.offsets, encoded.list_rows, self.side.list_rows());
            let means =
                tape.bag_sums(table, &bags) * tape.floats(encoded.list_scales, [count * lists, 1]);
            parts.push(means.reshape([count, lists, self.width]));
        }
        match parts.len() {
            0 => None,
            1 => parts.pop(),
            _ => Some(Tensor::cat(parts, 1)),
        }
    }
}

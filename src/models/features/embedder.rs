//! Embeddings of the fields of users, or of items.

use super::side::Side;
use crate::params::{Param, normal_values};
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
    /// Whether training takes ids away, so that the embedding of an unknown
    /// one is learned.
    pub hides_ids: bool,
    pub device: &'a Device,
}

impl Start<'_> {
    /// A table of embeddings, a row for each of `learned`. Those that are not
    /// are zero: a random row would stay as it is, and would make the scores of
    /// whom it stands for random.
    pub fn table(&self, name: &str, learned: &[bool], width: usize) -> Param {
        let shape = [learned.len(), width];
        let Some(seed) = self.seed else {
            return Param::zeros(name, shape, self.device);
        };
        let stream = seed.stream(&format!("init/{name}"));
        let mut values = normal_values(shape[0] * width, self.deviation, &stream);
        for (row, learned) in values.chunks_mut(width).zip(learned) {
            if !learned {
                row.fill(0.0);
            }
        }
        Param::new(name, shape, values, self.device)
    }
}

impl Embedder {
    /// `name` begins the names of the tables.
    pub fn new(name: &str, side: Side, width: usize, start: Start<'_>) -> Self {
        let [rows, list_rows] = side.learned(start.hides_ids);
        let table = |what: &str, learned: &[bool]| {
            (!learned.is_empty()).then(|| start.table(&format!("{name}_{what}"), learned, width))
        };
        Self {
            table: table("embedding", &rows),
            lists: table("list_embedding", &list_rows),
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

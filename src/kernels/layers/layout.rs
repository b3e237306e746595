//! Where the weights of a network lie, and how they begin.

use crate::kernels::simd::{Lane, WIDTH, flat, flat_mut};
use crate::seed::Rng;
use std::ops::Range;

/// How a matrix of weights begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    Zeros,
    Ones,
    /// Normal with this deviation.
    Normal(f64),
    /// Uniform with the deviation `sqrt(2 / (inputs + outputs))` (Glorot &
    /// Bengio, AISTATS 2010).
    Glorot,
}

/// Names a matrix of a [`Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight(usize);

impl Weight {
    /// Its place among [`Layout::entries`].
    pub fn number(self) -> usize {
        self.0
    }
}

/// A matrix among the weights; rows are padded to whole lanes.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub name: String,
    pub rows: usize,
    pub columns: usize,
    pub init: Init,
    /// Whether backward needs it transposed, too.
    product: bool,
    start: usize,
}

impl Entry {
    /// Lanes in a row.
    pub fn width(&self) -> usize {
        self.columns.div_ceil(WIDTH)
    }

    pub fn range(&self) -> Range<usize> {
        self.start..self.start + self.rows * self.width()
    }

    /// Puts row-major values in place.
    pub fn put(&self, lanes: &mut [Lane], values: &[f32]) {
        let rows = lanes[self.range()].chunks_exact_mut(self.width());
        for (row, values) in rows.zip(values.chunks_exact(self.columns)) {
            flat_mut(row)[..self.columns].copy_from_slice(values);
        }
    }

    /// The values, row-major.
    pub fn take(&self, lanes: &[Lane]) -> Vec<f32> {
        let rows = lanes[self.range()].chunks_exact(self.width());
        let values = rows.flat_map(|row| &flat(row)[..self.columns]);
        values.copied().collect()
    }

    /// First values, row-major.
    pub fn initial(&self, stream: &Rng) -> Vec<f32> {
        let len = self.rows * self.columns;
        let mut rng = stream.clone();
        match self.init {
            Init::Zeros => vec![0.0; len],
            Init::Ones => vec![1.0; len],
            Init::Normal(deviation) => {
                let draw = |_| rng.normal() * deviation as f32;
                (0..len).map(draw).collect()
            }
            Init::Glorot => {
                let limit = (6.0 / (self.rows + self.columns) as f64).sqrt() as f32;
                let draw = |_| (2.0 * rng.uniform() - 1.0) * limit;
                (0..len).map(draw).collect()
            }
        }
    }
}

/// All weights of a network but its embeddings of items, one array of lanes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    pub entries: Vec<Entry>,
    /// In lanes.
    pub len: usize,
}

impl Layout {
    /// Weights that it lists.
    pub fn floats(&self) -> u64 {
        let entries = self.entries.iter();
        entries.map(|e| (e.rows * e.columns) as u64).sum()
    }

    fn add(
        &mut self,
        name: &str,
        [rows, columns]: [usize; 2],
        init: Init,
        product: bool,
    ) -> Weight {
        let entry = Entry {
            name: name.to_string(),
            rows,
            columns,
            init,
            product,
            start: self.len,
        };
        self.len = entry.range().end;
        self.entries.push(entry);
        Weight(self.entries.len() - 1)
    }

    /// The weights of a linear layer, `[inputs, outputs]`.
    ///
    /// # Panics
    /// When one of them is not a multiple of [`WIDTH`]: the network is at
    /// fault.
    pub fn matrix(&mut self, name: &str, inputs: usize, outputs: usize) -> Weight {
        assert!(
            inputs.is_multiple_of(WIDTH) && outputs.is_multiple_of(WIDTH),
            "layers of whole lanes"
        );
        self.add(name, [inputs, outputs], Init::Glorot, true)
    }

    /// Numbers that are not multiplied as a matrix: biases, scales, tables.
    pub fn table(&mut self, name: &str, rows: usize, columns: usize, init: Init) -> Weight {
        self.add(name, [rows, columns], init, false)
    }

    pub fn entry(&self, weight: Weight) -> &Entry {
        &self.entries[weight.0]
    }
}

/// The weights of a network, as layers read them.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    pub layout: Layout,
    pub lanes: Vec<Lane>,
    /// The matrices of products transposed, each where it lies itself.
    transposes: Vec<Lane>,
}

impl Weights {
    pub fn zeros(layout: Layout) -> Self {
        Self {
            lanes: vec![Lane::ZERO; layout.len],
            transposes: vec![Lane::ZERO; layout.len],
            layout,
        }
    }

    /// Brings the transposed matrices up to date with the weights.
    pub fn transpose(&mut self) {
        for entry in self.layout.entries.iter().filter(|e| e.product) {
            let from = flat(&self.lanes[entry.range()]);
            let to = flat_mut(&mut self.transposes[entry.range()]);
            for (r, row) in from.chunks_exact(entry.columns).enumerate() {
                for (c, value) in row.iter().enumerate() {
                    to[c * entry.rows + r] = *value;
                }
            }
        }
    }

    pub fn of(&self, weight: Weight) -> &[Lane] {
        &self.lanes[self.layout.entry(weight).range()]
    }

    pub fn transposed(&self, weight: Weight) -> &[Lane] {
        &self.transposes[self.layout.entry(weight).range()]
    }

    /// A matrix's part of an array that is laid out as the weights.
    pub fn part<'a>(&self, weight: Weight, of: &'a mut [Lane]) -> &'a mut [Lane] {
        &mut of[self.layout.entry(weight).range()]
    }
}

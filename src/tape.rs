//! The tape through which a network reads its parameters.
//!
//! It makes the autodiff leaf: the whole matrix, or for an embedding table
//! only what a batch looks up of it, so that backward and update cost what
//! the batch costs and not what the catalog costs.

mod bags;
mod derived;
mod draws;
mod index;

pub use bags::Bags;
pub use derived::WayBack;
pub use index::{Ids, Index, NO_ROW};

#[cfg(feature = "wgpu")]
use crate::kernels::draws::DeviceStream;
#[cfg(feature = "wgpu")]
use crate::kernels::rows::Chains;
use crate::kernels::rows::Segments;
use crate::params::Param;
use crate::seed::Rng;
use burn::tensor::{Device, Int, Tensor, TensorData};
use index::{Dedup, Distinct};
#[cfg(feature = "wgpu")]
use std::collections::HashMap;

/// How an embedding table is updated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Updates {
    /// Only the rows that the batch looked up. A row's moments and its
    /// weight decay then stand still between two of its batches, while Adam's
    /// bias correction counts all steps ("lazy Adam").
    #[default]
    Rows,
    /// Every row in every step: the optimizer exactly as published.
    Dense,
    /// Each example updates its rows at once, in threads that do not wait for
    /// each other: fewer epochs are needed, and no two runs are equal.
    Hogwild,
}

/// What one forward pass read of the parameters.
pub struct Tape {
    device: Device,
    updates: Updates,
    training: bool,
    dropout: Option<Rng>,
    /// The same on a device that draws by itself, once it was asked to.
    #[cfg(feature = "wgpu")]
    on_device: Option<DeviceStream>,
    drawn: u64,
    dedup: Dedup,
    /// For tables by their rows, whose indices a GPU has drawn.
    #[cfg(feature = "wgpu")]
    chains: HashMap<usize, Chains>,
    leaves: Vec<Leaf>,
}

/// An autodiff leaf: a whole parameter, or some rows of it.
pub struct Leaf {
    pub name: String,
    pub tensor: Tensor<2>,
    pub part: Part,
}

/// What of its parameter a leaf holds.
pub enum Part {
    Whole,
    /// These rows, each once.
    Rows(Tensor<1, Int>),
    /// Every occurrence of a row in the batch, for the kernels of [`rows`].
    Occurrences(Segments),
    /// Rows of a lookup that come before those of the next leaf.
    Before,
    /// Numbers made of the parameter outside of the graph, and the way from
    /// their gradient to that of the whole parameter.
    Derived(WayBack),
}

impl Part {
    /// The rows that an update changes; `None` for all.
    pub fn rows(&self) -> Option<Tensor<1, Int>> {
        match self {
            Self::Rows(rows) => Some(rows.clone()),
            Self::Occurrences(segments) => Some(segments.rows()),
            Self::Whole | Self::Before | Self::Derived(_) => None,
        }
    }
}

impl Tape {
    /// For training on `device` (a plain device; the tape adds autodiff).
    pub fn training(device: &Device, updates: Updates) -> Self {
        Self {
            training: true,
            ..Self::new(device.clone().autodiff(), updates)
        }
    }

    /// For scoring: nothing is recorded, dropout is off.
    pub fn inference(device: &Device) -> Self {
        Self::new(device.clone(), Updates::Dense)
    }

    fn new(device: Device, updates: Updates) -> Self {
        Self {
            device,
            updates,
            training: false,
            dropout: None,
            #[cfg(feature = "wgpu")]
            on_device: None,
            drawn: 0,
            dedup: Dedup::default(),
            #[cfg(feature = "wgpu")]
            chains: HashMap::new(),
            leaves: Vec::new(),
        }
    }

    /// Begins a step; `dropout` is the step's own stream.
    pub fn begin(&mut self, dropout: Rng) {
        self.leaves.clear();
        self.dropout = Some(dropout);
        #[cfg(feature = "wgpu")]
        {
            self.on_device = None;
        }
        self.drawn = 0;
    }

    /// The step's own stream, where dropout is on.
    pub fn dropout_stream(&self) -> Option<&Rng> {
        self.dropout.as_ref().filter(|_| self.training)
    }

    /// The leaves since [`Self::begin`].
    pub fn take_leaves(&mut self) -> Vec<Leaf> {
        std::mem::take(&mut self.leaves)
    }

    /// The whole parameter.
    pub fn param(&mut self, param: &Param) -> Tensor<2> {
        if !self.training {
            return param.value();
        }
        let mut known = self.leaves.iter().filter(|l| l.name == param.name());
        assert!(
            known.clone().all(|l| !l.is_rows()),
            "`{}` is read as rows and as a whole in one step",
            param.name()
        );
        if let Some(leaf) = known.find(|l| matches!(l.part, Part::Whole)) {
            return leaf.tensor.clone();
        }
        let tensor = Tensor::from_inner(param.value()).require_grad();
        self.leaves.push(Leaf {
            name: param.name().to_string(),
            tensor: tensor.clone(),
            part: Part::Whole,
        });
        tensor
    }

    /// The rows of `index`: `[index.len(), columns]`. A table can be looked
    /// up once in a step; put all row numbers into one index.
    pub fn lookup(&mut self, table: &Param, index: &Index) -> Tensor<2> {
        let Some(distinct) = &index.distinct else {
            return self.param(table).select(0, index.all.clone());
        };
        assert!(
            !self.leaves.iter().any(|l| l.name == table.name()),
            "table `{}` is looked up twice in one step",
            table.name()
        );
        let (held, part) = match distinct {
            Distinct::Segments(segments) => (&index.all, Part::Occurrences(segments.clone())),
            Distinct::Whole(segments) => (&index.all, derived::summed(segments, table.shape()[0])),
            Distinct::Rows { rows, .. } => (rows, Part::Rows(rows.clone())),
        };
        let leaf = Tensor::from_inner(table.value().select(0, held.clone())).require_grad();
        self.leaves.push(Leaf {
            name: table.name().to_string(),
            tensor: leaf.clone(),
            part,
        });
        match distinct {
            Distinct::Segments(_) | Distinct::Whole(_) => leaf,
            Distinct::Rows { inverse, .. } => leaf.select(0, inverse.clone()),
        }
    }

    /// With automatic differentiation where it trains.
    pub fn device(&self) -> &Device {
        &self.device
    }

    pub fn ints(&self, values: &[u32]) -> Tensor<1, Int> {
        ints(values, &self.device)
    }

    pub fn floats<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }
}

fn ints(values: &[u32], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.iter().map(|&v| v as i32).collect();
    let len = values.len();
    Tensor::from_data(TensorData::new(values, [len]), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::host;
    use crate::seed::Seed;

    fn table() -> Param {
        Param::new(
            "t",
            [3, 2],
            vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
            &Device::flex(),
        )
    }

    #[test]
    fn a_lookup_gives_the_rows_in_order_and_the_leaf_holds_what_it_took() {
        let mut tape = Tape::training(&Device::flex(), Updates::Rows);
        tape.begin(Seed(1).stream("dropout"));
        let index = tape.index(vec![2, 0, 2], 3);
        let rows = tape.lookup(&table(), &index);
        assert_eq!(host(rows.inner()).unwrap(), [4.0, 5.0, 0.0, 1.0, 4.0, 5.0]);
        let leaves = tape.take_leaves();
        assert_eq!(leaves[0].tensor.dims(), [3, 2]);
        assert!(matches!(leaves[0].part, Part::Occurrences(_)));
    }

    #[test]
    fn gradients_of_a_row_add_up_over_its_uses() {
        for (updates, expected) in [
            // The rows in order of appearance.
            (Updates::Rows, vec![2.0, 2.0, 1.0, 1.0]),
            (Updates::Dense, vec![1.0, 1.0, 0.0, 0.0, 2.0, 2.0]),
        ] {
            let mut tape = Tape::training(&Device::flex(), updates);
            tape.begin(Seed(1).stream("dropout"));
            let index = tape.index(vec![2, 0, 2], 3);
            let grads = tape.lookup(&table(), &index).sum().backward();
            let leaf = &tape.take_leaves()[0];
            let mut grad = leaf.tensor.grad(&grads).unwrap();
            if let Part::Occurrences(segments) = &leaf.part {
                grad = segments.sum(grad);
            }
            assert_eq!(host(grad).unwrap(), expected);
        }
    }
}

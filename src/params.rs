//! Trainable parameters.
//!
//! A parameter is a matrix that lives outside the autodiff graph. A network
//! reads it through a [`crate::tape::Tape`], and
//! [`crate::optim::Optimizer`] updates what the tape recorded.

use crate::seed::{Rng, Seed};
use crate::tensors::{NamedTensors, Stream};
use anyhow::{Context, Result};
use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};
use rayon::prelude::*;

/// A named matrix `[rows, columns]`.
#[derive(Clone, Debug)]
pub struct Param {
    name: String,
    /// Absent only while an update is in flight.
    value: Option<Tensor<2>>,
    /// The largest length of a row; 0 for none.
    max_norm: f64,
}

impl Param {
    /// # Panics
    /// When `values` does not have `shape`'s size.
    pub fn new(name: &str, shape: [usize; 2], values: Vec<f32>, device: &Device) -> Self {
        assert_eq!(
            values.len(),
            shape[0] * shape[1],
            "a parameter's values must fill its shape"
        );
        let value = Tensor::from_data(TensorData::new(values, shape), device);
        Self {
            name: name.to_string(),
            value: Some(value),
            max_norm: 0.0,
        }
    }

    /// Shortens rows that are longer than this; from now on no update leaves
    /// one longer. 0 for any length.
    pub fn keep_within(&mut self, max_norm: f64) {
        self.max_norm = max_norm;
        self.shorten(None);
    }

    /// What an optimizer does after its step on these rows, or on all: those
    /// that are too long are shortened. Costs what the step costs.
    pub fn shorten(&mut self, rows: Option<Tensor<1, Int>>) {
        let max_norm = self.max_norm;
        if max_norm <= 0.0 {
            return;
        }
        let within = |rows: Tensor<2>| {
            let lengths = (rows.clone() * rows.clone()).sum_dim(1).sqrt();
            let scale = (lengths + 1e-12).recip() * max_norm;
            rows * scale.clamp_max(1.0)
        };
        match rows {
            None => self.update(within),
            Some(rows) => {
                let short = within(self.value().select(0, rows.clone()));
                self.update(|table| assign_rows(table, &rows, short));
            }
        }
    }

    /// See [`normal_values`].
    pub fn normal(
        name: &str,
        shape: [usize; 2],
        deviation: f64,
        stream: &Rng,
        device: &Device,
    ) -> Self {
        let values = normal_values(shape[0] * shape[1], deviation, stream);
        Self::new(name, shape, values, device)
    }

    /// Uniform in `-limit..limit`.
    pub fn uniform(
        name: &str,
        shape: [usize; 2],
        limit: f32,
        rng: &mut Rng,
        device: &Device,
    ) -> Self {
        let values = (0..shape[0] * shape[1])
            .map(|_| (2.0 * rng.uniform() - 1.0) * limit)
            .collect();
        Self::new(name, shape, values, device)
    }

    /// Uniform with the limit of Glorot & Bengio (AISTATS 2010), from the stream
    /// `init/NAME`; without a seed all zero, to be loaded. `fan_in` is most often
    /// the number of rows.
    pub fn glorot(
        name: &str,
        shape: [usize; 2],
        fan_in: usize,
        seed: Option<Seed>,
        device: &Device,
    ) -> Self {
        let Some(seed) = seed else {
            return Self::zeros(name, shape, device);
        };
        let limit = (6.0 / (fan_in + shape[1]) as f32).sqrt();
        let mut stream = seed.stream(&format!("init/{name}"));
        Self::uniform(name, shape, limit, &mut stream, device)
    }

    pub fn zeros(name: &str, shape: [usize; 2], device: &Device) -> Self {
        Self::new(name, shape, vec![0.0; shape[0] * shape[1]], device)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The matrix, outside the autodiff graph.
    pub fn value(&self) -> Tensor<2> {
        self.value.clone().expect("no update is in flight")
    }

    pub fn shape(&self) -> [usize; 2] {
        self.value.as_ref().expect("no update is in flight").dims()
    }

    /// Replaces the matrix; `f` gets the only handle, so that backends can
    /// write in place.
    pub fn update(&mut self, f: impl FnOnce(Tensor<2>) -> Tensor<2>) {
        let value = self.value.take().expect("no update is in flight");
        self.value = Some(f(value));
    }

    /// Replaces the values by those of a fused kernel, row-major.
    ///
    /// # Panics
    /// When they do not fill the shape: the kernel is at fault.
    pub fn set_host(&mut self, values: Vec<f32>) {
        let shape = self.shape();
        self.update(|old| Tensor::from_data(TensorData::new(values, shape), &old.device()));
    }

    /// Row-major values on the host.
    ///
    /// # Errors
    /// A device that fails.
    pub fn host(&self) -> Result<Vec<f32>> {
        host(self.value()).with_context(|| format!("parameter `{}`", self.name))
    }

    /// # Errors
    /// Missing, or of another shape.
    pub fn load(&mut self, from: &NamedTensors, prefix: &str) -> Result<()> {
        let shape = self.shape();
        let values = from
            .f32(&format!("{prefix}{}", self.name), &shape)?
            .to_vec();
        self.set_host(values);
        Ok(())
    }

    /// On its way to disk: read back when its turn comes.
    pub fn stream(&self, into: &mut Stream, prefix: &str) {
        stream(&format!("{prefix}{}", self.name), self.value(), into);
    }

    /// # Errors
    /// A device that fails.
    pub fn store(&self, into: &mut NamedTensors, prefix: &str) -> Result<()> {
        into.insert_f32(
            &format!("{prefix}{}", self.name),
            &self.shape(),
            self.host()?,
        );
        Ok(())
    }
}

/// Puts values `[n, columns]` in place of these rows of a table, each once or
/// with the same values; in its memory where `table` is the only handle.
pub fn assign_rows(table: Tensor<2>, rows: &Tensor<1, Int>, values: Tensor<2>) -> Tensor<2> {
    table.select_assign(0, rows.clone(), values, IndexingUpdateOp::Assign)
}

/// Takes over the values of all of them.
///
/// # Errors
/// As [`Param::load`].
pub fn load_all(params: Vec<&mut Param>, from: &NamedTensors) -> Result<()> {
    params
        .into_iter()
        .try_for_each(|param| param.load(from, ""))
}

/// Normal with this deviation: each of the values takes the next two words of
/// the stream, which begins at its first block.
pub fn normal_values(count: usize, deviation: f64, stream: &Rng) -> Vec<f32> {
    const CHUNK: usize = 4096;
    let mut values = vec![0.0; count];
    let chunks = values.par_chunks_mut(CHUNK).enumerate();
    chunks.for_each(|(number, chunk)| {
        let mut rng = stream.at((number * CHUNK / 2) as u64);
        for value in chunk {
            *value = rng.normal() * deviation as f32;
        }
    });
    values
}

/// Adds a matrix that is read back to the host when its turn comes.
pub fn stream(name: &str, matrix: Tensor<2>, into: &mut Stream) {
    let shape = matrix.dims();
    into.add_read(name, &shape, move || host(matrix.clone()));
}

/// Reads a tensor back to the host, row-major.
///
/// # Errors
/// A device that fails.
pub fn host<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let data = tensor
        .try_into_data()
        .map_err(|e| anyhow::anyhow!("cannot read from the device: {e}"))?;
    data.try_into_vec::<f32>()
        .map_err(|e| anyhow::anyhow!("cannot read from the device: {e:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn normal_values_are_the_stream_s_one_after_the_other() {
        let stream = Seed(4).stream("init/t");
        let param = Param::normal("t", [91, 97], 0.5, &stream, &Device::flex());
        let mut rng = stream;
        for value in param.host().unwrap() {
            assert_eq!(value, rng.normal() * 0.5);
        }
    }
}

//! The tower of hidden layers that deep models have.

use crate::models::autoencoder::{Init, Linear};
use crate::params::Param;
use crate::tape::Tape;
use anyhow::{Result, ensure};
use burn::tensor::{Tensor, activation};

/// Linear layers, each with a rectifier and dropout behind it.
pub struct Mlp {
    layers: Vec<Linear>,
    dropout: f64,
}

impl Mlp {
    /// From `input` columns through the `hidden` widths.
    pub fn new(name: &str, input: usize, hidden: &[usize], dropout: f64, init: Init<'_>) -> Self {
        let inputs = std::iter::once(&input).chain(hidden);
        let layer = |(number, (from, to)): (usize, (&usize, &usize))| {
            Linear::new(&format!("{name}_{}", number + 1), [*from, *to], init)
        };
        Self {
            layers: inputs.zip(hidden).enumerate().map(layer).collect(),
            dropout,
        }
    }

    pub fn forward(&self, tape: &mut Tape, mut x: Tensor<2>) -> Tensor<2> {
        for layer in &self.layers {
            x = activation::relu(layer.forward(tape, x));
            x = tape.dropout(x, self.dropout);
        }
        x
    }

    pub fn params(&self) -> impl Iterator<Item = &Param> {
        self.layers.iter().flat_map(Linear::params)
    }

    pub fn params_mut(&mut self) -> impl Iterator<Item = &mut Param> {
        self.layers.iter_mut().flat_map(Linear::params_mut)
    }
}

/// # Errors
/// Names the parameter that is out of its range.
pub fn check(hidden: &[usize], dropout: f64) -> Result<()> {
    ensure!(
        !hidden.is_empty() && hidden.iter().all(|&h| h > 0),
        "`hidden` must list at least one layer, each at least 1 wide"
    );
    ensure!(
        (0.0..1.0).contains(&dropout),
        "`dropout` must lie in [0, 1)"
    );
    Ok(())
}

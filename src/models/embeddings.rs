//! What keeps embeddings from growing, or from being relied on one by one,
//! beside L2. Models of pairs and of graphs that are trained by kernels of their
//! own leave these for the plain operations as soon as one of the keys is set;
//! the kernels of models of sequences know them.

use crate::tape::Tape;
use anyhow::{Result, ensure};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

pub const L1: (&str, &str) = ("l1", "L1 on the embeddings of a batch, per example");
pub const MAX_NORM: (&str, &str) = (
    "max_norm",
    "embeddings that an update makes longer are shortened to it; 0 does not",
);
pub const NOISE: (&str, &str) = (
    "embedding_noise",
    "deviation of the normal noise on embeddings in training",
);
pub const DROPOUT: (&str, &str) = (
    "embedding_dropout",
    "probability of dropping a number of an embedding in training",
);

/// The keys of `[model]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Embeddings {
    pub l1: f64,
    pub max_norm: f64,
    pub embedding_noise: f64,
    pub embedding_dropout: f64,
}

impl Embeddings {
    /// # Errors
    /// Names the key and the range that it must lie in.
    pub fn check(&self) -> Result<()> {
        for (key, value) in [
            ("l1", self.l1),
            ("max_norm", self.max_norm),
            ("embedding_noise", self.embedding_noise),
        ] {
            ensure!(
                value >= 0.0 && value.is_finite(),
                "`{key}` must not be negative"
            );
        }
        ensure!(
            (0.0..1.0).contains(&self.embedding_dropout),
            "`embedding_dropout` must lie in [0, 1)"
        );
        Ok(())
    }

    /// Whether none is set.
    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }

    /// Embeddings as scores see them in training: some numbers dropped, and
    /// the others with noise.
    pub fn disturb<const D: usize>(&self, tape: &mut Tape, rows: Tensor<D>) -> Tensor<D> {
        let kept = tape.dropout(rows, self.embedding_dropout);
        tape.noise(kept, self.embedding_noise)
    }

    /// The L1 of embeddings that `examples` examples look up; `None` without.
    pub fn l1_of<const D: usize>(&self, rows: &[&Tensor<D>], examples: usize) -> Option<Tensor<1>> {
        if self.l1 == 0.0 {
            return None;
        }
        let strength = self.l1 / examples as f64;
        let sums = rows.iter().map(|rows| (*rows).clone().abs().sum());
        Some(sums.reduce(|a, b| a + b)? * strength)
    }
}

//! Factorization machines: a weight for each field and an inner product for
//! each pair of fields.
//!
//! Rendle, "Factorization machines", ICDM 2010, eq. 1, in linear time by lemma
//! 3.1: the sum over pairs is half of the squared sum less the sum of squares.
//! A list is one field, the mean of its members: they share its weight, as in
//! libFM's examples, but the inner products of its members among each other,
//! which equation 1 has, are not in the score. Among a user's
//! fields and an item's, the pairs fall into those inside the user, those
//! inside the item, and those between them, whose sum is the inner product of
//! both sums: so a catalog is ranked like one of a matrix factorization.

use super::ModelEntry;
use super::autoencoder::Init;
use super::embeddings;
use super::features::{Common, Head, HeadSpec, Spec, Split, defaults, params, parse};
use crate::params::Param;
use crate::tape::Tape;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

pub const ENTRY: ModelEntry = ModelEntry {
    name: "fm",
    summary: "factorization machine over ids and features: pairwise inner products, a list being one field; losses log_loss (clicks), bce, bpr, softmax, full_softmax",
    citation: "Rendle, Factorization machines, ICDM 2010",
    params: &[
        params::EMBEDDING_DIM,
        params::LOSS_OF_CATALOGS,
        params::FEATURES,
        params::ID_DROPOUT,
        params::REGULARIZATION,
        params::INIT_DEVIATION,
        embeddings::L1,
        embeddings::MAX_NORM,
        embeddings::NOISE,
        embeddings::DROPOUT,
    ],
    gradient: true,
    defaults: defaults::<Fm>,
    build: |table| {
        let (common, head): (Common, Fm) = parse(table)?;
        Spec::boxed(common, head)
    },
};

/// No more than the embeddings, and no parameters of its own.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fm {}

impl HeadSpec for Fm {
    const LINEAR: bool = true;

    const SPLITS: bool = true;

    fn head(&self, _: usize, _: usize, _: Init<'_>) -> Box<dyn Head> {
        Box::new(Self {})
    }
}

impl Head for Fm {
    fn params(&self) -> Vec<&Param> {
        Vec::new()
    }

    fn params_mut(&mut self) -> Vec<&mut Param> {
        Vec::new()
    }

    fn forward(&self, _: &mut Tape, fields: Tensor<3>) -> Tensor<2> {
        sums(fields).offsets
    }

    fn split(&self, fields: Tensor<3>) -> Option<Split> {
        Some(sums(fields))
    }
}

/// From fields `[n, fields, 1 + dim]`, weights in the first column: the sum of
/// the embeddings as vectors; weights and inner products of all pairs, added
/// up, as offsets.
pub fn sums(fields: Tensor<3>) -> Split {
    let [n, _, width] = fields.dims();
    let sums = fields.clone().sum_dim(1).reshape([n, width]);
    let squares = (fields.clone() * fields).sum_dim(1).reshape([n, width]);
    let weights = sums.clone().slice([0..n, 0..1]);
    let vectors = sums.slice([0..n, 1..width]);
    let squares = squares.slice([0..n, 1..width]).sum_dim(1);
    let pairs = (vectors.clone() * vectors.clone()).sum_dim(1) - squares;
    Split {
        offsets: weights + pairs * 0.5,
        vectors,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::features::tests::{gradients_match, learns_the_labels};

    /// Rendle's equation 1 as it stands, all features present.
    fn plain(fields: &[f64], _: &[Vec<f64>]) -> f64 {
        let fields: Vec<&[f64]> = fields.chunks(4).collect();
        let mut score = fields.iter().map(|f| f[0]).sum::<f64>();
        for (i, a) in fields.iter().enumerate() {
            for b in &fields[i + 1..] {
                score += a[1..].iter().zip(&b[1..]).map(|(x, y)| x * y).sum::<f64>();
            }
        }
        score
    }

    #[test]
    fn scores_and_gradients_are_those_of_the_sum_over_pairs() {
        gradients_match(&mut Fm {}, [3, 5, 4], &plain);
    }

    #[test]
    fn labels_are_learned() {
        learns_the_labels("fm", "embedding_dim = 4");
    }
}

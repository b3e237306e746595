//! How alike two items are over their users, or two users over their items:
//! shared by the neighbor models.
//!
//! What is compared is a document `a`, the other side its terms `t`; `x_at` is
//! 1 (or the sum of the weights) where there was an interaction and 0
//! elsewhere, over `N` documents and `T` terms, `n_t` documents with `t`.
//!
//! - cosine: `x_a . x_b / (|x_a| |x_b| + shrinkage + 1e-6)` (Sarwar et al.:
//!   Item-Based Collaborative Filtering Recommendation Algorithms, WWW 2001).
//! - pearson: the same of `x_a - mean(x_a)`, the mean over all `T` terms, zeros
//!   among them: what is missing is no unknown rating but no interaction. Of 0
//!   and 1, it is the phi coefficient.
//! - `tf_idf`: the same of `sqrt(x_at) ln(N / (1 + n_t))` (Salton, Buckley:
//!   Term-Weighting Approaches in Automatic Text Retrieval, 1988).
//! - bm25: `w_a . w_b` without a norm, `w_at = x_at (k1 + 1) / (k1 (1 - b + b
//!   s_a / mean(s)) + x_at) ln(N / (1 + n_t))` with the sums `s` (Robertson,
//!   Zaragoza: The Probabilistic Relevance Framework: BM25 and Beyond, 2009).
//!
//! The weights of the last two are those of the package implicit, with a
//! logarithm below zero taken as zero. Similarities of zero and below do not
//! count.

use crate::linalg::Sparse;
use crate::models::item_weights::{Column, keep_largest};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Similarity {
    #[default]
    Cosine,
    Pearson,
    Bm25,
    TfIdf,
}

pub(super) const K1: f64 = 1.2;
pub(super) const B: f64 = 0.75;

/// What the descriptions of the parameters have in common.
pub(super) const SIMILARITY: (&str, &str) = (
    "similarity",
    "`cosine`, `pearson` (correlation), `tf_idf` (cosine of tf-idf weights) or `bm25` (inner \
     product of BM25 weights)",
);
pub(super) const SHRINKAGE: (&str, &str) = (
    "shrinkage",
    "added to the denominator: large values trust similarities over little in common less; not \
     for `bm25`, which has none",
);
pub(super) const BM25_K1: (&str, &str) = (
    "bm25_k1",
    "of `bm25`: how much a larger weight adds, none at 0",
);
pub(super) const BM25_B: (&str, &str) = (
    "bm25_b",
    "of `bm25`: how much long histories count less, from 0 (not) to 1",
);

/// A similarity with what it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    pub similarity: Similarity,
    pub shrinkage: f64,
    pub k1: f64,
    pub b: f64,
}

impl Measure {
    /// # Errors
    /// A parameter out of its range, or of another similarity.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.shrinkage.is_finite() && self.shrinkage >= 0.0,
            "shrinkage = {} must be 0 or more",
            self.shrinkage
        );
        ensure!(
            self.k1.is_finite() && self.k1 >= 0.0 && (0.0..=1.0).contains(&self.b),
            "bm25_k1 = {} must be 0 or more, and bm25_b = {} between 0 and 1",
            self.k1,
            self.b
        );
        let is_bm25 = self.similarity == Similarity::Bm25;
        ensure!(
            !is_bm25 || self.shrinkage == 0.0,
            "shrinkage does not apply to similarity = \"bm25\""
        );
        ensure!(
            is_bm25 || (self.k1 == K1 && self.b == B),
            "bm25_k1 and bm25_b apply to similarity = \"bm25\" only"
        );
        Ok(())
    }
}

/// Documents whose similarities can be had from inner products.
pub(super) struct Space {
    measure: Measure,
    /// Documents x terms, weighted.
    pub rows: Sparse,
    sizes: Vec<Size>,
    num_terms: f64,
    average_sum: f64,
    /// `ln(N / (1 + n_t))`; empty where it does not count.
    rarities: Vec<f64>,
}

/// What a similarity must know of a document beside the inner products.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    norm: f64,
    sum: f64,
}

impl Space {
    /// From documents x terms.
    pub fn new(documents: Sparse, num_terms: usize, measure: Measure) -> Self {
        let count = documents.num_rows();
        let total: f64 = (0..count).map(|a| documents.row_sum(a)).sum();
        let mut space = Self {
            rarities: match measure.similarity {
                Similarity::Bm25 | Similarity::TfIdf => rarities(&documents, num_terms),
                Similarity::Cosine | Similarity::Pearson => Vec::new(),
            },
            measure,
            sizes: Vec::new(),
            num_terms: num_terms as f64,
            average_sum: total / count.max(1) as f64,
            rows: Sparse::default(),
        };
        let sums: Vec<f64> = (0..count).map(|a| documents.row_sum(a)).collect();
        space.rows = documents.map(|a, t, x| space.weigh(t, x, sums[a]));
        space.sizes = (0..count)
            .map(|a| space.size(space.rows.values_of(a)))
            .collect();
        space
    }

    /// The weight of a term in a document whose values have this sum.
    pub fn weigh(&self, term: u32, x: f32, sum: f64) -> f32 {
        let rarity = || self.rarities[term as usize];
        let Measure { k1, b, .. } = self.measure;
        match self.measure.similarity {
            Similarity::Cosine | Similarity::Pearson => x,
            Similarity::TfIdf => (f64::from(x).sqrt() * rarity()) as f32,
            Similarity::Bm25 => {
                let (x, length) = (f64::from(x), 1.0 - b + b * sum / self.average_sum);
                (x * (k1 + 1.0) / (k1 * length + x) * rarity()) as f32
            }
        }
    }

    pub fn size(&self, weights: &[f32]) -> Size {
        let sum: f64 = weights.iter().map(|w| f64::from(*w)).sum();
        let squares = weights.iter().map(|w| f64::from(*w) * f64::from(*w));
        let squares: f64 = squares.sum();
        let norm = match self.measure.similarity {
            // Rounding may leave less than nothing.
            Similarity::Pearson => (squares - sum * sum / self.num_terms).max(0.0).sqrt(),
            _ => squares.sqrt(),
        };
        Size { norm, sum }
    }

    pub fn size_of(&self, document: usize) -> Size {
        self.sizes[document]
    }

    /// The most similar documents and their similarities, from inner products
    /// with a document of this size; similarities are above zero.
    pub fn nearest(
        &self,
        size: Size,
        products: impl Iterator<Item = (u32, f64)>,
        count: usize,
    ) -> Column {
        let similarity = |(document, product): (u32, f64)| {
            let other = self.size_of(document as usize);
            (document, self.similarity(other, size, product) as f32)
        };
        let mut nearest: Column = products.map(similarity).collect();
        nearest.retain(|(_, similarity)| *similarity > 0.0);
        keep_largest(&mut nearest, count, |similarity| similarity);
        nearest.shrink_to_fit();
        nearest
    }

    /// The similarity of two documents with this inner product.
    fn similarity(&self, a: Size, b: Size, product: f64) -> f64 {
        let product = match self.measure.similarity {
            Similarity::Bm25 => return product,
            Similarity::Pearson => product - a.sum * b.sum / self.num_terms,
            Similarity::Cosine | Similarity::TfIdf => product,
        };
        product / (a.norm * b.norm + self.measure.shrinkage + 1e-6)
    }
}

fn rarities(documents: &Sparse, num_terms: usize) -> Vec<f64> {
    let mut counts = vec![0u32; num_terms];
    for &term in &documents.columns {
        counts[term as usize] += 1;
    }
    let all = documents.num_rows() as f64;
    let rarity = |n: &u32| (all / (1.0 + f64::from(*n))).ln().max(0.0);
    counts.iter().map(rarity).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(similarity: Similarity) -> Measure {
        Measure {
            similarity,
            shrinkage: 0.0,
            k1: K1,
            b: B,
        }
    }

    /// (1, 1, 0, 0), (1, 0, 0, 4), (0, 0, 1, 0), (0, 0, 1, 0)
    fn documents() -> Sparse {
        Sparse {
            offsets: vec![0, 2, 4, 5, 6],
            columns: vec![0, 1, 0, 3, 2, 2],
            values: vec![1.0, 1.0, 1.0, 4.0, 1.0, 1.0],
        }
    }

    /// Of the first two documents, and the inner product over shared terms.
    fn first_two(similarity: Similarity) -> f64 {
        let space = Space::new(documents(), 4, measure(similarity));
        let shared = space.rows.values_of(0)[0] * space.rows.values_of(1)[0];
        space.similarity(space.size_of(0), space.size_of(1), f64::from(shared))
    }

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }

    #[test]
    fn similarities_are_those_of_the_formulas() {
        near(first_two(Similarity::Cosine), 1.0 / (34f64.sqrt() + 1e-6));
        // Centered: (.5, .5, -.5, -.5) and (-.25, -1.25, -1.25, 2.75).
        let product = 0.5 * (-0.25 - 1.25 + 1.25 - 2.75);
        let norms = (0.0625f64 + 2.0 * 1.5625 + 7.5625).sqrt();
        near(first_two(Similarity::Pearson), product / (norms + 1e-6));
        // Term 0 is in two of four documents, terms 1 and 3 in one.
        let (common, rare) = ((4f64 / 3.0).ln(), 2f64.ln());
        let norms = common.hypot(rare) * common.hypot(2.0 * rare);
        near(
            first_two(Similarity::TfIdf),
            common * common / (norms + 1e-6),
        );
        // Sums 2, 5, 1, 1: 2.25 on average.
        let weight = |sum: f64| 2.2 / (1.2 * (0.25 + 0.75 * sum / 2.25) + 1.0) * common;
        near(first_two(Similarity::Bm25), weight(2.0) * weight(5.0));
    }

    #[test]
    fn parameters_of_another_similarity_are_errors() {
        for bad in [
            Measure {
                shrinkage: 1.0,
                ..measure(Similarity::Bm25)
            },
            Measure {
                k1: 2.0,
                ..measure(Similarity::Cosine)
            },
            Measure {
                b: 2.0,
                ..measure(Similarity::Bm25)
            },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}

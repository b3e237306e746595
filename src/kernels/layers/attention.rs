//! Attention within each sequence (Vaswani et al., NeurIPS 2017), and its
//! pointwise relative without a softmax (Zhai et al., "Actions speak louder
//! than words", ICML 2024).
//!
//! Weights are computed in blocks of queries; under a causal mask a block
//! stops at its diagonal, so that half of the work is never done.

mod head;
mod weights;

use super::{Back, Graph, Op, Var, Weight};
use crate::kernels::simd::{self, Lane, WIDTH, flat, flat_mut};
use head::heads;
use weights::{Silu, SiluSlopes, Softmax, SoftmaxSlopes};

/// From inner products of queries and keys to weights of values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kernel {
    /// Softmax over the keys of `q k / sqrt(columns of a head)`; in training
    /// this share of the weights is dropped.
    Softmax { dropout: f32 },
    /// `silu(q k + bias) / length`, with a learned bias for each head and
    /// distance of the places, `[heads, distances]`, and one for each head
    /// and bucket of ages, `[heads, BUCKETS]`: see [`Graph::set_times`].
    Silu {
        bias: Weight,
        by_age: Option<Weight>,
        length: f32,
    },
}

/// How places attend to each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attend {
    pub heads: usize,
    /// To itself and earlier places only.
    pub causal: bool,
    pub kernel: Kernel,
}

struct Attention {
    qkv: [Var; 3],
    attend: Attend,
    /// Of each sequence and head: the weights of the values.
    applied: Vec<Vec<Lane>>,
    /// The weights before dropout, where there is some, or what the silu was
    /// taken of.
    raw: Vec<Vec<Lane>>,
}

impl Graph<'_> {
    /// Each place's weighted sum of the values of its sequence.
    ///
    /// # Panics
    /// When a head is not of whole lanes: the network is at fault.
    pub fn attention(&mut self, [q, k, v]: [Var; 3], attend: Attend) -> Var {
        let width = self.width(q);
        assert!(width.is_multiple_of(attend.heads), "heads of whole lanes");
        let mut value = vec![Lane::ZERO; self.len() * width];
        let (mut applied, mut raw) = (Vec::new(), Vec::new());
        for (at, head) in heads(self.bounds, width, attend).enumerate() {
            let mut weights = head.inner(self.value(q), self.value(k));
            match attend.kernel {
                Kernel::Softmax { dropout } => {
                    let rows = &mut weights;
                    simd::run(Softmax { head, rows });
                    if let Some(factors) = self.factors(weights.len(), dropout) {
                        raw.push(weights.clone());
                        scale(&mut weights, &factors);
                    }
                }
                Kernel::Silu {
                    bias,
                    by_age,
                    length,
                } => {
                    head.add_bias(&mut weights, self.bias(bias, head.number));
                    if let Some(by_age) = by_age {
                        let ages = &self.ages[at / attend.heads];
                        head.add_ages(&mut weights, ages, self.bias(by_age, head.number));
                    }
                    raw.push(weights.clone());
                    let (rows, share) = (&mut weights, 1.0 / length);
                    simd::run(Silu { head, rows, share });
                }
            }
            head.gather(&weights, self.value(v), &mut value);
            applied.push(weights);
        }
        let op = Attention {
            qkv: [q, k, v],
            attend,
            applied,
            raw,
        };
        self.push(value, width, op)
    }

    /// A head's biases by distance, or by age.
    fn bias(&self, bias: Weight, head: usize) -> &[f32] {
        let row = self.weights.layout.entry(bias).width();
        flat(&self.weights.of(bias)[head * row..][..row])
    }
}

impl Back<'_, '_> {
    /// Where the gradient of a head's biases is added up.
    fn bias(&mut self, bias: Weight, head: usize) -> &mut [f32] {
        let row = self.graph.weights.layout.entry(bias).width();
        flat_mut(&mut self.weight(bias)[head * row..][..row])
    }
}

fn scale(weights: &mut [Lane], factors: &[Lane]) {
    for (weights, factors) in weights.iter_mut().zip(factors) {
        for i in 0..WIDTH {
            weights.0[i] *= factors.0[i];
        }
    }
}

impl Op for Attention {
    fn backward(&self, back: &mut Back<'_, '_>) {
        let (graph, above) = (back.graph, back.above);
        let [q, k, v] = self.qkv;
        let all = heads(graph.bounds, graph.width(q), self.attend).zip(&self.applied);
        for (at, (head, applied)) in all.enumerate() {
            // Derivatives by the weights, then by the inner products.
            let mut slopes = head.inner(above, graph.value(v));
            head.scatter(applied, above, back.rows(v));
            let raw = self.raw.get(at).unwrap_or(applied);
            match self.attend.kernel {
                Kernel::Softmax { .. } => simd::run(SoftmaxSlopes {
                    head,
                    slopes: &mut slopes,
                    applied,
                    raw,
                }),
                Kernel::Silu {
                    bias,
                    by_age,
                    length,
                } => {
                    simd::run(SiluSlopes {
                        head,
                        slopes: &mut slopes,
                        raw,
                        share: 1.0 / length,
                    });
                    head.add_slopes(&slopes, back.bias(bias, head.number));
                    if let Some(by_age) = by_age {
                        let ages = &graph.ages[at / self.attend.heads];
                        head.add_age_slopes(&slopes, ages, back.bias(by_age, head.number));
                    }
                }
            }
            head.gather(&slopes, graph.value(k), back.rows(q));
            head.scatter(&slopes, graph.value(q), back.rows(k));
        }
    }
}

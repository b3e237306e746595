//! Attention within each sequence (Vaswani et al., NeurIPS 2017), and its
//! pointwise relative without a softmax (Zhai et al., "Actions speak louder
//! than words", ICML 2024).
//!
//! Weights are computed in blocks of queries; under a causal mask a block
//! stops at its diagonal, so that half of the work is never done.

use super::pointwise::{sigmoid, swish_slope};
use super::{Back, Graph, Op, Product, Var, Weight};
use crate::kernels::gemm::{Left, Right, Size, To};
use crate::kernels::simd::{self, Isa, Job, Lane, WIDTH, exp, flat, flat_mut, largest};
use std::ops::Range;

/// Queries of a block.
const BLOCK: usize = 32;

/// From inner products of queries and keys to weights of values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kernel {
    /// Softmax over the keys of `q k / sqrt(columns of a head)`; in training
    /// this share of the weights is dropped.
    Softmax { dropout: f32 },
    /// `silu(q k + bias) / length`, with a learned bias for each head and
    /// distance of the places, `[heads, distances]`.
    Silu { bias: Weight, length: f32 },
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

/// A head of a sequence.
#[derive(Clone, Copy)]
struct Head {
    start: usize,
    len: usize,
    number: usize,
    /// Lanes in a row, and lanes of the head in it.
    width: usize,
    own: usize,
    causal: bool,
}

impl Head {
    /// Lanes in a row of weights.
    fn lanes(&self) -> usize {
        self.len.div_ceil(WIDTH)
    }

    fn blocks(self) -> impl Iterator<Item = Range<usize>> {
        let ends = move |from: usize| from..(from + BLOCK).min(self.len);
        (0..self.len).step_by(BLOCK).map(ends)
    }

    /// Keys that the query of a place sees.
    #[inline(always)]
    fn keys(&self, place: usize) -> usize {
        if self.causal { place + 1 } else { self.len }
    }

    fn scale(&self) -> f32 {
        1.0 / ((self.own * WIDTH) as f32).sqrt()
    }

    /// Adds the bias of the distance between query and key.
    fn add_bias(&self, weights: &mut [Lane], bias: &[f32]) {
        let rows = weights.chunks_exact_mut(self.lanes());
        for (place, row) in rows.enumerate() {
            let keys = &mut flat_mut(row)[..self.keys(place)];
            for (key, weight) in keys.iter_mut().enumerate() {
                *weight += bias[place.abs_diff(key)];
            }
        }
    }

    /// The way back of [`Self::add_bias`].
    fn add_slopes(&self, slopes: &[Lane], to: &mut [f32]) {
        for (place, row) in slopes.chunks_exact(self.lanes()).enumerate() {
            for (key, slope) in flat(row)[..self.keys(place)].iter().enumerate() {
                to[place.abs_diff(key)] += slope;
            }
        }
    }

    /// Keys that some query of the block sees.
    fn seen(&self, block: &Range<usize>) -> usize {
        if self.causal { block.end } else { self.len }
    }

    /// The first lane of a place.
    fn at(&self, place: usize) -> usize {
        (self.start + place) * self.width + self.number * self.own
    }

    /// The head's columns of rows, as a left operand from a place on.
    fn left<'a>(&self, rows: &'a [Lane], place: usize) -> Left<'a> {
        Left {
            values: &flat(rows)[self.at(place) * WIDTH..],
            row: self.width * WIDTH,
            depth: 1,
        }
    }

    fn right<'a>(&self, rows: &'a [Lane], place: usize) -> Right<'a> {
        Right {
            lanes: &rows[self.at(place)..],
            row: self.width,
        }
    }

    fn to<'a>(&self, rows: &'a mut [Lane], place: usize) -> To<'a> {
        To {
            lanes: &mut rows[self.at(place)..],
            row: self.width,
        }
    }

    /// The head's columns as rows, padded to whole lanes.
    fn transposed(&self, rows: &[Lane]) -> Vec<Lane> {
        let stride = self.lanes() * WIDTH;
        let mut lanes = vec![Lane::ZERO; self.own * WIDTH * self.lanes()];
        let to = flat_mut(&mut lanes);
        for place in 0..self.len {
            let row = &flat(rows)[self.at(place) * WIDTH..][..self.own * WIDTH];
            for (c, value) in row.iter().enumerate() {
                to[c * stride + place] = *value;
            }
        }
        lanes
    }

    /// `left * transposed(right)`, as far as queries see keys.
    fn inner(&self, left: &[Lane], right: &[Lane]) -> Vec<Lane> {
        let lanes = self.lanes();
        let mut inner = vec![Lane::ZERO; self.len * lanes];
        let transposed = self.transposed(right);
        for block in self.blocks() {
            simd::run(Product {
                left: self.left(left, block.start),
                right: Right {
                    lanes: &transposed,
                    row: lanes,
                },
                to: To {
                    lanes: &mut inner[block.start * lanes..],
                    row: lanes,
                },
                size: Size {
                    rows: block.len(),
                    depth: self.own * WIDTH,
                    width: self.seen(&block).div_ceil(WIDTH),
                },
            });
        }
        inner
    }

    /// `to += weights * rows`
    fn gather(&self, weights: &[Lane], rows: &[Lane], to: &mut [Lane]) {
        let lanes = self.lanes();
        for block in self.blocks() {
            let left = Left {
                values: &flat(weights)[block.start * lanes * WIDTH..],
                row: lanes * WIDTH,
                depth: 1,
            };
            simd::run(Product {
                left,
                right: self.right(rows, 0),
                to: self.to(to, block.start),
                size: Size {
                    rows: block.len(),
                    depth: self.seen(&block),
                    width: self.own,
                },
            });
        }
    }

    /// `to += transposed(weights) * rows`
    fn scatter(&self, weights: &[Lane], rows: &[Lane], to: &mut [Lane]) {
        let lanes = self.lanes();
        for keys in self.blocks() {
            let first = if self.causal { keys.start } else { 0 };
            let left = Left {
                values: &flat(weights)[first * lanes * WIDTH + keys.start..],
                row: 1,
                depth: lanes * WIDTH,
            };
            simd::run(Product {
                left,
                right: self.right(rows, first),
                to: self.to(to, keys.start),
                size: Size {
                    rows: keys.len(),
                    depth: self.len - first,
                    width: self.own,
                },
            });
        }
    }
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
        for head in heads(self.bounds, width, attend) {
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
                Kernel::Silu { bias, length } => {
                    head.add_bias(&mut weights, self.bias(bias, head.number));
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

    /// A head's biases by distance.
    fn bias(&self, bias: Weight, head: usize) -> &[f32] {
        let row = self.weights.layout.entry(bias).width();
        flat(&self.weights.of(bias)[head * row..][..row])
    }
}

/// The heads of all sequences.
fn heads(bounds: &[usize], width: usize, attend: Attend) -> impl Iterator<Item = Head> {
    bounds.windows(2).flat_map(move |b| {
        let (start, len) = (b[0], b[1] - b[0]);
        (0..attend.heads).map(move |number| Head {
            start,
            len,
            number,
            width,
            own: width / attend.heads,
            causal: attend.causal,
        })
    })
}

fn scale(weights: &mut [Lane], factors: &[Lane]) {
    for (weights, factors) in weights.iter_mut().zip(factors) {
        for i in 0..WIDTH {
            weights.0[i] *= factors.0[i];
        }
    }
}

/// Rows of weights in place of inner products.
struct Softmax<'a> {
    head: Head,
    rows: &'a mut [Lane],
}

impl Job for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let scale = self.head.scale();
        let rows = self.rows.chunks_exact_mut(self.head.lanes());
        for (place, row) in rows.enumerate() {
            let keys = self.head.keys(place);
            let (seen, unseen) = row.split_at_mut(keys.div_ceil(WIDTH));
            unseen.fill(Lane::ZERO);
            let last = seen.len() * WIDTH;
            flat_mut(seen)[keys..last].fill(f32::NEG_INFINITY);
            let most = largest(seen);
            let mut sum = Lane::ZERO;
            for lane in seen.iter_mut() {
                for i in 0..WIDTH {
                    lane.0[i] = exp((lane.0[i] - most) * scale);
                    sum.0[i] += lane.0[i];
                }
            }
            // The padding holds the smallest power that there is, not zero.
            flat_mut(seen)[keys..last].fill(0.0);
            let share = 1.0 / sum.sum();
            for lane in seen {
                lane.0.iter_mut().for_each(|x| *x *= share);
            }
        }
    }
}

struct Silu<'a> {
    head: Head,
    rows: &'a mut [Lane],
    share: f32,
}

impl Job for Silu<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let rows = self.rows.chunks_exact_mut(self.head.lanes());
        for (place, row) in rows.enumerate() {
            let keys = self.head.keys(place);
            for lane in row.iter_mut() {
                for x in &mut lane.0 {
                    *x *= self.share * sigmoid(*x);
                }
            }
            flat_mut(row)[keys..].fill(0.0);
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
                Kernel::Silu { bias, length } => {
                    simd::run(SiluSlopes {
                        head,
                        slopes: &mut slopes,
                        raw,
                        share: 1.0 / length,
                    });
                    let row = graph.weights.layout.entry(bias).width();
                    let to = &mut back.weight(bias)[head.number * row..][..row];
                    head.add_slopes(&slopes, flat_mut(to));
                }
            }
            head.gather(&slopes, graph.value(k), back.rows(q));
            head.scatter(&slopes, graph.value(q), back.rows(k));
        }
    }
}

struct SoftmaxSlopes<'a> {
    head: Head,
    slopes: &'a mut [Lane],
    applied: &'a [Lane],
    raw: &'a [Lane],
}

impl Job for SoftmaxSlopes<'_> {
    type Output = ();

    /// With weights `p` of which `p f` are applied, and slopes `g` by those:
    /// `p f g - p sum(p f g)`.
    #[inline(always)]
    fn call<S: Isa>(self) {
        let (lanes, scale) = (self.head.lanes(), self.head.scale());
        let rows = self.slopes.chunks_exact_mut(lanes);
        let weights = self.applied.chunks_exact(lanes);
        let raws = self.raw.chunks_exact(lanes);
        for (place, ((row, applied), raw)) in rows.zip(weights).zip(raws).enumerate() {
            let seen = self.head.keys(place).div_ceil(WIDTH);
            let mut sum = Lane::ZERO;
            for (slope, applied) in row[..seen].iter_mut().zip(applied) {
                for i in 0..WIDTH {
                    slope.0[i] *= applied.0[i];
                    sum.0[i] += slope.0[i];
                }
            }
            let sum = sum.sum();
            for (slope, raw) in row[..seen].iter_mut().zip(raw) {
                for i in 0..WIDTH {
                    slope.0[i] = scale * (slope.0[i] - sum * raw.0[i]);
                }
            }
            row[seen..].fill(Lane::ZERO);
        }
    }
}

struct SiluSlopes<'a> {
    head: Head,
    slopes: &'a mut [Lane],
    raw: &'a [Lane],
    share: f32,
}

impl Job for SiluSlopes<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let lanes = self.head.lanes();
        let rows = self.slopes.chunks_exact_mut(lanes);
        for (place, (row, raw)) in rows.zip(self.raw.chunks_exact(lanes)).enumerate() {
            for (slope, raw) in row.iter_mut().zip(raw) {
                for i in 0..WIDTH {
                    slope.0[i] *= self.share * swish_slope(raw.0[i], 1.0);
                }
            }
            let keys = self.head.keys(place);
            flat_mut(row)[keys..].fill(0.0);
        }
    }
}

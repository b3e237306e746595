//! Layers that look at one number at a time: activations, sums, products,
//! dropout.

use super::{Back, DropoutStream, Graph, Op, Var};
use crate::kernels::simd::{self, Isa, Job, Lane, WIDTH, add, exp};
use crate::seed::{BLOCKS, Rng};
use serde::{Deserialize, Serialize};
use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    Relu,
    /// `x` times the normal distribution function, in the approximation by a
    /// sigmoid: `x s(1.702 x)` (Hendrycks & Gimpel, 2016, section 2).
    Gelu,
    /// `x s(x)`
    Silu,
    Sigmoid,
}

#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    2.0 * sigmoid(2.0 * x) - 1.0
}

impl Activation {
    #[inline(always)]
    fn of(self, x: f32) -> f32 {
        match self {
            Self::Relu => x.max(0.0),
            Self::Gelu => x * sigmoid(1.702 * x),
            Self::Silu => x * sigmoid(x),
            Self::Sigmoid => sigmoid(x),
        }
    }

    #[inline(always)]
    fn slope(self, x: f32) -> f32 {
        match self {
            Self::Relu => f32::from(u8::from(x > 0.0)),
            Self::Gelu => swish_slope(x, 1.702),
            Self::Silu => swish_slope(x, 1.0),
            Self::Sigmoid => {
                let s = sigmoid(x);
                s * (1.0 - s)
            }
        }
    }
}

/// Derivative of `x s(a x)`.
#[inline(always)]
pub fn swish_slope(x: f32, a: f32) -> f32 {
    let s = sigmoid(a * x);
    s + a * x * s * (1.0 - s)
}

struct Activated {
    x: Var,
    kind: Activation,
}

impl Graph<'_> {
    pub fn activation(&mut self, x: Var, kind: Activation) -> Var {
        let mut value = self.value(x).to_vec();
        simd::run(Apply {
            rows: &mut value,
            kind,
        });
        self.push(value, self.width(x), Activated { x, kind })
    }
}

struct Apply<'a> {
    rows: &'a mut [Lane],
    kind: Activation,
}

impl Job for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        // A loop for each, so that each becomes vector instructions.
        match self.kind {
            Activation::Relu => each(self.rows, |x| Activation::Relu.of(x)),
            Activation::Gelu => each(self.rows, |x| Activation::Gelu.of(x)),
            Activation::Silu => each(self.rows, |x| Activation::Silu.of(x)),
            Activation::Sigmoid => each(self.rows, |x| Activation::Sigmoid.of(x)),
        }
    }
}

#[inline(always)]
fn each(rows: &mut [Lane], f: impl Fn(f32) -> f32) {
    for lane in rows {
        for x in &mut lane.0 {
            *x = f(*x);
        }
    }
}

impl Op for Activated {
    fn backward(&self, back: &mut Back<'_, '_>) {
        let (graph, above) = (back.graph, back.above);
        simd::run(Slopes {
            x: graph.value(self.x),
            above,
            to: back.rows(self.x),
            kind: self.kind,
        });
    }
}

struct Slopes<'a> {
    x: &'a [Lane],
    above: &'a [Lane],
    to: &'a mut [Lane],
    kind: Activation,
}

impl Job for Slopes<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        match self.kind {
            Activation::Relu => self.each(|x| Activation::Relu.slope(x)),
            Activation::Gelu => self.each(|x| Activation::Gelu.slope(x)),
            Activation::Silu => self.each(|x| Activation::Silu.slope(x)),
            Activation::Sigmoid => self.each(|x| Activation::Sigmoid.slope(x)),
        }
    }
}

impl Slopes<'_> {
    #[inline(always)]
    fn each(self, slope: impl Fn(f32) -> f32) {
        for ((to, above), x) in self.to.iter_mut().zip(self.above).zip(self.x) {
            for i in 0..WIDTH {
                to.0[i] += above.0[i] * slope(x.0[i]);
            }
        }
    }
}

struct Sum(Var, Var);

struct Times(Var, Var);

/// A constant in place of the second summand.
struct Moved(Var);

/// A constant in place of the second factor.
struct Masked {
    x: Var,
    factors: Vec<Lane>,
}

impl Graph<'_> {
    pub fn sum(&mut self, a: Var, b: Var) -> Var {
        let mut value = self.value(a).to_vec();
        add(&mut value, self.value(b));
        self.push(value, self.width(a), Sum(a, b))
    }

    /// Number by number.
    pub fn times(&mut self, a: Var, b: Var) -> Var {
        let value = product(self.value(a), self.value(b));
        self.push(value, self.width(a), Times(a, b))
    }

    /// In training, zeros in place of a share `rate` of the numbers, the
    /// others times `1 / (1 - rate)` (Srivastava et al., JMLR 2014).
    pub fn dropout(&mut self, x: Var, rate: f32) -> Var {
        let len = self.value(x).len();
        let Some(factors) = self.factors(len, rate) else {
            return x;
        };
        let value = product(self.value(x), &factors);
        self.push(value, self.width(x), Masked { x, factors })
    }

    /// In training, plus normal noise of this deviation. It takes a number
    /// among the uses of dropout.
    pub fn noise(&mut self, x: Var, deviation: f32) -> Var {
        let Some(from) = self.dropout.filter(|_| deviation > 0.0) else {
            return x;
        };
        let mut value = self.value(x).to_vec();
        let noise = from.normals(self.sites, 0..value.len(), deviation);
        self.sites += 1;
        add(&mut value, &noise);
        self.push(value, self.width(x), Moved(x))
    }

    /// The factors of the next use of dropout; `None` where nothing is
    /// dropped.
    pub(super) fn factors(&mut self, len: usize, rate: f32) -> Option<Vec<Lane>> {
        let from = self.dropout.filter(|_| rate > 0.0)?;
        let factors = from.factors(self.sites, 0..len, rate);
        self.sites += 1;
        Some(factors)
    }
}

/// Lanes that are drawn at a time.
const DRAWN: usize = 4;

/// Blocks of the stream that the normals of a lane take: four words each, of
/// which a normal takes two.
const NORMAL_BLOCKS: usize = WIDTH / 2;

impl DropoutStream<'_> {
    /// The first block of a use: 2^24 blocks hold 2^26 numbers, or 2^25
    /// normals.
    fn first(&self, site: u64) -> u64 {
        (self.graph << 20 | site) << 24
    }

    /// Some of the normals of a use, of this deviation.
    pub fn normals(&self, site: u64, lanes: Range<usize>, deviation: f32) -> Vec<Lane> {
        let from = self.first(site) + (lanes.start * NORMAL_BLOCKS) as u64;
        let mut stream = self.stream.at(from);
        let lane = |_| Lane(std::array::from_fn(|_| deviation * stream.normal()));
        lanes.map(lane).collect()
    }

    /// Some of the factors of a use of dropout: zero with probability `rate`,
    /// or one over what is kept.
    pub fn factors(&self, site: u64, lanes: Range<usize>, rate: f32) -> Vec<Lane> {
        let from = lanes.start / DRAWN;
        let mut factors = vec![Lane::ZERO; lanes.end - from * DRAWN];
        simd::run(Draw {
            stream: self.stream,
            first: self.first(site) + (from * BLOCKS) as u64,
            limit: (f64::from(rate) * 2f64.powi(32)) as u32,
            keep: 1.0 / (1.0 - rate),
            factors: &mut factors,
        });
        factors.drain(..lanes.start - from * DRAWN);
        factors
    }
}

fn product(a: &[Lane], b: &[Lane]) -> Vec<Lane> {
    let pairs = a.iter().zip(b);
    pairs
        .map(|(a, b)| Lane(std::array::from_fn(|i| a.0[i] * b.0[i])))
        .collect()
}

fn add_product(to: &mut [Lane], a: &[Lane], b: &[Lane]) {
    for ((to, a), b) in to.iter_mut().zip(a).zip(b) {
        for i in 0..WIDTH {
            to.0[i] += a.0[i] * b.0[i];
        }
    }
}

impl Op for Sum {
    fn backward(&self, back: &mut Back<'_, '_>) {
        let above = back.above;
        add(back.rows(self.0), above);
        add(back.rows(self.1), above);
    }
}

impl Op for Times {
    fn backward(&self, back: &mut Back<'_, '_>) {
        let (graph, above) = (back.graph, back.above);
        add_product(back.rows(self.0), above, graph.value(self.1));
        add_product(back.rows(self.1), above, graph.value(self.0));
    }
}

impl Op for Moved {
    fn backward(&self, back: &mut Back<'_, '_>) {
        let above = back.above;
        add(back.rows(self.0), above);
    }
}

impl Op for Masked {
    fn backward(&self, back: &mut Back<'_, '_>) {
        let above = back.above;
        add_product(back.rows(self.x), above, &self.factors);
    }
}

struct Draw<'a> {
    stream: &'a Rng,
    /// Block of the stream.
    first: u64,
    /// Words below it drop their number.
    limit: u32,
    keep: f32,
    factors: &'a mut [Lane],
}

impl Job for Draw<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let firsts = (self.first..).step_by(BLOCKS);
        for (lanes, first) in self.factors.chunks_mut(DRAWN).zip(firsts) {
            let words = self.stream.blocks(first, 1);
            for (lane, words) in lanes.iter_mut().zip(&words) {
                for (factor, &word) in lane.0.iter_mut().zip(words) {
                    *factor = if word >= self.limit { self.keep } else { 0.0 };
                }
            }
        }
    }
}

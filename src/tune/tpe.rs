//! The tree-structured Parzen estimator: what to try next, from what was
//! tried.
//!
//! Bergstra, Bardenet, Bengio, Kégl: Algorithms for Hyper-Parameter
//! Optimization, NIPS 2011. What was tried is divided at the 15% quantile of
//! its values (at most the best 25): `l(x)` is the density of the good ones,
//! `g(x)` that of the others, and of [`CANDIDATES`] draws from `l` the one
//! with the largest `l / g` is next, key by key, which is where the expected
//! improvement is largest. A density of numbers has a normal at each place,
//! cut off at the ends, as wide as the distance to its farther neighbor (ends
//! of the range are neighbors, too), within bounds that shrink as trials come
//! in, and one as wide as the range in its middle, the prior. A density of
//! choices counts them, from one each.
//!
//! Written here since the crates that have it are young, and since a search
//! that goes on after a kill must draw what it would have drawn: a suggestion
//! depends on the stream and on what was tried, in its order, alone.

use super::space::{Range, Space};
use crate::seed::Rng;

/// Draws from the density of the good ones.
const CANDIDATES: usize = 24;

/// Share of what was tried that is good, and how many at most.
const GOOD: f64 = 0.15;
const MOST_GOOD: usize = 25;

/// One setting and what came of it.
#[derive(Clone, Debug)]
pub struct Tried {
    /// A place for each dimension of the space.
    pub places: Vec<f64>,
    /// Smaller is better; infinite for what failed, was given up, or is not
    /// known yet.
    pub loss: f64,
}

/// The places to try next.
pub fn suggest(space: &Space, tried: &[Tried], rng: &mut Rng) -> Vec<f64> {
    let mut order: Vec<&Tried> = tried.iter().collect();
    // Stable: of equals, the earlier one is better.
    order.sort_by(|a, b| a.loss.total_cmp(&b.loss));
    let good = ((GOOD * order.len() as f64).ceil() as usize).min(MOST_GOOD);
    let known = order.iter().take_while(|t| t.loss.is_finite()).count();
    let (good, others) = order.split_at(good.min(known));
    let dimensions = space.dimensions.iter().enumerate();
    let next = dimensions.map(|(d, dimension)| {
        let places = |of: &[&Tried]| of.iter().map(|t| t.places[d]).collect::<Vec<_>>();
        one(&dimension.range, &places(good), &places(others), rng)
    });
    next.collect()
}

fn one(range: &Range, good: &[f64], others: &[f64], rng: &mut Rng) -> f64 {
    let Some(line) = range.line() else {
        return choice(range, good, others, rng);
    };
    let (l, g) = (Parzen::new(good, line), Parzen::new(others, line));
    let mut best = (f64::NEG_INFINITY, 0.0);
    for _ in 0..CANDIDATES {
        let place = l.draw(rng);
        let gain = l.density(place).ln() - g.density(place).ln();
        if gain > best.0 {
            best = (gain, place);
        }
    }
    best.1
}

fn choice(range: &Range, good: &[f64], others: &[f64], rng: &mut Rng) -> f64 {
    let number = range.samples().len();
    let shares = |places: &[f64]| {
        let mut counts = vec![1.0; number];
        for place in places {
            counts[*place as usize] += 1.0;
        }
        let sum: f64 = counts.iter().sum();
        counts.iter().map(|c| c / sum).collect::<Vec<f64>>()
    };
    let (l, g) = (shares(good), shares(others));
    let mut best = (f64::NEG_INFINITY, 0);
    for _ in 0..CANDIDATES {
        let at = drawn(&l, rng);
        let gain = l[at] / g[at];
        if gain > best.0 {
            best = (gain, at);
        }
    }
    best.1 as f64
}

/// An index by its share; shares sum to 1.
fn drawn(shares: &[f64], rng: &mut Rng) -> usize {
    let mut left = rng.uniform64();
    for (at, share) in shares.iter().enumerate() {
        left -= share;
        if left < 0.0 {
            return at;
        }
    }
    shares.len() - 1
}

/// A mixture of normals within the ends of a line, all of one weight.
struct Parzen {
    line: [f64; 2],
    /// Middle, deviation, and the share of the normal within the line.
    normals: Vec<[f64; 3]>,
}

impl Parzen {
    fn new(places: &[f64], line: [f64; 2]) -> Self {
        let [low, high] = line;
        let span = high - low;
        let mut sorted = places.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let narrowest = span / (2.0 + sorted.len() as f64).min(100.0);
        let normal = |middle: f64, deviation: f64| {
            let within =
                cumulative((high - middle) / deviation) - cumulative((low - middle) / deviation);
            [middle, deviation, within]
        };
        let mut normals = vec![normal((low + high) / 2.0, span)];
        for (i, &middle) in sorted.iter().enumerate() {
            let below = if i == 0 { low } else { sorted[i - 1] };
            let above = sorted.get(i + 1).copied().unwrap_or(high);
            let width = (middle - below).max(above - middle);
            normals.push(normal(middle, width.clamp(narrowest, span)));
        }
        Self { line, normals }
    }

    fn density(&self, place: f64) -> f64 {
        let one = |[middle, deviation, within]: &[f64; 3]| {
            let z = (place - middle) / deviation;
            (-0.5 * z * z).exp() / (deviation * within)
        };
        // The same factor in every density cancels out.
        self.normals.iter().map(one).sum::<f64>() / self.normals.len() as f64
    }

    fn draw(&self, rng: &mut Rng) -> f64 {
        let [middle, deviation, _] = self.normals[rng.below(self.normals.len() as u32) as usize];
        let [low, high] = self.line;
        // The middle lies within the line, so at least half of the normal's
        // nearer side does; drawn again from beyond.
        loop {
            let radius = (-2.0 * (1.0 - rng.uniform64()).ln()).sqrt();
            let angle = std::f64::consts::TAU * rng.uniform64();
            let place = middle + deviation * radius * angle.cos();
            if (low..=high).contains(&place) {
                return place;
            }
        }
    }
}

/// Of the standard normal distribution.
fn cumulative(z: f64) -> f64 {
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

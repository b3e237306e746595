//! Bounds of scores from vectors of whole numbers, a byte for each dimension:
//! four times as many fit into an instruction, and nearly all items are ruled
//! out by them. Whoever is left is scored exactly, so that no list depends on
//! the rounding.
//!
//! With `u = s p + a` and `v = t q + b`, where `p` and `q` are whole and `a`
//! and `b` what rounding leaves, Cauchy and Schwarz give
//! `|u v - s t p q| <= |a| |v| + |s p| |b| <= (|a| + r |s p|) |v|`,
//! where `r` is the largest `|b| / |v|` of the catalog.

use super::{GROUP, LANES, PANEL};
#[cfg(target_arch = "x86_64")]
use crate::kernels::simd::x86;
use crate::kernels::simd::{Lane, WIDTH, flat_mut, prefetch};
use rayon::prelude::*;

/// Dimensions that one instruction takes.
pub const STEP: usize = 4;

/// Catalogs of fewer dimensions are not worth a second look at items.
const LEAST_DIM: usize = 16;

/// Values of whole vectors lie within these.
const LARGEST: f32 = 127.0;

/// What items' codes are above their values, so that they are not negative.
pub const SHIFT: i32 = 128;

/// More than what the sums of exact scores and of bounds are off by rounding,
/// for each unit of the vectors' norms.
const ROUNDING: f32 = 4e-7;

/// Codes of the items of a lane in [`STEP`] dimensions, item by item.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Codes(pub [u8; STEP * WIDTH]);

/// A catalog for scans by bounds.
pub struct Coarse {
    dim: usize,
    /// `panels x steps x LANES`
    pub codes: Vec<Codes>,
    /// What a whole value stands for, for each item; `panels x LANES`.
    pub scales: Vec<Lane>,
    /// Of the exact vectors; as the scales.
    pub norms: Vec<Lane>,
    /// Exact vectors, padded to whole lanes.
    rows: Vec<Lane>,
    /// The largest share of a vector's norm that its rounding has.
    share: f32,
    /// The largest absolute bias.
    largest_bias: f32,
}

/// A vector of whole numbers, and what they stand for.
struct Rounded {
    scale: f32,
    norm: f32,
    /// The norm of what rounding left.
    residual: f32,
}

/// Rounds a vector; `put` gets each place and whole number.
fn round(vector: &[f32], mut put: impl FnMut(usize, i32)) -> Rounded {
    let largest = vector.iter().fold(0f32, |m, v| m.max(v.abs()));
    let scale = if largest > 0.0 {
        largest / LARGEST
    } else {
        1.0
    };
    let (mut norm, mut residual) = (0f64, 0f64);
    for (place, &value) in vector.iter().enumerate() {
        let whole = (value / scale).round().clamp(-LARGEST, LARGEST);
        put(place, whole as i32);
        norm += f64::from(value).powi(2);
        residual += (f64::from(value) - f64::from(scale) * f64::from(whole)).powi(2);
    }
    Rounded {
        scale,
        norm: norm.sqrt() as f32,
        residual: residual.sqrt() as f32,
    }
}

impl Coarse {
    /// As [`super::Panels::new`]; `None` where plain scores are the better way.
    pub fn new(dim: usize, vectors: &[f32], largest_bias: f32) -> Option<Self> {
        if dim < LEAST_DIM || !is_supported() {
            return None;
        }
        let items = vectors.len() / dim;
        let (panels, steps) = (items.div_ceil(PANEL), dim.div_ceil(STEP));
        let per_row = dim.div_ceil(WIDTH);
        let mut codes = vec![Codes([SHIFT as u8; STEP * WIDTH]); panels * steps * LANES];
        let mut scales = vec![Lane::ZERO; panels * LANES];
        let mut norms = vec![Lane::ZERO; panels * LANES];
        let mut rows = vec![Lane::ZERO; items * per_row];
        let parts = codes
            .par_chunks_mut(steps * LANES)
            .zip(scales.par_chunks_mut(LANES))
            .zip(norms.par_chunks_mut(LANES))
            .zip(rows.par_chunks_mut(PANEL * per_row))
            .zip(vectors.par_chunks(PANEL * dim));
        let shares = parts.map(|((((codes, scales), norms), rows), vectors)| {
            let mut share = 0f32;
            let rows = rows.chunks_exact_mut(per_row);
            for (item, (vector, row)) in vectors.chunks_exact(dim).zip(rows).enumerate() {
                flat_mut(row)[..dim].copy_from_slice(vector);
                let (lane, place) = (item / WIDTH, item % WIDTH);
                let rounded = round(vector, |d, whole| {
                    let byte = &mut codes[d / STEP * LANES + lane].0[place * STEP + d % STEP];
                    *byte = (whole + SHIFT) as u8;
                });
                flat_mut(scales)[item] = rounded.scale;
                flat_mut(norms)[item] = rounded.norm;
                if rounded.norm > 0.0 {
                    share = share.max(rounded.residual / rounded.norm);
                }
            }
            share
        });
        let share = shares.reduce(|| 0.0, f32::max);
        Some(Self {
            dim,
            codes,
            scales,
            norms,
            rows,
            share,
            largest_bias,
        })
    }

    pub fn steps(&self) -> usize {
        self.dim.div_ceil(STEP)
    }

    /// Lanes in a row of [`Self::row`].
    pub fn per_row(&self) -> usize {
        self.dim.div_ceil(WIDTH)
    }

    /// The exact vector of an item, padded with zeros; there is none beyond the
    /// last item.
    #[inline(always)]
    pub fn row(&self, item: usize) -> Option<&[Lane]> {
        let per_row = self.per_row();
        self.rows.get(item * per_row..(item + 1) * per_row)
    }

    /// Asks for what [`Self::row`] gives.
    #[inline(always)]
    pub fn prefetch(&self, item: usize) {
        if let Some(row) = self.row(item) {
            prefetch(row);
        }
    }

    /// The bounds of these users' scores.
    pub fn group(&self, vectors: &[f32], offsets: &[f32]) -> CoarseGroup {
        let (steps, per_row) = (self.steps(), self.per_row());
        let mut group = CoarseGroup {
            codes: vec![[0; GROUP]; steps],
            rows: Vec::new(),
            offsets: [0.0; GROUP],
            starts: [0; GROUP],
            inverse_scales: [0.0; GROUP],
            errors: [0.0; GROUP],
            slacks: [0.0; GROUP],
            thresholds: [f32::INFINITY; GROUP],
        };
        let mut rows = vec![Lane::ZERO; GROUP * per_row];
        let padded = rows.chunks_exact_mut(per_row);
        let users = vectors.chunks_exact(self.dim).zip(offsets).zip(padded);
        for (place, ((vector, &offset), row)) in users.enumerate() {
            flat_mut(row)[..self.dim].copy_from_slice(vector);
            let mut sum = 0;
            let codes = &mut group.codes;
            let rounded = round(vector, |d, whole| {
                let byte = u32::from(whole as i8 as u8) << (8 * (d % STEP));
                codes[d / STEP][place] |= byte;
                sum += whole;
            });
            let whole_norm = rounded.norm + rounded.residual;
            let error = rounded.residual + self.share * whole_norm;
            group.starts[place] = -SHIFT * sum;
            group.inverse_scales[place] = 1.0 / rounded.scale;
            // The factor covers the rounding of the norms themselves.
            group.errors[place] =
                (1.00001 * error + ROUNDING * self.dim as f32 * rounded.norm) / rounded.scale;
            group.offsets[place] = offset;
            group.slacks[place] = offset.abs() + self.largest_bias;
            group.set_threshold(place, f32::NEG_INFINITY);
        }
        group.rows = rows;
        group
    }
}

/// Users that are scanned together; all in units of a user's scale.
pub struct CoarseGroup {
    /// For each step, the [`STEP`] values of each user, the first lowest.
    pub codes: Vec<[u32; GROUP]>,
    /// Exact vectors, padded.
    pub rows: Vec<Lane>,
    pub offsets: [f32; GROUP],
    /// What takes the items' shift out of the products.
    pub starts: [i32; GROUP],
    pub inverse_scales: [f32; GROUP],
    /// What the product may be off by, for each unit of an item's norm.
    pub errors: [f32; GROUP],
    /// What biases and offsets may add to rounding.
    slacks: [f32; GROUP],
    /// What products plus errors must exceed; infinite beyond the last user.
    pub thresholds: [f32; GROUP],
}

impl CoarseGroup {
    /// `threshold` is what exact scores must exceed.
    #[inline(always)]
    pub fn set_threshold(&mut self, place: usize, threshold: f32) {
        let slack = ROUNDING * (self.slacks[place] + threshold.abs());
        let product = threshold - self.offsets[place] - slack;
        self.thresholds[place] = product * self.inverse_scales[place];
    }
}

/// Whether the machine has the instructions.
fn is_supported() -> bool {
    #[cfg(target_arch = "x86_64")]
    return x86::has_avx512() && is_x86_feature_detected!("avx512vnni");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

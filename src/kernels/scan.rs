//! Inner products of users with a whole catalog, of which only those above a
//! moving threshold are ever seen.
//!
//! Items lie in panels of [`PANEL`], dimension by dimension, users in groups
//! of [`GROUP`]: a tile of `GROUP x PANEL` scores is summed in registers,
//! compared there with each user's threshold, and written only where it beats
//! it. A score is one sum in the order of the dimensions, whoever stands
//! beside it in a tile, so that it does not depend on how users are divided.
//!
//! Where the machine multiplies bytes fast, bounds of the scores come first
//! ([`coarse`]), and only what they leave is scored.

mod coarse;
#[cfg(target_arch = "x86_64")]
mod vnni;

use super::simd::{self, Isa, Job, Lane, WIDTH, flat_mut};
use coarse::Coarse;
use rayon::prelude::*;

/// Items in a panel: one bit of a `u32` each.
pub const PANEL: usize = LANES * WIDTH;

const LANES: usize = 2;

type Panel = [Lane; LANES];

const EMPTY: Panel = [Lane::ZERO; LANES];

/// Users in a group.
pub const GROUP: usize = 8;

/// The vectors of a catalog, ready to be scanned.
pub struct Panels {
    num_items: usize,
    dim: usize,
    /// `panels x dim`, zero beyond the last item; empty where there are bounds.
    values: Vec<Panel>,
    coarse: Option<Coarse>,
    /// One for each panel.
    biases: Vec<Panel>,
    /// The largest absolute value of the vectors, and of the biases; NaN
    /// where one is.
    largest: (f32, f32),
}

impl Panels {
    /// `vectors` is `num_items x dim`, `biases` one for each item.
    ///
    /// # Panics
    /// When the slices are not of that length: the model is at fault.
    pub fn new(dim: usize, vectors: &[f32], biases: Option<&[f32]>) -> Self {
        assert!(
            dim > 0 && vectors.len().is_multiple_of(dim),
            "item vectors of {dim} columns"
        );
        let num_items = vectors.len() / dim;
        assert!(
            biases.is_none_or(|b| b.len() == num_items),
            "one bias an item"
        );
        let panels = num_items.div_ceil(PANEL);
        let mut padded = vec![EMPTY; panels];
        let parts = padded
            .iter_mut()
            .zip(biases.unwrap_or_default().chunks(PANEL));
        for (panel, biases) in parts {
            flat_mut(panel)[..biases.len()].copy_from_slice(biases);
        }
        let largest = (largest(vectors), largest(biases.unwrap_or_default()));
        let coarse = Coarse::new(dim, vectors, largest.1);
        let values = match coarse {
            Some(_) => Vec::new(),
            None => transposed(dim, vectors),
        };
        Self {
            num_items,
            dim,
            values,
            coarse,
            biases: padded,
            largest,
        }
    }

    /// Without bounds.
    #[cfg(test)]
    fn plain(mut self, vectors: &[f32]) -> Self {
        self.values = transposed(self.dim, vectors);
        self.coarse = None;
        self
    }

    pub fn num_items(&self) -> usize {
        self.num_items
    }

    pub fn dim(&self) -> usize {
        self.dim
    }

    /// How many panels there are.
    pub fn len(&self) -> usize {
        self.biases.len()
    }

    pub fn is_empty(&self) -> bool {
        self.num_items == 0
    }

    /// Whether no score of such users can overflow or be NaN, by the largest
    /// values alone: then no score needs to be looked at for that.
    pub fn all_finite(&self, users: &[f32], offsets: &[f32]) -> bool {
        let product = f64::from(largest(users)) * f64::from(self.largest.0);
        let sum = self.dim as f64 * product + f64::from(self.largest.1);
        // A comparison with NaN is false.
        sum + f64::from(largest(offsets)) < f64::from(f32::MAX) / 2.0
    }
}

/// Items in panels, dimension by dimension.
fn transposed(dim: usize, vectors: &[f32]) -> Vec<Panel> {
    let panels = (vectors.len() / dim).div_ceil(PANEL);
    let mut values = vec![EMPTY; panels * dim];
    let parts = values
        .par_chunks_mut(dim)
        .zip(vectors.par_chunks(dim * PANEL));
    parts.for_each(|(panel, vectors)| {
        for (place, vector) in vectors.chunks_exact(dim).enumerate() {
            for (column, value) in panel.iter_mut().zip(vector) {
                flat_mut(column)[place] = *value;
            }
        }
    });
    values
}

/// The largest absolute value; NaN or infinite where one is.
fn largest(values: &[f32]) -> f32 {
    // As bits without the sign, NaN is above infinity and that above all else.
    let bits = values
        .iter()
        .fold(0, |m: u32, v| m.max(v.to_bits() & 0x7fff_ffff));
    f32::from_bits(bits)
}

/// Scans the catalog for a few users; `vectors` is `users x dim`, `offsets`
/// what is added to all scores of a user.
///
/// `visit` gets the user, the panel, which of the panel's items may beat the
/// user's threshold, and their scores (the others are not written); it returns
/// the new threshold. Bits beyond the last item may be set.
///
/// # Panics
/// When the slices are not of that length.
pub fn scan(
    panels: &Panels,
    vectors: &[f32],
    offsets: &[f32],
    visit: impl FnMut(usize, usize, u32, &[f32; PANEL]) -> f32,
) {
    assert_eq!(
        vectors.len(),
        offsets.len() * panels.dim,
        "a vector for each user"
    );
    #[cfg(target_arch = "x86_64")]
    if let Some(coarse) = &panels.coarse {
        // SAFETY: there are bounds only where the machine has what they take.
        unsafe { vnni::scan(panels, coarse, (vectors, offsets), visit) };
        return;
    }
    simd::run(Scan {
        panels,
        vectors,
        offsets,
        visit,
    });
}

struct Scan<'a, F> {
    panels: &'a Panels,
    vectors: &'a [f32],
    offsets: &'a [f32],
    visit: F,
}

/// Users, dimension by dimension, with what belongs to each.
struct Group {
    /// One array for each dimension, zero beyond the last user.
    values: Vec<[f32; GROUP]>,
    offsets: [f32; GROUP],
    /// Infinite beyond the last user.
    thresholds: [f32; GROUP],
}

impl Group {
    fn new(vectors: &[f32], offsets: &[f32], dim: usize) -> Self {
        let mut group = Self {
            values: vec![[0.0; GROUP]; dim],
            offsets: [0.0; GROUP],
            thresholds: [f32::INFINITY; GROUP],
        };
        for (place, (vector, offset)) in vectors.chunks_exact(dim).zip(offsets).enumerate() {
            group.offsets[place] = *offset;
            group.thresholds[place] = f32::NEG_INFINITY;
            for (column, value) in group.values.iter_mut().zip(vector) {
                column[place] = *value;
            }
        }
        group
    }
}

impl<F: FnMut(usize, usize, u32, &[f32; PANEL]) -> f32> Job for Scan<'_, F> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(mut self) {
        let dim = self.panels.dim;
        let parts = self.vectors.chunks(GROUP * dim);
        let mut groups: Vec<Group> = parts
            .zip(self.offsets.chunks(GROUP))
            .map(|(vectors, offsets)| Group::new(vectors, offsets, dim))
            .collect();
        let mut scores = [EMPTY; GROUP];
        let panels = self.panels.values.chunks_exact(dim);
        for (number, (panel, bias)) in panels.zip(&self.panels.biases).enumerate() {
            for (first, group) in (0..).step_by(GROUP).zip(&mut groups) {
                let above = group_tile::<S>(panel, bias, group, &mut scores);
                for (place, &bits) in above.iter().enumerate() {
                    if bits != 0 {
                        let scores = simd::flat(&scores[place]);
                        let scores = scores.try_into().expect("a panel's scores");
                        group.thresholds[place] = (self.visit)(first + place, number, bits, scores);
                    }
                }
            }
        }
    }
}

/// Scores a group against a panel: in one tile, or in as many as the
/// registers ask for.
#[inline(always)]
fn group_tile<S: Isa>(
    panel: &[Panel],
    bias: &Panel,
    group: &Group,
    scores: &mut [Panel; GROUP],
) -> [u32; GROUP] {
    const HALF: usize = GROUP / 2;
    let mut above = [0; GROUP];
    if S::TILE.0 >= GROUP && S::TILE.1 >= LANES {
        tile::<S, GROUP, LANES>(panel, bias, group, (0, 0), scores, &mut above);
    } else {
        for lane in 0..LANES {
            for row in [0, HALF] {
                tile::<S, HALF, 1>(panel, bias, group, (row, lane), scores, &mut above);
            }
        }
    }
    above
}

/// Scores `ROWS` users against `COLUMNS` lanes of a panel, both from `from`
/// on. A score is written where it beats the threshold of its user, for which
/// `above` has a bit then.
#[inline(always)]
fn tile<S: Isa, const ROWS: usize, const COLUMNS: usize>(
    panel: &[Panel],
    bias: &Panel,
    group: &Group,
    from: (usize, usize),
    scores: &mut [Panel; GROUP],
    above: &mut [u32; GROUP],
) {
    let (row, lane) = from;
    let mut sums = [[S::zero(); COLUMNS]; ROWS];
    for (r, sums) in sums.iter_mut().enumerate() {
        let offset = S::splat(group.offsets[row + r]);
        for (c, sum) in sums.iter_mut().enumerate() {
            *sum = S::add(S::load(&bias[lane + c]), offset);
        }
    }
    for (items, users) in panel.iter().zip(&group.values) {
        let mut columns = [S::zero(); COLUMNS];
        for (c, column) in columns.iter_mut().enumerate() {
            *column = S::load(&items[lane + c]);
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            let user = S::splat(users[row + r]);
            for (sum, column) in sums.iter_mut().zip(&columns) {
                *sum = S::madd(user, *column, *sum);
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        let threshold = S::splat(group.thresholds[row + r]);
        for (c, &sum) in sums.iter().enumerate() {
            let bits = S::above(sum, threshold);
            if bits != 0 {
                above[row + r] |= bits << ((lane + c) * WIDTH);
                S::store(sum, &mut scores[row + r][lane + c]);
            }
        }
    }
}

#[cfg(test)]
mod tests;

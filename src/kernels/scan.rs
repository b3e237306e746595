//! Inner products of users with a whole catalog, of which only those above a
//! moving threshold are ever seen.
//!
//! Items lie in panels of [`PANEL`], dimension by dimension, users in groups
//! of [`GROUP`]: a tile of `GROUP x PANEL` scores is summed in registers,
//! compared there with each user's threshold, and written only where it beats
//! it. A score is one sum in the order of the dimensions, whoever stands
//! beside it in a tile, so that it does not depend on how users are divided.

use super::vector::{self, Vector, VectorJob};
use rayon::prelude::*;

/// Items in a panel: one bit of a `u32` each.
pub const PANEL: usize = 32;

/// Users in a group.
pub const GROUP: usize = 8;

/// The vectors of a catalog, ready to be scanned.
pub struct Panels {
    num_items: usize,
    dim: usize,
    /// `panels x dim x PANEL`, zero beyond the last item.
    values: Vec<f32>,
    /// `panels x PANEL`
    biases: Vec<f32>,
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
        let mut padded = biases.map_or_else(|| vec![0.0; num_items], <[f32]>::to_vec);
        assert_eq!(padded.len(), num_items, "one bias an item");
        let largest = (largest(vectors), largest(&padded));
        let panels = num_items.div_ceil(PANEL);
        padded.resize(panels * PANEL, 0.0);
        let mut values = vec![0.0; panels * dim * PANEL];
        let parts = values
            .par_chunks_mut(dim * PANEL)
            .zip(vectors.par_chunks(dim * PANEL));
        parts.for_each(|(panel, vectors)| {
            for (place, vector) in vectors.chunks_exact(dim).enumerate() {
                for (column, value) in vector.iter().enumerate() {
                    panel[column * PANEL + place] = *value;
                }
            }
        });
        Self {
            num_items,
            dim,
            values,
            biases: padded,
            largest,
        }
    }

    pub fn num_items(&self) -> usize {
        self.num_items
    }

    pub fn dim(&self) -> usize {
        self.dim
    }

    /// How many panels there are.
    pub fn len(&self) -> usize {
        self.biases.len() / PANEL
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
/// `visit` gets the user, the panel, which of the panel's items beat the
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
    vector::run(Scan {
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
    /// `dim x GROUP`, zero beyond the last user.
    values: Vec<f32>,
    offsets: [f32; GROUP],
    /// Infinite beyond the last user.
    thresholds: [f32; GROUP],
}

impl Group {
    fn new(vectors: &[f32], offsets: &[f32], dim: usize) -> Self {
        let mut group = Self {
            values: vec![0.0; dim * GROUP],
            offsets: [0.0; GROUP],
            thresholds: [f32::INFINITY; GROUP],
        };
        for (place, (vector, offset)) in vectors.chunks_exact(dim).zip(offsets).enumerate() {
            group.offsets[place] = *offset;
            group.thresholds[place] = f32::NEG_INFINITY;
            for (column, value) in vector.iter().enumerate() {
                group.values[column * GROUP + place] = *value;
            }
        }
        group
    }
}

impl<F: FnMut(usize, usize, u32, &[f32; PANEL]) -> f32> VectorJob for Scan<'_, F> {
    type Output = ();

    #[inline(always)]
    fn call<V: Vector>(mut self) {
        let dim = self.panels.dim;
        let parts = self.vectors.chunks(GROUP * dim);
        let mut groups: Vec<Group> = parts
            .zip(self.offsets.chunks(GROUP))
            .map(|(vectors, offsets)| Group::new(vectors, offsets, dim))
            .collect();
        let mut scores = [[0.0; PANEL]; GROUP];
        let panels = self.panels.values.chunks_exact(dim * PANEL);
        for (number, (panel, biases)) in panels.zip(self.panels.biases.chunks(PANEL)).enumerate() {
            for (first, group) in (0..).step_by(GROUP).zip(&mut groups) {
                let above = if V::ROWS == GROUP {
                    tile::<V, GROUP>(panel, biases, group, 0, &mut scores)
                } else {
                    let half = tile::<V, { GROUP / 2 }>(panel, biases, group, 0, &mut scores);
                    let rest =
                        tile::<V, { GROUP / 2 }>(panel, biases, group, GROUP / 2, &mut scores);
                    std::array::from_fn(|i| half[i] | rest[i])
                };
                for (place, &bits) in above.iter().enumerate() {
                    if bits != 0 {
                        group.thresholds[place] =
                            (self.visit)(first + place, number, bits, &scores[place]);
                    }
                }
            }
        }
    }
}

/// Scores `ROWS` users of a group, from place `from` on, against a panel.
#[inline(always)]
fn tile<V: Vector, const ROWS: usize>(
    panel: &[f32],
    biases: &[f32],
    group: &Group,
    from: usize,
    scores: &mut [[f32; PANEL]; GROUP],
) -> [u32; GROUP] {
    let mut above = [0; GROUP];
    let dim = group.values.len() / GROUP;
    assert!(panel.len() == dim * PANEL && biases.len() == PANEL && from + ROWS <= GROUP);
    for column in (0..PANEL).step_by(2 * V::LEN) {
        let mut sums = [[V::splat(0.0); 2]; ROWS];
        // SAFETY: by the assertion, `panel` holds `PANEL` numbers and the
        // group `GROUP` numbers for each dimension; `column + 2 * LEN` is at
        // most `PANEL` and `from + ROWS` at most `GROUP`.
        unsafe {
            let bias = biases.as_ptr().add(column);
            let bias = [V::load(bias), V::load(bias.add(V::LEN))];
            for (row, sum) in sums.iter_mut().enumerate() {
                let offset = V::splat(group.offsets[from + row]);
                *sum = [bias[0].add(offset), bias[1].add(offset)];
            }
            let mut items = panel.as_ptr().add(column);
            let mut users = group.values.as_ptr().add(from);
            for _ in 0..dim {
                let pair = [V::load(items), V::load(items.add(V::LEN))];
                for (row, sum) in sums.iter_mut().enumerate() {
                    let user = V::splat(*users.add(row));
                    *sum = [sum[0].fma(user, pair[0]), sum[1].fma(user, pair[1])];
                }
                items = items.wrapping_add(PANEL);
                users = users.wrapping_add(GROUP);
            }
        }
        for (row, sum) in sums.iter().enumerate() {
            let threshold = V::splat(group.thresholds[from + row]);
            let bits = sum[0].above(threshold) | sum[1].above(threshold) << V::LEN;
            if bits != 0 {
                above[from + row] |= bits << column;
                let to = scores[from + row][column..column + 2 * V::LEN].as_mut_ptr();
                // SAFETY: the slice holds two registers.
                unsafe {
                    sum[0].store(to);
                    sum[1].store(to.add(V::LEN));
                }
            }
        }
    }
    above
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use vector::Four;

    fn random(n: usize, name: &str) -> Vec<f32> {
        let mut rng = Seed(5).stream(name);
        (0..n).map(|_| rng.normal()).collect()
    }

    /// All scores, by scanning with a threshold that nothing falls below.
    fn scores(panels: &Panels, vectors: &[f32], offsets: &[f32], plain: bool) -> Vec<f32> {
        let width = panels.num_items();
        let mut all = vec![f32::NAN; offsets.len() * width];
        let visit = |user: usize, panel: usize, bits: u32, scores: &[f32; PANEL]| {
            for place in (0..PANEL).filter(|p| bits >> p & 1 == 1) {
                let item = panel * PANEL + place;
                if item < width {
                    all[user * width + item] = scores[place];
                }
            }
            f32::NEG_INFINITY
        };
        if plain {
            let job = Scan {
                panels,
                vectors,
                offsets,
                visit,
            };
            job.call::<Four>();
        } else {
            scan(panels, vectors, offsets, visit);
        }
        all
    }

    #[test]
    fn scores_are_inner_products_whatever_the_size() {
        for (users, items, dim) in [(1, 1, 1), (3, 33, 5), (8, 64, 64), (19, 95, 17)] {
            let vectors = random(users * dim, "users");
            let catalog = random(items * dim, "items");
            let (biases, offsets) = (random(items, "biases"), random(users, "offsets"));
            let panels = Panels::new(dim, &catalog, Some(&biases));
            let got = scores(&panels, &vectors, &offsets, false);
            let portable = scores(&panels, &vectors, &offsets, true);
            for (at, score) in got.iter().enumerate() {
                let (user, item) = (at / items, at % items);
                let pairs = vectors[user * dim..][..dim]
                    .iter()
                    .zip(&catalog[item * dim..]);
                let sum: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                let exact = sum + f64::from(biases[item]) + f64::from(offsets[user]);
                assert!((f64::from(*score) - exact).abs() < 1e-4, "{score} {exact}");
                assert!((f64::from(portable[at]) - exact).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn a_user_scores_the_same_alone_and_in_company() {
        let (vectors, catalog) = (random(21 * 40, "users"), random(70 * 40, "items"));
        let panels = Panels::new(40, &catalog, None);
        let together = scores(&panels, &vectors, &[0.0; 21], false);
        for user in 0..21 {
            let alone = scores(&panels, &vectors[user * 40..][..40], &[0.0], false);
            assert_eq!(alone, together[user * 70..][..70]);
        }
    }

    #[test]
    fn what_could_overflow_is_not_finite() {
        let panels = |values: &[f32]| Panels::new(2, values, None);
        assert!(panels(&[1e10, -1.0]).all_finite(&[1e20, 0.0], &[1.0]));
        assert!(!panels(&[1e20, -1.0]).all_finite(&[-1e20, 0.0], &[1.0]));
        assert!(!panels(&[1.0, f32::NAN]).all_finite(&[0.0, 0.0], &[1.0]));
        assert!(!panels(&[0.0, 1.0]).all_finite(&[0.0, f32::INFINITY], &[1.0]));
        assert!(!panels(&[0.0, 1.0]).all_finite(&[0.0, 1.0], &[f32::NAN]));
    }
}

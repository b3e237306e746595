//! From the gradients of a step's parts to the update of the weights.

use super::cosine::UnitRows;
use crate::kernels::catalog::RowGradients;
use crate::kernels::groups::{Grouper, Groups};
use crate::kernels::mf::{SharedSide, Side};
use crate::kernels::simd::{self, Isa, Job, Lane, add, dot, flat_mut, prefetch};
use crate::kernels::table::Table;
use crate::kernels::update::{Hyper, update_row};
use rayon::prelude::*;

/// Item rows that a thread sums up or updates at a time.
const ROWS: usize = 64;

/// How many rows ahead the gradients of one are asked for.
const AHEAD: usize = 4;

/// The gradients of some parts.
#[derive(Clone)]
pub struct Segment {
    /// By way of the inputs, and where scores are not cosines, of the scores.
    pub items: RowGradients,
    /// By way of the scores, where they are cosines: of the items' unit rows.
    pub units: Option<RowGradients>,
    pub dense: Vec<Lane>,
}

impl Segment {
    pub fn clear(&mut self) {
        self.items.clear();
        if let Some(units) = &mut self.units {
            units.clear();
        }
        self.dense.fill(Lane::ZERO);
    }
}

/// The gradients of the item rows that a step has any for, summed up over the
/// segments in their order. Its work and its memory are in proportion to those
/// rows, but for a stamp of each row of the table.
pub struct RowSums {
    /// Ascending.
    rows: Vec<u32>,
    /// Parallel to `rows`.
    lanes: Vec<Lane>,
    squares: Vec<f64>,
    width: usize,
    grouper: Grouper,
    groups: Groups,
    /// The rows of all segments, one segment after the other.
    looked_up: Vec<u32>,
    /// Row and group, by row.
    order: Vec<(u32, u32)>,
}

impl RowSums {
    /// Of a table of `rows` rows of `width` lanes.
    pub fn new(rows: usize, width: usize) -> Self {
        Self {
            rows: Vec::new(),
            lanes: Vec::new(),
            squares: Vec::new(),
            width,
            grouper: Grouper::new(rows),
            groups: Groups::default(),
            looked_up: Vec::new(),
            order: Vec::new(),
        }
    }

    /// Sums up the rows of a step; returns the sum of squares, which is added
    /// up over [`ROWS`] rows of the table at a time.
    pub fn add_up(&mut self, segments: &[Segment], items: &Table, units: Option<&UnitRows>) -> f64 {
        let of_units = segments.iter().filter_map(|s| s.units.as_ref());
        let parts: Vec<_> = of_units.chain(segments.iter().map(|s| &s.items)).collect();
        self.looked_up.clear();
        let mut begins = Vec::with_capacity(parts.len());
        for part in &parts {
            begins.push(self.looked_up.len() as u32);
            self.looked_up.extend_from_slice(part.rows());
        }
        self.grouper.group(&self.looked_up, &mut self.groups);
        self.grouper.by_row(&self.groups, &mut self.order);
        self.rows.clear();
        self.rows.extend(self.order.iter().map(|(row, _)| row));
        self.lanes.resize(self.rows.len() * self.width, Lane::ZERO);
        self.squares.resize(self.rows.len(), 0.0);
        let first_of_items = begins[parts.len() - segments.len()];
        let (groups, parts, begins) = (&self.groups, &parts[..], &begins[..]);
        self.lanes
            .par_chunks_mut(ROWS * self.width)
            .zip(self.squares.par_chunks_mut(ROWS))
            .zip(self.order.par_chunks(ROWS))
            .for_each(|((rows, squares), order)| {
                simd::run(AddUp {
                    rows,
                    squares,
                    order,
                    groups,
                    parts,
                    begins,
                    first_of_items,
                    items,
                    units,
                });
            });
        let mut sum = 0.0;
        let blocks = |a: &u32, b: &u32| *a as usize / ROWS == *b as usize / ROWS;
        let mut squares = self.squares.iter();
        for block in self.rows.chunk_by(blocks) {
            sum += squares.by_ref().take(block.len()).sum::<f64>();
        }
        sum
    }

    /// Updates the rows, and with `all` those without a gradient, too.
    pub fn update(&mut self, side: &mut Side, all: bool, hyper: &Hyper, scale: f32) {
        let num_rows = side.weights.num_rows();
        let side = SharedSide::of(side);
        self.lanes
            .par_chunks_mut(ROWS * self.width)
            .zip(self.rows.par_chunks(ROWS))
            .for_each(|(gradients, rows)| {
                simd::run(UpdateRows {
                    side: &side,
                    rows,
                    gradients,
                    hyper,
                    scale,
                });
            });
        if all {
            let zeros = vec![Lane::ZERO; self.width];
            let first_rows = (0..num_rows).into_par_iter().step_by(ROWS);
            first_rows.for_each(|first| {
                simd::run(UpdateOthers {
                    side: &side,
                    rows: first as u32..(first + ROWS).min(num_rows) as u32,
                    touched: &self.rows,
                    gradient: &zeros,
                    hyper,
                });
            });
        }
    }

    /// Those of the last sum, ascending.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }
}

/// The sums of some rows.
struct AddUp<'a> {
    rows: &'a mut [Lane],
    squares: &'a mut [f64],
    /// Row and group of each.
    order: &'a [(u32, u32)],
    groups: &'a Groups,
    /// The gradients of unit rows, then those of the items.
    parts: &'a [&'a RowGradients],
    /// The first place of each part.
    begins: &'a [u32],
    first_of_items: u32,
    items: &'a Table,
    units: Option<&'a UnitRows>,
}

impl AddUp<'_> {
    #[inline(always)]
    fn at(&self, place: u32) -> &[Lane] {
        let part = self.begins.partition_point(|&begin| begin <= place) - 1;
        self.parts[part].at((place - self.begins[part]) as usize)
    }

    #[inline(always)]
    fn add_places(&self, row: &mut [Lane], places: &[u32]) {
        for &place in places {
            add(row, self.at(place));
        }
    }

    /// Asks for the gradients of a row that will soon be summed up: they lie
    /// anywhere in the segments.
    #[inline(always)]
    fn prefetch(&self, number: usize) {
        if let Some(&(_, group)) = self.order.get(number) {
            for &place in self.groups.places_of(group as usize) {
                prefetch(self.at(place));
            }
        }
    }
}

impl Job for AddUp<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(mut self) {
        let width = self.rows.len() / self.order.len();
        let rows = std::mem::take(&mut self.rows).chunks_exact_mut(width);
        let squares = std::mem::take(&mut self.squares);
        let all = rows.zip(squares).zip(self.order).enumerate();
        for (number, ((row, square), &(at, group))) in all {
            self.prefetch(number + AHEAD);
            row.fill(Lane::ZERO);
            let places = self.groups.places_of(group as usize);
            let of_units = places.partition_point(|&place| place < self.first_of_items);
            let (of_units, of_items) = places.split_at(of_units);
            if let (Some(units), false) = (self.units, of_units.is_empty()) {
                self.add_places(row, of_units);
                units.to_items::<S>(at, self.items, row);
            }
            self.add_places(row, of_items);
            *square = f64::from(dot::<S>(row, row));
        }
    }
}

/// The sum of squares.
pub struct Squares<'a>(pub &'a [Lane]);

impl Job for Squares<'_> {
    type Output = f32;

    #[inline(always)]
    fn call<S: Isa>(self) -> f32 {
        dot::<S>(self.0, self.0)
    }
}

/// The update of some items' rows.
struct UpdateRows<'a> {
    side: &'a SharedSide<'a>,
    rows: &'a [u32],
    /// Parallel to `rows`.
    gradients: &'a mut [Lane],
    hyper: &'a Hyper,
    scale: f32,
}

impl Job for UpdateRows<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let width = self.gradients.len() / self.rows.len();
        for (gradient, &row) in self.gradients.chunks_exact_mut(width).zip(self.rows) {
            flat_mut(gradient).iter_mut().for_each(|g| *g *= self.scale);
            // SAFETY: each row is in one chunk, and chunks are distinct.
            let held = unsafe { self.side.row(row) };
            held.update::<S>(self.hyper, gradient);
        }
    }
}

/// The update of those among some rows that have no gradient.
struct UpdateOthers<'a> {
    side: &'a SharedSide<'a>,
    rows: std::ops::Range<u32>,
    /// Those that have one, ascending.
    touched: &'a [u32],
    /// Zeros.
    gradient: &'a [Lane],
    hyper: &'a Hyper,
}

impl Job for UpdateOthers<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let first = self.touched.partition_point(|&row| row < self.rows.start);
        let mut touched = self.touched[first..].iter().peekable();
        for row in self.rows {
            if touched.next_if_eq(&&row).is_none() {
                // SAFETY: each row is in one range, and ranges are distinct.
                let held = unsafe { self.side.row(row) };
                held.update::<S>(self.hyper, self.gradient);
            }
        }
    }
}

/// The update of all other weights.
pub struct UpdateDense<'a> {
    pub weights: &'a mut [Lane],
    pub first: &'a mut [Lane],
    pub second: &'a mut [Lane],
    pub gradient: &'a mut [Lane],
    pub hyper: &'a Hyper,
    pub scale: f32,
}

impl Job for UpdateDense<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let gradient = flat_mut(self.gradient);
        gradient.iter_mut().for_each(|g| *g *= self.scale);
        update_row::<S>(
            self.hyper,
            flat_mut(self.weights),
            flat_mut(self.first),
            flat_mut(self.second),
            gradient,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::{OptimizerConfig, OptimizerKind};
    use crate::seed::Seed;

    const DIM: usize = 20;
    const ITEMS: usize = 300;

    fn table(seed: u64) -> Table {
        let mut random = Seed(seed).stream("rows");
        let values: Vec<f32> = (0..ITEMS * DIM).map(|_| random.normal()).collect();
        let mut table = Table::zeros(ITEMS, DIM);
        table.put(0, DIM, &values);
        table
    }

    /// Segments with gradients of some rows, and what they come to in whole
    /// tables, segment by segment.
    fn segments(seed: u64, touched: u32) -> (Vec<Segment>, Table, Vec<bool>) {
        let mut random = Seed(seed).stream("gradients");
        let mut sum = Table::zeros(ITEMS, DIM);
        let mut any = vec![false; ITEMS];
        let width = sum.per_row();
        let segment = |_| {
            let mut items = RowGradients::new(ITEMS, width);
            for _ in 0..touched {
                let gradient = vec![Lane([random.normal(); 16]); width];
                items.add(random.below(ITEMS as u32), &gradient);
            }
            for (place, &row) in items.rows().iter().enumerate() {
                any[row as usize] = true;
                let to = &mut sum.lanes_mut()[row as usize * width..][..width];
                add(to, items.at(place));
            }
            Segment {
                items,
                units: None,
                dense: Vec::new(),
            }
        };
        ((0..3).map(segment).collect(), sum, any)
    }

    #[test]
    fn sums_are_those_of_whole_tables_and_so_are_updates() {
        let weights = table(1);
        let config = OptimizerConfig {
            kind: OptimizerKind::Adam,
            ..crate::training::TrainingConfig::default().optimizer_config()
        };
        let width = weights.per_row();
        let mut sums = RowSums::new(ITEMS, width);
        for (seed, touched) in [(2, 40), (3, 1), (4, 900)] {
            let (segments, whole, any) = segments(seed, touched);
            let squares = sums.add_up(&segments, &weights, None);
            let rows: Vec<u32> = (0..ITEMS as u32).filter(|&r| any[r as usize]).collect();
            assert_eq!(sums.rows(), rows);
            let mut expected = 0.0;
            for block in whole.lanes().chunks(ROWS * width) {
                let of_row = |row: &[Lane]| f64::from(simd::run(Squares(row)));
                expected += block.chunks_exact(width).map(of_row).sum::<f64>();
            }
            assert_eq!(squares, expected);
            for all in [false, true] {
                let mut side = Side::zeros(ITEMS, DIM, 2);
                side.weights = weights.clone();
                // Moments that move a row without a gradient, too.
                side.first = table(5);
                side.second.lanes_mut().fill(Lane([0.5; 16]));
                let mut plain = side.clone();
                let hyper = Hyper::new(&config, 0.1, 3);
                let mut once = RowSums::new(ITEMS, width);
                once.add_up(&segments, &weights, None);
                once.update(&mut side, all, &hyper, 0.5);
                let shared = SharedSide::of(&mut plain);
                for row in (0..ITEMS).filter(|&row| all || any[row]) {
                    let gradient = whole.row(row as u32).iter();
                    let halves: Vec<Lane> = gradient.map(|l| Lane(l.0.map(|x| x * 0.5))).collect();
                    // SAFETY: the only row that is held.
                    let held = unsafe { shared.row(row as u32) };
                    simd::run(One(held, &hyper, &halves));
                }
                assert_eq!(side.weights.lanes(), plain.weights.lanes());
                assert_eq!(side.first.lanes(), plain.first.lanes());
                assert_eq!(side.second.lanes(), plain.second.lanes());
            }
        }
    }

    struct One<'a>(crate::kernels::mf::Held<'a>, &'a Hyper, &'a [Lane]);

    impl Job for One<'_> {
        type Output = ();

        #[inline(always)]
        fn call<S: Isa>(self) {
            self.0.update::<S>(self.1, self.2);
        }
    }
}

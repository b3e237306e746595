//! Sums over neighbors on the CPU. A sum is kept in registers while a row's
//! neighbors are added, always in their order, and goes to whoever asked for
//! it before it leaves the nearest cache.

use super::Graph;
use crate::kernels::simd::{self, Isa, Job, Lane, prefetch_at};
use crate::kernels::table::Table;
use rayon::prelude::*;
use std::ops::Range;

/// Rows of a batch that a thread takes at a time.
const CHUNK: usize = 32;

/// How many neighbors ahead a row is asked for.
const AHEAD: usize = 8;

/// Lanes of a row whose sums are in registers at once.
const BLOCK: usize = 4;

/// Where the rows that are added up come from.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// A table with a row for each row of the graph.
    All(&'a Table),
    /// Some rows of the graph: row `r` has the `slots[r]`-th of `rows`, of
    /// `per_row` lanes each, but where its slot is 0 it has none. `slots` has
    /// one for each row of the graph.
    Some {
        rows: &'a [Lane],
        per_row: usize,
        slots: &'a [u32],
    },
}

impl Source<'_> {
    fn per_row(&self) -> usize {
        match self {
            Self::All(table) => table.per_row(),
            Self::Some { per_row, .. } => *per_row,
        }
    }

    fn check(&self, graph: &Graph) {
        let nodes = graph.num_nodes();
        match self {
            Self::All(table) => assert_eq!(
                table.lanes().len(),
                nodes * table.per_row(),
                "a row for each node"
            ),
            Self::Some {
                rows,
                per_row,
                slots,
            } => {
                assert_eq!(slots.len(), nodes, "a slot for each node");
                let most = slots.iter().max().map_or(0, |&slot| slot as usize);
                assert!((most + 1) * per_row <= rows.len(), "a row for each slot");
            }
        }
    }
}

/// What is done with a sum. Rows come in any order and from any thread, each
/// once.
pub trait Finish: Sync {
    /// `number` is that of the row: in the graph for [`pass`], among the
    /// given ones for [`pass_at`]. `sum` may be written over.
    fn finish<S: Isa>(&self, number: usize, sum: &mut [Lane]);
}

/// The sum over the neighbors of every row of the graph.
///
/// # Panics
/// When the source does not have a row for each node.
pub fn pass<F: Finish>(graph: &Graph, source: Source<'_>, finish: &F) {
    source.check(graph);
    graph.chunks.par_iter().for_each(|rows| {
        simd::run(Sums {
            graph,
            source,
            rows: rows.clone(),
            at: None,
            finish,
        });
    });
}

/// The sum over the neighbors of some rows of the graph.
///
/// # Panics
/// When the table does not have a row for each node.
pub fn pass_at<F: Finish>(graph: &Graph, table: &Table, rows: &[u32], finish: &F) {
    let source = Source::All(table);
    source.check(graph);
    let chunks = rows.len().div_ceil(CHUNK);
    (0..chunks).into_par_iter().for_each(|chunk| {
        let first = chunk * CHUNK;
        simd::run(Sums {
            graph,
            source,
            rows: first..(first + CHUNK).min(rows.len()),
            at: Some(rows),
            finish,
        });
    });
}

struct Sums<'a, F> {
    graph: &'a Graph,
    /// Checked to have a row for each neighbor that it is asked for.
    source: Source<'a>,
    /// Numbers of rows: of the graph, or of `at`.
    rows: Range<usize>,
    at: Option<&'a [u32]>,
    finish: &'a F,
}

impl<F: Finish> Job for Sums<'_, F> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let per_row = self.source.per_row();
        let mut sum = vec![Lane::ZERO; per_row];
        let mut present = Vec::new();
        for number in self.rows {
            let row = self.at.map_or(number, |at| at[number] as usize);
            let neighbors = self.graph.neighbors_of(row);
            // SAFETY: neighbors are rows of the graph, and for each of those
            // the source has been checked to have a row, or one for its slot.
            unsafe {
                match self.source {
                    Source::All(table) => add_up::<S>(neighbors, table.lanes(), &mut sum),
                    Source::Some { rows, slots, .. } => {
                        let present = keep_present(neighbors, slots, &mut present);
                        add_up::<S>(present, rows, &mut sum);
                    }
                }
            }
            self.finish.finish::<S>(number, &mut sum);
        }
    }
}

/// The slots of the neighbors that have one.
///
/// # Safety
/// There is a slot for each neighbor.
#[inline(always)]
unsafe fn keep_present<'a>(
    neighbors: &[u32],
    slots: &[u32],
    present: &'a mut Vec<u32>,
) -> &'a [u32] {
    if present.len() < neighbors.len() {
        present.resize(neighbors.len(), 0);
    }
    let mut count = 0;
    for &neighbor in neighbors {
        // SAFETY: the caller's promise; at most as many are kept as there are
        // neighbors.
        unsafe {
            let slot = *slots.get_unchecked(neighbor as usize);
            *present.get_unchecked_mut(count) = slot;
            count += usize::from(slot != 0);
        }
    }
    &present[..count]
}

/// The sum of these rows of the lanes, as wide as `sum`.
///
/// # Safety
/// The lanes hold all of the rows.
#[inline(always)]
unsafe fn add_up<S: Isa>(rows: &[u32], lanes: &[Lane], sum: &mut [Lane]) {
    let per_row = sum.len();
    let mut lane = 0;
    while lane < per_row {
        // SAFETY: as the caller promises.
        lane += unsafe {
            if per_row - lane >= BLOCK {
                add_block::<S, BLOCK>(rows, lanes, lane, sum)
            } else {
                add_block::<S, 1>(rows, lanes, lane, sum)
            }
        };
    }
}

/// `LANES` lanes of the sum, from `lane` on.
///
/// # Safety
/// As [`add_up`], and the rows have these lanes.
#[inline(always)]
unsafe fn add_block<S: Isa, const LANES: usize>(
    rows: &[u32],
    lanes: &[Lane],
    lane: usize,
    sum: &mut [Lane],
) -> usize {
    let per_row = sum.len();
    let start = lanes.as_ptr().wrapping_add(lane);
    let mut sums = [S::zero(); LANES];
    for (i, &row) in rows.iter().enumerate() {
        if let Some(&later) = rows.get(i + AHEAD) {
            for l in 0..LANES {
                prefetch_at(start.wrapping_add(later as usize * per_row + l));
            }
        }
        // SAFETY: as the caller promises.
        unsafe {
            let from = start.add(row as usize * per_row);
            for (l, sum) in sums.iter_mut().enumerate() {
                *sum = S::add(*sum, S::load(&*from.add(l)));
            }
        }
    }
    for (to, sum) in sum[lane..lane + LANES].iter_mut().zip(sums) {
        S::store(sum, to);
    }
    LANES
}

//! A training step: segments of the batch in parallel, then the updates.

use super::chunk::{self, Gradients, LayerMasks, Network, Scratch, Transposes};
use super::{Batch, Dense, Ncf};
use crate::kernels::groups::{Grouper, Groups};
use crate::kernels::mf::{SharedSide, Side};
use crate::kernels::simd::{self, Isa, Job, Lane, add_scaled, flat_mut};
use crate::kernels::table::SharedRows;
use crate::kernels::update::{Hyper, clip_scale, sum_of_squares, update_row};
use crate::seed::Rng;
use rayon::prelude::*;

/// Pairs whose activations stay in the cache together.
const PAIRS: usize = 128;

/// Chunks that a thread takes at a time.
const CHUNKS: usize = 4;

/// Rows that a thread updates at a time.
const ROWS: usize = 64;

/// How many places ahead rows are asked for.
const AHEAD: usize = 4;

/// Memory between the parts of a step.
pub struct Space {
    user_grouper: Grouper,
    item_grouper: Grouper,
    by_user: Groups,
    by_item: Groups,
    /// Gradients of the embedding rows of each example, and of each pair.
    users: Vec<Lane>,
    items: Vec<Lane>,
    /// Gradients of the weights, segment by segment.
    dense: Vec<Lane>,
}

impl Space {
    pub fn new(num_users: usize, num_items: usize) -> Self {
        Self {
            user_grouper: Grouper::new(num_users),
            item_grouper: Grouper::new(num_items),
            by_user: Groups::default(),
            by_item: Groups::default(),
            users: Vec::new(),
            items: Vec::new(),
            dense: Vec::new(),
        }
    }
}

/// One step; see [`Ncf::step`].
pub fn step(ncf: &mut Ncf, batch: Batch<'_>, dropout: &Rng, hyper: &Hyper) -> f64 {
    let (examples, pairs) = (batch.users.len(), batch.items.len());
    let (settings, width) = (ncf.settings, pairs / examples.max(1));
    let transposes = Transposes::new(&ncf.layout, &ncf.dense.weights);
    let net = Network {
        settings,
        layout: &ncf.layout,
        weights: &ncf.dense.weights,
        transposes: &transposes,
        users: &ncf.users.weights,
        items: &ncf.items.weights,
        masks: LayerMasks::new(dropout, settings.dropout, &ncf.layout, (examples, pairs)),
        batch,
        width,
        scale: 1.0 / settings.goal.divisor(examples, width),
        decay: settings.regularization / examples as f32,
    };
    let space = &mut ncf.space;
    let per_row = net.users.per_row();
    // Chunks write all of it, so that old numbers may stand there.
    space.users.resize(examples * per_row, Lane::ZERO);
    space.items.resize(pairs * per_row, Lane::ZERO);
    let segments = Segments {
        chunk: chunk_len(width),
        users: &mut space.users,
        items: &mut space.items,
        dense: &mut space.dense,
    };
    let group_users = || space.user_grouper.group(batch.users, &mut space.by_user);
    let group_items = || space.item_grouper.group(batch.items, &mut space.by_item);
    let (loss, _) = rayon::join(
        || segments.run(&net),
        || rayon::join(group_users, group_items),
    );
    add_segments(&mut space.dense, ncf.layout.len);
    let dense = &mut space.dense[..ncf.layout.len];
    let mut squares = gather(&space.by_user, &mut space.users, per_row);
    squares += gather(&space.by_item, &mut space.items, per_row);
    squares += sum_of_squares(dense);
    let scale = clip_scale(squares, f64::from(settings.gradient_clip));
    update_rows(
        &space.by_user,
        &mut space.users,
        &mut ncf.users,
        (hyper, scale),
    );
    update_rows(
        &space.by_item,
        &mut space.items,
        &mut ncf.items,
        (hyper, scale),
    );
    simd::run(DenseUpdate {
        dense: &mut ncf.dense,
        gradient: dense,
        hyper,
        scale,
    });
    loss
}

/// Examples in a chunk: pairs in whole tiles, where that is not too much.
pub fn chunk_len(width: usize) -> usize {
    let examples = (PAIRS / width).max(1);
    if examples > 8 {
        examples / 8 * 8
    } else {
        examples
    }
}

/// Where the segments of a batch put their gradients.
struct Segments<'a> {
    /// Examples in a chunk.
    chunk: usize,
    users: &'a mut [Lane],
    items: &'a mut [Lane],
    dense: &'a mut Vec<Lane>,
}

impl Segments<'_> {
    /// Forward and backward of the whole batch; returns its loss.
    fn run(self, net: &Network<'_>) -> f64 {
        let per_row = net.users.per_row();
        let examples = self.chunk * CHUNKS;
        let count = net.batch.users.len().div_ceil(examples);
        self.dense.clear();
        self.dense.resize(count * net.layout.len, Lane::ZERO);
        let losses: Vec<f64> = self
            .dense
            .par_chunks_mut(net.layout.len)
            .zip(self.users.par_chunks_mut(examples * per_row))
            .zip(self.items.par_chunks_mut(examples * net.width * per_row))
            .enumerate()
            .map_init(
                Scratch::default,
                |scratch, (number, ((dense, users), items))| {
                    simd::run(Segment {
                        net,
                        first: number * examples,
                        chunk: self.chunk,
                        scratch,
                        gradients: Gradients {
                            dense,
                            users,
                            items,
                        },
                    })
                },
            )
            .collect();
        losses.iter().sum()
    }
}

struct Segment<'a> {
    net: &'a Network<'a>,
    /// Number of the first example in the batch.
    first: usize,
    chunk: usize,
    scratch: &'a mut Scratch,
    gradients: Gradients<'a>,
}

impl Job for Segment<'_> {
    type Output = f64;

    #[inline(always)]
    fn call<S: Isa>(self) -> f64 {
        let per_row = self.net.users.per_row();
        let users = self.gradients.users.chunks_mut(self.chunk * per_row);
        let pairs = self.chunk * self.net.width;
        let items = self.gradients.items.chunks_mut(pairs * per_row);
        let mut loss = 0.0;
        let mut first = self.first;
        for (users, items) in users.zip(items) {
            let count = users.len() / per_row;
            let gradients = Gradients {
                dense: &mut *self.gradients.dense,
                users,
                items,
            };
            loss += chunk::train::<S>(self.net, (first, count), self.scratch, gradients);
            first += count;
        }
        loss
    }
}

/// Adds the gradients of all segments to those of the first one.
fn add_segments(dense: &mut [Lane], len: usize) {
    let (first, others) = dense.split_at_mut(len);
    first
        .par_chunks_mut(ROWS)
        .enumerate()
        .for_each(|(part, sum)| {
            for other in others.chunks_exact(len) {
                let other = &other[part * ROWS..][..sum.len()];
                for (sum, lane) in sum.iter_mut().zip(other) {
                    *sum = Lane(std::array::from_fn(|i| sum.0[i] + lane.0[i]));
                }
            }
        });
}

/// Adds up the gradients of each row at its first place; returns the sum of
/// all squares of what is there then.
fn gather(groups: &Groups, gradients: &mut [Lane], per_row: usize) -> f64 {
    let shared = SharedRows::of(gradients, per_row);
    let parts: Vec<usize> = (0..groups.len()).step_by(ROWS).collect();
    let squares: Vec<f64> = parts
        .into_par_iter()
        .map(|first| {
            simd::run(Gather {
                groups,
                gradients: &shared,
                range: first..(first + ROWS).min(groups.len()),
            })
        })
        .collect();
    squares.iter().sum()
}

struct Gather<'a> {
    groups: &'a Groups,
    gradients: &'a SharedRows<'a>,
    range: std::ops::Range<usize>,
}

impl Job for Gather<'_> {
    type Output = f64;

    #[inline(always)]
    fn call<S: Isa>(self) -> f64 {
        let mut squares = 0.0;
        for group in self.range {
            let places = self.groups.places_of(group);
            // SAFETY: a place stands in one group, and a group in one range.
            let sum = unsafe { self.gradients.row(places[0]) }.0;
            for &place in &places[1..] {
                // SAFETY: as above, and the places of a group are distinct.
                let row = unsafe { self.gradients.row(place) }.0;
                add_scaled::<S>(sum, 1.0, row);
            }
            squares += f64::from(simd::dot::<S>(sum, sum));
        }
        squares
    }
}

/// Updates each row by its gradient times a factor.
fn update_rows(
    groups: &Groups,
    gradients: &mut [Lane],
    side: &mut Side,
    (hyper, scale): (&Hyper, f32),
) {
    let gradients = SharedRows::of(gradients, side.weights.per_row());
    let shared = SharedSide::of(side);
    let parts: Vec<usize> = (0..groups.len()).step_by(ROWS).collect();
    parts.into_par_iter().for_each(|first| {
        simd::run(RowUpdates {
            groups,
            gradients: &gradients,
            side: &shared,
            range: first..(first + ROWS).min(groups.len()),
            hyper,
            scale,
        });
    });
}

struct RowUpdates<'a> {
    groups: &'a Groups,
    gradients: &'a SharedRows<'a>,
    side: &'a SharedSide<'a>,
    range: std::ops::Range<usize>,
    hyper: &'a Hyper,
    scale: f32,
}

impl Job for RowUpdates<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        for group in self.range {
            if let Some(&later) = self.groups.rows.get(group + AHEAD) {
                self.side.prefetch(later);
            }
            // SAFETY: rows and first places are distinct, and each group is
            // in one range.
            let (held, gradient) = unsafe {
                (
                    self.side.row(self.groups.rows[group]),
                    self.gradients.row(self.groups.places_of(group)[0]).0,
                )
            };
            flat_mut(gradient).iter_mut().for_each(|g| *g *= self.scale);
            held.update::<S>(self.hyper, gradient);
        }
    }
}

struct DenseUpdate<'a> {
    dense: &'a mut Dense,
    gradient: &'a mut [Lane],
    hyper: &'a Hyper,
    scale: f32,
}

impl Job for DenseUpdate<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let gradient = flat_mut(self.gradient);
        gradient.iter_mut().for_each(|g| *g *= self.scale);
        update_row::<S>(
            self.hyper,
            flat_mut(&mut self.dense.weights),
            flat_mut(&mut self.dense.first),
            flat_mut(&mut self.dense.second),
            gradient,
        );
    }
}

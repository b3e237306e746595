//! A training step: graphs of some windows each in parallel, then the updates.

use super::Body;
use super::cosine::UnitRows;
use super::decay::{self, Decay};
use super::network::{self, Host, Network};
use super::part::{Origin, Part, divide};
use super::setup::{NegativesFor, Setup};
use super::updates::{RowSums, Segment, Squares, UpdateDense};
use crate::kernels::catalog::{self, Full, Goal, RowGradients, Sampled, transpose};
use crate::kernels::layers::{DropoutStream, Graph, Weights};
use crate::kernels::mf::Side;
use crate::kernels::simd::{self, Lane, add};
use crate::kernels::table::Table;
use crate::kernels::update::{Hyper, clip_scale};
use crate::optim::{Optimizer, num_states};
use crate::sampling::NegativeSampler;
use crate::seed::Rng;
use anyhow::Result;
use rayon::prelude::*;

/// Parts of a step that have gradient buffers of their own. Not the number of
/// threads, on which results must not depend.
const SEGMENTS: usize = 8;

/// Bytes that all of those buffers may take, if that allows for one.
const SEGMENT_BYTES: usize = 512 << 20;

/// Weights, the optimizer's states, and the memory of a step.
pub struct Trainer {
    weights: Weights,
    first: Vec<Lane>,
    second: Vec<Lane>,
    items: Side,
    /// Where scores are cosines.
    units: Option<UnitRows>,
    num_items: usize,
    goal: Option<Goal>,
    /// Of the target, over the whole catalog.
    smoothing: f32,
    /// [`transpose`] of the items, for the whole catalog.
    transposed: Vec<Lane>,
    /// [`catalog::mean`] of the items, where the target is smoothed over them.
    mean: Vec<Lane>,
    decay: Option<Decay>,
    /// The largest length of an item's row; 0 for any.
    max_norm: f32,
    segments: Vec<Segment>,
    /// Sums over the segments.
    item_sum: RowSums,
    dense_sum: Vec<Lane>,
    /// Whether rows without a gradient are updated, too.
    all_rows: bool,
    gradient_clip: f64,
}

/// What a step trains on.
pub struct Step<'a> {
    pub body: &'a dyn Body,
    pub setup: &'a Setup,
    pub parts: &'a [Part],
    pub negatives: Option<Negatives<'a>>,
    /// Of this step.
    pub dropout: &'a Rng,
}

impl Step<'_> {
    /// How often negatives are drawn for a sequence of so many predictions.
    fn draws(&self, predictions: usize) -> usize {
        match self.setup.negatives_for {
            NegativesFor::Position => predictions,
            NegativesFor::Sequence => 1,
        }
    }
}

/// Where negatives come from.
#[derive(Clone, Copy)]
pub struct Negatives<'a> {
    pub sampler: &'a NegativeSampler,
    pub stream: &'a Rng,
    /// For each place, or sequence.
    pub count: usize,
    /// See [`Sampled::log_expected`].
    pub log_expected: Option<&'a [f32]>,
}

/// What scores are inner products with.
fn scored<'a>(items: &'a Side, units: Option<&'a UnitRows>) -> &'a Table {
    units.map_or(&items.weights, |units| &units.rows)
}

/// Parts of a step, where each has gradients of so many bytes whatever it
/// touches.
pub fn segments(bytes: usize) -> usize {
    (SEGMENT_BYTES / bytes.max(1)).clamp(1, SEGMENTS)
}

impl Trainer {
    /// Takes weights and states over. `smoothing` is that of the target over
    /// the whole catalog, where there is no `goal`.
    ///
    /// # Errors
    /// A device that fails.
    pub fn new(
        network: &Network,
        optimizer: &Optimizer,
        goal: Option<Goal>,
        smoothing: f32,
        all_rows: bool,
    ) -> Result<Self> {
        let Host {
            items,
            units,
            weights,
        } = network.host()?;
        let states = num_states(optimizer.config().kind);
        let [rows, dim] = network.items.shape();
        let mut side = Side::zeros(rows, dim, states);
        let kept = optimizer.host_states(&network.items)?;
        for (table, state) in [&mut side.first, &mut side.second].into_iter().zip(&kept) {
            table.put(0, dim, state);
        }
        side.weights = items;
        let len = weights.layout.len;
        let state = |number| vec![Lane::ZERO; if states >= number { len } else { 0 }];
        let (mut first, mut second) = (state(1), state(2));
        for (entry, param) in weights.layout.entries.iter().zip(&network.dense) {
            let kept = optimizer.host_states(param)?;
            for (lanes, state) in [&mut first, &mut second].into_iter().zip(&kept) {
                entry.put(lanes, state);
            }
        }
        let width = side.weights.per_row();
        // The whole catalog's loss gives every row a gradient.
        let whole = match goal {
            None => (1 + usize::from(units.is_some())) * rows * width,
            Some(_) => 0,
        };
        let bytes = (whole + len) * size_of::<Lane>();
        let segment = Segment {
            items: RowGradients::new(rows, width),
            units: units.as_ref().map(|_| RowGradients::new(rows, width)),
            dense: vec![Lane::ZERO; len],
        };
        Ok(Self {
            segments: vec![segment; segments(bytes)],
            item_sum: RowSums::new(rows, width),
            dense_sum: vec![Lane::ZERO; len],
            transposed: Vec::new(),
            mean: Vec::new(),
            smoothing,
            decay: Decay::of(&network.setup),
            max_norm: network.setup.embeddings.max_norm as f32,
            items: side,
            units,
            num_items: network.num_items,
            gradient_clip: optimizer.config().gradient_clip,
            weights,
            first,
            second,
            goal,
            all_rows,
        })
    }

    /// One step; returns the sum of the losses of its predictions.
    pub fn step(&mut self, step: &Step<'_>, hyper: &Hyper) -> f64 {
        self.weights.transpose();
        if self.goal.is_none() {
            let scored = scored(&self.items, self.units.as_ref());
            transpose(scored, self.num_items, &mut self.transposed);
            if self.smoothing > 0.0 {
                self.mean = catalog::mean(scored, self.num_items);
            }
        }
        let predictions: usize = step.parts.iter().map(Part::predictions).sum();
        let scale = 1.0 / predictions as f32;
        let mut segments = std::mem::take(&mut self.segments);
        let shares = divide(step.parts, segments.len());
        let work = segments.par_iter_mut().zip(shares);
        let losses: Vec<f64> = work
            .map(|(segment, share)| {
                let numbers = share.clone();
                let parts = numbers.zip(&step.parts[share]);
                parts.fold(0.0, |sum, (number, part)| {
                    sum + self.train(step, (number, part), scale, segment)
                })
            })
            .collect();
        let squares = self.add_up(&segments);
        segments.par_iter_mut().for_each(Segment::clear);
        self.segments = segments;
        let scale = clip_scale(squares, self.gradient_clip);
        self.update(hyper, scale);
        losses.iter().sum()
    }

    /// Forward and backward of a part.
    fn train(
        &self,
        step: &Step<'_>,
        (number, part): (usize, &Part),
        scale: f32,
        segment: &mut Segment,
    ) -> f64 {
        let items = &self.items.weights;
        let width = items.per_row();
        let dropout = DropoutStream {
            stream: step.dropout,
            graph: number as u64,
        };
        let mut graph = Graph::new(&self.weights, &part.bounds, Some(dropout));
        if let Some(times) = &part.times {
            graph.set_times(&times.happened, &times.asked);
        }
        let rows = part.inputs.iter().flat_map(|&item| items.row(item));
        let input = graph.input(rows.copied().collect(), width);
        let last = network::hidden(step.body, step.setup, &mut graph, input);
        let all = part.rows.len() == part.inputs.len();
        let (gathered, hidden);
        if all {
            hidden = graph.value(last);
        } else {
            let of = |&row: &u32| &graph.value(last)[row as usize * width..][..width];
            gathered = part.rows.iter().flat_map(of).copied().collect::<Vec<_>>();
            hidden = &gathered;
        }
        let mut slopes = vec![Lane::ZERO; hidden.len()];
        let to_items = segment.units.as_mut().unwrap_or(&mut segment.items);
        let loss = self.losses(step, part, hidden, scale, &mut slopes, to_items);
        if !all {
            let mut spread = vec![Lane::ZERO; part.inputs.len() * width];
            for (&row, slope) in part.rows.iter().zip(slopes.chunks_exact(width)) {
                spread[row as usize * width..][..width].copy_from_slice(slope);
            }
            slopes = spread;
        }
        let to_input = graph.backward(last, slopes, input, &mut segment.dense);
        for (&item, gradient) in part.inputs.iter().zip(to_input.chunks_exact(width)) {
            segment.items.add(item, gradient);
        }
        loss + self.penalty(step, part, scale, &mut segment.items)
    }

    /// The sum of the penalties of a part's items, and their gradients.
    fn penalty(
        &self,
        step: &Step<'_>,
        part: &Part,
        scale: f32,
        to_items: &mut RowGradients,
    ) -> f64 {
        let Some(decay) = self.decay else {
            return 0.0;
        };
        let table = &self.items.weights;
        let mut sum = 0.0;
        let mut add = |items: &[u32]| sum += decay.add(items, table, scale, to_items);
        add(&part.inputs);
        add(&part.targets);
        if let Some(negatives) = step.negatives {
            let mut drawn = Vec::new();
            for from in &part.sequences {
                negatives.draw(from.user, from.place, step.draws(from.count), &mut drawn);
                add(&drawn);
            }
        }
        sum
    }

    /// The sum of a part's losses, and the gradients by way of the scores.
    fn losses(
        &self,
        step: &Step<'_>,
        part: &Part,
        hidden: &[Lane],
        scale: f32,
        to_hidden: &mut [Lane],
        to_items: &mut RowGradients,
    ) -> f64 {
        let items = scored(&self.items, self.units.as_ref());
        let Some((goal, negatives)) = self.goal.zip(step.negatives) else {
            return simd::run(Full {
                hidden,
                targets: &part.targets,
                items,
                transposed: &self.transposed,
                num_items: self.num_items,
                scale,
                smoothing: self.smoothing,
                mean: &self.mean,
                to_hidden,
                to_items,
            });
        };
        let shared = step.setup.negatives_for == NegativesFor::Sequence;
        let width = items.per_row();
        let (mut from, mut loss, mut drawn) = (0, 0.0, Vec::new());
        for &Origin {
            user, place, count, ..
        } in &part.sequences
        {
            negatives.draw(user, place, step.draws(count), &mut drawn);
            let rows = from * width..(from + count) * width;
            loss += simd::run(Sampled {
                goal,
                hidden: &hidden[rows.clone()],
                targets: &part.targets[from..from + count],
                negatives: &drawn,
                shared,
                log_expected: negatives.log_expected,
                items,
                scale,
                to_hidden: &mut to_hidden[rows],
                to_items,
            });
            from += count;
        }
        loss
    }

    /// Sums the segments up in their order; returns the sum of squares.
    fn add_up(&mut self, segments: &[Segment]) -> f64 {
        let units = self.units.as_ref();
        let squares = self.item_sum.add_up(segments, &self.items.weights, units);
        self.dense_sum.fill(Lane::ZERO);
        for segment in segments {
            add(&mut self.dense_sum, &segment.dense);
        }
        squares + f64::from(simd::run(Squares(&self.dense_sum)))
    }

    fn update(&mut self, hyper: &Hyper, scale: f32) {
        self.item_sum
            .update(&mut self.items, self.all_rows, hyper, scale);
        if self.max_norm > 0.0 {
            let table = &mut self.items.weights;
            match self.all_rows {
                true => decay::shorten_all(table, self.max_norm),
                false => decay::shorten(table, self.item_sum.rows(), self.max_norm),
            }
        }
        if let Some(units) = &mut self.units {
            match self.all_rows {
                true => units.renew_all(&self.items.weights),
                false => units.renew(&self.items.weights, self.item_sum.rows()),
            }
        }
        simd::run(UpdateDense {
            weights: &mut self.weights.lanes,
            first: &mut self.first,
            second: &mut self.second,
            gradient: &mut self.dense_sum,
            hyper,
            scale,
        });
    }

    /// Brings parameters and optimizer up to date.
    pub fn write_back(&self, network: &mut Network, optimizer: &mut Optimizer) {
        let dim = network.setup.embedding_dim;
        network.items.set_host(self.items.weights.take(0, dim));
        let tables = [&self.items.first, &self.items.second];
        let kept = tables.into_iter().filter(|table| table.per_row() > 0);
        let states = kept.map(|table| table.take(0, dim)).collect();
        optimizer.set_host_states(&network.items, states);
        for (entry, param) in self.weights.layout.entries.iter().zip(&mut network.dense) {
            param.set_host(entry.take(&self.weights.lanes));
            let arrays = [&self.first, &self.second];
            let kept = arrays.into_iter().filter(|lanes| !lanes.is_empty());
            let states = kept.map(|lanes| entry.take(lanes)).collect();
            optimizer.set_host_states(param, states);
        }
    }
}

impl Negatives<'_> {
    /// `draws` times `count` negatives of a user, from the epoch's place on.
    pub fn draw(&self, user: u32, place: u64, draws: usize, into: &mut Vec<u32>) {
        let width = 1 + self.count;
        let users = vec![user; draws];
        let mut rows = vec![0; draws * width];
        self.sampler.fill(self.stream, place, &users, &mut rows);
        into.clear();
        let negatives = rows.chunks_exact(width).flat_map(|row| &row[1..]);
        into.extend(negatives);
    }
}

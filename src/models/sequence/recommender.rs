//! Serving from histories.

use super::network::{self, Host, Network};
use super::part::{Clock, Origin, Part, RowTimes};
use super::tensors::{self, Batch, Given};
use crate::device::{Family, family, is_host};
use crate::footprint::TILE_BYTES;
use crate::kernels::layers::Graph;
use crate::kernels::simd::{self, Isa, Job, Lane, WIDTH, dot, flat, flat_mut};
use crate::kernels::table::Table;
use crate::kernels::top_k::{List, Masks, top_k};
use crate::model::{ItemVectors, Query, QueryVectors, Recommender, ScoreForm};
use crate::params::host;
use crate::tape::Tape;
use crate::tensors::NamedTensors;
use anyhow::{Context, Result, ensure};
use burn::tensor::Tensor;
use rayon::prelude::*;
use std::sync::OnceLock;

/// Places of the histories that a device takes at a time.
const TENSOR_ROWS: usize = 8192;

/// A fitted network.
pub struct SequenceRecommender {
    pub network: Network,
    /// The weights as layers read them, once somebody asks.
    host: OnceLock<Host>,
}

impl SequenceRecommender {
    pub fn new(network: Network) -> Self {
        Self {
            network,
            host: OnceLock::new(),
        }
    }

    /// The network, to change its weights.
    pub fn network_mut(&mut self) -> &mut Network {
        self.host = OnceLock::new();
        &mut self.network
    }

    fn host(&self) -> Result<&Host> {
        if let Some(host) = self.host.get() {
            return Ok(host);
        }
        let host = self.network.host()?;
        Ok(self.host.get_or_init(|| host))
    }

    /// What the network reads of a history: its newest items, and in a cloze
    /// task the mask in place of the next one.
    fn read<'a>(&self, query: &Query<'a>) -> Result<(&'a [u32], Option<u32>)> {
        let mask = self.network.body.cloze();
        let mask = mask.map(|_| self.network.num_items as u32);
        let most = self.network.setup.max_length - usize::from(mask.is_some());
        let history = query.history;
        let newest = &history[history.len().saturating_sub(most)..];
        ensure!(
            newest
                .iter()
                .all(|&i| (i as usize) < self.network.num_items),
            "a history holds an item outside the catalog of {} items",
            self.network.num_items
        );
        Ok((newest, mask))
    }

    /// What the network reads of some histories, and which of them are not
    /// empty.
    fn part(&self, queries: &[Query<'_>]) -> Result<(Part, Vec<usize>)> {
        let clock = self.network.body.clock();
        let (mut part, mut filled) = (Part::default(), Vec::new());
        part.bounds.push(0);
        for (place, query) in queries.iter().enumerate() {
            let (newest, mask) = self.read(query)?;
            if newest.is_empty() {
                continue;
            }
            part.inputs.extend_from_slice(newest);
            part.inputs.extend(mask);
            if clock != Clock::None {
                let times = part.times.get_or_insert_default();
                times_of(query, newest.len(), clock, times);
            }
            part.bounds.push(part.inputs.len());
            part.sequences.push(Origin::default());
            filled.push(place);
        }
        Ok((part, filled))
    }

    /// The hidden row after each history, zeros after an empty one.
    fn rows(&self, host: &Host, queries: &[Query<'_>]) -> Result<Vec<Lane>> {
        let width = host.items.per_row();
        let (part, filled) = self.part(queries)?;
        let mut last = vec![Lane::ZERO; queries.len() * width];
        if part.is_empty() {
            return Ok(last);
        }
        let mut graph = Graph::new(&host.weights, &part.bounds, None);
        if let Some(times) = &part.times {
            graph.set_times(&times.happened, &times.asked);
        }
        let rows = part.inputs.iter().flat_map(|&item| host.items.row(item));
        let items = graph.input(rows.copied().collect(), width);
        let Network { body, setup, .. } = &self.network;
        let hidden = network::hidden(body.as_ref(), setup, &mut graph, items);
        let hidden = graph.value(hidden);
        for (place, end) in filled.into_iter().zip(&part.bounds[1..]) {
            let row = &hidden[(end - 1) * width..end * width];
            last[place * width..(place + 1) * width].copy_from_slice(row);
        }
        Ok(last)
    }

    /// As [`Self::rows`], by operations on tensors, of any number of queries:
    /// `[queries, d]`, on the device.
    fn tensor_rows(&self, queries: &[Query<'_>]) -> Result<Tensor<2>> {
        let (device, dim) = (self.network.device(), self.network.setup.embedding_dim);
        let mut tape = Tape::inference(&device);
        // The first row is what an empty history has.
        let mut rows = vec![Tensor::zeros([1, dim], &device)];
        let mut places = vec![0; queries.len()];
        let (mut before, mut made) = (0, 1);
        for group in self.groups(queries, TENSOR_ROWS) {
            let (part, filled) = self.part(group)?;
            let parts = [part];
            for batch in Batch::all(&parts, self.network.setup.max_length) {
                rows.push(self.last_rows(&mut tape, &batch));
                for sequence in &batch.sequences {
                    places[before + filled[sequence.number]] = made;
                    made += 1;
                }
            }
            before += group.len();
        }
        Ok(Tensor::cat(rows, 0).select(0, tape.ints(&places)))
    }

    /// The hidden row after each history of a batch: `[sequences, d]`.
    fn last_rows(&self, tape: &mut Tape, batch: &Batch<'_>) -> Tensor<2> {
        let (network, inputs) = (&self.network, batch.inputs().into());
        let given = Given {
            real: tape.present(&inputs),
            buckets: None,
        };
        let index = tape.index_of(&inputs, network.items.shape()[0]);
        let items = tape.lookup(&network.items, &index);
        let hidden = tensors::hidden(tape, network, batch, given, items);
        let [sequences, length, dim] = hidden.dims();
        let last = hidden.slice([0..sequences, length - 1..length, 0..dim]);
        last.reshape([sequences, dim])
    }

    /// Hidden rows of all queries, a graph for a few at a time.
    fn all_rows(&self, queries: &[Query<'_>]) -> Result<Vec<Lane>> {
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        if !is_host(&self.network.device()) {
            let values = host(self.tensor_rows(queries)?)?;
            let mut rows = vec![Lane::ZERO; values.len() / WIDTH];
            flat_mut(&mut rows).copy_from_slice(&values);
            return Ok(rows);
        }
        let host = self.host()?;
        let groups = self.groups(queries, self.network.body.rows());
        let parts = groups.into_par_iter().map(|group| self.rows(host, group));
        Ok(parts.collect::<Result<Vec<_>>>()?.concat())
    }

    /// Queries with about so many places together.
    fn groups<'q, 'a>(&self, queries: &'q [Query<'a>], places: usize) -> Vec<&'q [Query<'a>]> {
        let most = self.network.setup.max_length;
        let (mut groups, mut from, mut held) = (Vec::new(), 0, 0);
        for (at, query) in queries.iter().enumerate() {
            held += query.history.len().min(most);
            if held >= places || at + 1 == queries.len() {
                groups.push(&queries[from..=at]);
                (from, held) = (at + 1, 0);
            }
        }
        groups
    }
}

impl Recommender for SequenceRecommender {
    fn num_items(&self) -> usize {
        self.network.num_items
    }

    fn knows_request_time(&self) -> bool {
        self.network.body.clock() == Clock::Request
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<()> {
        let (rows, items) = (self.all_rows(queries)?, self.host()?.scored());
        let all = scores.par_chunks_mut(self.num_items().max(1));
        let rows = rows.par_chunks(items.per_row());
        all.zip(rows).for_each(|(scores, row)| {
            simd::run(Scores { row, items, scores });
        });
        Ok(())
    }

    fn score_form(&self) -> Result<ScoreForm> {
        if family(&self.network.device()) == Family::Gpu {
            return Ok(ScoreForm::OnDevice);
        }
        let dim = self.network.setup.embedding_dim;
        let mut vectors = self.host()?.scored().take(0, dim);
        vectors.truncate(self.num_items() * dim);
        Ok(ScoreForm::InnerProducts(ItemVectors {
            dim,
            vectors,
            biases: None,
        }))
    }

    fn query_vectors(&self, queries: &[Query<'_>]) -> Result<QueryVectors> {
        Ok(QueryVectors {
            vectors: flat(&self.all_rows(queries)?).to_vec(),
            offsets: vec![0.0; queries.len()],
        })
    }

    fn pick_best(&self, queries: &[Query<'_>], masks: Masks<'_>, k: usize) -> Result<Vec<List>> {
        let dim = self.network.setup.embedding_dim;
        let items = tensors::scored(self.network.items.value(), &self.network.setup);
        let items = items.slice([0..self.num_items(), 0..dim]).transpose();
        let height = (TILE_BYTES / size_of::<f32>() / self.num_items().max(1)).max(1);
        let mut lists = Vec::with_capacity(queries.len());
        for (queries, masked) in queries.chunks(height).zip(masks.masked.chunks(height)) {
            let scores = self.tensor_rows(queries)?.matmul(items.clone());
            let picked = top_k(scores, Masks { masked, ..masks }, k)?;
            lists.extend(picked.context("this device does not rank lists of this length")?);
        }
        Ok(lists)
    }

    fn weights(&self) -> Result<NamedTensors> {
        let mut weights = NamedTensors::default();
        for param in self.network.params() {
            param.store(&mut weights, "")?;
        }
        Ok(weights)
    }
}

/// Times of a query's newest items. A history without times counts as if it
/// had happened at once.
fn times_of(query: &Query<'_>, len: usize, clock: Clock, to: &mut RowTimes) {
    match query.times {
        Some(times) => to.push(times.newest(len).iter(), query.at, clock),
        None => to.push(std::iter::repeat_n(0, len), None, clock),
    }
}

struct Scores<'a> {
    row: &'a [Lane],
    items: &'a Table,
    scores: &'a mut [f32],
}

impl Job for Scores<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        for (score, item) in self.scores.iter_mut().zip(0..) {
            *score = dot::<S>(self.row, self.items.row(item));
        }
    }
}

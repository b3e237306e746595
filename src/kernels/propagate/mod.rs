//! Propagation over the graph of users and items, `D^-1/2 A D^-1/2` times a
//! matrix with one row for each node, where `A` is 1 for each pair of a user
//! and an item that met and `D` holds the nodes' degrees. The graph is kept as
//! lists of neighbors; nothing of the size of users x items is made.
//!
//! The matrix is symmetric: the gradient of what is propagated is the
//! propagated gradient.
//!
//! The kernels for the CPU add up rows that are already divided by the root
//! of their own degree, so that an edge costs an addition and no weight.

mod cpu;
#[cfg(feature = "wgpu")]
mod gpu;
mod order;
mod tensor;

pub use cpu::{Finish, Source, pass, pass_at};
pub use tensor::DeviceGraph;

use crate::data::interactions::Interactions;
use crate::ids::UserIdx;
use anyhow::{Result, ensure};
use std::ops::Range;

/// Edges that a thread takes at a time, about.
const CHUNK_EDGES: usize = 1 << 13;

/// Rows that a thread takes at a time, at most.
const CHUNK_ROWS: usize = 1 << 10;

/// Users and items as the nodes of one graph.
///
/// A node is a user by its index, or an item by its index after all users.
/// Tables of the CPU's kernels have their rows in an order of the graph's own:
/// first the users, then the items, of each the ones with the most neighbors
/// first, so that the rows that are read most often lie together.
#[derive(Clone, Debug)]
pub struct Graph {
    num_users: usize,
    /// The row of each node.
    rows: Vec<u32>,
    /// The node of each row.
    nodes: Vec<u32>,
    /// `offsets[r]..offsets[r + 1]` are the neighbors of row `r`.
    offsets: Vec<u32>,
    /// Rows, ascending.
    neighbors: Vec<u32>,
    /// One over the root of the degree of each row; 0 without neighbors.
    scales: Vec<f32>,
    /// Rows in parts of about the same work.
    chunks: Vec<Range<usize>>,
}

impl Graph {
    /// Every pair of the log once, however often it is there.
    ///
    /// # Errors
    /// More edges than an index of 32 bits counts.
    pub fn new(log: &Interactions) -> Result<Self> {
        let (num_users, num_items) = (log.num_users(), log.num_items);
        let nodes = num_users + num_items;
        ensure!(
            2 * log.len() < u32::MAX as usize && nodes < i32::MAX as usize,
            "a graph of {} interactions and {nodes} users and items is more than the kernels index",
            log.len()
        );
        let mut lists: Vec<Vec<u32>> = (0..num_users as u32)
            .map(|user| {
                let mut items = log.items_of(UserIdx(user)).to_vec();
                items.sort_unstable();
                items.dedup();
                items
            })
            .collect();
        lists.resize(nodes, Vec::new());
        let (users, items) = lists.split_at_mut(num_users);
        for (user, list) in (0..).zip(users.iter_mut()) {
            for item in list.iter_mut() {
                items[*item as usize].push(user);
                *item += num_users as u32;
            }
        }
        Ok(Self::of_lists(num_users, &lists))
    }

    fn of_lists(num_users: usize, lists: &[Vec<u32>]) -> Self {
        let nodes = order::order(num_users, lists);
        let mut rows = vec![0; nodes.len()];
        for (row, &node) in (0..).zip(&nodes) {
            rows[node as usize] = row;
        }
        let mut offsets = vec![0];
        let mut neighbors = Vec::new();
        for &node in &nodes {
            let first = neighbors.len();
            let list = lists[node as usize].iter();
            neighbors.extend(list.map(|&other| rows[other as usize]));
            neighbors[first..].sort_unstable();
            offsets.push(neighbors.len() as u32);
        }
        let degrees = offsets.windows(2).map(|w| w[1] - w[0]);
        let scales = degrees.map(|d| {
            if d == 0 {
                0.0
            } else {
                (f64::from(d)).powf(-0.5) as f32
            }
        });
        Self {
            num_users,
            chunks: chunks(&offsets),
            scales: scales.collect(),
            rows,
            nodes,
            offsets,
            neighbors,
        }
    }

    pub fn num_users(&self) -> usize {
        self.num_users
    }

    pub fn num_items(&self) -> usize {
        self.num_nodes() - self.num_users
    }

    pub fn num_nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Pairs of a user and an item.
    pub fn num_edges(&self) -> usize {
        self.neighbors.len() / 2
    }

    /// The row of each node, users first.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// The node of each row.
    pub fn nodes(&self) -> &[u32] {
        &self.nodes
    }

    /// One over the root of a row's degree; 0 without neighbors.
    #[inline(always)]
    pub fn scale(&self, row: usize) -> f32 {
        self.scales[row]
    }

    /// The root of a row's degree.
    #[inline(always)]
    pub fn root(&self, row: usize) -> f32 {
        let scale = self.scales[row];
        if scale > 0.0 { 1.0 / scale } else { 0.0 }
    }

    /// Rows, ascending.
    #[inline(always)]
    fn neighbors_of(&self, row: usize) -> &[u32] {
        &self.neighbors[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }
}

/// Consecutive rows of about [`CHUNK_EDGES`] edges.
fn chunks(offsets: &[u32]) -> Vec<Range<usize>> {
    let rows = offsets.len() - 1;
    let mut chunks = Vec::new();
    let mut first = 0;
    for row in 0..rows {
        let edges = (offsets[row + 1] - offsets[first]) as usize;
        if edges >= CHUNK_EDGES || row + 1 - first == CHUNK_ROWS || row + 1 == rows {
            chunks.push(first..row + 1);
            first = row + 1;
        }
    }
    chunks
}

#[cfg(test)]
mod tests;

//! What a graph makes of trained embeddings: the vectors that are served.

use crate::kernels::propagate::{Finish, Graph, Source, pass};
use crate::kernels::simd::{Isa, Lane, add_scaled};
use crate::kernels::table::{SharedRows, Table};

/// The vectors of all nodes, row-major.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// The mean over layers of each user.
    pub users: Vec<f32>,
    /// The same of each item.
    pub items: Vec<f32>,
    /// What an item passes on to a node that is in no layer itself: the sum of
    /// its layers but the last, each divided by the root of its degree, times
    /// a layer's share of the mean. A node without an embedding of its own
    /// whose neighbors are `n` items has as its mean over layers the sum of
    /// these over the root of `n`.
    pub passed_on: Vec<f32>,
}

/// The mean over `layers` layers, with the embeddings themselves where
/// `first`; `embeddings` is row-major of so many columns, users first.
pub fn embed(
    graph: &Graph,
    embeddings: &[f32],
    columns: usize,
    layers: usize,
    first: bool,
) -> Embedded {
    let nodes = graph.num_nodes();
    let share = 1.0 / (layers + usize::from(first)) as f32;
    let table = || Table::zeros(nodes, columns);
    let mut from = table();
    super::put(graph, &mut from, embeddings, columns);
    let (mut means, mut passed_on) = (table(), table());
    if first {
        add(&mut means, share, &from);
    }
    from = scaled(graph, &from);
    for _ in 0..layers {
        add(&mut passed_on, share, &from);
        let mut next = table();
        let finish = Mean {
            graph,
            means: means.shared(),
            next: next.shared(),
            share,
        };
        pass(graph, Source::All(&from), &finish);
        from = next;
    }
    let mut users = super::take(graph, &means, columns);
    let items = users.split_off(graph.num_users() * columns);
    let mut passed_on = super::take(graph, &passed_on, columns);
    Embedded {
        users,
        items,
        passed_on: passed_on.split_off(graph.num_users() * columns),
    }
}

fn add(to: &mut Table, factor: f32, from: &Table) {
    for (to, from) in to.lanes_mut().iter_mut().zip(from.lanes()) {
        to.0.iter_mut()
            .zip(&from.0)
            .for_each(|(to, x)| *to += factor * x);
    }
}

/// Rows divided by the root of their degree.
pub fn scaled(graph: &Graph, table: &Table) -> Table {
    let mut scaled = table.clone();
    let per_row = table.per_row();
    let rows = scaled.lanes_mut().chunks_exact_mut(per_row.max(1));
    for (row, lanes) in rows.enumerate() {
        for lane in lanes {
            lane.0.iter_mut().for_each(|x| *x *= graph.scale(row));
        }
    }
    scaled
}

struct Mean<'a> {
    graph: &'a Graph,
    means: SharedRows<'a>,
    next: SharedRows<'a>,
    share: f32,
}

impl Finish for Mean<'_> {
    #[inline(always)]
    fn finish<S: Isa>(&self, row: usize, sum: &mut [Lane]) {
        let (number, scale) = (row as u32, self.graph.scale(row));
        // SAFETY: a pass comes to each row once.
        let (means, next) = unsafe { (self.means.row(number).0, self.next.row(number).0) };
        add_scaled::<S>(means, self.share * scale, sum);
        next.fill(Lane::ZERO);
        add_scaled::<S>(next, scale * scale, sum);
    }
}

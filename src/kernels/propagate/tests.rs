use super::*;
use crate::kernels::simd::{Isa, Lane, WIDTH, add_scaled, flat, flat_mut};
use crate::kernels::table::{SharedRows, Table};
use crate::seed::{Rng, Seed};
use proptest::prelude::*;

/// Some users with items drawn at random, a few of them twice; the first user
/// and the last item have nothing.
fn log(rng: &mut Rng, users: usize, items: usize) -> Interactions {
    let mut log = Interactions {
        offsets: vec![0, 0],
        num_items: items,
        ..Interactions::default()
    };
    for user in 1..users {
        let count = 1 + rng.below(1 + user as u32 / 2);
        for _ in 0..count {
            log.items.push(rng.below(items as u32 - 1));
        }
        log.offsets.push(log.items.len());
    }
    log
}

/// `D^-1/2 A D^-1/2` as a matrix over nodes.
fn dense(log: &Interactions) -> Vec<Vec<f64>> {
    let (users, nodes) = (log.num_users(), log.num_users() + log.num_items);
    let mut matrix = vec![vec![0.0; nodes]; nodes];
    for (user, &item) in log.user_column().into_iter().zip(&log.items) {
        let (user, item) = (user as usize, users + item as usize);
        matrix[user][item] = 1.0;
        matrix[item][user] = 1.0;
    }
    let degrees: Vec<f64> = matrix.iter().map(|row| row.iter().sum()).collect();
    for (row, own) in matrix.iter_mut().zip(&degrees) {
        for (x, other) in row.iter_mut().zip(&degrees) {
            *x = if *x > 0.0 {
                *x / (own * other).sqrt()
            } else {
                0.0
            };
        }
    }
    matrix
}

/// Keeps the sums, scaled as the matrix says.
struct Keep<'a>(&'a Graph, Option<&'a [u32]>, SharedRows<'a>);

impl Finish for Keep<'_> {
    #[inline(always)]
    fn finish<S: Isa>(&self, number: usize, sum: &mut [Lane]) {
        let row = self.1.map_or(number, |rows| rows[number] as usize);
        // SAFETY: rows come once.
        let to = unsafe { self.2.row(row as u32) }.0;
        add_scaled::<S>(to, self.0.scale(row), sum);
    }
}

/// Values by node, and the table of a graph's rows divided by the root of
/// their degree.
fn input(graph: &Graph, columns: usize, rng: &mut Rng) -> (Vec<Vec<f64>>, Table) {
    let mut table = Table::zeros(graph.num_nodes(), columns);
    let mut values = Vec::new();
    let per_row = table.per_row();
    for node in 0..graph.num_nodes() {
        let row = graph.rows()[node] as usize;
        let drawn: Vec<f32> = (0..columns).map(|_| rng.normal()).collect();
        let to = flat_mut(&mut table.lanes_mut()[row * per_row..(row + 1) * per_row]);
        for (to, x) in to.iter_mut().zip(&drawn) {
            *to = x * graph.scale(row);
        }
        values.push(drawn.iter().map(|&x| f64::from(x)).collect());
    }
    (values, table)
}

fn assert_product(
    matrix: &[Vec<f64>],
    values: &[Vec<f64>],
    graph: &Graph,
    sums: &Table,
    rows: &[u32],
) {
    for &row in rows {
        let node = graph.nodes()[row as usize] as usize;
        for (column, sum) in flat(sums.row(row)).iter().enumerate() {
            let product = |other: usize| {
                values[other]
                    .get(column)
                    .map_or(0.0, |x| matrix[node][other] * x)
            };
            let exact: f64 = (0..values.len()).map(product).sum();
            assert!(
                (f64::from(*sum) - exact).abs() < 1e-5,
                "node {node}: {sum} {exact}"
            );
        }
    }
}

#[test]
fn passes_are_products_with_the_matrix() {
    let mut rng = Seed::fresh().stream("test");
    for (users, items, columns) in [(2, 2, 1), (40, 23, 64), (33, 70, 20), (90, 60, 130)] {
        let log = log(&mut rng, users, items);
        let (graph, matrix) = (Graph::new(&log).unwrap(), dense(&log));
        let (values, table) = input(&graph, columns, &mut rng);
        let all: Vec<u32> = (0..graph.num_nodes() as u32).collect();
        let empty = || Table::zeros(graph.num_nodes(), columns);
        let mut sums = empty();
        pass(
            &graph,
            Source::All(&table),
            &Keep(&graph, None, sums.shared()),
        );
        assert_product(&matrix, &values, &graph, &sums, &all);

        let some: Vec<u32> = all.iter().copied().filter(|row| row % 3 == 0).collect();
        let mut sums = empty();
        pass_at(
            &graph,
            &table,
            &some,
            &Keep(&graph, Some(&some), sums.shared()),
        );
        assert_product(&matrix, &values, &graph, &sums, &some);

        // Only those rows go in.
        let mut slots = vec![0; all.len()];
        let mut rows = vec![Lane([f32::NAN; WIDTH]); table.per_row()];
        let mut values = values;
        for &row in &all {
            if row % 3 == 0 {
                rows.extend(table.row(row));
                slots[row as usize] = row / 3 + 1;
            } else {
                values[graph.nodes()[row as usize] as usize].fill(0.0);
            }
        }
        let source = Source::Some {
            rows: &rows,
            per_row: table.per_row(),
            slots: &slots,
        };
        let mut sums = empty();
        pass(&graph, source, &Keep(&graph, None, sums.shared()));
        assert_product(&matrix, &values, &graph, &sums, &all);
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let mut rng = Seed::fresh().stream("test");
    let log = log(&mut rng, 900, 400);
    let graph = Graph::new(&log).unwrap();
    assert!(graph.chunks.len() > 4);
    let (_, table) = input(&graph, 64, &mut rng);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let mut sums = Table::zeros(graph.num_nodes(), 64);
        let keep = Keep(&graph, None, sums.shared());
        pool.unwrap()
            .install(|| pass(&graph, Source::All(&table), &keep));
        sums.take(0, 64)
    };
    assert_eq!(on(1), on(3));
}

proptest! {
    #[test]
    fn a_graph_holds_every_pair_from_both_ends(
        lists in proptest::collection::vec(proptest::collection::vec(0u32..9, 0..12), 1..9),
    ) {
        let mut log = Interactions { offsets: vec![0], num_items: 9, ..Interactions::default() };
        for list in &lists {
            log.items.extend(list);
            log.offsets.push(log.items.len());
        }
        let graph = Graph::new(&log).unwrap();
        prop_assert_eq!(graph.num_users(), lists.len());
        prop_assert_eq!(graph.num_items(), 9);
        let mut edges = 0;
        for (row, &node) in graph.nodes().iter().enumerate() {
            prop_assert_eq!(graph.rows()[node as usize] as usize, row);
            prop_assert_eq!(row < lists.len(), (node as usize) < lists.len());
            let neighbors = graph.neighbors_of(row);
            prop_assert!(neighbors.windows(2).all(|w| w[0] < w[1]));
            for &other in neighbors {
                prop_assert!(graph.neighbors_of(other as usize).contains(&(row as u32)));
                let (user, item) = (row.min(other as usize), row.max(other as usize));
                let item = graph.nodes()[item] - lists.len() as u32;
                prop_assert!(lists[graph.nodes()[user] as usize].contains(&item));
            }
            edges += neighbors.len();
            let root = (neighbors.len() as f32).sqrt();
            prop_assert!((graph.root(row) - root).abs() < 1e-5 * (1.0 + root));
        }
        let mut pairs: Vec<_> = (0..).zip(&lists).flat_map(|(u, l)| l.iter().map(move |&i| (u, i))).collect::<Vec<(usize, u32)>>();
        pairs.sort_unstable();
        pairs.dedup();
        prop_assert_eq!(edges, 2 * pairs.len());
        prop_assert_eq!(graph.num_edges(), pairs.len());
        let rows: Vec<_> = graph.chunks.iter().cloned().flatten().collect();
        prop_assert_eq!(rows, (0..graph.num_nodes()).collect::<Vec<_>>());
    }
}

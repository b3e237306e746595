//! Graph convolution in the shapes of ml-1m and Gowalla: a pass over the graph,
//! and a whole step of LightGCN with three layers of 64 columns and batches of
//! 2,048.

use super::{log, normals};
use divan::Bencher;
use divan::counter::ItemsCount;
use recsys::kernels::gcn::{Batch, Gcn, Settings, embed};
use recsys::kernels::mf::Goal;
use recsys::kernels::propagate::Graph;
use recsys::kernels::update::Hyper;
use recsys::seed::Seed;
use recsys::training::TrainingConfig;
use std::sync::Arc;

const COLUMNS: usize = 64;
const LAYERS: usize = 3;
const BATCH: usize = 2048;

/// Users, interactions of each, and items.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Ml1m,
    Gowalla,
}

impl Shape {
    fn graph(self) -> Arc<Graph> {
        let (users, each, items) = self.numbers();
        let graph = Graph::new(&log(users, each, items));
        Arc::new(graph.expect("an index of 32 bits counts them"))
    }

    fn numbers(self) -> (usize, u32, usize) {
        match self {
            Self::Ml1m => (6_040, 110, 3_629),
            Self::Gowalla => (29_858, 27, 40_981),
        }
    }
}

const SHAPES: [Shape; 2] = [Shape::Ml1m, Shape::Gowalla];

/// The embeddings of all nodes by all layers, as they are when ranking.
#[divan::bench(args = SHAPES, sample_count = 30, sample_size = 1)]
fn propagation(bencher: Bencher, shape: Shape) {
    let graph = shape.graph();
    let embeddings = normals(graph.num_nodes() * COLUMNS);
    let passed = ItemsCount::new(LAYERS * graph.num_edges());
    let all = || embed(&graph, &embeddings, COLUMNS, LAYERS, true);
    bencher.counter(passed).bench_local(all);
}

#[divan::bench(args = SHAPES, sample_count = 30, sample_size = 1)]
fn lightgcn_step(bencher: Bencher, shape: Shape) {
    let graph = shape.graph();
    let (users, each, items) = shape.numbers();
    let nodes = graph.num_nodes();
    let settings = Settings {
        columns: COLUMNS,
        layers: LAYERS,
        first: true,
        cosine: false,
        regularization: 1e-4,
        gradient_clip: 0.0,
        contrast: None,
    };
    let states = vec![vec![0.0; nodes * COLUMNS]; 2];
    let embeddings = normals(nodes * COLUMNS);
    let mut gcn = Gcn::new(graph.clone(), settings, Goal::Bpr, &embeddings, &states);
    let data = log(users, each, items);
    let (mut batch, mut rng) = (Batch::new(&graph), Seed(3).stream("bench"));
    let optimizer = TrainingConfig::default().optimizer_config();
    let mut number = 0;
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        number += 1;
        let (mut users, mut pairs) = (Vec::new(), Vec::new());
        for _ in 0..BATCH {
            let place = rng.below(data.len() as u32);
            users.push(place / each);
            pairs.extend([data.items[place as usize], rng.below(items as u32)]);
        }
        batch.fill(&graph, &users, &pairs);
        let hyper = Hyper::new(&optimizer, 1e-3, number);
        gcn.step(&batch, &hyper, &Seed(4).indexed("noise", number))
    });
}

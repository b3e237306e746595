//! Steps and full rankings of NeuMF on data of the size of ml-1m.

use divan::Bencher;
use divan::counter::ItemsCount;
use recsys::kernels::mf::Goal;
use recsys::kernels::ncf::{Batch, Branches, Ncf, Rows, Scorer, Settings};
use recsys::kernels::simd::flat_mut;
use recsys::kernels::update::Hyper;
use recsys::optim::OptimizerKind;
use recsys::seed::Seed;
use recsys::training::TrainingConfig;
use std::fmt;

const USERS: usize = 6_040;
const ITEMS: usize = 3_629;
const DIM: usize = 64;

/// A network and what it is trained with.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    hidden: &'static [usize],
    negatives: usize,
    dropout: f64,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

const SHAPES: [Shape; 2] = [
    // RecBole's default.
    Shape {
        name: "128-64, 1 negative",
        hidden: &[128, 64],
        negatives: 1,
        dropout: 0.0,
    },
    // configs/ml-1m/neumf.toml
    Shape {
        name: "32-16-8, 4 negatives, dropout",
        hidden: &[32, 16, 8],
        negatives: 4,
        dropout: 0.1,
    },
];

fn network(shape: Shape) -> Ncf {
    let settings = Settings {
        goal: Goal::Bce { smoothing: 0.0 },
        hardest_negative: false,
        dropout: shape.dropout,
        regularization: 0.0,
        gradient_clip: 0.0,
    };
    let branches = Branches {
        gmf: DIM,
        mlp: DIM,
        hidden: shape.hidden.to_vec(),
    };
    let mut ncf = Ncf::zeros(settings, branches, (USERS, ITEMS), OptimizerKind::Adam);
    let mut rng = Seed(1).stream("bench");
    let arrays = [
        ncf.users.weights.lanes_mut(),
        ncf.items.weights.lanes_mut(),
        &mut ncf.dense.weights,
    ];
    for lanes in arrays {
        flat_mut(lanes)
            .iter_mut()
            .for_each(|w| *w = 0.1 * rng.normal());
    }
    ncf
}

/// Interactions a second.
#[divan::bench(args = SHAPES, sample_count = 10, sample_size = 3)]
fn neumf_step(bencher: Bencher, shape: Shape) {
    const EXAMPLES: usize = 4096;
    let mut ncf = network(shape);
    let mut rng = Seed(2).stream("bench");
    let mut draw =
        |n: usize, below: usize| -> Vec<u32> { (0..n).map(|_| rng.below(below as u32)).collect() };
    let users = draw(EXAMPLES, USERS);
    let items = draw(EXAMPLES * (1 + shape.negatives), ITEMS);
    let batch = Batch {
        users: &users,
        items: &items,
        targets: &[],
    };
    let optimizer = TrainingConfig::default().optimizer_config();
    let mut step = 0;
    bencher.counter(ItemsCount::new(EXAMPLES)).bench_local(|| {
        step += 1;
        let dropout = Seed(3).indexed("dropout", step);
        ncf.step(batch, &dropout, &Hyper::new(&optimizer, 1e-3, step))
    });
}

/// Users a second.
#[divan::bench(args = SHAPES, sample_count = 3, sample_size = 1)]
fn neumf_scores_of_all_users(bencher: Bencher, shape: Shape) {
    let ncf = network(shape);
    let take = |table: &recsys::kernels::table::Table, first: usize| table.take(first, DIM);
    let users = [take(&ncf.users.weights, 0), take(&ncf.users.weights, DIM)];
    let items = [take(&ncf.items.weights, 0), take(&ncf.items.weights, DIM)];
    let rows = |[gmf, mlp]: &'_ [Vec<f32>; 2], first: usize, count: usize| {
        let range = first * DIM..(first + count) * DIM;
        (gmf[range.clone()].to_vec(), mlp[range].to_vec())
    };
    // As many users at a time as a tile has.
    const TILE: usize = 3_020;
    let mut scores = vec![0.0; TILE * ITEMS];
    bencher.counter(ItemsCount::new(USERS)).bench_local(|| {
        let all = Rows {
            gmf: &items[0],
            mlp: &items[1],
        };
        let scorer = Scorer::new(&ncf.layout, &ncf.dense.weights, ITEMS, all);
        for first in (0..USERS).step_by(TILE) {
            let (gmf, mlp) = rows(&users, first, TILE);
            let part = Rows {
                gmf: &gmf,
                mlp: &mlp,
            };
            scorer.score(part, &mut scores);
        }
    });
}

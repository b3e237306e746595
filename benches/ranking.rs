//! The twenty best unseen items of every user, from inner products.

use anyhow::Result;
use divan::Bencher;
use divan::counter::ItemsCount;
use recsys::ids::UserIdx;
use recsys::model::{ItemVectors, Query, QueryVectors, Recommender, ScoreForm};
use recsys::ranking::{Ranker, RankingOptions, Request, TILE_BYTES};
use recsys::seed::Seed;
use recsys::tensors::NamedTensors;
use std::fmt;

const DIM: usize = 64;

/// A data set's size.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    users: usize,
    items: usize,
    /// Items that a user has seen.
    seen: usize,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

const SHAPES: [Shape; 2] = [
    Shape {
        name: "ml-1m",
        users: 6_040,
        items: 3_629,
        seen: 111,
    },
    Shape {
        name: "gowalla",
        users: 29_858,
        items: 40_981,
        seen: 27,
    },
];

struct Factors {
    items: ItemVectors,
    users: Vec<f32>,
}

impl Factors {
    fn random(shape: Shape) -> Self {
        let mut rng = Seed(1).stream("bench");
        let mut draw = |n: usize| (0..n * DIM).map(|_| rng.normal()).collect();
        Self {
            users: draw(shape.users),
            items: ItemVectors {
                dim: DIM,
                vectors: draw(shape.items),
                biases: None,
            },
        }
    }
}

impl Recommender for Factors {
    fn num_items(&self) -> usize {
        self.items.vectors.len() / DIM
    }

    fn score(&self, _: &[Query<'_>], _: &mut [f32]) -> Result<()> {
        unreachable!("inner products are not ranked by rows")
    }

    fn score_form(&self) -> Result<ScoreForm> {
        Ok(ScoreForm::InnerProducts(self.items.clone()))
    }

    fn query_vectors(&self, queries: &[Query<'_>]) -> Result<QueryVectors> {
        let users = queries.iter().filter_map(|query| query.user);
        let vectors = users.flat_map(|user| &self.users[user.0 as usize * DIM..][..DIM]);
        Ok(QueryVectors {
            vectors: vectors.copied().collect(),
            offsets: vec![0.0; queries.len()],
        })
    }

    fn weights(&self) -> Result<NamedTensors> {
        Ok(NamedTensors::default())
    }
}

/// With the preparation that a call of `recsys recommend --all` or an
/// evaluation does once.
#[divan::bench(args = SHAPES, sample_count = 10, sample_size = 1)]
fn top_20_of_all_users(bencher: Bencher, shape: Shape) {
    let model = Factors::random(shape);
    let mut rng = Seed(2).stream("bench");
    let seen: Vec<u32> = (0..shape.users * shape.seen)
        .map(|_| rng.below(shape.items as u32))
        .collect();
    let requests = (0u32..)
        .zip(seen.chunks(shape.seen))
        .map(|(user, seen)| Request {
            query: Query {
                user: Some(UserIdx(user)),
                history: seen,
                ..Query::default()
            },
            masked: seen,
        });
    let requests: Vec<_> = requests.collect();
    let options = RankingOptions {
        model_name: "bench",
        k: 20,
        allowed: None,
        seen: None,
        tile_bytes: TILE_BYTES,
    };
    bencher
        .counter(ItemsCount::new(shape.users))
        .bench_local(|| Ranker::new(&model).and_then(|ranker| ranker.rank(&requests, &options)));
}

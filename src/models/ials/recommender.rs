//! Scores from the factors: known users by their row, others by one solve.

use crate::kernels::als::{Exact, Observed, Pairs, Settings, solve_new};
use crate::kernels::simd::{Lane, flat};
use crate::kernels::table::Table;
use crate::model::{ItemVectors, Query, QueryVectors, Recommender, ScoreForm};
use crate::seed::Seed;
use crate::tensors::NamedTensors;
use anyhow::Result;
use rayon::prelude::*;
use std::sync::OnceLock;

pub const USERS: &str = "user_embedding";
pub const ITEMS: &str = "item_embedding";
const MEAN_WEIGHT: &str = "mean_weight";

/// The embeddings of both sides.
pub struct Factors {
    pub users: Table,
    pub items: Table,
}

impl Factors {
    /// Normal numbers; zero for rows without pairs, which is their solution.
    pub fn drawn(pairs: (&Pairs, &Pairs), dim: usize, deviation: f64, seed: Seed) -> Self {
        let side = |name: &str, pairs: &Pairs| {
            let stream = seed.stream(&format!("init/{name}"));
            let rows = pairs.offsets.len() - 1;
            let mut values = vec![0.0; rows * dim];
            let chunks = values.par_chunks_mut(dim).enumerate();
            chunks.for_each(|(row, values)| {
                if pairs.offsets[row] == pairs.offsets[row + 1] {
                    return;
                }
                // A normal number takes half of a block.
                let mut rng = stream.at((row * dim.div_ceil(2)) as u64);
                for value in values {
                    *value = rng.normal() * deviation as f32;
                }
            });
            let mut table = Table::zeros(rows, dim);
            table.put(0, dim, &values);
            table
        };
        Self {
            users: side(USERS, pairs.0),
            items: side(ITEMS, pairs.1),
        }
    }
}

/// The fitted model.
pub struct Ials {
    settings: Settings,
    factors: Factors,
    /// What an item of a history counts.
    mean_weight: f32,
    /// The items' side for new users; made when the first one asks.
    exact: OnceLock<Exact>,
}

impl Ials {
    pub fn new(settings: Settings, factors: Factors, mean_weight: f32) -> Self {
        Self {
            settings,
            factors,
            mean_weight,
            exact: OnceLock::new(),
        }
    }

    /// # Errors
    /// Weights that are missing or not of so many users and items.
    pub fn load(settings: Settings, weights: &NamedTensors, sizes: [usize; 2]) -> Result<Self> {
        let side = |name: &str, rows: usize| {
            let mut table = Table::zeros(rows, settings.dim);
            let values = weights.f32(name, &[rows, settings.dim])?;
            table.put(0, settings.dim, values);
            anyhow::Ok(table)
        };
        let factors = Factors {
            users: side(USERS, sizes[0])?,
            items: side(ITEMS, sizes[1])?,
        };
        let mean_weight = weights.f32(MEAN_WEIGHT, &[1])?[0];
        Ok(Self::new(settings, factors, mean_weight))
    }

    pub fn settings(&self) -> Settings {
        self.settings
    }

    pub fn factors(&self) -> &Factors {
        &self.factors
    }

    /// To change the factors.
    pub fn factors_mut(&mut self) -> &mut Factors {
        self.exact = OnceLock::new();
        &mut self.factors
    }

    /// `queries x dim`: a known user's row; for others what the history's
    /// distinct items make of it.
    fn vectors(&self, queries: &[Query<'_>]) -> Result<Vec<f32>> {
        let dim = self.settings.dim;
        let histories: Vec<Vec<u32>> = queries
            .iter()
            .filter(|query| query.user.is_none())
            .map(|query| query.distinct_items(self.num_items()))
            .collect::<Result<_>>()?;
        let solved = self.solve(&histories);
        let mut solved = solved.chunks_exact(dim);
        let mut vectors = Vec::with_capacity(queries.len() * dim);
        for query in queries {
            vectors.extend_from_slice(match query.user {
                Some(user) => &flat(self.factors.users.row(user.0))[..dim],
                None => solved.next().expect("one for each query without a user"),
            });
        }
        Ok(vectors)
    }

    fn solve(&self, histories: &[Vec<u32>]) -> Vec<f32> {
        if histories.is_empty() {
            return Vec::new();
        }
        let longest = histories.iter().map(Vec::len).max().unwrap_or(0);
        let roots = vec![self.mean_weight.sqrt(); longest];
        let observed: Vec<_> = histories
            .iter()
            .map(|items| Observed {
                others: items,
                roots: (self.mean_weight != 1.0).then(|| &roots[..items.len()]),
            })
            .collect();
        let make = || Exact::new(self.settings, &self.factors.items);
        solve_new(self.exact.get_or_init(make), &observed)
    }
}

fn product(user: &[f32], item: &[Lane]) -> f32 {
    let terms = user.iter().zip(flat(item));
    terms.fold(0.0, |sum, (a, b)| sum + a * b)
}

impl Recommender for Ials {
    fn num_items(&self) -> usize {
        self.factors.items.num_rows()
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<()> {
        let vectors = self.vectors(queries)?;
        let rows = scores.par_chunks_mut(self.num_items().max(1));
        let users = vectors.par_chunks(self.settings.dim);
        users.zip(rows).for_each(|(user, row)| {
            for (item, score) in (0..).zip(row) {
                *score = product(user, self.factors.items.row(item));
            }
        });
        Ok(())
    }

    fn score_pairs(&self, queries: &[Query<'_>], items: &[u32]) -> Result<Vec<f32>> {
        let mut scores = Vec::with_capacity(items.len());
        let mut rest = items;
        for run in queries.chunk_by(|a, b| a.is_same(b)) {
            let user = self.vectors(&run[..1])?;
            let (of_run, later) = rest.split_at(run.len());
            let one = |&item: &u32| product(&user, self.factors.items.row(item));
            scores.extend(of_run.iter().map(one));
            rest = later;
        }
        Ok(scores)
    }

    fn score_form(&self) -> Result<ScoreForm> {
        Ok(ScoreForm::InnerProducts(ItemVectors {
            dim: self.settings.dim,
            vectors: self.factors.items.take(0, self.settings.dim),
            biases: None,
        }))
    }

    fn query_vectors(&self, queries: &[Query<'_>]) -> Result<QueryVectors> {
        Ok(QueryVectors {
            vectors: self.vectors(queries)?,
            offsets: vec![0.0; queries.len()],
        })
    }

    fn weights(&self) -> Result<NamedTensors> {
        let dim = self.settings.dim;
        let mut weights = NamedTensors::default();
        for (name, table) in [(USERS, &self.factors.users), (ITEMS, &self.factors.items)] {
            let values = table.take(0, dim);
            weights.insert_f32(name, &[values.len() / dim, dim], values);
        }
        weights.insert_f32(MEAN_WEIGHT, &[1], vec![self.mean_weight]);
        Ok(weights)
    }
}

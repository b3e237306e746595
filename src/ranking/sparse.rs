//! Ranking where most scores are zero.

use super::select::best_of;
use super::{Ranked, RankingOptions, Request, rank_rows};
use crate::model::{Recommender, SparseRow};
use anyhow::{Result, ensure};
use rayon::prelude::*;

/// A set of items that is emptied at no cost.
pub struct Marks {
    round: u32,
    rounds: Vec<u32>,
}

impl Marks {
    pub fn new(num_items: usize) -> Self {
        Self {
            round: 1,
            rounds: vec![0; num_items],
        }
    }

    /// Replaces what is in it.
    pub fn set(&mut self, items: &[u32]) {
        if self.round == u32::MAX {
            self.rounds.fill(0);
            self.round = 1;
        }
        self.round += 1;
        for &item in items {
            self.rounds[item as usize] = self.round;
        }
    }

    /// Items that can be in it.
    pub fn num_items(&self) -> usize {
        self.rounds.len()
    }

    pub fn contains(&self, item: u32) -> bool {
        self.rounds[item as usize] == self.round
    }
}

/// As [`super::Ranker::rank`].
pub fn rank(
    model: &dyn Recommender,
    requests: &[Request<'_>],
    options: &RankingOptions<'_>,
) -> Result<Vec<Ranked>> {
    let num_items = model.num_items();
    ensure!(
        num_items > 0 || requests.is_empty(),
        "the catalog has no items to rank"
    );
    let scratch = || (SparseRow::new(num_items), Marks::new(num_items));
    let lists: Vec<Result<Ranked>> = requests
        .par_iter()
        .map_init(scratch, |(row, marks), request| {
            row.clear();
            model.sparse_scores(&request.query, row)?;
            if !row.entries().all(|(_, score)| score.is_finite()) {
                // The plain way says which score, whose and where.
                let plain = rank_rows(model, std::slice::from_ref(request), options)?;
                return Ok(plain.into_iter().next().unwrap_or_default());
            }
            marks.set(request.masked);
            Ok(list(row, marks, options))
        })
        .collect();
    lists.into_iter().collect()
}

fn list(row: &SparseRow, marks: &Marks, options: &RankingOptions<'_>) -> Ranked {
    let open =
        |item: u32| !marks.contains(item) && options.allowed.is_none_or(|a| a[item as usize]);
    let entries = row.entries().filter(|(item, _)| open(*item));
    let mut entries: Vec<(f32, u32)> = entries.map(|(item, score)| (score, item)).collect();
    let positive = entries.iter().filter(|(score, _)| *score > 0.0).count();
    if positive < options.k {
        // Zeros come next, those that nothing was added to among them.
        let zeros = (0..marks.num_items() as u32).filter(|&i| !row.contains(i) && open(i));
        entries.extend(zeros.take(options.k).map(|item| (0.0, item)));
    }
    best_of(entries, options.k)
}

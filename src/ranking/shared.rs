//! Ranking where everybody has the same scores.

use super::sparse::Marks;
use super::{Ranked, RankingOptions, Request, ensure_finite, select};
use crate::model::Recommender;
use anyhow::{Result, ensure};
use rayon::prelude::*;

/// The scores, and all items from the best to the worst.
pub struct Order {
    scores: Vec<f32>,
    items: Vec<u32>,
}

impl Order {
    pub fn new(scores: Vec<f32>) -> Self {
        let items: Vec<u32> = (0..scores.len() as u32).collect();
        let items = select::rank_candidates(&items, &scores).items;
        Self { scores, items }
    }
}

/// As [`super::Ranker::rank`].
pub fn rank(
    model: &dyn Recommender,
    order: &Order,
    requests: &[Request<'_>],
    options: &RankingOptions<'_>,
) -> Result<Vec<Ranked>> {
    let num_items = model.num_items();
    let Some(first) = requests.first() else {
        return Ok(Vec::new());
    };
    ensure!(num_items > 0, "the catalog has no items to rank");
    ensure_finite(&order.scores, &first.query, options.model_name)?;
    let list = |marks: &mut Marks, request: &Request<'_>| {
        marks.set(request.masked);
        let open = |item: &&u32| {
            options.allowed.is_none_or(|a| a[**item as usize]) && !marks.contains(**item)
        };
        let items: Vec<u32> = order
            .items
            .iter()
            .filter(open)
            .take(options.k)
            .copied()
            .collect();
        let scores = items.iter().map(|&i| order.scores[i as usize]).collect();
        Ranked { items, scores }
    };
    let marks = || Marks::new(num_items);
    Ok(requests.par_iter().map_init(marks, list).collect())
}

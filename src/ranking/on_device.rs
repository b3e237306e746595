//! Ranking of scores that a GPU makes, ranks and forgets: only the lists come
//! back.

use super::{Ranked, RankingOptions, Request, rank_rows, user_of};
use crate::kernels::top_k::{MOST, Masks};
use crate::model::Recommender;
use anyhow::{Context, Result};

/// Queries of a call; the model bounds the scores in memory.
const QUERIES: usize = 4096;

/// # Errors
/// As [`super::Ranker::rank`].
pub fn rank(
    model: &dyn Recommender,
    requests: &[Request<'_>],
    options: &RankingOptions<'_>,
) -> Result<Vec<Ranked>> {
    if options.k > MOST {
        return rank_rows(model, requests, options);
    }
    let mut lists = Vec::with_capacity(requests.len());
    for requests in requests.chunks(QUERIES) {
        let queries: Vec<_> = requests.iter().map(|r| r.query).collect();
        let masked: Vec<_> = requests.iter().map(|r| r.masked).collect();
        let masks = Masks {
            masked: &masked,
            allowed: options.allowed,
            log: options.seen,
        };
        let picked = model.pick_best(&queries, masks, options.k)?;
        for (query, list) in queries.iter().zip(picked) {
            let (items, scores) = list.with_context(|| {
                format!(
                    "model `{}` has a score that is not finite for {}: its training diverged, \
                     try a lower learning rate",
                    options.model_name,
                    user_of(query)
                )
            })?;
            lists.push(Ranked { items, scores });
        }
    }
    Ok(lists)
}

//! Score, mask, top-k: shared by evaluation, recommendation and serving.
//!
//! A [`Ranker`] uses what a model says of how its scores come about: inner
//! products are scored and ranked in one pass that never writes a row of
//! scores. Other scores are made in tiles of users x items, so that memory is
//! bounded; the rows of a tile are ranked in parallel. Order is total (higher
//! score first, then lower item index), so the lists depend neither on the
//! tile height nor on the number of threads.

mod on_device;
mod products;
mod select;
mod shared;
mod sparse;

pub use select::{rank_candidates, top_k};

use crate::kernels::scan::Panels;
use crate::model::{Query, Recommender, ScoreForm};
use anyhow::{Result, bail, ensure};
use rayon::prelude::*;

pub use crate::footprint::TILE_BYTES;
pub use crate::kernels::top_k::SeenLog;

/// More rows than this do not make a tile faster.
const MAX_TILE_ROWS: usize = 4096;

/// A ranked list: item indices, best first, and their scores.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranked {
    pub items: Vec<u32>,
    pub scores: Vec<f32>,
}

/// Somebody who wants a list.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub query: Query<'a>,
    /// Items that must not be returned, in any order: the seen ones, or more.
    pub masked: &'a [u32],
}

/// What holds for all lists of one call.
#[derive(Clone, Copy, Debug)]
pub struct RankingOptions<'a> {
    /// Names the model in errors.
    pub model_name: &'a str,
    /// Length of the lists; they are shorter where fewer items are left.
    pub k: usize,
    /// One flag for each item of the catalog; items with `false` are returned
    /// to nobody.
    pub allowed: Option<&'a [bool]>,
    /// The log whose slices the masked items are, for a GPU to hold.
    pub seen: Option<&'a SeenLog<'a>>,
    /// Upper bound of the scores in memory; one row is always allowed.
    pub tile_bytes: usize,
}

/// Ranks the catalog of a model, over and over.
pub struct Ranker<'m> {
    model: &'m dyn Recommender,
    prepared: Prepared,
}

enum Prepared {
    Rows,
    Products(Panels),
    Sparse,
    Shared(shared::Order),
    OnDevice,
}

impl<'m> Ranker<'m> {
    /// Prepares what all lists have in common. The model must not change
    /// after that, which its borrow sees to.
    ///
    /// # Errors
    /// A device that fails.
    pub fn new(model: &'m dyn Recommender) -> Result<Self> {
        let prepared = match model.score_form()? {
            ScoreForm::Rows => Prepared::Rows,
            ScoreForm::InnerProducts(items) => Prepared::Products(Panels::new(
                items.dim,
                &items.vectors,
                items.biases.as_deref(),
            )),
            ScoreForm::Sparse => Prepared::Sparse,
            ScoreForm::OnDevice => Prepared::OnDevice,
            ScoreForm::Shared(scores) => Prepared::Shared(shared::Order::new(scores)),
        };
        Ok(Self { model, prepared })
    }

    pub fn model(&self) -> &'m dyn Recommender {
        self.model
    }

    /// A list for each request.
    ///
    /// # Errors
    /// A query that the model cannot serve, a score that is not finite (named
    /// with user and model), an `allowed` that does not fit the catalog.
    pub fn rank(
        &self,
        requests: &[Request<'_>],
        options: &RankingOptions<'_>,
    ) -> Result<Vec<Ranked>> {
        let num_items = self.model.num_items();
        if let Some(allowed) = options.allowed {
            ensure!(
                allowed.len() == num_items,
                "the item filter has {} flags, the catalog {num_items} items",
                allowed.len()
            );
        }
        if options.k == 0 {
            return Ok(vec![Ranked::default(); requests.len()]);
        }
        match &self.prepared {
            Prepared::Rows => rank_rows(self.model, requests, options),
            Prepared::Products(panels) => products::rank(self.model, panels, requests, options),
            Prepared::OnDevice => on_device::rank(self.model, requests, options),
            Prepared::Sparse => sparse::rank(self.model, requests, options),
            Prepared::Shared(order) => shared::rank(self.model, order, requests, options),
        }
    }
}

/// The plain way, for every model: whole rows of scores, masked, and the best
/// of what is left.
///
/// # Errors
/// As [`Ranker::rank`].
pub fn rank_rows(
    model: &dyn Recommender,
    requests: &[Request<'_>],
    options: &RankingOptions<'_>,
) -> Result<Vec<Ranked>> {
    let num_items = model.num_items();
    let queries: Vec<_> = requests.iter().map(|r| r.query).collect();
    let mut lists = Vec::with_capacity(requests.len());
    for_each_tile(model, &queries, options.tile_bytes, |first, tile| {
        lists.extend(map_rows(tile, num_items, |row, scores| {
            let request = &requests[first + row];
            ensure_finite(scores, &request.query, options.model_name)?;
            mask(scores, request.masked, options.allowed);
            Ok(top_k(scores, options.k))
        })?);
        Ok(())
    })?;
    Ok(lists)
}

/// Scores the queries tile by tile into one buffer; `visit` gets the number of
/// the first query and the scores, row-major.
///
/// # Errors
/// Those of the model and of `visit`.
pub fn for_each_tile(
    model: &dyn Recommender,
    queries: &[Query<'_>],
    tile_bytes: usize,
    mut visit: impl FnMut(usize, &mut [f32]) -> Result<()>,
) -> Result<()> {
    let num_items = model.num_items();
    ensure!(
        num_items > 0 || queries.is_empty(),
        "the catalog has no items to rank"
    );
    let rows = tile_rows(num_items, tile_bytes).min(queries.len());
    let mut scores = vec![0.0; rows * num_items];
    for (number, part) in queries.chunks(rows.max(1)).enumerate() {
        let tile = &mut scores[..part.len() * num_items];
        model.score(part, tile)?;
        visit(number * rows, tile)?;
    }
    Ok(())
}

/// Rows of `num_items` scores that fit into `tile_bytes`, at least one.
pub fn tile_rows(num_items: usize, tile_bytes: usize) -> usize {
    (tile_bytes / (num_items.max(1) * size_of::<f32>())).clamp(1, MAX_TILE_ROWS)
}

/// Maps the rows of a tile in parallel; results, and the error that is
/// reported, come in the order of the rows.
///
/// # Errors
/// The first row's that fails.
pub fn map_rows<T: Send>(
    tile: &mut [f32],
    num_items: usize,
    map: impl Fn(usize, &mut [f32]) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let rows: Vec<Result<T>> = tile
        .par_chunks_mut(num_items)
        .enumerate()
        .map(|(row, scores)| map(row, scores))
        .collect();
    rows.into_iter().collect()
}

/// Takes items out of a row of finite scores: they become minus infinity,
/// which [`top_k`] never returns.
pub fn mask(scores: &mut [f32], masked: &[u32], allowed: Option<&[bool]>) {
    for &item in masked {
        scores[item as usize] = f32::NEG_INFINITY;
    }
    if let Some(allowed) = allowed {
        for (score, allowed) in scores.iter_mut().zip(allowed) {
            if !allowed {
                *score = f32::NEG_INFINITY;
            }
        }
    }
}

/// Scores must be finite: no rank can be given to NaN, and infinities mark
/// what is masked.
///
/// # Errors
/// Names the position of the first bad score, the user and the model.
pub fn ensure_finite(scores: &[f32], query: &Query<'_>, model_name: &str) -> Result<()> {
    // Without a branch in the loop it vectorizes.
    if scores.iter().fold(true, |ok, s| ok & s.is_finite()) {
        return Ok(());
    }
    let bad = scores.iter().position(|s| !s.is_finite());
    let position = bad.expect("one of them is not finite, as was just seen");
    let user = user_of(query);
    bail!(
        "model `{model_name}` scores {} at position {position} for {user}: its training diverged, \
         try a lower learning rate",
        scores[position]
    )
}

/// How errors name the user of a query.
fn user_of(query: &Query<'_>) -> String {
    match query.user {
        Some(user) => format!("user index {}", user.0),
        None => format!("a new user with {} items of history", query.history.len()),
    }
}

#[cfg(test)]
mod tests;

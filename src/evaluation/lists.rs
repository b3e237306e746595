//! The pass that ranks: each user's values and how often items are shown.

use super::outcome::{Outcome, Plan, Scores};
use super::roster::{Case, Roster};
use super::{EvaluationTask, UserLists, candidates};
use crate::event::{Event, Observer};
use crate::metrics::{Exposure, Kind, MetricSpec};
use crate::model::{Query, Recommender};
use crate::ranking::{
    Ranked, Ranker, RankingOptions, Request, SeenLog, ensure_finite, for_each_tile, map_rows, mask,
    rank_candidates, top_k,
};
use anyhow::{Context, Result};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Bytes that one pair of query and item takes on its way through a model, to
/// hold candidate ranking within the budget of a tile.
const PAIR_BYTES: usize = 256;

/// Everything that lists say, over all users.
pub struct Lists {
    /// Parallel to the cases, for each metric with one value a user.
    per_user: Vec<(MetricSpec, Vec<f64>)>,
    /// Recommendation counts of each item by cutoff.
    recommended: BTreeMap<usize, Vec<u64>>,
    /// Training interactions of each item.
    popularity: Vec<u32>,
    /// The lists that are kept.
    pub kept: UserLists,
}

/// Ranks for every case and gathers the outcomes in their order.
///
/// # Errors
/// Those of the model, and scores that are not finite.
pub fn evaluate(
    model: &dyn Recommender,
    task: &EvaluationTask<'_>,
    roster: &Roster<'_>,
    observer: &mut dyn Observer,
) -> Result<Lists> {
    let plan = Plan::new(task.metrics);
    let mut lists = Lists::new(task, &plan, roster.cases.len());
    let served: Vec<usize> = (0..roster.cases.len())
        .filter(|&i| roster.cases[i].served)
        .collect();
    for (number, case) in roster.cases.iter().enumerate().filter(|(_, c)| !c.served) {
        lists.record(number, &plan.miss(case.relevant.len()), Vec::new());
    }
    let mut done = 0;
    let mut gather = |outcomes: Vec<Outcome>| {
        for outcome in outcomes {
            lists.record(served[done], &outcome.values, outcome.items);
            done += 1;
        }
        observer.on(&Event::Evaluated {
            done,
            total: served.len(),
        });
    };
    let cases: Vec<&Case<'_>> = served.iter().map(|&i| &roster.cases[i]).collect();
    if task.set.candidates.is_some() || task.options.sampled_negatives.is_some() {
        rank_given(model, task, &plan, &cases, &mut gather)?;
    } else if plan.wants_scores {
        score_catalog(model, task, &plan, &cases, &mut gather)?;
    } else {
        rank_catalog(model, task, &plan, &cases, &mut gather)?;
    }
    Ok(lists)
}

/// Cases that are ranked between two reports of progress.
const BLOCK: usize = 4096;

fn rank_catalog(
    model: &dyn Recommender,
    task: &EvaluationTask<'_>,
    plan: &Plan<'_>,
    cases: &[&Case<'_>],
    gather: &mut dyn FnMut(Vec<Outcome>),
) -> Result<()> {
    let ranker = Ranker::new(model)?;
    let own = SeenLog::new(&task.set.history.items);
    let options = RankingOptions {
        model_name: task.model_name,
        k: plan.longest,
        allowed: None,
        seen: Some(task.seen.unwrap_or(&own)),
        tile_bytes: task.options.tile_bytes,
    };
    for part in cases.chunks(BLOCK) {
        let requests: Vec<_> = part.iter().map(|case| request(task, case)).collect();
        let lists = ranker.rank(&requests, &options)?.into_par_iter().zip(part);
        let judge = |(list, case): (Ranked, &&Case<'_>)| {
            plan.judge(list, &case.relevant, &Scores::default())
        };
        gather(lists.map(judge).collect());
    }
    Ok(())
}

fn request<'a>(task: &EvaluationTask<'_>, case: &Case<'a>) -> Request<'a> {
    let masked = if task.options.mask_seen {
        case.query.history
    } else {
        &[]
    };
    Request {
        query: case.query,
        masked,
    }
}

/// As [`rank_catalog`], with the scores of the whole catalog at hand.
fn score_catalog(
    model: &dyn Recommender,
    task: &EvaluationTask<'_>,
    plan: &Plan<'_>,
    cases: &[&Case<'_>],
    gather: &mut dyn FnMut(Vec<Outcome>),
) -> Result<()> {
    let queries: Vec<_> = cases.iter().map(|c| c.query).collect();
    let num_items = model.num_items();
    for_each_tile(model, &queries, task.options.tile_bytes, |first, tile| {
        gather(map_rows(tile, num_items, |row, scores| {
            let case = cases[first + row];
            ensure_finite(scores, &case.query, task.model_name)?;
            mask(scores, request(task, case).masked, None);
            let list = top_k(scores, plan.longest);
            let divided = Scores::of_row(scores, &case.relevant);
            Ok(plan.judge(list, &case.relevant, &divided))
        })?);
        Ok(())
    })
}

fn rank_given(
    model: &dyn Recommender,
    task: &EvaluationTask<'_>,
    plan: &Plan<'_>,
    cases: &[&Case<'_>],
    gather: &mut dyn FnMut(Vec<Outcome>),
) -> Result<()> {
    let budget = (task.options.tile_bytes / PAIR_BYTES).max(1);
    let mut rest = cases;
    while !rest.is_empty() {
        let mut pairs = Pairs::default();
        while pairs.len() < budget && pairs.bounds.len() < rest.len() {
            pairs.push(task, rest[pairs.bounds.len()])?;
        }
        let (part, later) = rest.split_at(pairs.bounds.len());
        gather(pairs.judge(model, task, plan, part)?);
        rest = later;
    }
    Ok(())
}

/// Candidates of some users in a row.
#[derive(Default)]
struct Pairs<'a> {
    queries: Vec<Query<'a>>,
    items: Vec<u32>,
    /// Where each user's candidates end.
    bounds: Vec<usize>,
}

impl<'a> Pairs<'a> {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn push(&mut self, task: &EvaluationTask<'_>, case: &Case<'a>) -> Result<()> {
        let items = candidates::of(task, case)?.unwrap_or_default();
        self.items.extend(items);
        self.queries.resize(self.items.len(), case.query);
        self.bounds.push(self.items.len());
        Ok(())
    }

    fn judge(
        &self,
        model: &dyn Recommender,
        task: &EvaluationTask<'_>,
        plan: &Plan<'_>,
        cases: &[&Case<'_>],
    ) -> Result<Vec<Outcome>> {
        let scores = model.score_pairs(&self.queries, &self.items)?;
        let mut start = 0;
        let judge = |(case, &end): (&&Case<'_>, &usize)| {
            let range = std::mem::replace(&mut start, end)..end;
            let (items, scores) = (&self.items[range.clone()], &scores[range]);
            ensure_finite(scores, &case.query, task.model_name)?;
            let list = rank_candidates(items, scores);
            let pairs = items.iter().copied().zip(scores.iter().copied());
            let divided = Scores::divide(pairs, &case.relevant);
            Ok(plan.judge(list, &case.relevant, &divided))
        };
        cases.iter().zip(&self.bounds).map(judge).collect()
    }
}

impl Lists {
    fn new(task: &EvaluationTask<'_>, plan: &Plan<'_>, users: usize) -> Self {
        let column = |spec: &&MetricSpec| (**spec, vec![f64::NAN; users]);
        let shown = |m: &&MetricSpec| matches!(m.entry.kind, Kind::Exposure(_));
        let cutoffs = task.metrics.iter().filter(shown).filter_map(|m| m.cutoff);
        let num_items = task.set.targets.num_items;
        Self {
            per_user: plan.per_user.iter().map(column).collect(),
            recommended: cutoffs.map(|k| (k, vec![0; num_items])).collect(),
            popularity: task.train.item_counts(),
            kept: UserLists::new(users, task.options.kept_lists, plan.longest),
        }
    }

    fn record(&mut self, case: usize, values: &[f64], items: Vec<u32>) {
        for ((_, column), value) in self.per_user.iter_mut().zip(values) {
            column[case] = *value;
        }
        for (k, counts) in &mut self.recommended {
            for &item in items.iter().take(*k) {
                counts[item as usize] += 1;
            }
        }
        self.kept.put(case, items);
    }

    /// The value of a metric over all users.
    ///
    /// # Errors
    /// No user has a value.
    pub fn value(&self, spec: &MetricSpec) -> Result<f64> {
        if let (Kind::Exposure(of), Some(k)) = (spec.entry.kind, spec.cutoff) {
            let exposure = Exposure {
                recommended: &self.recommended[&k],
                popularity: &self.popularity,
            };
            return Ok(of(&exposure));
        }
        let column = self.per_user.iter().find(|(s, _)| s == spec);
        let values = column.map_or(&[][..], |(_, values)| values);
        mean(values).with_context(|| {
            format!("`{spec}` has no value: no user has both held-out and other unseen items")
        })
    }

    /// The values behind the means, parallel to the cases.
    pub fn into_columns(self) -> Vec<(MetricSpec, Vec<f64>)> {
        self.per_user
    }
}

/// The mean of the values that are there, in their order.
fn mean(values: &[f64]) -> Option<f64> {
    let mut count = 0u64;
    let mut sum = 0.0;
    for value in values.iter().filter(|v| !v.is_nan()) {
        count += 1;
        sum += value;
    }
    (count > 0).then(|| sum / count as f64)
}

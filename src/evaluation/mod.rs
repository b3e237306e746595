//! A model and held-out interactions make metrics.
//!
//! The rules, the same for every model, so that figures can be compared:
//! - A user's relevant items T are the distinct held-out items, less those
//!   already seen when seen items are masked (nobody could rank them). Users
//!   whose T is empty are left out and counted.
//! - A user whom the model cannot serve (no training interactions, and a model
//!   that needs them) counts as a total miss: 0 for metrics of lists, 0.5 for
//!   AUC, nothing recommended. Leaving such users out would let a model choose
//!   its own exam. `users = "known"` leaves out users without training
//!   interactions, for all models alike.
//! - Held-out items without training interactions stay in T and are counted.
//!
//! Values are computed for each user and summed in the order of users, so that
//! they depend neither on threads nor on the tile height.

mod candidates;
mod clicks;
mod kept;
mod lists;
mod outcome;
mod ratings;
mod roster;
mod rows;

use crate::data::interactions::Interactions;
use crate::data::split::EvalSet;
use crate::event::{Event, Observer};
use crate::ids::UserIdx;
use crate::metrics::{Kind, MetricSpec, MetricValues};
use crate::model::Recommender;
use crate::ranking::{SeenLog, TILE_BYTES};
use crate::seed::Seed;
use anyhow::{Result, ensure};
pub use clicks::ClickRates;
pub use kept::UserLists;
use lists::Lists;
use ratings::Errors;
use roster::Roster;
pub use roster::relevant_of;
use serde::{Deserialize, Serialize};

/// `[evaluation]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationConfig {
    /// Metric names; one with a cutoff of its own (`ndcg@5`) keeps it.
    pub metrics: Vec<String>,
    /// The list lengths at which the other metrics of lists are taken.
    pub cutoffs: Vec<usize>,
    /// Whether what a user is known to have seen is kept out of the lists.
    pub mask_seen: bool,
    /// Ranks the held-out items among this many uniformly drawn unseen items
    /// in place of the whole catalog. Faster and far too kind: only to compare
    /// with figures made this way. Given candidates go before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampled_negatives: Option<usize>,
    /// Who is evaluated.
    pub users: EvaluatedUsers,
    /// Items with fewer training interactions are the cold ones of
    /// `cold_log_loss` and `cold_click_auc`.
    pub cold_below: u32,
    /// Models with their default parameters that stand beside every model, on
    /// the same split. They must take no epochs.
    pub baselines: Vec<String>,
}

/// What `baselines` is where nobody says.
pub const BASELINES: [&str; 3] = ["popularity", "item_knn", "ease"];

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self {
            metrics: ["recall", "ndcg", "mrr", "hit_rate", "coverage"]
                .map(String::from)
                .to_vec(),
            cutoffs: vec![10, 20],
            mask_seen: true,
            sampled_negatives: None,
            users: EvaluatedUsers::All,
            cold_below: 10,
            baselines: BASELINES.map(String::from).to_vec(),
        }
    }
}

impl EvaluationConfig {
    /// The metrics with their cutoffs.
    ///
    /// # Errors
    /// As [`MetricSpec::expand`].
    pub fn specs(&self) -> Result<Vec<MetricSpec>> {
        MetricSpec::expand(&self.metrics, &self.cutoffs)
    }

    pub fn options(&self) -> EvaluationOptions {
        EvaluationOptions {
            mask_seen: self.mask_seen,
            sampled_negatives: self.sampled_negatives,
            users: self.users,
            cold_below: self.cold_below,
            tile_bytes: TILE_BYTES,
            kept_lists: 0,
        }
    }
}

/// Which users with held-out items are evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvaluatedUsers {
    #[default]
    All,
    /// Only those with training interactions.
    Known,
}

/// How to evaluate; see [`EvaluationConfig`].
#[derive(Clone, Copy, Debug)]
pub struct EvaluationOptions {
    pub mask_seen: bool,
    pub sampled_negatives: Option<usize>,
    pub users: EvaluatedUsers,
    pub cold_below: u32,
    /// Upper bound of the scores in memory. Results do not depend on it.
    pub tile_bytes: usize,
    /// Of how many users the lists are kept.
    pub kept_lists: usize,
}

/// What to evaluate a model on.
#[derive(Clone, Copy)]
pub struct EvaluationTask<'a> {
    /// Names the model in errors and warnings.
    pub model_name: &'a str,
    pub set: &'a EvalSet,
    /// What the model was fitted on: says which users are known and how
    /// popular items are.
    pub train: &'a Interactions,
    pub metrics: &'a [MetricSpec],
    pub options: EvaluationOptions,
    /// The histories of `set`, for evaluations on a GPU that follow each
    /// other; without it each uploads them anew.
    pub seen: Option<&'a SeenLog<'a>>,
    /// Of the run; sampled negatives come from its stream "evaluation".
    pub seed: Seed,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    pub metrics: MetricValues,
    pub protocol: EvaluationProtocol,
    pub per_user: PerUser,
    pub lists: UserLists,
}

/// The values behind the means, for tests of significance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PerUser {
    /// The evaluated users, ascending.
    pub users: Vec<UserIdx>,
    /// Their numbers of relevant items, parallel to `users`.
    pub held_out: Vec<u32>,
    /// Of each metric that has one value a user, parallel to `users`; NaN
    /// where a user has none. Of RMSE and MAE, those over a user's own
    /// ratings: their mean is not that over all ratings.
    pub values: Vec<(String, Vec<f64>)>,
}

/// How it was evaluated and who was counted, as reports print it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EvaluationProtocol {
    /// One phrase, e.g. `full ranking over 1682 items`.
    pub ranking: String,
    pub seen_items_masked: bool,
    /// Users behind the means.
    pub users: usize,
    /// Of all users, those left out since nothing of theirs is held out.
    pub users_without_targets: usize,
    /// Those left out by `users = "known"`.
    pub unknown_users_left_out: usize,
    /// Of `users`, those without training interactions.
    pub new_users: usize,
    /// Of `new_users`, those whom the model cannot serve: total misses.
    pub unserved_users: usize,
    /// Relevant items of all users.
    pub targets: usize,
    /// Of `targets`, those without training interactions.
    pub cold_targets: usize,
    /// Held-out items left out since the user had seen them already.
    pub seen_targets: usize,
    /// Held-out rows behind metrics of ratings or clicks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratings: Option<usize>,
    /// Held-out rows of users whom the model cannot serve, left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpredicted_ratings: Option<usize>,
    /// Of the rows behind metrics of clicks, those of cold items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cold_rows: Option<usize>,
}

/// Evaluates a model.
///
/// # Errors
/// A cutoff beyond the catalog, a model of another catalog, no users to
/// evaluate, scores that are not finite, metrics of ratings or clicks without
/// any or for a model that does not predict them.
pub fn evaluate(
    model: &dyn Recommender,
    task: &EvaluationTask<'_>,
    observer: &mut dyn Observer,
) -> Result<Evaluation> {
    check(model, task)?;
    let roster = Roster::new(model, task)?;
    warn_of_unserved(model, task, &roster, observer);
    let mut protocol = roster.protocol.clone();
    let ranked = task.metrics.iter().any(|m| !is_rating(m) && !is_clicks(m));
    let mut lists = if ranked {
        Some(lists::evaluate(model, task, &roster, observer)?)
    } else {
        None
    };
    let errors = ratings::evaluate(model, task)?;
    if let Some(errors) = &errors {
        protocol.ratings = Some(errors.ratings);
        protocol.unpredicted_ratings = Some(errors.unpredicted);
    }
    let clicks = clicks::evaluate(model, task)?;
    if let Some(clicks) = &clicks {
        protocol.ratings = Some(clicks.rows());
        protocol.unpredicted_ratings = Some(clicks.unpredicted);
        protocol.cold_rows = Some(clicks.cold_rows());
    }
    let mut metrics = Vec::with_capacity(task.metrics.len());
    for spec in task.metrics {
        let value = match (&spec.entry.kind, &lists, &errors, &clicks) {
            (Kind::Rating { finish, .. }, _, Some(errors), _) => finish(errors.mean(spec)),
            (Kind::Clicks { .. }, _, _, Some(clicks)) => {
                clicks.value(spec, task.options.cold_below)?
            }
            (_, Some(lists), _, _) => lists.value(spec)?,
            _ => unreachable!("each kind of metric was computed where one is asked for"),
        };
        metrics.push((spec.to_string(), value));
    }
    let kept = lists.as_mut().map(|l| std::mem::take(&mut l.kept));
    Ok(Evaluation {
        lists: kept.unwrap_or_default(),
        metrics: metrics.into_iter().collect(),
        protocol,
        per_user: per_user(task, &roster, lists, errors.as_ref()),
    })
}

/// The values behind the means, in the order of the metrics.
fn per_user(
    task: &EvaluationTask<'_>,
    roster: &Roster<'_>,
    lists: Option<Lists>,
    errors: Option<&Errors>,
) -> PerUser {
    let mut columns = lists.map(Lists::into_columns).unwrap_or_default();
    if let Some(errors) = errors {
        columns.extend(errors.columns(roster));
    }
    let place = |spec: &MetricSpec| task.metrics.iter().position(|m| m == spec);
    columns.sort_by_key(|(spec, _)| place(spec));
    let columns = columns.into_iter();
    PerUser {
        users: roster.cases.iter().map(|c| c.user).collect(),
        held_out: roster
            .cases
            .iter()
            .map(|c| c.relevant.len() as u32)
            .collect(),
        values: columns.map(|(spec, v)| (spec.to_string(), v)).collect(),
    }
}

fn is_rating(spec: &MetricSpec) -> bool {
    matches!(spec.entry.kind, Kind::Rating { .. })
}

fn is_clicks(spec: &MetricSpec) -> bool {
    matches!(spec.entry.kind, Kind::Clicks { .. })
}

fn check(model: &dyn Recommender, task: &EvaluationTask<'_>) -> Result<()> {
    let catalog = model.num_items();
    ensure!(
        catalog == task.set.targets.num_items,
        "model `{}` knows {catalog} items, the data has {}: it was trained on other data",
        task.model_name,
        task.set.targets.num_items
    );
    ensure!(!task.metrics.is_empty(), "no metrics are asked for");
    ensure!(
        task.options.sampled_negatives != Some(0),
        "`sampled_negatives` must be at least 1; leave it out to rank the whole catalog"
    );
    for spec in task.metrics {
        let cutoff = spec.cutoff.unwrap_or(0);
        ensure!(
            cutoff <= catalog,
            "the cutoff of `{spec}` is larger than the catalog of {catalog} items"
        );
    }
    Ok(())
}

fn warn_of_unserved(
    model: &dyn Recommender,
    task: &EvaluationTask<'_>,
    roster: &Roster<'_>,
    observer: &mut dyn Observer,
) {
    if let (1.., Err(why)) = (roster.protocol.unserved_users, model.serves_new_users()) {
        observer.on(&Event::Warning(format!(
            "model `{}` cannot serve {} of {} users, who have no training interactions; they \
             count as misses ({why:#})",
            task.model_name, roster.protocol.unserved_users, roster.protocol.users
        )));
    }
}

#[cfg(test)]
mod tests;

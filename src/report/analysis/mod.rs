//! What stands behind the figures of a report: pure numbers, which the
//! renderers draw and print.
//!
//! All of it is about one part of the split, and bounded on large data:
//! figures of users take all of them, what looks into lists takes the kept
//! lists ([`crate::evaluation::UserLists`]), the map takes the most popular
//! items. Where that is less than all, [`Analysis::notes`] says so.

mod cutoffs;
mod examples;
mod exposure;
mod groups;
mod intervals;
mod items;
mod map;
mod numbers;
mod users;

pub use cutoffs::CutoffCurve;
pub use examples::{Example, HeldOut, Listed};
pub use exposure::{Concentration, Exposed, Exposures, ShownItem};
pub use groups::{Group, Grouping};
pub use intervals::Interval;
pub use map::{Coloring, ItemMap};
pub use numbers::{Curve, Curves, DataShape};

use super::EvaluatedPart;
use crate::data::features::FeatureTable;
use crate::data::interactions::Interactions;
use crate::data::split::EvalSet;
use crate::evaluation::UserLists;
use crate::event::EpochRecord;
use crate::ids::{IdMap, UserIdx};
use crate::metrics::{Kind, MetricSpec, MetricValues};
use crate::model::Recommender;
use crate::seed::Seed;
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// Users whose lists an evaluation keeps for the analysis.
pub const KEPT_LISTS: usize = 20_000;

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    pub part: EvaluatedPart,
    /// The metric that the groups of users are compared by; absent where no
    /// metric of lists was asked for.
    pub metric: Option<String>,
    /// The length of list that groups of items and exposure are about.
    pub k: usize,
    /// The model first, then the baselines. Values of groups are parallel to
    /// it.
    pub models: Vec<String>,
    pub users: usize,
    /// Users behind what looks into lists.
    pub users_with_lists: usize,
    /// What was sampled or left out, and why; whole sentences.
    pub notes: Vec<String>,
    pub intervals: Vec<Interval>,
    pub curves: Curves,
    pub cutoffs: Vec<CutoffCurve>,
    pub user_groups: Vec<Grouping>,
    pub item_groups: Vec<Grouping>,
    pub exposure: Option<Exposures>,
    pub map: Option<ItemMap>,
    pub examples: Vec<Example>,
    pub shape: DataShape,
}

/// What an analysis is made from.
pub struct Material<'a> {
    pub part: EvaluatedPart,
    pub set: &'a EvalSet,
    pub train: &'a Interactions,
    pub mask_seen: bool,
    /// The evaluated users, ascending.
    pub evaluated: &'a [UserIdx],
    pub users: &'a IdMap,
    pub items: &'a IdMap,
    pub user_features: Option<&'a FeatureTable>,
    pub item_features: Option<&'a FeatureTable>,
    /// The epochs of the training; empty for a model without.
    pub epochs: &'a [EpochRecord],
    /// The metric that decided which epoch is best.
    pub watched: &'a str,
    pub model: &'a dyn Recommender,
    pub metrics: &'a [MetricSpec],
    pub seed: Seed,
}

/// A model and what came of evaluating it on the part.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub name: &'a str,
    pub metrics: &'a MetricValues,
    /// By metric, one value for each of [`Material::evaluated`].
    pub scores: &'a [(String, Vec<f64>)],
    /// Empty where they are not at hand.
    pub lists: &'a UserLists,
}

impl<'a> Subject<'a> {
    /// The values of a metric, user by user.
    fn column(&self, metric: &str) -> Option<&'a [f64]> {
        let found = self.scores.iter().find(|(name, _)| name == metric);
        found.map(|(_, values)| values.as_slice())
    }
}

impl Material<'_> {
    /// Title and external id of an item, or the id alone.
    fn item_name(&self, item: u32) -> String {
        let id = self.items.external(item);
        match self.item_features.and_then(|f| f.title_of(item)) {
            Some(title) => title.to_string(),
            None => id.into_owned(),
        }
    }

    /// The metric of lists that stands for the others: the one that was
    /// watched where it is among them, else the first.
    fn headline(&self) -> Option<MetricSpec> {
        let of_lists = |m: &&MetricSpec| matches!(m.entry.kind, Kind::List(_));
        let mut lists = self.metrics.iter().filter(of_lists);
        let watched = lists.clone().find(|m| m.to_string() == self.watched);
        watched.or_else(|| lists.next()).copied()
    }
}

/// Looks closer at the evaluations of a part; `subjects` has the model first.
///
/// # Errors
/// A device that fails while the item vectors are read.
pub fn analyze(material: &Material<'_>, subjects: &[Subject<'_>]) -> Result<Analysis> {
    let of_model = &subjects[0];
    let headline = material.headline();
    let k = headline.and_then(|m| m.cutoff).unwrap_or(0);
    let metric = headline.map(|m| m.to_string());
    let hits = items::Hits::new(material, subjects, k);
    let mut notes = Vec::new();
    // The map is made on one thread.
    let (map, intervals) = rayon::join(
        || map::item_map(material),
        || intervals::intervals(of_model, material.seed),
    );
    let (map, why) = map?;
    notes.extend(why);
    let (users, listed) = (material.evaluated.len(), of_model.lists.places.len());
    if 0 < listed && listed < users {
        notes.push(format!(
            "Cutoffs, groups of items, exposure and examples come from the lists of {listed} of \
             the {users} users, evenly spaced."
        ));
    }
    for subject in &subjects[1..] {
        if listed > 0 && subject.lists.is_empty() {
            notes.push(format!(
                "The lists of {} are not at hand: it is missing where lists are looked into.",
                subject.name
            ));
        }
    }
    Ok(Analysis {
        part: material.part,
        k,
        models: subjects.iter().map(|s| s.name.to_string()).collect(),
        users,
        users_with_lists: listed,
        intervals,
        curves: numbers::curves(material.epochs, material.watched),
        cutoffs: cutoffs::curves(material, subjects),
        user_groups: metric
            .as_ref()
            .map_or_else(Vec::new, |m| users::groupings(material, subjects, m)),
        item_groups: hits
            .as_ref()
            .map_or_else(Vec::new, |h| h.groupings(material)),
        exposure: exposure::exposures(material, subjects, headline),
        examples: examples::examples(material, of_model, headline),
        shape: numbers::shape(material),
        metric,
        map,
        notes,
    })
}

#[cfg(test)]
mod tests;

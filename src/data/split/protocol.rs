//! What reports say of a split.

use crate::data::interactions::Interactions;
use crate::data::split::config::{Carve, Order, Plan, Select};
use crate::data::split::{EvalSet, Split, SplitProtocol};
use crate::ids::UserIdx;
use rayon::prelude::*;

/// The counts and notes of an assembled split.
pub(super) fn describe(
    plan: &Plan,
    has_time: bool,
    split: &Split,
    tie_rate: Option<f64>,
) -> SplitProtocol {
    let mut notes = Vec::new();
    if let Some(validation) = &split.validation {
        notes.extend(cold_notes("validation", validation, &split.train));
    } else if wants_validation(plan) {
        notes.push("the validation part came out empty".to_string());
    }
    notes.extend(cold_notes("test", &split.test, &split.train));
    notes.extend(seen_note(&split.test));
    notes.extend(candidate_notes(&split.test));
    if !has_time && follows_time(plan) {
        notes.push("no timestamps: the order of the input is taken for that of time".to_string());
    }
    SplitProtocol {
        description: description(plan),
        timestamp_tie_rate: tie_rate,
        train_interactions: split.train.len(),
        validation_interactions: split.validation.as_ref().map_or(0, |v| v.targets.len()),
        test_interactions: split.test.targets.len(),
        notes,
    }
}

/// One phrase, e.g. `random 80/10/10 within each user`.
pub(super) fn description(plan: &Plan) -> String {
    match plan {
        Plan::LeaveOneOut(Select::Last) => {
            "leave-one-out: each user's last interaction is test, the one before validation".into()
        }
        Plan::LeaveOneOut(Select::Random) => {
            "leave-one-out: one random interaction of each user is test, another validation".into()
        }
        Plan::RatioPerUser(Order::Random, ratios) => {
            format!("random {} within each user", shares(ratios))
        }
        Plan::RatioPerUser(Order::Time, ratios) => {
            format!("{} within each user in time order", shares(ratios))
        }
        Plan::Ratio(ratios) => format!("random {} over all interactions", shares(ratios)),
        Plan::TimeByRatio(ratios) => format!("global time, {} of interactions", shares(ratios)),
        Plan::TimeByDate(validation, test) => {
            let validation = validation.map(|v| format!("validation from {}, ", date(v)));
            format!(
                "global time, {}test from {}",
                validation.unwrap_or_default(),
                date(*test)
            )
        }
        Plan::Given(carve) => format!("given files{}", carved(carve)),
        Plan::KFold { folds, fold, carve } => {
            format!(
                "fold {fold} of {folds} random folds of all interactions{}",
                carved(carve)
            )
        }
        Plan::NewUser {
            ratios,
            fold_in,
            order,
        } => {
            let order = match order {
                Order::Random => "random",
                Order::Time => "earliest",
            };
            format!(
                "new users, {} of users, {order} {}% of a held-out user's interactions folded in",
                shares(ratios),
                percent(*fold_in)
            )
        }
        Plan::NewItem(ratios) => format!("new items, {} of items", shares(ratios)),
    }
}

/// What to change when a part came out empty.
pub(super) fn advice(plan: &Plan) -> &'static str {
    match plan {
        Plan::LeaveOneOut(_) => {
            "it needs users with at least three interactions; use kind = \"ratio\" or more data"
        }
        Plan::TimeByDate(..) => {
            "move split.test_start and split.validation_start into the time range of the data"
        }
        Plan::TimeByRatio(_) => {
            "many interactions share one timestamp; change split.ratios, \
             or use kind = \"ratio_per_user\""
        }
        Plan::Given(_) => "check the given train and test files, and whether cleaning emptied one",
        Plan::NewUser { .. } => {
            "too few users with two interactions or more; change split.ratios, \
             or use kind = \"ratio_per_user\""
        }
        Plan::RatioPerUser(..) | Plan::Ratio(_) | Plan::KFold { .. } | Plan::NewItem(_) => {
            "there is too little data for these shares; change split.ratios or split.folds, \
             or clean less"
        }
    }
}

fn wants_validation(plan: &Plan) -> bool {
    match plan {
        Plan::LeaveOneOut(_) => true,
        Plan::RatioPerUser(_, ratios)
        | Plan::Ratio(ratios)
        | Plan::TimeByRatio(ratios)
        | Plan::NewUser { ratios, .. }
        | Plan::NewItem(ratios) => ratios[1] > 0.0,
        Plan::TimeByDate(validation, _) => validation.is_some(),
        Plan::Given(carve) | Plan::KFold { carve, .. } => carve.ratio > 0.0,
    }
}

fn follows_time(plan: &Plan) -> bool {
    matches!(plan, Plan::LeaveOneOut(Select::Last))
}

fn carved(carve: &Carve) -> String {
    if carve.ratio == 0.0 {
        return String::new();
    }
    let order = match carve.order {
        Order::Random => "random",
        Order::Time => "latest",
    };
    format!(
        ", validation: {order} {}% of each user's training interactions",
        percent(carve.ratio)
    )
}

/// `80/10/10`
fn shares(ratios: &[f64; 3]) -> String {
    ratios.map(percent).join("/")
}

fn percent(share: f64) -> String {
    let rounded = (share * 1e4).round() / 1e2;
    rounded.to_string()
}

fn date(seconds: i64) -> String {
    chrono::DateTime::from_timestamp(seconds, 0).map_or_else(
        || seconds.to_string(),
        |moment| moment.format("%Y-%m-%d %H:%M:%S").to_string(),
    )
}

/// Targets and users that training never saw.
fn cold_notes(part: &str, set: &EvalSet, train: &Interactions) -> Vec<String> {
    let counts = train.item_counts();
    let targets = &set.targets;
    let cold = |item: &&u32| counts[**item as usize] == 0;
    let cold_targets = targets.items.iter().filter(cold).count();
    let users = users_with_rows(targets);
    let cold_users = users.iter().filter(|&&u| train.range(u).is_empty()).count();
    let mut notes = Vec::new();
    if cold_targets > 0 {
        notes.push(format!(
            "{cold_targets} of {} {part} targets are items without training interactions",
            targets.len()
        ));
    }
    if cold_users > 0 {
        notes.push(format!(
            "{cold_users} of {} {part} users have no training interactions",
            users.len()
        ));
    }
    notes
}

fn users_with_rows(table: &Interactions) -> Vec<UserIdx> {
    (0..table.num_users() as u32)
        .map(UserIdx)
        .filter(|&u| !table.range(u).is_empty())
        .collect()
}

/// Targets that the user had before: masked with the history, they can never
/// be found.
fn seen_note(test: &EvalSet) -> Option<String> {
    let seen: usize = users_with_rows(&test.targets)
        .into_par_iter()
        .map(|user| {
            let mut known = test.history.items_of(user).to_vec();
            known.sort_unstable();
            let targets = test.targets.items_of(user).iter();
            targets.filter(|i| known.binary_search(i).is_ok()).count()
        })
        .sum();
    (seen > 0).then(|| {
        format!(
            "{seen} of {} test targets repeat an item of their user's history",
            test.targets.len()
        )
    })
}

/// Quirks of given negatives, which are kept as given.
fn candidate_notes(test: &EvalSet) -> Vec<String> {
    let Some(candidates) = &test.candidates else {
        return Vec::new();
    };
    let users = users_with_rows(&test.targets);
    let own = |user: &&UserIdx| {
        let targets = test.targets.items_of(**user);
        let given = candidates.items_of(**user);
        given.iter().any(|item| targets.contains(item))
    };
    let with_own = users.iter().filter(own).count();
    let without = users
        .iter()
        .filter(|&&u| candidates.range(u).is_empty())
        .count();
    let mut notes = vec!["test ranks each user's targets among the given negatives".to_string()];
    if with_own > 0 {
        notes.push(format!(
            "{with_own} of {} given negative lists contain their user's own test item; kept as given",
            users.len() - without
        ));
    }
    if without > 0 {
        notes.push(format!(
            "{without} of {} test users have no given negatives",
            users.len()
        ));
    }
    notes
}

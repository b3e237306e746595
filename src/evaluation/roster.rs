//! Who is evaluated, and on what.

use super::{EvaluatedUsers, EvaluationProtocol, EvaluationTask};
use crate::data::split::EvalSet;
use crate::ids::UserIdx;
use crate::model::{Query, Recommender, distinct};
use anyhow::{Result, ensure};

/// One evaluated user.
pub struct Case<'a> {
    pub user: UserIdx,
    pub query: Query<'a>,
    /// T: distinct, ascending, never empty.
    pub relevant: Vec<u32>,
    /// Whether the model can serve the query.
    pub served: bool,
}

/// All evaluated users, ascending, and the counts of the protocol.
pub struct Roster<'a> {
    pub cases: Vec<Case<'a>>,
    pub protocol: EvaluationProtocol,
}

impl<'a> Roster<'a> {
    /// # Errors
    /// Nobody is left to evaluate.
    pub fn new(model: &dyn Recommender, task: &EvaluationTask<'a>) -> Result<Self> {
        let mut roster = Self {
            cases: Vec::new(),
            protocol: EvaluationProtocol {
                ranking: describe(task),
                seen_items_masked: task.options.mask_seen,
                ..EvaluationProtocol::default()
            },
        };
        let popularity = task.train.item_counts();
        let serves_new_users = model.serves_new_users().is_ok();
        for user in (0..task.set.targets.num_users() as u32).map(UserIdx) {
            roster.add(task, user, serves_new_users, &popularity);
        }
        roster.protocol.users = roster.cases.len();
        ensure!(
            !roster.cases.is_empty(),
            "no users to evaluate: {} have nothing held out that they had not seen, {} have no \
             training interactions and `users = \"known\"` leaves them out",
            roster.protocol.users_without_targets,
            roster.protocol.unknown_users_left_out
        );
        Ok(roster)
    }

    fn add(
        &mut self,
        task: &EvaluationTask<'a>,
        user: UserIdx,
        serves_new_users: bool,
        popularity: &[u32],
    ) {
        let counts = &mut self.protocol;
        let (relevant, seen) = relevant_of(task.set, user, task.options.mask_seen);
        counts.seen_targets += seen;
        if relevant.is_empty() {
            counts.users_without_targets += 1;
            return;
        }
        let query = query_of(task, user);
        if query.user.is_none() && task.options.users == EvaluatedUsers::Known {
            counts.unknown_users_left_out += 1;
            return;
        }
        let served = query.user.is_some() || serves_new_users;
        counts.new_users += usize::from(query.user.is_none());
        counts.unserved_users += usize::from(!served);
        counts.targets += relevant.len();
        let cold = |item: &&u32| popularity.get(**item as usize) == Some(&0);
        counts.cold_targets += relevant.iter().filter(cold).count();
        self.cases.push(Case {
            user,
            query,
            relevant,
            served,
        });
    }
}

/// T of a user, distinct and ascending, and the number of held-out items that
/// it lacks since they were seen.
pub fn relevant_of(set: &EvalSet, user: UserIdx, mask_seen: bool) -> (Vec<u32>, usize) {
    let mut relevant = distinct(set.targets.items_of(user));
    let held_out = relevant.len();
    if mask_seen {
        let seen = sorted(set.history.items_of(user));
        relevant.retain(|item| seen.binary_search(item).is_err());
    }
    let left_out = held_out - relevant.len();
    (relevant, left_out)
}

/// The query of a user: known exactly when there are training interactions.
pub fn query_of<'a>(task: &EvaluationTask<'a>, user: UserIdx) -> Query<'a> {
    Query {
        user: (!task.train.items_of(user).is_empty()).then_some(user),
        history: task.set.history.items_of(user),
        times: task.set.history.times_of(user),
        at: task.set.targets.times_of(user).and_then(|t| t.iter().min()),
        profile: Some(user),
    }
}

pub fn sorted(items: &[u32]) -> Vec<u32> {
    let mut items = items.to_vec();
    items.sort_unstable();
    items
}

fn describe(task: &EvaluationTask<'_>) -> String {
    let catalog = task.set.targets.num_items;
    match (&task.set.candidates, task.options.sampled_negatives) {
        (Some(_), _) => "ranking among the given candidates only".to_string(),
        (None, Some(n)) => format!("sampled ranking among {n} uniform unseen items"),
        (None, None) => format!("full ranking over {catalog} items"),
    }
}

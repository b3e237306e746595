//! The pass over held-out rows, one prediction for each, that metrics of
//! ratings and of clicks share.

use super::roster::query_of;
use super::{EvaluatedUsers, EvaluationTask};
use crate::ids::UserIdx;
use crate::model::{Query, Recommender};
use crate::ranking::ensure_finite;
use anyhow::Result;

/// Rows that are predicted at a time.
const CHUNK: usize = 1 << 16;

/// Some rows: whose, of which item, with which rating or label.
#[derive(Default)]
pub struct Rows<'a> {
    pub users: Vec<UserIdx>,
    pub items: Vec<u32>,
    pub actual: Vec<f32>,
    queries: Vec<Query<'a>>,
}

/// Predicts the held-out rows, whose weights are `actual`, in the order of
/// users, and hands them with their predictions to `take`. Returns the number
/// of rows of users whom the model cannot serve.
///
/// # Errors
/// Those of the model, and predictions that are not finite.
pub fn predict(
    model: &dyn Recommender,
    task: &EvaluationTask<'_>,
    actual: &[f32],
    mut take: impl FnMut(&Rows<'_>, &[f32]),
) -> Result<usize> {
    let targets = &task.set.targets;
    let serves_new_users = model.serves_new_users().is_ok();
    let (mut rows, mut unpredicted) = (Rows::default(), 0);
    for user in (0..targets.num_users() as u32).map(UserIdx) {
        let query = query_of(task, user);
        if query.user.is_none() && task.options.users == EvaluatedUsers::Known {
            continue;
        }
        if query.user.is_none() && !serves_new_users {
            unpredicted += targets.range(user).len();
            continue;
        }
        for position in targets.range(user) {
            rows.users.push(user);
            rows.queries.push(query);
            rows.items.push(targets.items[position]);
            rows.actual.push(actual[position]);
            if rows.items.len() == CHUNK {
                rows.predict(model, task, &mut take)?;
            }
        }
    }
    rows.predict(model, task, &mut take)?;
    Ok(unpredicted)
}

impl Rows<'_> {
    /// Predicts what has gathered and empties the rows.
    fn predict(
        &mut self,
        model: &dyn Recommender,
        task: &EvaluationTask<'_>,
        take: &mut impl FnMut(&Rows<'_>, &[f32]),
    ) -> Result<()> {
        if self.items.is_empty() {
            return Ok(());
        }
        let predicted = model.score_pairs(&self.queries, &self.items)?;
        for (query, prediction) in self.queries.iter().zip(&predicted) {
            ensure_finite(std::slice::from_ref(prediction), query, task.model_name)?;
        }
        take(self, &predicted);
        self.users.clear();
        self.items.clear();
        self.actual.clear();
        self.queries.clear();
        Ok(())
    }
}

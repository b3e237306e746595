//! The pass that predicts held-out ratings.

use super::roster::{Case, Roster};
use super::{EvaluationTask, is_rating, rows};
use crate::ids::UserIdx;
use crate::metrics::{Kind, MetricSpec};
use crate::model::Recommender;
use anyhow::{Context, Result, ensure};

/// Sums of errors over all held-out ratings.
pub struct Errors {
    sums: Vec<(MetricSpec, f64)>,
    /// The same of each user, parallel to `sums`.
    of_users: Vec<Vec<f64>>,
    /// Predicted ratings of each user.
    counts: Vec<u32>,
    pub ratings: usize,
    /// Ratings of users whom the model cannot serve.
    pub unpredicted: usize,
}

impl Errors {
    pub fn mean(&self, spec: &MetricSpec) -> f64 {
        let sum = self.sums.iter().find(|(s, _)| s == spec);
        sum.map_or(f64::NAN, |(_, sum)| sum / self.ratings as f64)
    }

    /// Of each metric, its value over each user's own ratings, parallel to the
    /// cases of the roster; NaN where none was predicted.
    pub fn columns(&self, roster: &Roster<'_>) -> Vec<(MetricSpec, Vec<f64>)> {
        let column = |((spec, _), sums): (&(MetricSpec, f64), &Vec<f64>)| {
            let value = |case: &Case<'_>| {
                let user = case.user.0 as usize;
                match (spec.entry.kind, self.counts[user]) {
                    (Kind::Rating { finish, .. }, 1..) => {
                        finish(sums[user] / f64::from(self.counts[user]))
                    }
                    _ => f64::NAN,
                }
            };
            (*spec, roster.cases.iter().map(value).collect())
        };
        self.sums.iter().zip(&self.of_users).map(column).collect()
    }

    /// Adds the errors of predictions, in their order.
    fn add(&mut self, users: &[UserIdx], predicted: &[f32], actual: &[f32]) {
        for ((spec, sum), of_users) in self.sums.iter_mut().zip(&mut self.of_users) {
            if let Kind::Rating { error, .. } = spec.entry.kind {
                for ((user, p), a) in users.iter().zip(predicted).zip(actual) {
                    let amount = error(f64::from(*p) - f64::from(*a));
                    *sum += amount;
                    of_users[user.0 as usize] += amount;
                }
            }
        }
        for user in users {
            self.counts[user.0 as usize] += 1;
        }
        self.ratings += actual.len();
    }
}

/// Sums the errors, in the order of users; `None` when no metric wants them.
///
/// # Errors
/// Data without ratings, a model that does not predict them, predictions that
/// are not finite, nothing to predict.
pub fn evaluate(model: &dyn Recommender, task: &EvaluationTask<'_>) -> Result<Option<Errors>> {
    let wanted: Vec<_> = task.metrics.iter().filter(|m| is_rating(m)).collect();
    let Some(first) = wanted.first() else {
        return Ok(None);
    };
    let targets = &task.set.targets;
    let ratings = targets.weights.as_deref().with_context(|| {
        format!("`{first}` needs ratings: name the rating column in [data], or leave it out")
    })?;
    ensure!(
        model.predicts_ratings(),
        "`{first}` needs a model that predicts ratings, which `{}` does not: train one on ratings \
         (e.g. `mf` with loss `mse`), or leave `{first}` out",
        task.model_name
    );
    let num_users = targets.num_users();
    let mut errors = Errors {
        of_users: vec![vec![0.0; num_users]; wanted.len()],
        counts: vec![0; num_users],
        sums: wanted.into_iter().map(|spec| (*spec, 0.0)).collect(),
        ratings: 0,
        unpredicted: 0,
    };
    errors.unpredicted = rows::predict(model, task, ratings, |rows, predicted| {
        errors.add(&rows.users, predicted, &rows.actual);
    })?;
    ensure!(
        errors.ratings > 0,
        "`{}` has no ratings to predict",
        errors.sums[0].0
    );
    Ok(Some(errors))
}

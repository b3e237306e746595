//! Whether a figure is what it should be.

use super::recipe::Recipe;
use crate::metrics::{Direction, MetricSpec};
use anyhow::{Context, Result};
use serde::Serialize;
use std::path::PathBuf;

/// How a value lies to what is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Worse by more than the tolerance.
    Missed,
    /// Within the tolerance.
    Matched,
    /// Better by more than the tolerance.
    Better,
}

/// A metric beside what it should be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    pub metric: String,
    pub value: f64,
    pub expected: f64,
    pub tolerance: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<f64>,
    /// Whether it is as good as what was published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reaches_published: Option<bool>,
    pub verdict: Verdict,
}

/// What came of a recipe.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub recipe: String,
    pub judged: Vec<Judged>,
    /// The run directories.
    pub runs: Vec<PathBuf>,
    /// SHA-256 over the files of each run.
    pub data_sha256: Vec<String>,
    /// Whether the files are byte for byte those of the recipe.
    pub data_matches: bool,
    pub seconds: f64,
}

impl Outcome {
    /// The worst of its metrics.
    pub fn verdict(&self) -> Verdict {
        let verdicts = self.judged.iter().map(|j| j.verdict);
        verdicts.min().unwrap_or(Verdict::Missed)
    }
}

/// Judges values by the name of their metric: means over all seeds, or values
/// of the first.
///
/// # Errors
/// A metric that the recipe or the program does not know.
pub fn judge(recipe: &Recipe, values: &[(String, f64)], all_seeds: bool) -> Result<Vec<Judged>> {
    let each = |(name, value): &(String, f64)| {
        let metric = recipe.metrics.get(name);
        let metric = metric.with_context(|| format!("`{}` says nothing of {name}", recipe.name))?;
        let (expected, tolerance) = metric.target(all_seeds);
        let direction = MetricSpec::parse(name)?.direction();
        Ok(Judged {
            metric: name.clone(),
            value: *value,
            expected,
            tolerance,
            published: metric.published,
            reaches_published: metric
                .published
                // As figures are published: with four digits at most.
                .map(|p| gain(direction, *value, p) >= -0.00005),
            verdict: verdict(gain(direction, *value, expected), tolerance),
        })
    };
    values.iter().map(each).collect()
}

/// How much better a value is than another.
fn gain(direction: Direction, value: f64, than: f64) -> f64 {
    match direction.is_better(1.0, 0.0) {
        true => value - than,
        false => than - value,
    }
}

fn verdict(gain: f64, tolerance: f64) -> Verdict {
    match gain {
        g if g < -tolerance => Verdict::Missed,
        g if g > tolerance => Verdict::Better,
        _ => Verdict::Matched,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(metrics: &str) -> Recipe {
        let text = format!("name = 'x'\ndata = 'ml-100k'\nprotocol = 'p'\n[metrics]\n{metrics}");
        toml::from_str(&text).unwrap()
    }

    fn verdicts(recipe: &Recipe, name: &str, values: &[f64]) -> Vec<Verdict> {
        let of = |v: &f64| judge(recipe, &[(name.to_string(), *v)], true).unwrap()[0].verdict;
        values.iter().map(of).collect()
    }

    #[test]
    fn within_three_deviations_is_matched() {
        let recipe = recipe("'ndcg@10' = { expected = 0.3, deviation = 0.01, published = 0.29 }");
        use Verdict::{Better, Matched, Missed};
        let values = [0.269, 0.271, 0.3, 0.329, 0.331];
        assert_eq!(
            verdicts(&recipe, "ndcg@10", &values),
            [Missed, Matched, Matched, Matched, Better]
        );
        let judged = judge(&recipe, &[("ndcg@10".into(), 0.285)], true).unwrap();
        assert_eq!(judged[0].reaches_published, Some(false));
    }

    #[test]
    fn the_first_seed_of_a_model_without_chance_is_held_tighter() {
        let recipe = recipe("'ndcg@10' = { expected = 0.3, deviation = 0.01, first = 0.31 }");
        let of = |value, all| judge(&recipe, &[("ndcg@10".into(), value)], all).unwrap()[0].verdict;
        assert_eq!(of(0.3, true), Verdict::Matched);
        assert_eq!(of(0.3, false), Verdict::Missed);
        assert_eq!(of(0.3096, false), Verdict::Matched);
    }

    #[test]
    fn of_an_error_less_is_better_and_figures_are_rounded() {
        let recipe =
            recipe("rmse = { expected = 0.9, tolerance = 0.003 }\nmae = { expected = 0.7 }");
        use Verdict::{Better, Matched, Missed};
        assert_eq!(
            verdicts(&recipe, "rmse", &[0.89, 0.9029, 0.904]),
            [Better, Matched, Missed]
        );
        assert_eq!(
            verdicts(&recipe, "mae", &[0.7004, 0.7006]),
            [Matched, Missed]
        );
        assert!(judge(&recipe, &[("ndcg@10".into(), 1.0)], true).is_err());
    }
}

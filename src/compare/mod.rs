//! Whether runs differ: paired over the users that they were judged on.
//!
//! What is compared is an [`Entry`]: a run, or the runs of several seeds. A
//! user's score of an entry is the mean over its runs on one split; where the
//! seeds moved the split, too, the differences of a user are averaged over the
//! splits. So the tests ask whether the difference holds over users, and the
//! deviation over runs says how much the seed moves a figure.

mod entry;
mod html;
mod limit;
mod pairs;
mod text;

pub use entry::{Entry, Sources};
pub use html::{html, section};
pub use limit::{Limit, Unmet};
pub use text::{csv, markdown, table};

use crate::metrics::{Direction, MetricSpec};
use crate::report::EvaluatedPart;
use crate::seed::Seed;
use crate::stats;
use anyhow::{Context, Result, ensure};
use pairs::Differences;
use serde::Serialize;

/// Below it, an adjusted p-value makes a difference.
pub const ALPHA: f64 = 0.05;

/// What to compare, and how.
pub struct Plan {
    pub part: EvaluatedPart,
    /// Metrics to test; empty takes all that have a value a user everywhere.
    pub metrics: Vec<MetricSpec>,
    /// Every pair, and not only each against the first.
    pub all_pairs: bool,
    /// Of the resamples.
    pub seed: Seed,
}

/// The outcome, as `--format json` prints it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    pub part: EvaluatedPart,
    /// Users behind the tests.
    pub users: usize,
    pub splits: usize,
    /// Behind each interval; 0 where there are so many users that a formula
    /// gives what resampling goes to.
    pub resamples: usize,
    pub seed: u64,
    pub alpha: f64,
    pub entries: Vec<EntrySummary>,
    /// Each with Holm's adjustment over all of them.
    pub tests: Vec<Test>,
}

/// Figures of an entry.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EntrySummary {
    pub name: String,
    pub model: String,
    pub seeds: Vec<u64>,
    pub metrics: Vec<Figure>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    pub metric: String,
    /// Over runs.
    pub mean: f64,
    /// Over runs, with Bessel's correction; absent for a single one.
    pub deviation: Option<f64>,
}

/// One metric of one pair of entries: `entry` less `against`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Test {
    pub metric: String,
    pub entry: String,
    pub against: String,
    /// Means over users (and runs).
    pub value: f64,
    pub against_value: f64,
    pub difference: f64,
    /// 95% percentile interval of the difference, by a bootstrap over users (see
    /// [`stats::mean_intervals`]).
    pub interval: [f64; 2],
    /// Wilcoxon signed-rank, two-sided.
    pub p_value: f64,
    pub p_holm: f64,
    pub rank_biserial: f64,
    pub cohens_dz: Option<f64>,
    /// Users for whom the entry is better, worse, and neither.
    pub better: usize,
    pub worse: usize,
    pub equal: usize,
    pub outcome: Outcome,
}

/// By the adjusted p-value and the direction of the mean difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Better,
    Worse,
    NoDifference,
}

impl Outcome {
    pub fn words(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NoDifference => "no difference",
        }
    }
}

/// Compares entries: each with the first, or every two.
///
/// # Errors
/// Fewer than two entries; entries of different data, splits or protocols,
/// naming what differs; a metric without a value a user.
pub fn compare(entries: &[Entry], plan: &Plan) -> Result<Comparison> {
    ensure!(entries.len() >= 2, "comparing takes at least two runs");
    for entry in &entries[1..] {
        entry.ensure_comparable(&entries[0])?;
    }
    let metrics = metrics(entries, plan)?;
    let mut tests = Vec::new();
    let mut users = 0;
    for (a, b) in pairs_of(entries, plan.all_pairs) {
        let differences = Differences::new(&entries[a], &entries[b], &metrics)?;
        users = users.max(differences.users());
        tests.extend(tests_of(
            &entries[a],
            &entries[b],
            &metrics,
            &differences,
            plan.seed,
        ));
    }
    let p_values: Vec<f64> = tests.iter().map(|t| t.p_value).collect();
    for (test, p) in tests.iter_mut().zip(stats::holm(&p_values)) {
        test.p_holm = p;
        let spec = MetricSpec::parse(&test.metric)?;
        test.outcome = outcome(spec.direction(), test.difference, p);
    }
    Ok(Comparison {
        part: plan.part,
        users,
        splits: entries[0].splits().len(),
        resamples: stats::resamples(users),
        seed: plan.seed.0,
        alpha: ALPHA,
        entries: entries.iter().map(Entry::summary).collect(),
        tests,
    })
}

/// The first of a pair is what the second is held against: the earlier one,
/// or the baseline.
fn pairs_of(entries: &[Entry], all: bool) -> Vec<(usize, usize)> {
    let firsts = if all { entries.len() } else { 1 };
    let pairs = (0..firsts).flat_map(|a| (a + 1..entries.len()).map(move |b| (a, b)));
    pairs
        .map(|(a, b)| match entries[b].baseline {
            true => (b, a),
            false => (a, b),
        })
        .collect()
}

fn metrics(entries: &[Entry], plan: &Plan) -> Result<Vec<MetricSpec>> {
    if plan.metrics.is_empty() {
        let first = entries[0].metrics_of_users();
        let shared = first.iter().filter(|m| entries.iter().all(|e| e.has(m)));
        let shared: Vec<_> = shared
            .map(|m| MetricSpec::parse(m))
            .collect::<Result<_>>()?;
        ensure!(
            !shared.is_empty(),
            "the runs have no metric with a value for each user in common; name the same \
             [evaluation] metrics, and judge again with `recsys eval --run DIR`"
        );
        return Ok(shared);
    }
    for metric in &plan.metrics {
        let without = entries.iter().find(|e| !e.has(&metric.to_string()));
        if let Some(entry) = without {
            let one = entry.runs.first().context("an entry has runs")?;
            anyhow::bail!(
                "{} has no value of `{metric}` for each user (there are: {}); `recsys eval --run \
                 {} --metrics {metric}` computes it, unless it is one of all lists together",
                entry.name,
                entry.metrics_of_users().join(", "),
                one.path.display()
            );
        }
    }
    Ok(plan.metrics.clone())
}

fn tests_of(
    against: &Entry,
    entry: &Entry,
    metrics: &[MetricSpec],
    differences: &Differences,
    seed: Seed,
) -> Vec<Test> {
    let columns: Vec<&[f64]> = differences.columns.iter().map(Vec::as_slice).collect();
    let intervals = stats::mean_intervals(&columns, seed);
    let each = metrics.iter().zip(&columns).zip(intervals).enumerate();
    each.map(|(i, ((metric, column), interval))| {
        let ranks = stats::signed_ranks(column);
        let count = |better: bool| {
            let wins = |d: &&f64| metric.direction().is_better(**d, 0.0) == better && **d != 0.0;
            column.iter().filter(|d| !d.is_nan()).filter(wins).count()
        };
        let (value, against_value) = differences.means[i];
        Test {
            metric: metric.to_string(),
            entry: entry.name.clone(),
            against: against.name.clone(),
            value,
            against_value,
            difference: stats::mean(column),
            interval,
            p_value: ranks.p_value,
            p_holm: f64::NAN,
            rank_biserial: ranks.rank_biserial,
            cohens_dz: stats::cohens_dz(column),
            better: count(true),
            worse: count(false),
            equal: column.iter().filter(|d| **d == 0.0).count(),
            outcome: Outcome::NoDifference,
        }
    })
    .collect()
}

fn outcome(direction: Direction, difference: f64, p: f64) -> Outcome {
    match (p < ALPHA, direction.is_better(difference, 0.0)) {
        (false, _) => Outcome::NoDifference,
        (true, true) => Outcome::Better,
        (true, false) => Outcome::Worse,
    }
}

#[cfg(test)]
mod tests;

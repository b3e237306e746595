//! Whether a model is worth its trouble, in one sentence.

use super::{EvaluatedPart, Report, UserScores};
use crate::metrics::{Direction, Kind, MetricSpec};
use crate::seed::Seed;
use crate::stats::mean_intervals;
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// How a model stands against its baselines in one metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verdict {
    /// For the person.
    pub sentence: String,
    pub standing: Standing,
    pub part: Option<EvaluatedPart>,
    pub metric: String,
    /// Of the model.
    pub value: f64,
    /// Label of the best baseline.
    pub baseline: String,
    pub baseline_value: f64,
    /// 95% interval of the mean difference a user, model less baseline, by a
    /// paired bootstrap over users (see [`mean_intervals`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// Labels of the baselines that do worse, and of the others.
    pub beaten: Vec<String>,
    pub unbeaten: Vec<String>,
}

/// Against the best baseline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    Better,
    /// The interval of the difference holds 0.
    #[default]
    Level,
    Worse,
}

/// A baseline's label, its value, and its scores of users.
type Rival<'a> = (&'a str, f64, Option<&'a UserScores>);

impl Verdict {
    /// Judges by `watched` where the report has it as a metric of lists or of
    /// clicks, else by the same at another cutoff, else by the first such
    /// metric; `None` when no baseline has a value
    /// of it. `scores` holds the users' scores of the model (no label) and of
    /// the baselines on the part that people are shown.
    ///
    /// # Errors
    /// A metric of the report that is not known.
    pub fn new(
        report: &Report,
        watched: &str,
        scores: &[(Option<&str>, &UserScores)],
    ) -> Result<Option<Self>> {
        let Some((part, spec)) = judged_by(report, watched)? else {
            return Ok(None);
        };
        let metric = spec.to_string();
        let of = |label: Option<&str>| scores.iter().find(|(l, _)| *l == label).map(|(_, s)| *s);
        let rivals = report.baselines.iter().filter_map(|b| {
            let value = b.metrics.get(&part)?.get(&metric)?;
            Some((b.label.as_str(), value, of(Some(&b.label))))
        });
        let rivals: Vec<Rival<'_>> = rivals.collect();
        let better = |a: f64, b: f64| spec.direction().is_better(a, b);
        let Some(best) = rivals
            .iter()
            .copied()
            .reduce(|best, r| if better(r.1, best.1) { r } else { best })
        else {
            return Ok(None);
        };
        let value = report.metrics[&part].get(&metric).unwrap_or(f64::NAN);
        let interval = of(None)
            .zip(best.2)
            .and_then(|(ours, theirs)| interval(&metric, ours, theirs, report.provenance.seed));
        let labels = |beaten: bool| {
            let kept = rivals.iter().filter(|r| better(value, r.1) == beaten);
            kept.map(|r| r.0.to_string()).collect()
        };
        let mut verdict = Self {
            standing: standing(spec.direction(), value - best.1, interval),
            part: Some(part),
            metric,
            value,
            baseline: best.0.to_string(),
            baseline_value: best.1,
            interval,
            beaten: labels(true),
            unbeaten: labels(false),
            ..Self::default()
        };
        verdict.sentence = verdict.in_words(&report.model.name);
        Ok(Some(verdict))
    }

    fn in_words(&self, model: &str) -> String {
        let chance = match (self.standing, self.interval) {
            (Standing::Level, Some([low, high])) => {
                format!(", which is within chance (95% interval {low:+.4} to {high:+.4} a user)")
            }
            (_, Some([low, high])) => format!(" (95% interval {low:+.4} to {high:+.4} a user)"),
            _ => String::new(),
        };
        let part = self.part.map_or_else(String::new, |p| format!("{p} "));
        let figures = format!(
            "{part}{} {:.4} against {:.4}, {}{chance}",
            self.metric,
            self.value,
            self.baseline_value,
            relative(self.value, self.baseline_value)
        );
        let all: Vec<&String> = self.beaten.iter().chain(&self.unbeaten).collect();
        let others = self.beaten.iter().filter(|l| **l != self.baseline);
        let others: Vec<&String> = others.collect();
        let rest = match (others.is_empty(), self.standing) {
            (true, _) | (_, Standing::Better) => String::new(),
            (false, _) => format!("; it beats {}", list(&others)),
        };
        match (self.standing, all.len()) {
            (Standing::Better, 1) => {
                format!("{model} beats the baseline {}: {figures}", self.baseline)
            }
            (Standing::Better, _) => format!(
                "{model} beats every baseline; the best of them is {}: {figures}",
                self.baseline
            ),
            (Standing::Level, _) => format!(
                "{model} is no better than the baseline {}, as far as this shows: {figures}{rest}",
                self.baseline
            ),
            (Standing::Worse, _) => format!(
                "{model} does NOT beat the baseline {}: {figures}{rest}",
                self.baseline
            ),
        }
    }
}

/// The part that is shown, and the metric of lists or clicks to judge by.
fn judged_by(report: &Report, watched: &str) -> Result<Option<(EvaluatedPart, MetricSpec)>> {
    let Some(part) = report.main_part() else {
        return Ok(None);
    };
    let mut fit = Vec::new();
    for (name, _) in report.metrics[&part].iter() {
        let spec = MetricSpec::parse(name)?;
        if matches!(
            spec.entry.kind,
            Kind::List(_) | Kind::Clicks { cold: false, .. }
        ) {
            fit.push(spec);
        }
    }
    let name = watched.split('@').next().unwrap_or_default();
    let chosen = fit.iter().find(|s| s.to_string() == watched);
    let chosen = chosen
        .or_else(|| fit.iter().find(|s| s.entry.name == name))
        .or_else(|| fit.first());
    Ok(chosen.map(|spec| (part, *spec)))
}

fn interval(metric: &str, ours: &UserScores, theirs: &UserScores, seed: u64) -> Option<[f64; 2]> {
    let pairs = ours.get(metric)?.iter().zip(theirs.get(metric)?);
    let differences: Vec<f64> = pairs.map(|(a, b)| a - b).collect();
    // Both were evaluated on the users of one roster, in its order.
    let same = ours.users == theirs.users && !differences.is_empty();
    same.then(|| mean_intervals(&[&differences], Seed(seed))[0])
}

fn standing(direction: Direction, difference: f64, interval: Option<[f64; 2]>) -> Standing {
    let chance = interval.is_some_and(|[low, high]| low <= 0.0 && 0.0 <= high);
    match (
        chance || difference == 0.0,
        direction.is_better(difference, 0.0),
    ) {
        (true, _) => Standing::Level,
        (false, true) => Standing::Better,
        (false, false) => Standing::Worse,
    }
}

fn relative(value: f64, other: f64) -> String {
    if other == 0.0 {
        return format!("{:+.4}", value - other);
    }
    format!("{:+.1}%", 100.0 * (value - other) / other.abs())
}

/// `a`, `a and b`, `a, b and c`
fn list(names: &[&String]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).clone(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(|n| n.as_str()).collect();
            format!("{} and {last}", first.join(", "))
        }
    }
}

//! What `recsys tune` says and draws at its end.

use super::Outcome;
use crate::compare::Test;
use crate::fsio;
use crate::report::{EvaluatedPart, align};
use crate::search::{Plotted, Search, TrialState, has_epochs, html};
use anyhow::Result;
use std::path::Path;

pub(super) fn write_page(folder: &Path, outcomes: &[Outcome]) -> Result<()> {
    let searches = outcomes.iter().map(|o| Search::new(&o.config, o.budget));
    let searches: Vec<Search<'_>> = searches.collect::<Result<_>>()?;
    let plotted = outcomes.iter().zip(&searches).map(|(o, search)| Plotted {
        name: &o.name,
        metric: &o.config.training.validation_metric,
        search,
        trials: o.log.trials(),
        gains: &o.gains,
    });
    let page = html(&plotted.collect::<Vec<_>>());
    fsio::write_atomic_bytes(&folder.join("search.html"), page.as_bytes())
}

/// One row a config, then what tuning gained and where the best settings are.
pub(super) fn text(folder: &Path, outcomes: &[Outcome]) -> String {
    let header = [
        "config",
        "model",
        "trials",
        "given up",
        "failed",
        "seconds",
        "metric",
        "validation, as configured",
        "tuned",
        "test, as configured",
        "tuned",
    ];
    let mut rows = vec![header.map(String::from).to_vec()];
    rows.extend(outcomes.iter().map(row));
    let mut text = align(&rows).join("\n");
    text += "\n\n(validation chose the settings, and flatters them; test had no say in it)\n";
    for outcome in outcomes {
        text += &gained(outcome);
        if let Some(verdict) = &outcome.report.verdict {
            text += &format!("{}: {}\n", outcome.name, verdict.sentence);
        }
        let best = folder.join(&outcome.name);
        text += &format!(
            "{0}: {1}/best.toml, run {1}/best\n",
            outcome.name,
            best.display()
        );
    }
    text + &format!("plots: {}\n", folder.join("search.html").display())
}

fn row(outcome: &Outcome) -> Vec<String> {
    let trials = outcome.log.trials();
    let count = |state| {
        trials
            .iter()
            .filter(|t| t.state == state)
            .count()
            .to_string()
    };
    let metric = &outcome.config.training.validation_metric;
    let shown = |v: Option<f64>| v.map_or_else(|| "-".to_string(), |v| format!("{v:.4}"));
    let given = |part| outcome.given.as_ref()?.metrics(part)?.get(metric);
    let tuned = |part| outcome.report.metrics.get(&part)?.get(metric);
    let seconds: f64 = trials.iter().map(|t| t.seconds).sum();
    vec![
        outcome.name.clone(),
        outcome.config.model.name.clone(),
        trials.len().to_string(),
        match has_epochs(&outcome.config) {
            true => count(TrialState::Pruned),
            false => "-".to_string(),
        },
        count(TrialState::Failed),
        format!("{seconds:.0}"),
        metric.clone(),
        shown(trials.first().and_then(|t| t.value)),
        shown(tuned(EvaluatedPart::Validation)),
        shown(given(EvaluatedPart::Test)),
        shown(tuned(EvaluatedPart::Test)),
    ]
}

/// Whether the search was worth its while, on each part.
fn gained(outcome: &Outcome) -> String {
    let name = &outcome.name;
    let metric = &outcome.config.training.validation_metric;
    if outcome.unchanged {
        return format!("{name}: no trial was better than the config as it stands\n");
    }
    let tests = outcome.gains.iter().flat_map(|gain| {
        let watched = gain.tests.iter().filter(|t| t.metric == *metric);
        watched.map(|test| (gain.part, test))
    });
    tests.map(|(part, test)| said(name, part, test)).collect()
}

fn said(name: &str, part: EvaluatedPart, test: &Test) -> String {
    let [low, high] = test.interval;
    let figures = format!(
        "{name}: {} on {part} {:+.4} a user by tuning (95% interval {low:+.4} to {high:+.4})",
        test.metric, test.difference
    );
    match low <= 0.0 && 0.0 <= high {
        true => format!("{figures}: within chance\n"),
        false => format!("{figures}\n"),
    }
}

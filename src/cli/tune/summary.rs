//! What `recsys tune` says and draws at its end.

use super::{Gain, Outcome};
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
    });
    let page = html(&plotted.collect::<Vec<_>>());
    fsio::write_atomic_bytes(&folder.join("search.html"), page.as_bytes())
}

/// One row a config, then the best settings.
pub(super) fn text(folder: &Path, outcomes: &[Outcome]) -> String {
    let header = [
        "config",
        "model",
        "trials",
        "given up",
        "failed",
        "seconds",
        "metric",
        "as configured",
        "tuned",
        "test, tuned",
    ];
    let mut rows = vec![header.map(String::from).to_vec()];
    rows.extend(outcomes.iter().map(row));
    let mut text = align(&rows).join("\n");
    text += "\n\n(as configured and tuned: on validation, which chose the settings)\n";
    for outcome in outcomes {
        text += &outcome
            .gain
            .as_ref()
            .map_or_else(String::new, |gain| said(outcome, gain));
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
    let of = |part| {
        let metrics = outcome.report.metrics.get(&part);
        metrics.and_then(|m| m.get(metric))
    };
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
        shown(of(EvaluatedPart::Validation)),
        shown(of(EvaluatedPart::Test)),
    ]
}

/// Whether the search was worth its while.
fn said(outcome: &Outcome, gain: &Gain) -> String {
    let metric = &outcome.config.training.validation_metric;
    let [low, high] = gain.interval;
    let figures = format!(
        "{}: {metric} on validation {:+.4} a user by tuning (95% interval {low:+.4} to {high:+.4})",
        outcome.name, gain.mean
    );
    match low <= 0.0 && 0.0 <= high {
        true => format!("{figures}: within chance, the config may be as good as it stands\n"),
        false => format!("{figures}\n"),
    }
}

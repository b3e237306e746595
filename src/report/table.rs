//! The report as a person reads it.

use super::{EvaluatedPart, Report};
use crate::evaluation::EvaluationProtocol;
use crate::metrics::MetricSpec;

/// Metrics as rows; the model, each baseline and the model's relative
/// difference to the best of them as columns; then the verdict, the protocol
/// and the definitions.
pub fn table(report: &Report) -> String {
    let Some(part) = report.main_part() else {
        return "no metrics were computed\n".to_string();
    };
    let mut lines = align(&cells(report, part));
    lines.push(String::new());
    let verdict = report.verdict.iter().map(|v| v.sentence.clone());
    let skipped = report.baselines.iter().filter_map(|b| {
        let why = b.skipped.as_ref()?;
        Some(format!("baseline {} was not run: {why}", b.label))
    });
    let said: Vec<String> = verdict.chain(skipped).collect();
    if !said.is_empty() {
        lines.extend(said);
        lines.push(String::new());
    }
    lines.push(protocol_line(report, part));
    lines.push(definitions_line(report));
    lines.join("\n") + "\n"
}

fn cells(report: &Report, part: EvaluatedPart) -> Vec<Vec<String>> {
    let others: Vec<_> = report
        .baselines
        .iter()
        .filter_map(|b| Some((&b.label, b.metrics.get(&part)?)))
        .collect();
    let mut header = vec![part.to_string(), report.model.name.clone()];
    header.extend(others.iter().map(|(label, _)| (*label).clone()));
    if !others.is_empty() {
        header.push("difference".to_string());
    }
    let mut rows = vec![header];
    for (metric, value) in report.metrics[&part].iter() {
        let values: Vec<_> = others.iter().map(|(_, v)| v.get(metric)).collect();
        let mut row = vec![metric.to_string(), figure(value)];
        row.extend(values.iter().map(|v| v.map_or_else(none, figure)));
        if !others.is_empty() {
            let best = best(metric, values.into_iter().flatten());
            row.push(best.map_or_else(none, |b| difference(value, b)));
        }
        rows.push(row);
    }
    rows
}

/// The best of some values of a metric.
fn best(metric: &str, values: impl Iterator<Item = f64>) -> Option<f64> {
    let direction = MetricSpec::parse(metric).ok()?.direction();
    values.reduce(|best, v| {
        if direction.is_better(v, best) {
            v
        } else {
            best
        }
    })
}

fn none() -> String {
    "-".to_string()
}

fn figure(value: f64) -> String {
    format!("{value:.4}")
}

fn difference(value: f64, other: f64) -> String {
    if other == 0.0 {
        return none();
    }
    format!("{:+.1}%", 100.0 * (value - other) / other.abs())
}

/// The first column to the left, figures to the right.
pub fn align(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let length = |row: &Vec<String>, c: usize| row.get(c).map_or(0, |s| s.chars().count());
    let widths: Vec<usize> = (0..columns)
        .map(|c| rows.iter().map(|row| length(row, c)).max().unwrap_or(0))
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells: Vec<String> = cells
            .map(|(c, (cell, &width))| match c {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            })
            .collect();
        cells.join("  ")
    };
    rows.iter().map(line).collect()
}

/// One line: who, ranked how, split how.
fn protocol_line(report: &Report, part: EvaluatedPart) -> String {
    format!("protocol: {}", protocol_facts(report, part))
}

/// Who is evaluated, ranked how, split how.
pub(super) fn protocol_facts(report: &Report, part: EvaluatedPart) -> String {
    let mut facts = Vec::new();
    if let Some(protocol) = report.protocol.evaluation.get(&part) {
        facts.extend(evaluation_facts(protocol));
    }
    let split = &report.protocol.split.description;
    if !split.is_empty() {
        facts.push(format!("split: {split}"));
    }
    facts.join("; ")
}

fn evaluation_facts(protocol: &EvaluationProtocol) -> Vec<String> {
    let mut facts = vec![
        format!("{} users", protocol.users),
        protocol.ranking.clone(),
    ];
    facts.push(if protocol.seen_items_masked {
        "seen items masked".to_string()
    } else {
        "seen items not masked".to_string()
    });
    if let Some(rows) = protocol.ratings {
        facts.push(format!("{rows} held-out rows"));
    }
    let counted = [
        (
            protocol.users_without_targets,
            "users without held-out items left out",
        ),
        (
            protocol.unknown_users_left_out,
            "users without training interactions left out",
        ),
        (
            protocol.unserved_users,
            "users whom the model cannot serve count as misses",
        ),
        (
            protocol.cold_targets,
            "held-out items without training interactions",
        ),
        (
            protocol.seen_targets,
            "held-out items left out as already seen",
        ),
        (
            protocol.unpredicted_ratings.unwrap_or(0),
            "held-out rows that could not be predicted left out",
        ),
        (
            protocol.cold_rows.unwrap_or(0),
            "held-out rows of cold items",
        ),
    ];
    let present = counted.iter().filter(|(n, _)| *n > 0);
    facts.extend(present.map(|(n, what)| format!("{n} {what}")));
    facts
}

fn definitions_line(report: &Report) -> String {
    let definitions = report.protocol.definitions.iter();
    let each: Vec<_> = definitions
        .map(|(name, d)| format!("{name} = {d}"))
        .collect();
    format!(
        "definitions (T: held-out items of a user; means over users; ties: {}): {}",
        report.protocol.ties,
        each.join("; ")
    )
}

//! The report as a person reads it.

use super::{EvaluatedPart, Report};
use crate::evaluation::EvaluationProtocol;

/// Metrics as rows; the model, each baseline and the model's relative
/// difference to it as columns; then the protocol and the definitions.
pub fn table(report: &Report) -> String {
    let Some(part) = report.main_part() else {
        return "no metrics were computed\n".to_string();
    };
    let mut lines = align(&cells(report, part));
    lines.push(String::new());
    lines.push(protocol_line(report, part));
    lines.push(definitions_line(report));
    lines.join("\n") + "\n"
}

fn cells(report: &Report, part: EvaluatedPart) -> Vec<Vec<String>> {
    // A run of a baseline model needs no second column of the same figures.
    let others: Vec<_> = report
        .baselines
        .iter()
        .filter(|(name, _)| **name != report.model.name)
        .filter_map(|(name, parts)| Some((name, parts.get(&part)?)))
        .collect();
    let mut header = vec![part.to_string(), report.model.name.clone()];
    for (name, _) in &others {
        header.extend([(*name).clone(), "difference".to_string()]);
    }
    let mut rows = vec![header];
    for (metric, value) in report.metrics[&part].iter() {
        let mut row = vec![metric.to_string(), figure(value)];
        for (_, values) in &others {
            let other = values.get(metric);
            row.push(other.map_or_else(|| "-".to_string(), figure));
            row.push(other.map_or_else(|| "-".to_string(), |o| difference(value, o)));
        }
        rows.push(row);
    }
    rows
}

fn figure(value: f64) -> String {
    format!("{value:.4}")
}

fn difference(value: f64, other: f64) -> String {
    if other == 0.0 {
        return "-".to_string();
    }
    format!("{:+.1}%", 100.0 * (value - other) / other.abs())
}

/// The first column to the left, figures to the right.
fn align(rows: &[Vec<String>]) -> Vec<String> {
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
    let mut facts = Vec::new();
    if let Some(protocol) = report.protocol.evaluation.get(&part) {
        facts.extend(evaluation_facts(protocol));
    }
    let split = &report.protocol.split.description;
    if !split.is_empty() {
        facts.push(format!("split: {split}"));
    }
    format!("protocol: {}", facts.join("; "))
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
            "ratings that could not be predicted left out",
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

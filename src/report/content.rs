//! The words and tables of a report, the same in every rendering.

use super::analysis::{Analysis, Grouping};
use super::table::protocol_facts;
use super::{EvaluatedPart, Report};

/// A table; the first column is text, the others are figures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|h| h.to_string()).collect(),
            rows: Vec::new(),
        }
    }

    fn row(&mut self, name: &str, value: impl ToString) {
        self.rows.push(vec![name.to_string(), value.to_string()]);
    }
}

/// Of a metric; a sum over nothing is -0, which nobody wants to read.
pub fn figure(value: f64) -> String {
    format!("{:.4}", value + 0.0)
}

fn figure_or_dash(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_string(), figure)
}

/// A count with commas between thousands.
pub fn count(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The model and the config that it was trained by, where the command says it.
pub fn title(report: &Report) -> String {
    let mut words = report.provenance.command.split_whitespace();
    let config = words.find_map(|word| match word.split_once('=') {
        Some(("--config", path)) => Some(path),
        _ if matches!(word, "--config" | "-c") => Some(""),
        _ => None,
    });
    let path = match config {
        Some("") => words.next(),
        other => other,
    };
    let path = path.map(|p| p.trim_end_matches(".toml").trim_start_matches("configs/"));
    let model = &report.model.name;
    path.map_or_else(|| model.clone(), |path| format!("{model} · {path}"))
}

/// What stands on top.
pub fn verdict(report: &Report) -> String {
    match &report.verdict {
        Some(verdict) => verdict.sentence.clone(),
        None => {
            "No baseline was run beside this model, so nothing says what its figures are worth."
                .to_string()
        }
    }
}

/// Why baselines are missing.
pub fn skipped(report: &Report) -> Vec<String> {
    let skipped = report.baselines.iter().filter_map(|b| {
        let why = b.skipped.as_ref()?;
        Some(format!("Baseline {} was not run: {why}.", b.label))
    });
    skipped.collect()
}

/// All metrics of a part, with intervals where the analysis has them.
pub fn metrics(report: &Report, part: EvaluatedPart) -> Table {
    let columns = report.metrics_by_model(part);
    let analysis = report.analysis.as_ref().filter(|a| a.part == part);
    let mut table = Table::new(&[&part.to_string()]);
    for (i, (name, _)) in columns.iter().enumerate() {
        table.head.push(name.to_string());
        if i == 0 && analysis.is_some() {
            table.head.push("95% interval".to_string());
        }
    }
    let Some((_, model)) = columns.first() else {
        return table;
    };
    for (metric, value) in model.iter() {
        let mut row = vec![metric.to_string(), figure(value)];
        if let Some(analysis) = analysis {
            let found = analysis.intervals.iter().find(|i| i.metric == metric);
            row.push(found.map_or_else(
                || "-".to_string(),
                |i| format!("{} to {}", figure(i.low), figure(i.high)),
            ));
        }
        let others = columns[1..]
            .iter()
            .map(|(_, v)| figure_or_dash(v.get(metric)));
        row.extend(others);
        table.rows.push(row);
    }
    table
}

/// How it was counted, as sentences.
pub fn protocol(report: &Report) -> Vec<String> {
    let Some(part) = report.main_part() else {
        return Vec::new();
    };
    let mut lines = vec![format!("{}.", protocol_facts(report, part))];
    let definitions = report.protocol.definitions.iter();
    lines.extend(definitions.map(|(name, d)| format!("{name}: {d}.")));
    lines.push(format!("Ties: {}.", report.protocol.ties));
    lines
}

/// What the intervals of a report are.
pub fn intervals_note(analysis: &Analysis) -> String {
    format!(
        "Intervals hold 95% of the means over {} users drawn anew with replacement; they say \
         nothing about another split or seed.",
        count(analysis.users)
    )
}

/// The last and the best epoch.
pub fn training(report: &Report) -> Option<String> {
    let training = report.training.as_ref()?;
    let metric = report
        .analysis
        .as_ref()
        .and_then(|a| a.curves.validation.first())
        .map_or("validation", |c| c.metric.as_str());
    let best = training.best_value.map_or_else(String::new, |value| {
        format!(
            "; {metric} was best in epoch {} ({})",
            training.best_epoch,
            figure(value)
        )
    });
    let stopped = if training.stopped_early {
        ", then stopped early"
    } else {
        ""
    };
    Some(format!("{} epochs{stopped}{best}.", training.epochs))
}

/// Loss and validation by epoch, ten epochs at most.
pub fn curves(analysis: &Analysis) -> Table {
    let curves = &analysis.curves;
    let mut table = Table::new(&["epoch", "loss"]);
    table
        .head
        .extend(curves.validation.iter().map(|c| c.metric.clone()));
    let every = curves.loss.len().div_ceil(10).max(1);
    let last = curves.loss.len().saturating_sub(1);
    let chosen = curves.loss.iter().enumerate();
    for (_, (epoch, loss)) in chosen.filter(|(i, _)| i.is_multiple_of(every) || *i == last) {
        let mut row = vec![epoch.to_string(), figure(*loss)];
        row.extend(curves.validation.iter().map(|curve| {
            let point = curve.points.iter().find(|(e, _)| e == epoch);
            figure_or_dash(point.map(|(_, v)| *v))
        }));
        table.rows.push(row);
    }
    table
}

/// Metrics of lists by cutoff, one table a metric.
pub fn cutoffs(analysis: &Analysis) -> Vec<(String, Table)> {
    let table = |curve: &super::analysis::CutoffCurve| {
        let mut table = Table::new(&["k"]);
        table.head.extend(analysis.models.iter().cloned());
        for (i, k) in curve.cutoffs.iter().enumerate() {
            let mut row = vec![k.to_string()];
            let values = curve.values.iter().map(|v| v.as_ref().map(|v| v[i]));
            row.extend(values.map(figure_or_dash));
            table.rows.push(row);
        }
        (curve.metric.clone(), table)
    };
    analysis.cutoffs.iter().map(table).collect()
}

/// One row a group.
pub fn groups(analysis: &Analysis, grouping: &Grouping) -> Table {
    let mut table = Table::new(&[&grouping.title, &grouping.unit]);
    for (i, model) in analysis.models.iter().enumerate() {
        table.head.push(model.clone());
        if i == 0 {
            table.head.push("95% interval".to_string());
        }
    }
    for group in &grouping.groups {
        let mut row = vec![group.label.clone(), count(group.count)];
        for (i, value) in group.values.iter().enumerate() {
            row.push(figure_or_dash(*value));
            if i == 0 {
                let interval = group.low.zip(group.high);
                row.push(interval.map_or_else(
                    || "-".to_string(),
                    |(low, high)| format!("{} to {}", figure(low), figure(high)),
                ));
            }
        }
        table.rows.push(row);
    }
    table
}

/// Coverage, novelty and the like by model.
pub fn exposure(analysis: &Analysis) -> Option<Table> {
    let exposure = analysis.exposure.as_ref()?;
    let k = analysis.k;
    let mut table = Table::new(&["model"]);
    table.head.extend(analysis.metric.clone());
    let names = ["coverage", "novelty", "gini", "arp"];
    table.head.extend(names.map(|name| format!("{name}@{k}")));
    for model in &exposure.models {
        let mut row = vec![model.model.clone()];
        if analysis.metric.is_some() {
            row.push(figure_or_dash(model.accuracy));
        }
        row.extend([model.coverage, model.novelty, model.gini].map(figure));
        row.push(format!("{:.1}", model.popularity));
        table.rows.push(row);
    }
    Some(table)
}

/// Counts of the data, of the split, and after each step of cleaning.
pub fn data(report: &Report) -> Table {
    let data = &report.data;
    let split = &report.protocol.split;
    let mut table = Table::new(&["data", "count"]);
    table.row("users", count(data.users));
    table.row("items", count(data.items));
    table.row("interactions", count(data.interactions));
    table.row(
        "share of all pairs",
        format!("{:.3}%", 100.0 * data.density),
    );
    table.row("in train", count(split.train_interactions));
    table.row("in validation", count(split.validation_interactions));
    table.row("in test", count(split.test_interactions));
    if let Some(rate) = split.timestamp_tie_rate {
        table.row("ties in time", format!("{:.1}%", 100.0 * rate));
    }
    if let Some(analysis) = &report.analysis {
        let shape = &analysis.shape;
        let middle = |places: &[u32]| places.get(10).map_or(0, |v| *v as usize);
        table.row(
            "median interactions of a user in train",
            count(middle(&shape.per_user)),
        );
        table.row(
            "median interactions of an item in train",
            count(middle(&shape.per_item)),
        );
        table.row("users without any in train", count(shape.users_without));
        table.row("items without any in train", count(shape.items_without));
    }
    let cleaning = data.cleaning.iter();
    for step in cleaning.filter(|_| data.cleaning.len() > 1) {
        table.row(&format!("rows after `{}`", step.name), count(step.rows));
    }
    table
}

/// Where the figures come from.
pub fn provenance(report: &Report) -> Table {
    let from = &report.provenance;
    let mut table = Table::new(&["provenance", ""]);
    let git = from
        .git_hash
        .as_ref()
        .map_or_else(String::new, |h| format!(" ({h})"));
    table.row("recsys", format!("{}{git}", from.version));
    table.row("command", &from.command);
    table.row("config", "config.toml in the run directory");
    table.row("data", &from.data_hash);
    table.row("split", &report.protocol.split.description);
    table.row("seed", from.seed);
    let adapter = from
        .adapter
        .as_ref()
        .map_or_else(String::new, |a| format!(", {a}"));
    let driver = from
        .driver
        .as_ref()
        .map_or_else(String::new, |d| format!(", {d}"));
    table.row("device", format!("{}{adapter}{driver}", from.device));
    table.row("started", &from.started);
    table.row(
        "training and evaluation",
        format!("{:.2} s", from.wall_seconds),
    );
    if let Some(bytes) = from.peak_memory_bytes {
        table.row(
            "peak memory",
            format!("{:.0} MiB", bytes as f64 / (1u64 << 20) as f64),
        );
    }
    for (name, value) in &report.model.params {
        table.row(&format!("model.{name}"), value);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_title_names_the_config() {
        let titled = |command: &str| {
            let mut report = Report::default();
            report.model.name = "mf".to_string();
            report.provenance.command = command.to_string();
            title(&report)
        };
        assert_eq!(titled("recsys train --config configs/a/b.toml"), "mf · a/b");
        assert_eq!(titled("recsys train -c my.toml --quiet"), "mf · my");
        assert_eq!(titled("recsys train --config=x.toml"), "mf · x");
        assert_eq!(titled(""), "mf");
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!([count(0), count(999), count(1000)], ["0", "999", "1,000"]);
        assert_eq!(count(12_345_678), "12,345,678");
    }
}

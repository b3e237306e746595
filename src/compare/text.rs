//! A comparison as text: for the terminal, for Markdown, for spreadsheets.

use super::{Comparison, EntrySummary, Figure, Test};
use crate::metrics::{Kind, MetricSpec};
use crate::report::align;

/// Figures first, then the tests of each pair, then what was done.
pub fn table(comparison: &Comparison) -> String {
    let mut blocks = vec![align(&figures(comparison)).join("\n")];
    for tests in pairs(comparison) {
        let head = format!("{} against {}", tests[0].entry, tests[0].against);
        blocks.push(format!("{head}\n{}", align(&rows(tests)).join("\n")));
    }
    blocks.push(method(comparison));
    blocks.join("\n\n") + "\n"
}

/// The same in GitHub's tables.
pub fn markdown(comparison: &Comparison) -> String {
    let mut blocks = vec![markdown_table(&figures(comparison))];
    for tests in pairs(comparison) {
        let head = format!("**{}** against **{}**", tests[0].entry, tests[0].against);
        blocks.push(format!("{head}\n\n{}", markdown_table(&rows(tests))));
    }
    blocks.push(method(comparison));
    blocks.join("\n\n") + "\n"
}

/// One row a test; values have all their digits.
pub fn csv(comparison: &Comparison) -> String {
    let mut text = "metric,entry,against,value,against_value,difference,low,high,p_value,p_holm,\
                    rank_biserial,cohens_dz,better,worse,equal,outcome\n"
        .to_string();
    for t in &comparison.tests {
        let effect = t.cohens_dz.map_or_else(String::new, |d| d.to_string());
        let fields = [
            t.metric.clone(),
            quoted(&t.entry),
            quoted(&t.against),
            t.value.to_string(),
            t.against_value.to_string(),
            t.difference.to_string(),
            t.interval[0].to_string(),
            t.interval[1].to_string(),
            t.p_value.to_string(),
            t.p_holm.to_string(),
            t.rank_biserial.to_string(),
            effect,
            t.better.to_string(),
            t.worse.to_string(),
            t.equal.to_string(),
            t.outcome.words().to_string(),
        ];
        text += &(fields.join(",") + "\n");
    }
    text
}

fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_string(),
    }
}

/// The tests of one pair stand next to each other.
pub(super) fn pairs(comparison: &Comparison) -> impl Iterator<Item = &[Test]> {
    let same = |a: &Test, b: &Test| a.entry == b.entry && a.against == b.against;
    comparison.tests.chunk_by(same)
}

/// Metrics as rows, entries as columns.
pub(super) fn figures(comparison: &Comparison) -> Vec<Vec<String>> {
    let mut header = vec![comparison.part.to_string()];
    header.extend(comparison.entries.iter().map(|e| e.name.clone()));
    let mut rows = vec![header];
    let mut models = vec!["model".to_string()];
    models.extend(comparison.entries.iter().map(model));
    rows.push(models);
    for figure in comparison.entries.iter().flat_map(|e| &e.metrics) {
        if rows.iter().any(|r| r[0] == figure.metric) {
            continue;
        }
        let of = |e: &EntrySummary| {
            let found = e.metrics.iter().find(|f| f.metric == figure.metric);
            found.map_or_else(|| "-".to_string(), value)
        };
        let mut row = vec![figure.metric.clone()];
        row.extend(comparison.entries.iter().map(of));
        rows.push(row);
    }
    rows
}

fn model(entry: &EntrySummary) -> String {
    match entry.seeds.len() {
        1 => entry.model.clone(),
        n => format!("{}, {n} seeds", entry.model),
    }
}

fn value(figure: &Figure) -> String {
    match figure.deviation {
        Some(deviation) => format!("{:.4} ± {deviation:.4}", figure.mean),
        None => format!("{:.4}", figure.mean),
    }
}

pub(super) fn rows(tests: &[Test]) -> Vec<Vec<String>> {
    let header = [
        "metric",
        "difference",
        "95% interval",
        "p",
        "p (Holm)",
        "d_z",
        "rank-biserial",
        "better/worse/equal",
        "outcome",
    ];
    let mut rows = vec![header.map(String::from).to_vec()];
    rows.extend(tests.iter().map(|t| {
        vec![
            t.metric.clone(),
            format!("{:+.4}", t.difference),
            format!("{:+.4} to {:+.4}", t.interval[0], t.interval[1]),
            probability(t.p_value),
            probability(t.p_holm),
            t.cohens_dz
                .map_or_else(|| "-".to_string(), |d| format!("{d:+.3}")),
            format!("{:+.3}", t.rank_biserial),
            format!("{}/{}/{}", t.better, t.worse, t.equal),
            t.outcome.words().to_string(),
        ]
    }));
    rows
}

fn probability(p: f64) -> String {
    match p {
        p if p >= 1e-4 => format!("{p:.4}"),
        p if p > 0.0 => format!("{p:.1e}"),
        _ => "< 1e-300".to_string(),
    }
}

/// What the numbers are.
pub(super) fn method(comparison: &Comparison) -> String {
    let splits = match comparison.splits {
        1 => String::new(),
        n => format!(", averaged over {n} splits"),
    };
    let deviation = match comparison.entries.iter().any(|e| e.seeds.len() > 1) {
        true => "; ± is the standard deviation over seeds",
        false => "",
    };
    let ratings = comparison.tests.iter().any(|t| of_ratings(&t.metric));
    let ratings = match ratings {
        true => "; of metrics of ratings, each user's own value is compared",
        false => "",
    };
    let interval = match comparison.resamples {
        0 => "interval of the mean difference where a percentile bootstrap goes to with many \
              resamples"
            .to_string(),
        n => format!(
            "percentile bootstrap of the mean difference ({n} resamples, seed {})",
            comparison.seed
        ),
    };
    format!(
        "paired over {} users{splits}: {interval}, two-sided Wilcoxon signed-rank test, Holm's adjustment over {} tests, outcome \
         at {}; d_z and rank-biserial are effect sizes{deviation}{ratings}",
        comparison.users,
        comparison.tests.len(),
        comparison.alpha
    )
}

fn of_ratings(metric: &str) -> bool {
    let spec = MetricSpec::parse(metric);
    spec.is_ok_and(|s| matches!(s.entry.kind, Kind::Rating { .. }))
}

fn markdown_table(rows: &[Vec<String>]) -> String {
    let line = |cells: &Vec<String>| {
        let cells: Vec<String> = cells.iter().map(|c| c.replace('|', "\\|")).collect();
        format!("| {} |", cells.join(" | "))
    };
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    let columns = rows.first().map_or(0, Vec::len);
    lines.insert(1, format!("|---|{}", "---:|".repeat(columns - 1)));
    lines.join("\n")
}

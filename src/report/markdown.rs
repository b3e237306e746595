//! The report as Markdown: the numbers of the page, as tables.

use super::Report;
use super::analysis::{Analysis, Example};
use super::content::{self, Table, count, figure};

/// The whole report.
pub fn markdown(report: &Report) -> String {
    let mut text = format!("# {}\n\n", plain(&content::title(report)));
    text += &format!("**{}**\n\n", plain(&content::verdict(report)));
    for line in content::skipped(report) {
        text += &format!("{}\n\n", plain(&line));
    }
    text += "## Metrics\n\n";
    for part in report.metrics.keys().rev() {
        text += &table(&content::metrics(report, *part));
    }
    if let Some(analysis) = &report.analysis {
        text += &format!("{}\n\n", content::intervals_note(analysis));
    }
    for line in content::protocol(report) {
        text += &format!("- {}\n", plain(&line));
    }
    text.push('\n');
    if let Some(analysis) = &report.analysis {
        text += &closer(report, analysis);
    }
    text += &format!("## Data\n\n{}", table(&content::data(report)));
    for note in &report.protocol.split.notes {
        text += &format!("- {}\n", plain(note));
    }
    text += &format!("\n## Provenance\n\n{}", table(&content::provenance(report)));
    text
}

fn closer(report: &Report, analysis: &Analysis) -> String {
    let mut text = String::new();
    if !analysis.curves.loss.is_empty() {
        text += "## Learning curves\n\n";
        if let Some(line) = content::training(report) {
            text += &format!("{line}\n\n");
        }
        text += &table(&content::curves(analysis));
    }
    text += "## By length of list\n\n";
    for (metric, rows) in content::cutoffs(analysis) {
        text += &format!("{metric}@k:\n\n{}", table(&rows));
    }
    for (heading, groupings) in [
        ("Users", &analysis.user_groups),
        ("Items", &analysis.item_groups),
    ] {
        text += &format!("## {heading}\n\n");
        for grouping in groupings {
            text += &format!(
                "{}:\n\n{}",
                plain(&grouping.measure),
                table(&content::groups(analysis, grouping))
            );
        }
    }
    text += "## Accuracy against coverage and novelty\n\n";
    if let Some(exposure) = content::exposure(analysis) {
        text += &table(&exposure);
    }
    text += "## Ten users\n\n";
    for example in &analysis.examples {
        text += &user(analysis, example);
    }
    if !analysis.notes.is_empty() {
        text += "## Samples and gaps\n\n";
        for note in &analysis.notes {
            text += &format!("- {}\n", plain(note));
        }
        text.push('\n');
    }
    text
}

fn user(analysis: &Analysis, example: &Example) -> String {
    let value = match (&analysis.metric, example.value) {
        (Some(metric), Some(value)) => format!(", {metric} {}", figure(value)),
        _ => String::new(),
    };
    let history: Vec<String> = example.history.iter().map(|t| plain(t)).collect();
    let listed = example.recommended.iter().map(|item| match item.hit {
        true => format!("**{}**", plain(&item.title)),
        false => plain(&item.title),
    });
    let held_out = example.held_out.iter().map(|item| match item.rank {
        Some(rank) => format!("**{}** (rank {rank})", plain(&item.title)),
        None => plain(&item.title),
    });
    format!(
        "### User {}{value}\n\n- history, latest first, of {}: {}\n- recommended: {}\n- held out, of {}: {}\n\n",
        plain(&example.user),
        count(example.history_length),
        history.join("; "),
        listed.collect::<Vec<_>>().join("; "),
        count(example.held_out_length),
        held_out.collect::<Vec<_>>().join("; "),
    )
}

fn table(table: &Table) -> String {
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|c| plain(c)).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let rule: Vec<&str> = (0..table.head.len())
        .map(|i| if i == 0 { "---" } else { "---:" })
        .collect();
    let rows: String = table.rows.iter().map(|row| line(row)).collect();
    format!("{}| {} |\n{rows}\n", line(&table.head), rule.join(" | "))
}

/// Text without a meaning in Markdown, on one line.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' => {
                plain.push('\\');
                plain.push(c);
            }
            '\n' | '\r' => plain.push(' '),
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_mean_nothing_in_tables() {
        let made = table(&Table {
            head: vec!["a".into(), "b".into()],
            rows: vec![vec!["x|y".into(), "*1*".into()]],
        });
        assert_eq!(made, "| a | b |\n| --- | ---: |\n| x\\|y | \\*1\\* |\n\n");
    }
}

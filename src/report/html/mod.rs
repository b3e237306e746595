//! The report as one page: no other file, no network, nothing to install.

mod analysis;
mod examples;
mod exposure;
mod map;
mod sections;

use super::Report;
use super::content::{self, Table};
use super::verdict::Standing;
use crate::page::{self, Page, escaped, muted};
use sections::Sections;

const SCRIPT: &str = include_str!("script.js");

/// The whole page.
pub fn html(report: &Report) -> String {
    let mut sections = Sections::default();
    metrics(&mut sections, report);
    analysis::sections(&mut sections, report);
    data(&mut sections, report);
    Page {
        title: &content::title(report),
        lead: &verdict(report),
        nav: &format!(
            "<nav aria-label=\"Sections\"><ul>{}</ul></nav>\n",
            sections.links()
        ),
        main: &sections.html(),
        end: &format!(
            "<div id=\"tip\" role=\"status\" hidden=\"hidden\"></div>\n<script>\n{SCRIPT}</script>\n"
        ),
    }
    .html()
}

fn verdict(report: &Report) -> String {
    let (class, word) = match report.verdict.as_ref().map(|v| v.standing) {
        Some(Standing::Better) => ("better", "Better than the baselines"),
        Some(Standing::Worse) => ("worse", "Worse than a baseline"),
        Some(Standing::Level) => ("level", "Level with a baseline"),
        None => ("none", "No comparison"),
    };
    let skipped = content::skipped(report)
        .iter()
        .map(|s| muted(s))
        .collect::<String>();
    format!(
        "<p class=\"verdict {class}\" id=\"verdict\"><b>{word}</b> {}</p>\n{skipped}",
        escaped(&content::verdict(report)),
    )
}

fn metrics(page: &mut Sections, report: &Report) {
    page.section("metrics", "Metrics");
    for part in report.metrics.keys().rev() {
        page.add(&table(&content::metrics(report, *part), "numbers own"));
    }
    if let Some(analysis) = &report.analysis {
        page.add(&muted(&content::intervals_note(analysis)));
    }
    let lines = content::protocol(report);
    let items: String = lines
        .iter()
        .map(|l| format!("<li>{}</li>", escaped(l)))
        .collect();
    page.add(&format!(
        "<details><summary>Protocol and definitions</summary><ul class=\"muted\">{items}</ul></details>"
    ));
}

fn data(page: &mut Sections, report: &Report) {
    page.section("data", "Data");
    page.add("<div class=\"cards\">");
    page.add(&card("", &table(&content::data(report), "numbers")));
    if let Some(analysis) = &report.analysis {
        page.add(&card(
            "Interactions in train",
            &analysis::spread(&analysis.shape),
        ));
    }
    page.add("</div>");
    for note in &report.protocol.split.notes {
        page.add(&muted(note));
    }
    page.section("provenance", "Provenance");
    page.add(&table(&content::provenance(report), "facts"));
}

fn table(table: &Table, class: &str) -> String {
    page::table(std::iter::once(&table.head).chain(&table.rows), class, &[])
}

/// Something on a surface of its own; the title may be empty.
fn card(title: &str, content: &str) -> String {
    let heading = match title {
        "" => String::new(),
        title => format!("<h3>{}</h3>", escaped(title)),
    };
    format!("<div class=\"card\">{heading}{content}</div>\n")
}

//! The report as one page: no other file, no network, nothing to install.
//!
//! The page is well-formed XML, too, so that tests and tools can read it.

mod analysis;
mod examples;
mod exposure;
mod map;
mod page;

use super::Report;
use super::content::{self, Table};
use super::verdict::Standing;
use crate::page::escaped;
use page::Page;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The whole page.
pub fn html(report: &Report) -> String {
    let mut page = Page::default();
    metrics(&mut page, report);
    analysis::sections(&mut page, report);
    data(&mut page, report);
    let title = escaped(&content::title(report));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header>\n<h1>{title}</h1>\n{}</header>\n<nav aria-label=\"Sections\"><ul>{}</ul></nav>\n\
         <main>\n{}<footer>Written by recsys {}. This file loads nothing.</footer>\n</main>\n\
         <div id=\"tip\" role=\"status\" hidden=\"hidden\"></div>\n<script>\n{SCRIPT}</script>\n\
         </body>\n</html>\n",
        verdict(report),
        page.links(),
        page.sections(),
        escaped(&report.provenance.version),
    )
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

fn metrics(page: &mut Page, report: &Report) {
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

fn data(page: &mut Page, report: &Report) {
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

/// A table that scrolls by itself where the screen is narrow.
fn table(table: &Table, class: &str) -> String {
    let cell = |text: &String| format!("<td>{}</td>", escaped(text));
    let row = |row: &Vec<String>| {
        let cells: String = row.iter().map(cell).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let head = table.head.iter();
    let head: String = head
        .map(|h| format!("<th scope=\"col\">{}</th>", escaped(h)))
        .collect();
    let rows: String = table.rows.iter().map(row).collect();
    format!(
        "<div class=\"scroll\"><table class=\"{class}\"><thead><tr>{head}</tr></thead>\n\
         <tbody>\n{rows}</tbody></table></div>\n"
    )
}

/// Something on a surface of its own; the title may be empty.
fn card(title: &str, content: &str) -> String {
    let heading = match title {
        "" => String::new(),
        title => format!("<h3>{}</h3>", escaped(title)),
    };
    format!("<div class=\"card\">{heading}{content}</div>\n")
}

fn muted(text: &str) -> String {
    format!("<p class=\"muted\">{}</p>\n", escaped(text))
}

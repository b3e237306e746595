//! A comparison as one self-contained page.

use super::text::{figures, method, pairs, rows};
use super::{Comparison, Outcome, Test};

const STYLE: &str = "
:root { color-scheme: light dark; --text: #1c1c1e; --muted: #6b6b70; --line: #d8d8dc;
  --better: #1a7f37; --worse: #c0362c; --none: #6b6b70; --page: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --text: #ececf0; --muted: #a0a0a8; --line: #3a3a40;
  --better: #4ac26b; --worse: #ff7b72; --none: #a0a0a8; --page: #161618; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page);
  max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
th { color: var(--muted); font-weight: 600; }
.better { color: var(--better); } .worse { color: var(--worse); } .none { color: var(--none); }
p.method { color: var(--muted); font-size: .85rem; }
svg { max-width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: var(--text); }
";

/// The page.
pub fn html(comparison: &Comparison) -> String {
    let mut body = format!("<h1>Comparison on the {} part</h1>\n", comparison.part);
    body += &html_table(&figures(comparison), &[]);
    for tests in pairs(comparison) {
        let (entry, against) = (escaped(&tests[0].entry), escaped(&tests[0].against));
        body += &format!("<h2>{entry} against {against}</h2>\n");
        body += &forest(tests);
        let classes: Vec<&str> = tests.iter().map(|t| class(t.outcome)).collect();
        body += &html_table(&rows(tests), &classes);
    }
    body += &format!("<p class=\"method\">{}</p>\n", escaped(&method(comparison)));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>recsys compare</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
}

fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Better => "better",
        Outcome::Worse => "worse",
        Outcome::NoDifference => "none",
    }
}

pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// The first row is the head; `classes` color the last column.
fn html_table(rows: &[Vec<String>], classes: &[&str]) -> String {
    let mut text = String::from("<div class=\"scroll\"><table>\n");
    for (number, row) in rows.iter().enumerate() {
        text += "<tr>";
        let tag = if number == 0 { "th" } else { "td" };
        let color = number.checked_sub(1).and_then(|n| classes.get(n));
        for (column, cell) in row.iter().enumerate() {
            let class = match color {
                Some(class) if column + 1 == row.len() => format!(" class=\"{class}\""),
                _ => String::new(),
            };
            text += &format!("<{tag}{class}>{}</{tag}>", escaped(cell));
        }
        text += "</tr>\n";
    }
    text + "</table></div>\n"
}

const WIDTH: f64 = 720.0;
const LEFT: f64 = 120.0;
const RIGHT: f64 = 24.0;
const ROW: f64 = 26.0;

/// Each metric's difference with its interval, around zero.
fn forest(tests: &[Test]) -> String {
    let ends = tests.iter().flat_map(|t| t.interval);
    let reach = ends
        .map(f64::abs)
        .filter(|v| v.is_finite())
        .fold(0.0, f64::max);
    let reach = if reach > 0.0 { reach * 1.1 } else { 1.0 };
    let x = |v: f64| LEFT + (WIDTH - LEFT - RIGHT) * (v + reach) / (2.0 * reach);
    let height = ROW * tests.len() as f64;
    let mut text = format!(
        "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"differences with 95% intervals\">\n",
        height + 22.0
    );
    let zero = x(0.0);
    text += &format!(
        "<line x1=\"{zero:.1}\" x2=\"{zero:.1}\" y1=\"0\" y2=\"{height}\" stroke=\"var(--line)\"/>\n"
    );
    for (row, test) in tests.iter().enumerate() {
        let y = ROW * (row as f64 + 0.5);
        let color = format!("var(--{})", class(test.outcome));
        text += &format!(
            "<text x=\"0\" y=\"{:.1}\">{}</text>\n\
             <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y}\" y2=\"{y}\" stroke=\"{color}\" stroke-width=\"2\"/>\n\
             <circle cx=\"{:.1}\" cy=\"{y}\" r=\"4\" fill=\"{color}\"/>\n",
            y + 4.0,
            escaped(&test.metric),
            x(test.interval[0]),
            x(test.interval[1]),
            x(test.difference),
        );
    }
    for value in [-reach, 0.0, reach] {
        let anchor = match value {
            v if v < 0.0 => "start",
            v if v > 0.0 => "end",
            _ => "middle",
        };
        text += &format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{value:+.3}</text>\n",
            x(value),
            height + 16.0
        );
    }
    text + "</svg>\n"
}

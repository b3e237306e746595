//! A comparison as one self-contained page.

use super::text::{figures, method, pairs, rows};
use super::{Comparison, Outcome, Test};
use crate::page::{self, Page, escaped, muted};

/// The page.
pub fn html(comparison: &Comparison) -> String {
    Page {
        title: &format!("Comparison on the {} part", comparison.part),
        main: &section(comparison, 2),
        ..Page::default()
    }
    .html()
}

/// What is on it, under headings of this level, for a page that has more.
pub fn section(comparison: &Comparison, level: u8) -> String {
    let mut main = page::table(&figures(comparison), "", &[]);
    for tests in pairs(comparison) {
        let (entry, against) = (escaped(&tests[0].entry), escaped(&tests[0].against));
        main += &format!("<h{level}>{entry} against {against}</h{level}>\n");
        main += &forest(tests);
        let classes: Vec<&str> = tests.iter().map(|t| class(t.outcome)).collect();
        main += &page::table(&rows(tests), "", &classes);
    }
    main + &muted(&method(comparison))
}

fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Better => "better",
        Outcome::Worse => "worse",
        Outcome::NoDifference => "none",
    }
}

const WIDTH: f64 = 720.0;
const LEFT: f64 = 120.0;
const RIGHT: f64 = 24.0;
const ROW: f64 = 26.0;

/// Each metric's difference with its interval, around zero.
fn forest(tests: &[Test]) -> String {
    let ends = || {
        tests
            .iter()
            .flat_map(|t| t.interval)
            .filter(|v| v.is_finite())
    };
    let (least, most) = (ends().fold(0.0, f64::min), ends().fold(0.0, f64::max));
    let room = if most > least {
        0.05 * (most - least)
    } else {
        1.0
    };
    let (low, high) = (least - room, most + room);
    let x = |v: f64| LEFT + (WIDTH - LEFT - RIGHT) * (v - low) / (high - low);
    let height = ROW * tests.len() as f64;
    let mut text = format!(
        "<svg class=\"plot\" viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"differences with 95% intervals\">\n",
        height + 22.0
    );
    let zero = x(0.0);
    text += &format!(
        "<line x1=\"{zero:.1}\" x2=\"{zero:.1}\" y1=\"0\" y2=\"{height}\" stroke=\"var(--rule)\"/>\n"
    );
    for (row, test) in tests.iter().enumerate() {
        let y = ROW * (row as f64 + 0.5);
        let color = match test.outcome {
            Outcome::Better => "var(--good)",
            Outcome::Worse => "var(--bad)",
            Outcome::NoDifference => "var(--muted)",
        };
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
    let mut labels = vec![0.0, least, most];
    labels.dedup();
    // Two labels would cover each other where an end is near to zero.
    labels.retain(|v| *v == 0.0 || (x(*v) - x(0.0)).abs() > 50.0);
    for value in labels {
        let label = if value == 0.0 {
            "0".to_string()
        } else {
            format!("{value:+.3}")
        };
        text += &format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>\n",
            x(value),
            height + 16.0
        );
    }
    text + "</svg>\n"
}

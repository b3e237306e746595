//! Users by the titles of what they took and what they are recommended.

use super::analysis::NO_LISTS;
use super::muted;
use super::sections::Sections;
use crate::page::escaped;
use crate::report::analysis::{Analysis, Example};
use crate::report::content::{count, figure};

pub fn examples(page: &mut Sections, analysis: &Analysis) {
    page.section("examples", "Ten users");
    if analysis.examples.is_empty() {
        page.add(&muted(NO_LISTS));
        return;
    }
    page.add(&muted(
        "Drawn at random, not chosen. Recommendations in bold with a check were held out: the user did take them.",
    ));
    for example in &analysis.examples {
        page.add(&user(analysis, example));
    }
}

fn user(analysis: &Analysis, example: &Example) -> String {
    let value = match (&analysis.metric, example.value) {
        (Some(metric), Some(value)) => format!(" · {metric} {}", figure(value)),
        _ => String::new(),
    };
    let plain = |text: &String| format!("<li>{}</li>", escaped(text));
    let history: String = example.history.iter().map(plain).collect();
    let recommended = example.recommended.iter().map(|item| {
        let title = escaped(&item.title);
        match item.hit {
            true => format!("<li class=\"hit\">{title} ✓</li>"),
            false => format!("<li>{title}</li>"),
        }
    });
    let held_out = example.held_out.iter().map(|item| {
        let title = escaped(&item.title);
        match item.rank {
            Some(rank) => format!("<li class=\"hit\">{title} (rank {rank})</li>"),
            None => format!("<li>{title}</li>"),
        }
    });
    let shown = |shown: usize, all: usize| match all > shown {
        true => format!("{shown} of {}", count(all)),
        false => count(all),
    };
    format!(
        "<div class=\"card\" style=\"margin-top:12px\"><h3>User {}{value}</h3><div class=\"user\">\
         <div><h4>History, latest first ({})</h4><ul class=\"plain\">{history}</ul></div>\
         <div><h4>Recommended</h4><ol>{}</ol></div>\
         <div><h4>Held out ({})</h4><ul class=\"plain\">{}</ul></div></div></div>\n",
        escaped(&example.user),
        shown(example.history.len(), example.history_length),
        recommended.collect::<String>(),
        shown(example.held_out.len(), example.held_out_length),
        held_out.collect::<String>(),
    )
}

//! The sections that draw the analysis.

use super::page::Page;
use super::{card, muted, table};
use crate::page::escaped;
use crate::report::Report;
use crate::report::analysis::{Analysis, DataShape, Example, Exposures, Grouping, ItemMap};
use crate::report::chart::{
    Axis, Bar, Bars, COLORS, Form, Line, Lines, Points, Scatter, legend, map, short,
};
use crate::report::content::{self, count, figure};

const NO_LISTS: &str =
    "No metric of ranked lists was asked for, so there are no lists to look into.";

pub fn sections(page: &mut Page, report: &Report) {
    let Some(analysis) = &report.analysis else {
        return;
    };
    learning(page, report, analysis);
    cutoffs(page, analysis);
    groups(page, analysis, "users", "Users", &analysis.user_groups);
    groups(page, analysis, "items", "Items", &analysis.item_groups);
    long_tail(page, analysis);
    trade_off(page, analysis);
    item_map(page, analysis);
    examples(page, analysis);
    if !analysis.notes.is_empty() {
        page.section("notes", "Samples and gaps");
        analysis
            .notes
            .iter()
            .for_each(|note| page.add(&muted(note)));
    }
}

/// A linear axis.
fn linear(name: &str, from_zero: bool) -> Axis<'_> {
    Axis {
        name,
        form: Form::Linear,
        from_zero,
    }
}

fn names(analysis: &Analysis) -> Vec<(usize, &str)> {
    let models = analysis.models.iter().map(String::as_str);
    models.enumerate().collect()
}

fn learning(page: &mut Page, report: &Report, analysis: &Analysis) {
    page.section("learning", "Learning curves");
    let curves = &analysis.curves;
    if curves.loss.is_empty() {
        page.add(&muted(
            "This model is computed at once: there are no epochs to follow.",
        ));
        return;
    }
    if let Some(line) = content::training(report) {
        page.add(&muted(&line));
    }
    let best = curves.best_epoch.map(|e| (e as f64, format!("best: {e}")));
    let points = |points: &[(usize, f64)]| points.iter().map(|(e, v)| (*e as f64, *v)).collect();
    let chart = |name: &str, values: &[(usize, f64)]| {
        let lines = Lines {
            label: &format!("{name} by epoch"),
            x: linear("epoch", false),
            y: linear(name, false),
            lines: vec![Line {
                name: name.to_string(),
                color: 0,
                points: points(values),
            }],
            mark: best.clone(),
        };
        card("", &lines.draw())
    };
    page.add("<div class=\"cards\">");
    page.add(&chart("training loss", &curves.loss));
    for curve in curves.validation.iter().take(3) {
        page.add(&chart(
            &format!("validation {}", curve.metric),
            &curve.points,
        ));
    }
    page.add("</div>");
}

fn cutoffs(page: &mut Page, analysis: &Analysis) {
    page.section("cutoffs", "By length of list");
    if analysis.cutoffs.is_empty() {
        page.add(&muted(NO_LISTS));
        return;
    }
    page.add(&legend(&names(analysis)));
    page.add("<div class=\"cards\">");
    for curve in &analysis.cutoffs {
        let line = |(color, name): (usize, &String)| {
            let values = curve.values[color].as_ref()?;
            let points = curve.cutoffs.iter().zip(values);
            Some(Line {
                name: name.clone(),
                color,
                points: points.map(|(k, v)| (*k as f64, *v)).collect(),
            })
        };
        let name = format!("{}@k", curve.metric);
        let lines = Lines {
            label: &format!("{name} by k"),
            x: Axis {
                name: "k, the length of the list",
                form: Form::Log,
                from_zero: false,
            },
            y: linear(&name, true),
            lines: analysis
                .models
                .iter()
                .enumerate()
                .filter_map(line)
                .collect(),
            mark: None,
        };
        page.add(&card("", &lines.draw()));
    }
    page.add("</div>");
}

fn groups(
    page: &mut Page,
    analysis: &Analysis,
    anchor: &'static str,
    heading: &'static str,
    groupings: &[Grouping],
) {
    page.section(anchor, heading);
    let Some(first) = groupings.first() else {
        page.add(&muted(NO_LISTS));
        return;
    };
    page.add(&muted(&format!(
        "{} for each group of {}. The bar is {} with its 95% interval; n counts {}.",
        first.measure, first.unit, analysis.models[0], first.unit
    )));
    page.add(&legend(&names(analysis)));
    page.add("<div class=\"cards\">");
    for grouping in groupings {
        let drawn = match grouping.groups.as_slice() {
            [only] => muted(&format!(
                "All {} {} are “{}”.",
                count(only.count),
                grouping.unit,
                only.label
            )),
            _ => bars(analysis, grouping),
        };
        page.add(&card(&format!("By {}", grouping.title), &drawn));
    }
    page.add("</div>");
}

fn bars(analysis: &Analysis, grouping: &Grouping) -> String {
    let bars = grouping.groups.iter().map(|group| Bar {
        label: group.label.clone(),
        note: format!("n = {}", count(group.count)),
        values: group.values.clone(),
        interval: group.low.zip(group.high),
    });
    let chart = Bars {
        label: &format!("{} by {}", grouping.measure, grouping.title),
        axis: &grouping.measure,
        names: &analysis.models,
        bars: bars.collect(),
    };
    chart.draw()
}

fn long_tail(page: &mut Page, analysis: &Analysis) {
    page.section("long-tail", "Popular items and the long tail");
    let Some(exposure) = &analysis.exposure else {
        page.add(&muted(NO_LISTS));
        return;
    };
    page.add("<div class=\"cards\">");
    page.add(&card(
        "Share of recommendations",
        &concentration(analysis, exposure),
    ));
    page.add(&card("Item by item", &shown(analysis, exposure)));
    page.add("</div>");
}

/// The number of the model of that name among all, which is its color.
fn color(analysis: &Analysis, model: &str) -> usize {
    let place = analysis.models.iter().position(|m| m == model);
    place.unwrap_or(0)
}

fn concentration(analysis: &Analysis, exposure: &Exposures) -> String {
    let shares = &exposure.concentration;
    let points = |values: &[f64]| {
        let all = shares.ranks.iter().zip(values);
        all.map(|(rank, share)| (*rank as f64, *share)).collect()
    };
    let models = exposure.models.iter().zip(&shares.recommended);
    let mut lines: Vec<Line> = models
        .map(|(model, values)| Line {
            name: model.model.clone(),
            color: color(analysis, &model.model),
            points: points(values),
        })
        .collect();
    let training = COLORS - 1;
    lines.push(Line {
        name: "training interactions".to_string(),
        color: training,
        points: points(&shares.training),
    });
    let mut keys: Vec<(usize, &str)> = lines.iter().map(|l| (l.color, l.name.as_str())).collect();
    keys.dedup();
    let keys = legend(&keys);
    let chart = Lines {
        label: "share of recommendations that the most popular items take",
        x: Axis {
            name: "the n most popular items, n",
            form: Form::Log,
            from_zero: false,
        },
        y: linear("their share of all recommendations", true),
        lines,
        mark: None,
    };
    keys + &chart.draw()
}

fn shown(analysis: &Analysis, exposure: &Exposures) -> String {
    let log = |name| Axis {
        name,
        form: Form::Log1p,
        from_zero: false,
    };
    let points = exposure.items.iter().map(|item| {
        let title = format!(
            "{}: {} training interactions, in {} lists",
            item.title, item.popularity, item.recommended
        );
        (f64::from(item.popularity), item.recommended as f64, title)
    });
    let name = format!(
        "lists of {} with the item among the first {}",
        analysis.models[0], analysis.k
    );
    let chart = Scatter {
        label: "lists that an item stands in by its training interactions",
        x: log("training interactions of the item"),
        y: log(&name),
        kinds: vec![Points {
            color: 0,
            points: points.collect(),
            radius: 3.0,
        }],
    };
    let text = format!(
        "{} of {} items, across all ranks of popularity.",
        count(exposure.items.len()),
        count(exposure.concentration.ranks.last().copied().unwrap_or(0))
    );
    chart.draw() + &muted(&text)
}

fn trade_off(page: &mut Page, analysis: &Analysis) {
    page.section("trade-off", "Accuracy against coverage and novelty");
    let (Some(exposure), Some(metric)) = (&analysis.exposure, &analysis.metric) else {
        page.add(&muted(NO_LISTS));
        return;
    };
    page.add(&legend(&names(analysis)));
    page.add("<div class=\"cards\">");
    let chart = |name: &str, value: &dyn Fn(&crate::report::analysis::Exposed) -> f64| {
        let kinds = exposure.models.iter().filter_map(|model| {
            let accuracy = model.accuracy?;
            let title = format!(
                "{}: {name} {}, {metric} {}",
                model.model,
                figure(value(model)),
                figure(accuracy)
            );
            Some(Points {
                color: color(analysis, &model.model),
                points: vec![(value(model), accuracy, title)],
                radius: 6.0,
            })
        });
        let chart = Scatter {
            label: &format!("{metric} by {name}"),
            x: linear(name, false),
            y: linear(metric, false),
            kinds: kinds.collect(),
        };
        card("", &chart.draw())
    };
    let k = analysis.k;
    page.add(&chart(&format!("coverage@{k}"), &|m| m.coverage));
    page.add(&chart(&format!("novelty@{k}, in bits"), &|m| m.novelty));
    page.add("</div>");
    if let Some(exposure) = content::exposure(analysis) {
        page.add(&table(&exposure, "numbers"));
    }
}

fn item_map(page: &mut Page, analysis: &Analysis) {
    page.section("map", "Map of the items");
    let Some(items) = &analysis.map else {
        page.add(&muted(
            "This model has no map of its items; the reason stands under “Samples and gaps”.",
        ));
        return;
    };
    page.add(&muted(&format!(
        "{} of {} items. Near each other are items that the model takes for alike (t-SNE of the \
         directions of their vectors); places and distances across the map mean nothing. Point at \
         an item, or touch it, for its title.",
        count(items.titles.len()),
        count(items.of)
    )));
    let option = |(number, coloring): (usize, &crate::report::analysis::Coloring)| {
        format!(
            "<option value=\"{number}\">{}</option>",
            escaped(&coloring.title)
        )
    };
    let options: String = items.colorings.iter().enumerate().map(option).collect();
    page.add(&format!(
        "<p><label>Colored by <select id=\"coloring\">{options}</select></label></p>"
    ));
    page.add(&format!(
        "<div class=\"card\"><div class=\"map\">{}{}</div></div>",
        keys(items),
        drawn(items)
    ));
}

/// A legend for each coloring; the first one is shown.
fn keys(items: &ItemMap) -> String {
    let list = |(number, coloring): (usize, &crate::report::analysis::Coloring)| {
        let present = |g: &usize| coloring.groups.contains(&Some(*g as u8));
        let key = |g: usize| {
            format!(
                "<li><svg class=\"key\" viewBox=\"0 0 14 14\" aria-hidden=\"true\"><circle \
                 class=\"d f{g}\" cx=\"7\" cy=\"7\" r=\"5\"/></svg>{}</li>",
                escaped(&coloring.labels[g])
            )
        };
        let keys: String = (0..coloring.labels.len())
            .filter(present)
            .map(key)
            .collect();
        let hidden = if number == 0 {
            ""
        } else {
            " hidden=\"hidden\""
        };
        format!("<ul class=\"legend\"{hidden}>{keys}</ul>")
    };
    items.colorings.iter().enumerate().map(list).collect()
}

fn drawn(items: &ItemMap) -> String {
    let point = |i: usize| {
        let title = format!(
            "{} ({} training interactions)",
            items.titles[i], items.popularity[i]
        );
        let groups = items.colorings.iter().map(|c| c.groups[i]).collect();
        (items.x[i], items.y[i], title, groups)
    };
    let points: Vec<_> = (0..items.titles.len()).map(point).collect();
    map("map of the items", &points)
}

fn examples(page: &mut Page, analysis: &Analysis) {
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

/// Interactions of users and items from the least to the most active.
pub fn spread(shape: &DataShape) -> String {
    let points = |places: &[u32]| {
        let place = |(i, v): (usize, &u32)| (5.0 * i as f64, f64::from(*v));
        places.iter().enumerate().map(place).collect()
    };
    let line = |(color, name, places): (usize, &str, &[u32])| Line {
        name: name.to_string(),
        color,
        points: points(places),
    };
    let both = [
        (0, "users", &shape.per_user[..]),
        (1, "items", &shape.per_item[..]),
    ];
    let most = shape.per_user.iter().chain(&shape.per_item).max();
    let most = short(most.map_or(0.0, |m| f64::from(*m)), 0);
    let chart = Lines {
        label: "interactions of users and items, from the least to the most active",
        x: linear("percent of users or items, from the least active", true),
        y: Axis {
            name: "interactions in train, at most",
            form: Form::Log,
            from_zero: false,
        },
        lines: both.into_iter().map(line).collect(),
        mark: None,
    };
    legend(&[(0, "users"), (1, "items")]) + &chart.draw() + &muted(&format!("The most is {most}."))
}

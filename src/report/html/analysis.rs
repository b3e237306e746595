//! The sections that draw the analysis.

use super::sections::Sections;
use super::{card, examples, exposure, map, muted};
use crate::report::Report;
use crate::report::analysis::{Analysis, DataShape, Grouping};
use crate::report::chart::{Axis, Bar, Bars, Form, Line, Lines, legend, short};
use crate::report::content::{self, count};

/// Where nothing of lists is known.
pub const NO_LISTS: &str =
    "No metric of ranked lists was asked for, so there are no lists to look into.";

pub fn sections(page: &mut Sections, report: &Report) {
    let Some(analysis) = &report.analysis else {
        return;
    };
    learning(page, report, analysis);
    cutoffs(page, analysis);
    groups(page, analysis, "users", "Users", &analysis.user_groups);
    groups(page, analysis, "items", "Items", &analysis.item_groups);
    exposure::long_tail(page, analysis);
    exposure::trade_off(page, analysis);
    map::item_map(page, analysis);
    examples::examples(page, analysis);
    if !analysis.notes.is_empty() {
        page.section("notes", "Samples and gaps");
        analysis
            .notes
            .iter()
            .for_each(|note| page.add(&muted(note)));
    }
}

/// A linear axis.
pub fn linear(name: &str, from_zero: bool) -> Axis<'_> {
    Axis {
        name,
        form: Form::Linear,
        from_zero,
    }
}

/// The models with their colors.
pub fn names(analysis: &Analysis) -> Vec<(usize, &str)> {
    let models = analysis.models.iter().map(String::as_str);
    models.enumerate().collect()
}

fn learning(page: &mut Sections, report: &Report, analysis: &Analysis) {
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
    let best = curves
        .best_epoch
        .map(|e| (e as f64, format!("best epoch {e}, dashed")));
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

fn cutoffs(page: &mut Sections, analysis: &Analysis) {
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
    page: &mut Sections,
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

//! What is recommended: the popular, the long tail, and at what cost.

use super::analysis::{NO_LISTS, linear, names};
use super::sections::Sections;
use super::{card, muted, table};
use crate::report::analysis::{Analysis, Exposed, Exposures};
use crate::report::chart::{Axis, COLORS, Form, Line, Lines, Points, Scatter, legend};
use crate::report::content::{self, count, figure};

pub fn long_tail(page: &mut Sections, analysis: &Analysis) {
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

pub fn trade_off(page: &mut Sections, analysis: &Analysis) {
    page.section("trade-off", "Accuracy against coverage and novelty");
    let (Some(exposure), Some(metric)) = (&analysis.exposure, &analysis.metric) else {
        page.add(&muted(NO_LISTS));
        return;
    };
    page.add(&legend(&names(analysis)));
    page.add("<div class=\"cards\">");
    let chart = |name: &str, value: &dyn Fn(&Exposed) -> f64| {
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

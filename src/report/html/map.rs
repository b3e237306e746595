//! The map of the items, which the page's script colors.

use super::muted;
use super::sections::Sections;
use crate::page::escaped;
use crate::report::analysis::{Analysis, Coloring, ItemMap};
use crate::report::chart::map;
use crate::report::content::count;

pub fn item_map(page: &mut Sections, analysis: &Analysis) {
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
    let option = |(number, coloring): (usize, &Coloring)| {
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
    let list = |(number, coloring): (usize, &Coloring)| {
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

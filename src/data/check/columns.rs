//! Columns that say nothing, and cells that are empty.

use super::Data;
use super::finding::{Draft, Example, Severity, many, percent};
use crate::data::config::{DataConfig, FeaturesConfig};
use crate::data::features::{FeatureColumn, FeatureTable, FeatureValues};
use crate::data::read::{Count, Repeats, Scan};

/// A column of which more is missing says little.
const MOSTLY: f64 = 0.5;
/// A share of empty cells that is worth a warning.
const MANY_EMPTY: f64 = 0.1;

pub fn check(data: &Data<'_>) -> Vec<Draft> {
    let tables = [
        ("user", &data.dataset.user_features),
        ("item", &data.dataset.item_features),
    ];
    let mut drafts = Vec::new();
    for (what, table) in tables {
        if let Some(table) = table {
            drafts.extend(without_row(what, table, data));
            drafts.extend(table.columns.iter().filter_map(|c| column(what, c)));
        }
    }
    drafts
}

/// Rows that reading drops for a cell without a value.
pub fn empty_cells(seen: &Scan) -> Vec<Draft> {
    let draft = |(name, count): &(&'static str, Count)| {
        let examples = count.first.iter().map(|(place, _)| Example {
            file: Some(place.file.display().to_string()),
            line: Some(place.line),
            text: format!("no {name}"),
        });
        let severity = match count.count as f64 > MANY_EMPTY * seen.rows as f64 {
            true => Severity::Warning,
            false => Severity::Info,
        };
        let draft = Draft::new("empty cells", severity, count.count, seen.rows)
            .says(format!(
                "{} of {} rows ({}) have no {name} and are dropped",
                count.count,
                seen.rows,
                percent(count.count, seen.rows)
            ))
            .examples(examples);
        match *name {
            "user" | "item" => draft.advice(
                "nothing to do where such rows are of nobody (visitors without a login); else mend the file",
            ),
            _ => draft.mend("data", format!("{name} = \"\" # to keep them, without the column")),
        }
    };
    seen.empty.iter().map(draft).collect()
}

/// Ids with more than one row, unless the config says which one counts.
pub fn repeated(config: &DataConfig, found: &[Repeats; 2]) -> Vec<Draft> {
    let sides = ["user", "item"];
    let configs = [&config.user_features, &config.item_features];
    let draft = |((what, config), found): ((&str, _), &Repeats)| {
        let config: &FeaturesConfig = Option::as_ref(config)?;
        let count = found.same.count + found.other.count;
        if count == 0 || config.duplicates.is_some() {
            return None;
        }
        let severity = match found.other.count {
            0 => Severity::Info,
            _ => Severity::Warning,
        };
        let examples = found.other.first.iter().chain(&found.same.first);
        let examples = examples.map(|(place, text)| Example {
            file: Some(place.file.display().to_string()),
            line: Some(place.line),
            text: text.clone(),
        });
        Some(
            Draft::new("repeated ids", severity, count, found.rows)
                .says(format!(
                    "{count} of {} rows of {what} features ({}) are of {what}s that had a row \
                     before, {} of them with other values: the first row of each {what} counts",
                    found.rows,
                    percent(count, found.rows),
                    found.other.count
                ))
                .examples(examples)
                .mend(
                    &format!("data.{what}_features"),
                    "duplicates = \"first\" # or \"last\"",
                ),
        )
    };
    let all = sides.into_iter().zip(configs).zip(found);
    all.filter_map(draft).collect()
}

/// Whether each entity has no value in a column.
fn missing(column: &FeatureColumn) -> Vec<bool> {
    match &column.values {
        FeatureValues::Categorical { codes, .. } => codes.iter().map(Option::is_none).collect(),
        FeatureValues::Numeric(values) => values.iter().map(|v| v.is_nan()).collect(),
        FeatureValues::List { codes, .. } => codes.iter().map(Vec::is_empty).collect(),
        FeatureValues::Text(values) => values.iter().map(String::is_empty).collect(),
    }
}

fn without_row(what: &'static str, table: &FeatureTable, data: &Data<'_>) -> Option<Draft> {
    let columns: Vec<Vec<bool>> = table.columns.iter().map(missing).collect();
    let of = columns.first()?.len();
    let bare: Vec<u32> = (0..of)
        .filter(|&i| columns.iter().all(|c| c[i]))
        .map(|i| i as u32)
        .collect();
    if bare.is_empty() {
        return None;
    }
    let ids = match what {
        "user" => &data.dataset.users,
        _ => &data.dataset.items,
    };
    let severity = match bare.len() as f64 > MANY_EMPTY * of as f64 {
        true => Severity::Warning,
        false => Severity::Info,
    };
    let example = |&i: &u32| Example::of(format!("{what} {}", ids.external(i)));
    Some(
        Draft::new("without features", severity, bare.len(), of)
            .says(format!(
                "{} of {of} {what}s ({}) have no row in the file of {what} features, or an empty \
                 one",
                bare.len(),
                percent(bare.len(), of)
            ))
            .examples(bare.iter().map(example))
            .advice("compare how ids are written in both files (leading zeros, case, 42.0)"),
    )
}

fn column(what: &'static str, column: &FeatureColumn) -> Option<Draft> {
    let missing = missing(column);
    let of = missing.len();
    let empty = missing.iter().filter(|m| **m).count();
    let name = &column.name;
    let section = format!("data.{what}_features.columns");
    if of > 0 && empty == of {
        return Some(
            Draft::new("empty columns", Severity::Warning, empty, of)
                .says(format!("the {what} feature `{name}` has no value anywhere"))
                .mend(&section, format!("# remove {name}")),
        );
    }
    if distinct_is_one(column) {
        return Some(
            Draft::new("constant columns", Severity::Warning, of - empty, of)
                .says(format!(
                    "the {what} feature `{name}` has one value for all {} that have any",
                    many(of - empty, what, &format!("{what}s"))
                ))
                .mend(&section, format!("# remove {name}")),
        );
    }
    (empty as f64 > MOSTLY * of as f64).then(|| {
        Draft::new("mostly missing columns", Severity::Warning, empty, of)
            .says(format!(
                "the {what} feature `{name}` is missing for {empty} of {of} {what}s ({})",
                percent(empty, of)
            ))
            .mend(&section, format!("# remove {name}, or mend its file"))
    })
}

fn distinct_is_one(column: &FeatureColumn) -> bool {
    fn one<T: PartialEq>(values: impl Iterator<Item = T>) -> bool {
        let mut values = values.peekable();
        let mut count = 0;
        let Some(first) = values.next() else {
            return false;
        };
        values.all(|v| {
            count += 1;
            v == first
        }) && count > 0
    }
    match &column.values {
        FeatureValues::Categorical { codes, .. } => one(codes.iter().flatten()),
        FeatureValues::Numeric(values) => one(values.iter().filter(|v| !v.is_nan())),
        FeatureValues::List { codes, .. } => one(codes.iter().filter(|c| !c.is_empty())),
        FeatureValues::Text(values) => one(values.iter().filter(|v| !v.is_empty())),
    }
}

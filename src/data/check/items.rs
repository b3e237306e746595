//! Items that stand in the catalog twice, by what is written of them.

use super::Data;
use super::finding::{Draft, Example, Severity, percent};
use crate::data::features::{FeatureTable, FeatureValues};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Rows of features tell items apart where at least so many have a row of
/// their own; genres alone do not.
const TELLING: f64 = 0.9;

pub fn check(data: &Data<'_>) -> Vec<Draft> {
    let Some(table) = &data.dataset.item_features else {
        return Vec::new();
    };
    let mut drafts = titles(data, table);
    drafts.extend(rows(data, table));
    drafts
}

/// Items whose titles are equal but for case, signs and, told apart, the
/// year.
fn titles(data: &Data<'_>, table: &FeatureTable) -> Vec<Draft> {
    let of = data.dataset.items.len();
    let mut same: HashMap<(String, String), Vec<u32>> = HashMap::new();
    let mut titled = 0;
    for item in 0..of as u32 {
        if let Some(title) = table.title_of(item) {
            titled += 1;
            same.entry(plain(title)).or_default().push(item);
        }
    }
    let mut but_year: HashMap<&str, Vec<u32>> = HashMap::new();
    for ((title, _), items) in &same {
        but_year.entry(title).or_default().push(items[0]);
    }
    but_year
        .values_mut()
        .for_each(|items| items.sort_unstable());
    let twins = groups(same.values());
    let remakes = groups(but_year.values());
    let kinds = [
        (
            "near-duplicate items",
            Severity::Warning,
            twins,
            "have the title of another item, but for case and signs: one item under two ids \
             halves what is known of it",
        ),
        (
            "titles that differ in the year",
            Severity::Info,
            remakes,
            "have the title of another item and another year: remakes, editions, or one item \
             under two ids",
        ),
    ];
    let draft = |(check, severity, groups, what): (_, _, Vec<&Vec<u32>>, _)| {
        let count: usize = groups.iter().map(|g| g.len() - 1).sum();
        (count > 0).then(|| {
            Draft::new(check, severity, count, titled)
                .says(format!(
                    "{count} of {titled} items with a title ({}) {what}",
                    percent(count, titled)
                ))
                .examples(groups.iter().map(|g| example(data, Some(table), g)))
                .advice("give both the same id in the file of interactions where they are one")
        })
    };
    kinds.into_iter().filter_map(draft).collect()
}

/// Groups of several, those with the earliest items first.
fn groups<'a>(all: impl Iterator<Item = &'a Vec<u32>>) -> Vec<&'a Vec<u32>> {
    let mut groups: Vec<_> = all.filter(|g| g.len() > 1).collect();
    groups.sort_unstable();
    groups
}

pub(super) fn example(data: &Data<'_>, table: Option<&FeatureTable>, items: &[u32]) -> Example {
    let named = |&item: &u32| {
        let id = data.dataset.items.external(item);
        match table.and_then(|t| t.title_of(item)) {
            Some(title) => format!("{id} ({title})"),
            None => id.into_owned(),
        }
    };
    let first: Vec<String> = items.iter().take(3).map(named).collect();
    let more = match items.len() {
        0..=3 => String::new(),
        n => format!(" and {} more", n - 3),
    };
    Example::of(format!("items {}{more}", first.join(" and ")))
}

/// Letters and digits in small letters, words apart, and the year that stands
/// in parentheses behind, empty without one; an article that was put behind
/// (`Matrix, The`) stands in front again.
fn plain(title: &str) -> (String, String) {
    let lower = title.to_lowercase();
    let year_at = lower.rfind(" (").filter(|at| is_year(&lower[at + 1..]));
    let (name, year) = match year_at {
        Some(at) => (&lower[..at], lower[at + 2..at + 6].to_string()),
        None => (lower.as_str(), String::new()),
    };
    let moved = ["the", "a", "an"].iter().find_map(|article| {
        let rest = name.strip_suffix(article)?.strip_suffix(", ")?;
        Some(format!("{article} {rest}"))
    });
    let name = moved.unwrap_or_else(|| name.to_string());
    let words = name.split(|c: char| !c.is_alphanumeric());
    let words: Vec<&str> = words.filter(|w| !w.is_empty()).collect();
    (words.join(" "), year)
}

/// Whether it is `(1999)`.
fn is_year(text: &str) -> bool {
    let inner = text.strip_prefix('(').and_then(|t| t.strip_suffix(')'));
    inner.is_some_and(|t| t.len() == 4 && t.bytes().all(|b| b.is_ascii_digit()))
}

/// Items whose whole rows of features are equal.
fn rows(data: &Data<'_>, table: &FeatureTable) -> Option<Draft> {
    let of = data.dataset.items.len();
    let mut same: HashMap<u64, Vec<u32>> = HashMap::new();
    let mut described = 0usize;
    for item in 0..of {
        if let Some(hash) = row_hash(table, item) {
            described += 1;
            same.entry(hash).or_default().push(item as u32);
        }
    }
    let groups = groups(same.values());
    let count: usize = groups.iter().map(|g| g.len() - 1).sum();
    let telling = (described - count) as f64 >= TELLING * described as f64;
    (count > 0 && telling && table.columns.len() > 1).then(|| {
        Draft::new(
            "identical item features",
            Severity::Warning,
            count,
            described,
        )
        .says(format!(
            "{count} of {described} items with features ({}) have the very row of another item",
            percent(count, described)
        ))
        .examples(groups.iter().map(|g| example(data, Some(table), g)))
        .advice("give both the same id in the file of interactions where they are one")
    })
}

/// `None` for an item without any value.
fn row_hash(table: &FeatureTable, item: usize) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    let mut any = false;
    for column in &table.columns {
        match &column.values {
            FeatureValues::Categorical { codes, .. } => {
                any |= codes[item].is_some();
                codes[item].hash(&mut hasher);
            }
            FeatureValues::Numeric(values) => {
                any |= !values[item].is_nan();
                values[item].to_bits().hash(&mut hasher);
            }
            FeatureValues::List { codes, .. } => {
                any |= !codes[item].is_empty();
                codes[item].hash(&mut hasher);
            }
            FeatureValues::Text(values) => {
                any |= !values[item].is_empty();
                values[item].hash(&mut hasher);
            }
        }
    }
    any.then(|| hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_without_case_signs_and_order_of_the_article() {
        assert_eq!(plain("Matrix, The (1999)"), plain("THE MATRIX (1999)"));
        assert_eq!(plain("Se7en"), ("se7en".into(), String::new()));
        let hamlet = |year: &str| ("hamlet".to_string(), year.to_string());
        assert_eq!(plain("Hamlet (1990)"), hamlet("1990"));
        // A number is no year.
        assert_ne!(plain("Item 2047").0, plain("Item 3163").0);
    }
}

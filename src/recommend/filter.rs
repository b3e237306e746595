//! `--filter "genre=Comedy"`: which items may be recommended, by their
//! features.

use crate::data::features::{FeatureColumn, FeatureTable, FeatureValues};
use crate::suggest;
use anyhow::{Context, Result, bail, ensure};
use std::fmt;
use std::str::FromStr;

/// One condition on an item feature. A missing value never meets it.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    column: String,
    comparison: Comparison,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    AtLeast,
    AtMost,
    Above,
    Below,
    Contains,
}

/// In the order of parsing: what begins another sign comes after it.
const SIGNS: [(&str, Comparison); 7] = [
    ("!=", Comparison::NotEqual),
    (">=", Comparison::AtLeast),
    ("<=", Comparison::AtMost),
    ("=", Comparison::Equal),
    (">", Comparison::Above),
    ("<", Comparison::Below),
    ("~", Comparison::Contains),
];

impl Comparison {
    fn numeric(self, left: f32, right: f32) -> bool {
        match self {
            Self::Equal => left == right,
            // NaN is a missing value, and differs from everything.
            Self::NotEqual => !left.is_nan() && left != right,
            Self::AtLeast => left >= right,
            Self::AtMost => left <= right,
            Self::Above => left > right,
            Self::Below => left < right,
            Self::Contains => false,
        }
    }

    fn text(self, left: &str, right: &str) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Contains => left.to_lowercase().contains(&right.to_lowercase()),
            _ => false,
        }
    }

    fn orders(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual | Self::Contains)
    }
}

impl FromStr for Filter {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (at, sign, comparison) = SIGNS
            .iter()
            .filter_map(|(sign, c)| text.find(sign).map(|at| (at, *sign, *c)))
            .min_by_key(|(at, sign, _)| (*at, std::cmp::Reverse(sign.len())))
            .with_context(|| {
                format!(
                    "`{text}` is no filter: write COLUMN, one of = != >= <= > < ~, and a value, \
                     e.g. `genre=Comedy`"
                )
            })?;
        let column = text[..at].trim();
        ensure!(!column.is_empty(), "the filter `{text}` names no column");
        Ok(Self {
            column: column.to_string(),
            comparison,
            value: text[at + sign.len()..].trim().to_string(),
        })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = SIGNS.iter().find(|(_, c)| *c == self.comparison);
        write!(
            f,
            "{}{}{}",
            self.column,
            sign.map_or("", |s| s.0),
            self.value
        )
    }
}

/// Which items meet all filters.
///
/// # Errors
/// A column that the items do not have, a value that no item has, or a
/// comparison that means nothing for the column.
pub fn allowed(
    filters: &[Filter],
    features: Option<&FeatureTable>,
    num_items: usize,
) -> Result<Vec<bool>> {
    let mut allowed = vec![true; num_items];
    for filter in filters {
        let meets = filter
            .meets(features)
            .with_context(|| format!("filter `{filter}`"))?;
        for (item, allowed) in allowed.iter_mut().enumerate() {
            *allowed &= meets.get(item).copied().unwrap_or(false);
        }
    }
    ensure!(
        filters.is_empty() || allowed.contains(&true),
        "no item meets the filter{} {}",
        if filters.len() > 1 { "s" } else { "" },
        filters
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    );
    Ok(allowed)
}

impl Filter {
    fn meets(&self, features: Option<&FeatureTable>) -> Result<Vec<bool>> {
        let table = features.context("the items of this run have no features to filter by")?;
        let names: Vec<_> = table.columns.iter().map(|c| c.name.as_str()).collect();
        let column = table.column(&self.column).with_context(|| {
            format!(
                "there is no item feature `{}`{} (there are: {})",
                self.column,
                suggest::did_you_mean(&self.column, &names),
                names.join(", ")
            )
        })?;
        self.meets_in(column)
    }

    fn meets_in(&self, column: &FeatureColumn) -> Result<Vec<bool>> {
        if !matches!(column.values, FeatureValues::Numeric(_)) && self.comparison.orders() {
            bail!("only numeric features have an order; use =, != or ~");
        }
        let test = |text: &str| self.comparison.text(text, &self.value);
        Ok(match &column.values {
            FeatureValues::Numeric(values) => {
                ensure!(
                    self.comparison != Comparison::Contains,
                    "`~` searches text, and this feature is numeric"
                );
                let bound: f32 = self
                    .value
                    .parse()
                    .with_context(|| format!("`{}` is not a number", self.value))?;
                let test = |v: &f32| self.comparison.numeric(*v, bound);
                values.iter().map(test).collect()
            }
            FeatureValues::Text(texts) => texts.iter().map(|t| !t.is_empty() && test(t)).collect(),
            FeatureValues::Categorical { labels, codes } => {
                self.check_label(labels)?;
                let codes = codes.iter();
                codes.map(|c| label(labels, *c).is_some_and(test)).collect()
            }
            FeatureValues::List { labels, codes } => {
                self.check_label(labels)?;
                codes.iter().map(|c| self.meets_list(labels, c)).collect()
            }
        })
    }

    /// A list meets `!=` when none of its values is the one named, and the
    /// others when any of its values does.
    fn meets_list(&self, labels: &[String], codes: &[u32]) -> bool {
        let test =
            |c: &u32| label(labels, Some(*c)).is_some_and(|l| self.comparison.text(l, &self.value));
        match self.comparison {
            Comparison::NotEqual => !codes.is_empty() && codes.iter().all(test),
            _ => codes.iter().any(test),
        }
    }

    /// A label that no item has is a slip of the pen.
    fn check_label(&self, labels: &[String]) -> Result<()> {
        if self.comparison == Comparison::Contains || labels.contains(&self.value) {
            return Ok(());
        }
        let names: Vec<_> = labels.iter().map(String::as_str).collect();
        let some = names
            .iter()
            .take(10)
            .copied()
            .collect::<Vec<_>>()
            .join(", ");
        let more = if names.len() > 10 { ", ..." } else { "" };
        bail!(
            "no item has `{}`{} (there are: {some}{more})",
            self.value,
            suggest::did_you_mean(&self.value, &names)
        )
    }
}

fn label(labels: &[String], code: Option<u32>) -> Option<&str> {
    labels.get(code? as usize).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> FeatureTable {
        let strings = |s: &[&str]| s.iter().map(|s| s.to_string()).collect::<Vec<_>>();
        let column = |name: &str, values| FeatureColumn {
            name: name.into(),
            values,
        };
        FeatureTable {
            columns: vec![
                column("title", FeatureValues::Text(strings(&["Up", "Down", ""]))),
                column(
                    "year",
                    FeatureValues::Numeric(vec![1990.0, 2000.0, f32::NAN]),
                ),
                column(
                    "genre",
                    FeatureValues::List {
                        labels: strings(&["Comedy", "Drama"]),
                        codes: vec![vec![0, 1], vec![1], vec![]],
                    },
                ),
            ],
            title: Some("title".into()),
        }
    }

    fn pass(filters: &[&str]) -> Result<Vec<bool>> {
        let filters: Vec<Filter> = filters.iter().map(|f| f.parse().unwrap()).collect();
        allowed(&filters, Some(&table()), 3)
    }

    #[test]
    fn each_comparison_on_each_kind() {
        assert_eq!(pass(&["genre=Comedy"]).unwrap(), [true, false, false]);
        assert_eq!(pass(&["genre!=Comedy"]).unwrap(), [false, true, false]);
        assert_eq!(pass(&["year>=2000"]).unwrap(), [false, true, false]);
        assert_eq!(pass(&["year != 2000"]).unwrap(), [true, false, false]);
        assert_eq!(pass(&["title ~ OW"]).unwrap(), [false, true, false]);
        assert_eq!(pass(&[]).unwrap(), [true; 3]);
        assert_eq!(
            pass(&["genre=Drama", "year<1995"]).unwrap(),
            [true, false, false]
        );
    }

    #[test]
    fn mistakes_are_answered() {
        let error = |f: &str| format!("{:#}", pass(&[f]).unwrap_err());
        assert!(error("gnere=Comedy").contains("did you mean `genre`?"));
        assert!(error("genre=Comedie").contains("did you mean `Comedy`?"));
        assert!(error("genre>Comedy").contains("only numeric"));
        assert!(error("year=old").contains("not a number"));
        assert!(error("year>3000").contains("no item meets"));
        assert!("genre".parse::<Filter>().is_err());
        assert!("=x".parse::<Filter>().is_err());
    }
}

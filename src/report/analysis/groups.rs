//! Divisions of users or items into groups that are compared.

use crate::data::features::{FeatureColumn, FeatureTable, FeatureValues};
use serde::{Deserialize, Serialize};

/// Figures of each group of one division.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grouping {
    /// What divides, e.g. `activity`.
    pub title: String,
    /// What the values are, e.g. `ndcg@10`.
    pub measure: String,
    /// What is counted: `users` or `held-out items`.
    pub unit: String,
    pub groups: Vec<Group>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    pub label: String,
    pub count: usize,
    /// Parallel to [`super::Analysis::models`].
    pub values: Vec<Option<f64>>,
    /// The 95% interval of the model's value.
    pub low: Option<f64>,
    pub high: Option<f64>,
}

/// Groups of one column; the rest goes together.
const MAX_GROUPS: usize = 8;

/// Columns of a table that are looked at.
const MAX_COLUMNS: usize = 12;

/// A numeric column with so few values has a group for each.
const FEW_VALUES: usize = 6;

const MISSING: &str = "(none)";
const OTHERS: &str = "(others)";

/// Which groups every entity of a kind belongs to: bit `g` for `labels[g]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Division {
    pub title: String,
    pub labels: Vec<String>,
    /// One for each dense index.
    pub groups: Vec<u16>,
}

impl Division {
    pub fn new(title: &str, labels: &[&str], groups: Vec<u16>) -> Self {
        Self {
            title: title.to_string(),
            labels: labels.iter().map(|l| l.to_string()).collect(),
            groups,
        }
    }

    /// Numbers of the groups of an entity.
    pub fn of(&self, entity: u32) -> impl Iterator<Item = usize> {
        let bits = self.groups.get(entity as usize).copied().unwrap_or(0);
        (0..self.labels.len()).filter(move |g| bits >> g & 1 == 1)
    }

    /// Four groups of about equal size by a number, or one for each value
    /// where there are few; NaN goes to `(none)`. `among` says whom the groups
    /// are to be even over.
    pub fn quantiles(title: &str, values: &[f64], among: impl Iterator<Item = u32>) -> Self {
        let mut sorted: Vec<f64> = among.map(|i| values[i as usize]).collect();
        sorted.retain(|v| !v.is_nan());
        sorted.sort_by(f64::total_cmp);
        let uppers = uppers(&sorted);
        let place = |v: f64| match v.is_nan() {
            true => uppers.len(),
            false => uppers.partition_point(|u| *u < v).min(uppers.len() - 1),
        };
        let mut labels = Vec::new();
        let mut start = 0;
        for upper in &uppers {
            let end = sorted.partition_point(|v| v <= upper);
            labels.push(range_label(sorted[start], sorted[end - 1]));
            start = end;
        }
        let bits = |v: &f64| {
            if uppers.is_empty() && !v.is_nan() {
                0
            } else {
                1 << place(*v)
            }
        };
        let groups: Vec<u16> = values.iter().map(bits).collect();
        labels.push(MISSING.to_string());
        Self {
            title: title.to_string(),
            labels,
            groups,
        }
    }

    /// By a feature; none for texts, for titles, and where nearly every entity
    /// has a value of its own.
    pub fn by_column(column: &FeatureColumn) -> Option<Self> {
        match &column.values {
            FeatureValues::Text(_) => None,
            FeatureValues::Numeric(values) => {
                let values: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
                let all = 0..values.len() as u32;
                Some(Self::quantiles(&column.name, &values, all))
            }
            FeatureValues::Categorical { labels, codes } => {
                let codes = codes.iter().map(|c| c.as_slice());
                Self::by_codes(&column.name, labels, codes)
            }
            FeatureValues::List { labels, codes } => {
                Self::by_codes(&column.name, labels, codes.iter().map(Vec::as_slice))
            }
        }
    }

    fn by_codes<'a>(
        title: &str,
        labels: &[String],
        codes: impl ExactSizeIterator<Item = &'a [u32]> + Clone,
    ) -> Option<Self> {
        if labels.len() > MAX_GROUPS && labels.len() * 2 > codes.len() {
            return None;
        }
        let mut counts = vec![0usize; labels.len()];
        for &code in codes.clone().flatten() {
            counts[code as usize] += 1;
        }
        let mut order: Vec<usize> = (0..labels.len()).collect();
        order.sort_by_key(|&l| (std::cmp::Reverse(counts[l]), l));
        let (named, others) = order.split_at(MAX_GROUPS.min(order.len()));
        let mut names: Vec<String> = named.iter().map(|&l| labels[l].clone()).collect();
        let mut bit = vec![0u16; labels.len()];
        for (place, &label) in named.iter().enumerate() {
            bit[label] = 1 << place;
        }
        for &label in others {
            bit[label] = 1 << named.len();
        }
        if !others.is_empty() {
            names.push(OTHERS.to_string());
        }
        let missing = 1 << names.len();
        names.push(MISSING.to_string());
        let groups = codes.map(|codes| match codes {
            [] => missing,
            codes => codes.iter().fold(0, |bits, c| bits | bit[*c as usize]),
        });
        Some(Self {
            title: title.to_string(),
            labels: names,
            groups: groups.collect(),
        })
    }

    /// By each of the first columns that divide.
    pub fn by_table(table: Option<&FeatureTable>) -> Vec<Self> {
        let Some(table) = table else {
            return Vec::new();
        };
        let title = table.title.as_deref();
        let columns = table
            .columns
            .iter()
            .filter(|c| Some(c.name.as_str()) != title);
        columns
            .filter_map(Self::by_column)
            .take(MAX_COLUMNS)
            .collect()
    }
}

/// The largest value of each group, ascending.
fn uppers(sorted: &[f64]) -> Vec<f64> {
    let mut distinct = sorted.to_vec();
    distinct.dedup();
    if distinct.len() <= FEW_VALUES {
        return distinct;
    }
    let last = sorted.len() - 1;
    let mut uppers: Vec<f64> = (1..=4).map(|q| sorted[q * last / 4]).collect();
    uppers.dedup();
    uppers
}

fn range_label(low: f64, high: f64) -> String {
    if low == high {
        return number(low);
    }
    format!("{} to {}", number(low), number(high))
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 {
        return format!("{value}");
    }
    format!("{value:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(division: &Division, entity: u32) -> Vec<&str> {
        let labels = &division.labels;
        division.of(entity).map(|g| labels[g].as_str()).collect()
    }

    #[test]
    fn numbers_make_four_even_groups() {
        let mut values: Vec<f64> = (1..=12).map(f64::from).collect();
        values.push(f64::NAN);
        let made = Division::quantiles("n", &values, 0..13);
        assert_eq!(
            made.labels,
            ["1 to 3", "4 to 6", "7 to 9", "10 to 12", "(none)"]
        );
        assert_eq!(of(&made, 3), ["4 to 6"]);
        assert_eq!(of(&made, 12), ["(none)"]);
    }

    #[test]
    fn few_values_have_a_group_each_and_outsiders_the_nearest() {
        let values = [1.0, 2.0, 4.0, 9.0];
        let made = Division::quantiles("engines", &values, 0..3);
        assert_eq!(made.labels, ["1", "2", "4", "(none)"]);
        assert_eq!(of(&made, 3), ["4"]);
        let none = Division::quantiles("n", &values, std::iter::empty());
        assert_eq!(of(&none, 0), [""; 0]);
    }

    #[test]
    fn lists_belong_to_several_groups() {
        let labels: Vec<String> = (0..10).map(|l| format!("l{l}")).collect();
        let mut codes = vec![vec![0, 9], vec![], vec![1]];
        codes.extend((0..9).map(|l| vec![l]));
        codes.extend((0..9).map(|l| vec![l]));
        let column = FeatureColumn {
            name: "genre".into(),
            values: FeatureValues::List { labels, codes },
        };
        let made = Division::by_column(&column).unwrap();
        assert_eq!(made.labels.len(), MAX_GROUPS + 2);
        assert_eq!(of(&made, 0), ["l0", "(others)"]);
        assert_eq!(of(&made, 1), ["(none)"]);
        assert_eq!(of(&made, 2), ["l1"]);
    }

    #[test]
    fn columns_that_divide_nothing_are_left_out() {
        let values = FeatureValues::Categorical {
            labels: (0..20).map(|l| format!("l{l}")).collect(),
            codes: (0..20).map(Some).collect(),
        };
        let column = |values| FeatureColumn {
            name: "id".into(),
            values,
        };
        assert_eq!(Division::by_column(&column(values)), None);
        let text = FeatureValues::Text(vec!["a".into()]);
        assert_eq!(Division::by_column(&column(text)), None);
    }
}

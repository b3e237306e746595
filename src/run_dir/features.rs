//! User and item features as one burnpack file: numbers as tensors, names and
//! texts as metadata.

use super::RunData;
use crate::data::features::{FeatureColumn, FeatureTable, FeatureValues};
use crate::tensors::NamedTensors;
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Stands for a missing category on disk.
const MISSING: u32 = u32::MAX;

fn file(run: &Path) -> PathBuf {
    run.join("features.bpk")
}

/// A table without its numbers.
#[derive(Serialize, Deserialize)]
struct Outline {
    title: Option<String>,
    columns: Vec<Column>,
}

#[derive(Serialize, Deserialize)]
struct Column {
    name: String,
    kind: Kind,
    /// Labels of categories, or the texts themselves.
    #[serde(default)]
    strings: Vec<String>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Categorical,
    Numeric,
    List,
    Text,
}

pub(super) fn write(run: &Path, data: &RunData) -> Result<()> {
    let mut out = NamedTensors::default();
    for (entity, table) in [
        ("users", &data.user_features),
        ("items", &data.item_features),
    ] {
        if let Some(table) = table {
            put(&mut out, entity, table)?;
        }
    }
    out.save_burnpack(&file(run))
}

fn put(out: &mut NamedTensors, entity: &str, table: &FeatureTable) -> Result<()> {
    let mut columns = Vec::new();
    for (i, column) in table.columns.iter().enumerate() {
        let key = format!("{entity}.{i}");
        let (kind, strings) = match &column.values {
            FeatureValues::Numeric(values) => {
                out.insert_f32(&key, &[values.len()], values.clone());
                (Kind::Numeric, Vec::new())
            }
            FeatureValues::Text(texts) => (Kind::Text, texts.clone()),
            FeatureValues::Categorical { labels, codes } => {
                let codes = codes.iter().map(|c| c.unwrap_or(MISSING)).collect();
                out.insert_u32(&key, codes);
                (Kind::Categorical, labels.clone())
            }
            FeatureValues::List { labels, codes } => {
                let ends = codes.iter().scan(0, |end, c| {
                    *end += c.len() as u32;
                    Some(*end)
                });
                out.insert_u32(&format!("{key}.ends"), ends.collect());
                out.insert_u32(&key, codes.concat());
                (Kind::List, labels.clone())
            }
        };
        columns.push(Column {
            name: column.name.clone(),
            kind,
            strings,
        });
    }
    let outline = Outline {
        title: table.title.clone(),
        columns,
    };
    let text = serde_json::to_string(&outline).context("cannot write the features")?;
    out.metadata.insert(entity.to_string(), text);
    Ok(())
}

type Tables = (Option<FeatureTable>, Option<FeatureTable>);

/// User and item features.
pub(super) fn read(run: &Path) -> Result<Tables> {
    let path = file(run);
    let named = NamedTensors::load_burnpack(&path)?;
    let damaged = || format!("{} is damaged", path.display());
    Ok((
        get(&named, "users").with_context(damaged)?,
        get(&named, "items").with_context(damaged)?,
    ))
}

fn get(named: &NamedTensors, entity: &str) -> Result<Option<FeatureTable>> {
    let Some(text) = named.metadata.get(entity) else {
        return Ok(None);
    };
    let outline: Outline = serde_json::from_str(text)?;
    let columns = outline.columns.into_iter().enumerate().map(|(i, column)| {
        let name = column.name.clone();
        let values = values(named, &format!("{entity}.{i}"), column)
            .with_context(|| format!("feature `{name}`"))?;
        Ok(FeatureColumn { name, values })
    });
    Ok(Some(FeatureTable {
        columns: columns.collect::<Result<_>>()?,
        title: outline.title,
    }))
}

fn values(named: &NamedTensors, key: &str, column: Column) -> Result<FeatureValues> {
    let labels = column.strings;
    let known = |code: &u32| (*code as usize) < labels.len();
    Ok(match column.kind {
        Kind::Text => FeatureValues::Text(labels),
        Kind::Numeric => {
            let len = named
                .tensors
                .get(key)
                .map_or(0, |t| t.shape.iter().product());
            FeatureValues::Numeric(named.f32(key, &[len])?.to_vec())
        }
        Kind::Categorical => {
            let codes = named.u32(key)?;
            ensure!(
                codes.iter().all(|c| *c == MISSING || known(c)),
                "a category without a label"
            );
            let codes = codes.iter().map(|c| (*c != MISSING).then_some(*c));
            FeatureValues::Categorical {
                codes: codes.collect(),
                labels,
            }
        }
        Kind::List => {
            let (codes, ends) = (named.u32(key)?, named.u32(&format!("{key}.ends"))?);
            ensure!(codes.iter().all(known), "a category without a label");
            FeatureValues::List {
                codes: cut(codes, ends)?,
                labels,
            }
        }
    })
}

fn cut(codes: &[u32], ends: &[u32]) -> Result<Vec<Vec<u32>>> {
    let mut start = 0;
    ends.iter()
        .map(|&end| {
            let Some(part) = codes.get(start..end as usize) else {
                bail!("a list ends beyond its values");
            };
            start = end as usize;
            Ok(part.to_vec())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_column_round_trips() {
        let strings = |s: &[&str]| s.iter().map(|s| s.to_string()).collect::<Vec<_>>();
        let column = |name: &str, values| FeatureColumn {
            name: name.into(),
            values,
        };
        let table = FeatureTable {
            columns: vec![
                column("title", FeatureValues::Text(strings(&["Ä \"b\"", "", "c"]))),
                column("year", FeatureValues::Numeric(vec![1990.0, -0.5, 3.25])),
                column(
                    "country",
                    FeatureValues::Categorical {
                        labels: strings(&["de", "fr"]),
                        codes: vec![Some(1), None, Some(0)],
                    },
                ),
                column(
                    "genre",
                    FeatureValues::List {
                        labels: strings(&["Comedy", "Drama"]),
                        codes: vec![vec![0, 1], vec![], vec![1]],
                    },
                ),
            ],
            title: Some("title".into()),
        };
        let mut named = NamedTensors::default();
        put(&mut named, "items", &table).unwrap();
        assert_eq!(get(&named, "items").unwrap(), Some(table));
        assert_eq!(get(&named, "users").unwrap(), None);
    }
}

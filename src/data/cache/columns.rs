//! Strings and feature columns as tensors, and back.

use crate::data::features::{FeatureColumn, FeatureTable, FeatureValues};
use crate::tensors::{NamedTensors, Values};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// Code of a missing category.
const MISSING: u32 = u32::MAX;

#[derive(Serialize, Deserialize)]
pub(super) struct TableMeta {
    title: Option<String>,
    columns: Vec<(String, Kind)>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum Kind {
    Categorical,
    Numeric,
    List,
    Text,
}

/// Empty tensors are left out, and are empty when they are read.
pub(super) fn put_u32(out: &mut NamedTensors, name: &str, values: Vec<u32>) {
    if !values.is_empty() {
        out.insert_u32(name, values);
    }
}

pub(super) fn take_u32(packed: &mut NamedTensors, name: &str) -> Result<Vec<u32>> {
    match packed.tensors.remove(name).map(|t| t.values) {
        None => Ok(Vec::new()),
        Some(Values::U32(v)) => Ok(v),
        Some(_) => bail!("`{name}` has another type"),
    }
}

pub(super) fn take_i64(packed: &mut NamedTensors, name: &str) -> Result<Vec<i64>> {
    match packed.tensors.remove(name).map(|t| t.values) {
        None => Ok(Vec::new()),
        Some(Values::I64(v)) => Ok(v),
        Some(_) => bail!("`{name}` has another type"),
    }
}

pub(super) fn take_f32(packed: &mut NamedTensors, name: &str) -> Result<Vec<f32>> {
    match packed.tensors.remove(name).map(|t| t.values) {
        None => Ok(Vec::new()),
        Some(Values::F32(v)) => Ok(v),
        Some(_) => bail!("`{name}` has another type"),
    }
}

/// Strings as their lengths and their bytes, four to a word.
pub(super) fn put_strings(out: &mut NamedTensors, name: &str, strings: &[String]) -> Result<()> {
    let lengths: Vec<u32> = strings
        .iter()
        .map(|s| u32::try_from(s.len()))
        .collect::<Result<_, _>>()
        .context("a text is longer than 4 GiB")?;
    let bytes: Vec<u8> = strings.iter().flat_map(|s| s.bytes()).collect();
    let words = bytes.chunks(4).map(|c| {
        let mut word = [0; 4];
        word[..c.len()].copy_from_slice(c);
        u32::from_le_bytes(word)
    });
    put_u32(out, &format!("{name}.bytes"), words.collect());
    put_u32(out, &format!("{name}.lengths"), lengths);
    Ok(())
}

pub(super) fn take_strings(packed: &mut NamedTensors, name: &str) -> Result<Vec<String>> {
    let lengths = take_u32(packed, &format!("{name}.lengths"))?;
    let words = take_u32(packed, &format!("{name}.bytes"))?;
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    let mut rest = &bytes[..];
    let mut strings = Vec::with_capacity(lengths.len());
    for length in lengths {
        let (text, others) = rest
            .split_at_checked(length as usize)
            .with_context(|| format!("`{name}` is too short"))?;
        strings.push(String::from_utf8(text.to_vec())?);
        rest = others;
    }
    Ok(strings)
}

pub(super) fn put_table(
    out: &mut NamedTensors,
    name: &str,
    table: Option<&FeatureTable>,
) -> Result<Option<TableMeta>> {
    let Some(table) = table else { return Ok(None) };
    let mut columns = Vec::new();
    for (i, column) in table.columns.iter().enumerate() {
        let key = format!("{name}.{i}");
        let kind = match &column.values {
            FeatureValues::Categorical { labels, codes } => {
                put_strings(out, &key, labels)?;
                let codes = codes.iter().map(|c| c.unwrap_or(MISSING)).collect();
                put_u32(out, &format!("{key}.codes"), codes);
                Kind::Categorical
            }
            FeatureValues::Numeric(values) => {
                out.insert_f32(&key, &[values.len()], values.clone());
                Kind::Numeric
            }
            FeatureValues::List { labels, codes } => {
                put_strings(out, &key, labels)?;
                put_u32(out, &format!("{key}.codes"), codes.concat());
                let counts = codes.iter().map(|c| c.len() as u32).collect();
                put_u32(out, &format!("{key}.counts"), counts);
                Kind::List
            }
            FeatureValues::Text(values) => {
                put_strings(out, &key, values)?;
                Kind::Text
            }
        };
        columns.push((column.name.clone(), kind));
    }
    Ok(Some(TableMeta {
        title: table.title.clone(),
        columns,
    }))
}

pub(super) fn take_table(
    packed: &mut NamedTensors,
    name: &str,
    meta: Option<TableMeta>,
) -> Result<Option<FeatureTable>> {
    let Some(meta) = meta else { return Ok(None) };
    let mut columns = Vec::new();
    for (i, (column, kind)) in meta.columns.into_iter().enumerate() {
        let key = format!("{name}.{i}");
        let values = match kind {
            Kind::Categorical => FeatureValues::Categorical {
                labels: take_strings(packed, &key)?,
                codes: take_u32(packed, &format!("{key}.codes"))?
                    .into_iter()
                    .map(|c| (c != MISSING).then_some(c))
                    .collect(),
            },
            Kind::Numeric => FeatureValues::Numeric(take_f32(packed, &key)?),
            Kind::List => FeatureValues::List {
                labels: take_strings(packed, &key)?,
                codes: take_lists(packed, &key)?,
            },
            Kind::Text => FeatureValues::Text(take_strings(packed, &key)?),
        };
        columns.push(FeatureColumn {
            name: column,
            values,
        });
    }
    Ok(Some(FeatureTable {
        columns,
        title: meta.title,
    }))
}

fn take_lists(packed: &mut NamedTensors, key: &str) -> Result<Vec<Vec<u32>>> {
    let counts = take_u32(packed, &format!("{key}.counts"))?;
    let codes = take_u32(packed, &format!("{key}.codes"))?;
    let mut rest = &codes[..];
    let mut lists = Vec::with_capacity(counts.len());
    for count in counts {
        let (list, others) = rest
            .split_at_checked(count as usize)
            .with_context(|| format!("`{key}` is too short"))?;
        lists.push(list.to_vec());
        rest = others;
    }
    Ok(lists)
}

//! User and item feature files.

mod columns;
mod repeats;

pub use repeats::{Repeats, repeats};

use crate::data::clean::Malformed;
use crate::data::config::{Column, FeatureSpec, FeatureType, FeaturesConfig, KeptRow};
use crate::data::features::{FeatureColumn, FeatureTable, FeatureValues};
use crate::data::read::cell::Cell;
use crate::data::read::schema::{Header, ITEM_NAMES, USER_NAMES};
use crate::data::read::table::{Layout, RowSink, read_table};
use crate::data::read::vocabulary::Vocabulary;
use anyhow::Result;
use columns::{Wanted, choose};
use std::collections::HashMap;
use std::path::PathBuf;

/// Which table it is: its config key and the usual names of its id column.
#[derive(Clone, Copy)]
pub enum Entity {
    User,
    Item,
}

impl Entity {
    pub fn key(self) -> &'static str {
        match self {
            Self::User => "data.user_features",
            Self::Item => "data.item_features",
        }
    }

    fn usual(self) -> &'static [&'static str] {
        match self {
            Self::User => USER_NAMES,
            Self::Item => ITEM_NAMES,
        }
    }
}

/// What was found beside the table itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Found {
    /// Entities of the data that have a row.
    pub matched: usize,
    pub malformed: usize,
    /// Rows of an id that had one before.
    pub repeated: usize,
}

/// Reads a feature table and aligns it with `ids`; rows of other ids are
/// passed over.
///
/// # Errors
/// As [`read_table`]; a column that is not there; no columns asked for.
pub fn read(
    entity: Entity,
    config: &FeaturesConfig,
    files: &[PathBuf],
    malformed: Malformed,
    ids: &Vocabulary,
) -> Result<(FeatureTable, Found)> {
    let layout = layout(entity, config, malformed);
    let mut sink = FeatureSink {
        entity,
        config,
        ids,
        columns: Vec::new(),
        title: None,
        seen: vec![false; ids.len()],
        found: Found::default(),
    };
    for file in files {
        sink.found.malformed += read_table(file, &layout, &mut sink)?;
    }
    let mut found = sink.found;
    found.matched = sink.seen.iter().filter(|s| **s).count();
    let table = FeatureTable {
        columns: sink.columns.into_iter().map(Builder::finish).collect(),
        title: sink.title,
    };
    Ok((table, found))
}

fn layout(entity: Entity, config: &FeaturesConfig, malformed: Malformed) -> Layout {
    Layout {
        format: config.format,
        delimiter: config.delimiter.clone(),
        header: config.header,
        quote: config.quote,
        escape: config.escape,
        encoding: config.encoding,
        columns_by_name: names_columns(config),
        usual_names: vec![entity.usual()],
        malformed,
    }
}

fn names_columns(config: &FeaturesConfig) -> bool {
    let by_name = |c: &Column| matches!(c, Column::Name(n) if !n.is_empty());
    let without_position = |spec: &FeatureSpec| match spec {
        FeatureSpec::Type(_) => true,
        FeatureSpec::Column(c) => c.column.as_ref().is_none_or(by_name),
    };
    config.id.as_ref().is_some_and(by_name) || config.columns.values().any(without_position)
}

struct FeatureSink<'a> {
    entity: Entity,
    config: &'a FeaturesConfig,
    ids: &'a Vocabulary,
    columns: Vec<Builder>,
    title: Option<String>,
    seen: Vec<bool>,
    found: Found,
}

impl RowSink for FeatureSink<'_> {
    fn begin(&mut self, header: &Header) -> Result<Vec<usize>> {
        let chosen = choose(self.entity, self.config, header)?;
        let indices = chosen.indices();
        self.title = chosen.title;
        if self.columns.is_empty() {
            let (wanted, len) = (chosen.wanted, self.ids.len());
            self.columns = wanted.into_iter().map(|w| Builder::new(w, len)).collect();
        }
        Ok(indices)
    }

    fn row(&mut self, cells: &[Cell<'_>]) -> Result<Result<(), String>> {
        let mut scratch = String::new();
        let code = cells[0].id(&mut scratch).and_then(|id| self.ids.get(id));
        let Some(code) = code.map(|c| c as usize) else {
            return Ok(Ok(()));
        };
        if std::mem::replace(&mut self.seen[code], true) {
            self.found.repeated += 1;
            if self.config.duplicates != Some(KeptRow::Last) {
                return Ok(Ok(()));
            }
            self.columns.iter_mut().for_each(|c| c.clear(code));
        }
        for (builder, cell) in self.columns.iter_mut().zip(&cells[1..]) {
            if let Err(what) = builder.set(code, *cell) {
                return Ok(Err(format!("{} {what}", builder.name)));
            }
        }
        Ok(Ok(()))
    }
}

/// One column while it is read.
struct Builder {
    name: String,
    separator: String,
    labels: HashMap<String, u32>,
    values: FeatureValues,
}

impl Builder {
    fn new(wanted: Wanted, len: usize) -> Self {
        let labels = Vec::new;
        let values = match wanted.kind {
            FeatureType::Categorical => FeatureValues::Categorical {
                labels: labels(),
                codes: vec![None; len],
            },
            FeatureType::Numeric => FeatureValues::Numeric(vec![f32::NAN; len]),
            FeatureType::List => FeatureValues::List {
                labels: labels(),
                codes: vec![Vec::new(); len],
            },
            FeatureType::Text => FeatureValues::Text(vec![String::new(); len]),
        };
        Self {
            name: wanted.name,
            separator: wanted.separator,
            labels: HashMap::new(),
            values,
        }
    }

    /// Forgets the value of an entity.
    fn clear(&mut self, code: usize) {
        match &mut self.values {
            FeatureValues::Categorical { codes, .. } => codes[code] = None,
            FeatureValues::Numeric(values) => values[code] = f32::NAN,
            FeatureValues::List { codes, .. } => codes[code].clear(),
            FeatureValues::Text(values) => values[code].clear(),
        }
    }

    fn set(&mut self, code: usize, cell: Cell<'_>) -> Result<(), String> {
        if cell.is_null() {
            return Ok(());
        }
        let text = match cell {
            Cell::Str(s) => s.trim().to_string(),
            Cell::Int(i) | Cell::Seconds(i) => i.to_string(),
            Cell::Float(x) => x.to_string(),
            Cell::Null => return Ok(()),
        };
        match &mut self.values {
            FeatureValues::Categorical { labels, codes } => {
                codes[code] = Some(label(&mut self.labels, labels, &text));
            }
            FeatureValues::Numeric(values) => {
                values[code] = cell.number()?.map_or(f32::NAN, |x| x as f32);
            }
            FeatureValues::List { labels, codes } => {
                for entry in text.split(self.separator.as_str()).map(str::trim) {
                    if !entry.is_empty() {
                        codes[code].push(label(&mut self.labels, labels, entry));
                    }
                }
            }
            FeatureValues::Text(values) => values[code] = text,
        }
        Ok(())
    }

    fn finish(self) -> FeatureColumn {
        FeatureColumn {
            name: self.name,
            values: self.values,
        }
    }
}

fn label(known: &mut HashMap<String, u32>, labels: &mut Vec<String>, text: &str) -> u32 {
    if let Some(code) = known.get(text) {
        return *code;
    }
    let code = labels.len() as u32;
    known.insert(text.to_string(), code);
    labels.push(text.to_string());
    code
}

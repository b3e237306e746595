//! User and item feature files.

use crate::data::clean::Malformed;
use crate::data::config::{Column, FeatureSpec, FeatureType, FeaturesConfig};
use crate::data::features::{FeatureColumn, FeatureTable, FeatureValues};
use crate::data::read::cell::Cell;
use crate::data::read::schema::{Header, ITEM_NAMES, USER_NAMES};
use crate::data::read::table::{Layout, RowSink, read_table};
use crate::data::read::vocabulary::Vocabulary;
use anyhow::{Result, bail, ensure};
use std::collections::HashMap;
use std::path::PathBuf;

/// Title of a column that is given by its position.
const TITLE: &str = "title";

/// Which table it is: its config key and the usual names of its id column.
#[derive(Clone, Copy)]
pub enum Entity {
    User,
    Item,
}

impl Entity {
    fn key(self) -> &'static str {
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
    /// Rows of an id that had one before; the first one counts.
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
    let layout = Layout {
        format: config.format,
        delimiter: config.delimiter.clone(),
        header: config.header,
        quote: config.quote,
        escape: config.escape,
        encoding: config.encoding,
        columns_by_name: names_columns(config),
        usual_names: vec![entity.usual()],
        malformed,
    };
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

fn names_columns(config: &FeaturesConfig) -> bool {
    let by_name = |c: &Column| matches!(c, Column::Name(n) if !n.is_empty());
    let without_position = |spec: &FeatureSpec| match spec {
        FeatureSpec::Type(_) => true,
        FeatureSpec::Column(c) => c.column.as_ref().is_none_or(by_name),
    };
    config.id.as_ref().is_some_and(by_name) || config.columns.values().any(without_position)
}

/// A column to read: its name, type, place and list separator.
struct Wanted {
    name: String,
    kind: FeatureType,
    column: usize,
    separator: String,
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

impl FeatureSink<'_> {
    fn wanted(&mut self, header: &Header) -> Result<Vec<Wanted>> {
        let key = self.entity.key();
        let mut wanted = if self.config.columns.is_empty() {
            typed_by_header(header, self.entity.usual())?
        } else {
            self.configured(header)?
        };
        self.title = match &self.config.title {
            None => None,
            Some(Column::Name(name)) if name.is_empty() => None,
            Some(Column::Name(name)) if wanted.iter().any(|w| &w.name == name) => {
                Some(name.clone())
            }
            Some(column) => {
                let name = match column {
                    Column::Name(name) => name.clone(),
                    Column::Position(_) => TITLE.into(),
                };
                if let Some(i) = header.find(&format!("{key}.title"), column)? {
                    wanted.retain(|w| w.name != name);
                    wanted.push(Wanted {
                        name: name.clone(),
                        kind: FeatureType::Text,
                        column: i,
                        separator: String::new(),
                    });
                }
                Some(name)
            }
        };
        ensure!(
            !wanted.is_empty(),
            "{key}.columns names no column to read from {}{}",
            header.path.display(),
            header
                .names
                .as_ref()
                .map_or_else(String::new, |n| format!(" (its columns: {})", n.join(", ")))
        );
        Ok(wanted)
    }

    fn configured(&self, header: &Header) -> Result<Vec<Wanted>> {
        let separator = if header.types.is_some() { " " } else { "|" };
        let mut wanted = Vec::new();
        for (name, spec) in &self.config.columns {
            let key = format!("{}.columns.{name}", self.entity.key());
            let own = Column::Name(name.clone());
            let (kind, column, given) = match spec {
                FeatureSpec::Type(kind) => (*kind, &own, None),
                FeatureSpec::Column(c) => (
                    c.kind,
                    c.column.as_ref().unwrap_or(&own),
                    c.separator.as_ref(),
                ),
            };
            ensure!(
                given.is_none_or(|s| !s.is_empty()),
                "{key}.separator must not be empty"
            );
            if let Some(column) = header.find(&key, column)? {
                wanted.push(Wanted {
                    name: name.clone(),
                    kind,
                    column,
                    separator: given.map_or(separator, String::as_str).to_string(),
                });
            }
        }
        Ok(wanted)
    }
}

/// RecBole's header says what each column is; other files have none to say.
fn typed_by_header(header: &Header, id_names: &[&str]) -> Result<Vec<Wanted>> {
    let (Some(names), Some(types)) = (&header.names, &header.types) else {
        return Ok(Vec::new());
    };
    let id = header.find_or_guess("id", None, id_names)?;
    let mut wanted = Vec::new();
    for (column, (name, kind)) in names.iter().zip(types).enumerate() {
        let kind = match kind.as_str() {
            _ if Some(column) == id => continue,
            "token" => FeatureType::Categorical,
            "token_seq" => FeatureType::List,
            "float" => FeatureType::Numeric,
            other => bail!(
                "{}: column `{name}` has type `{other}`; name the columns to read in `columns`",
                header.path.display()
            ),
        };
        wanted.push(Wanted {
            name: name.clone(),
            kind,
            column,
            separator: " ".into(),
        });
    }
    Ok(wanted)
}

impl RowSink for FeatureSink<'_> {
    fn begin(&mut self, header: &Header) -> Result<Vec<usize>> {
        let key = format!("{}.id", self.entity.key());
        let id = header.require(&key, self.config.id.as_ref(), self.entity.usual(), 0)?;
        let wanted = self.wanted(header)?;
        let mut indices = vec![id];
        indices.extend(wanted.iter().map(|w| w.column));
        if self.columns.is_empty() {
            let len = self.ids.len();
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
            return Ok(Ok(()));
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

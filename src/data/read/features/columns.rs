//! Which columns of a feature file are read.

use super::Entity;
use crate::data::config::{Column, FeatureSpec, FeatureType, FeaturesConfig};
use crate::data::read::schema::Header;
use anyhow::{Result, bail, ensure};

/// Title of a column that is given by its position.
const TITLE: &str = "title";

/// A column to read: its name, type, place and list separator.
pub struct Wanted {
    pub name: String,
    pub kind: FeatureType,
    pub column: usize,
    pub separator: String,
}

/// What is read of a file.
pub struct Chosen {
    id: usize,
    pub wanted: Vec<Wanted>,
    /// Name of the column that shows an entity to a person.
    pub title: Option<String>,
}

impl Chosen {
    /// The place of the id column, then those of the others.
    pub fn indices(&self) -> Vec<usize> {
        let others = self.wanted.iter().map(|w| w.column);
        std::iter::once(self.id).chain(others).collect()
    }
}

/// # Errors
/// A column that is not there; no columns asked for.
pub fn choose(entity: Entity, config: &FeaturesConfig, header: &Header) -> Result<Chosen> {
    let key = entity.key();
    let id = header.require(&format!("{key}.id"), config.id.as_ref(), entity.usual(), 0)?;
    let mut wanted = if config.columns.is_empty() {
        typed_by_header(header, entity.usual())?
    } else {
        configured(entity, config, header)?
    };
    let title = match &config.title {
        None => None,
        Some(Column::Name(name)) if name.is_empty() => None,
        Some(Column::Name(name)) if wanted.iter().any(|w| &w.name == name) => Some(name.clone()),
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
    Ok(Chosen { id, wanted, title })
}

fn configured(entity: Entity, config: &FeaturesConfig, header: &Header) -> Result<Vec<Wanted>> {
    let separator = if header.types.is_some() { " " } else { "|" };
    let mut wanted = Vec::new();
    for (name, spec) in &config.columns {
        let key = format!("{}.columns.{name}", entity.key());
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

//! `[data]`: where the interactions are, what their columns mean, and how
//! they are cleaned.

use crate::data::clean::CleanConfig;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `[data]`
///
/// The keys of [`SourceConfig`] that stand here hold for every source that
/// does not set its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// A file, a glob, or a list of them. A relative path is looked for in
    /// the current directory and then beside the config file.
    pub path: Paths,
    /// Files with a given split, instead of `path`; all parts share one id
    /// space.
    pub train: Paths,
    pub validation: Paths,
    pub test: Paths,
    /// Given negatives in NCF's format, one line for each user:
    /// `(user,item)<tab>negative<tab>negative...`.
    pub negatives: Option<String>,
    /// Guessed from the file name's extension and its first line when absent
    /// (`user_items` and `pairs` are never guessed).
    pub format: Option<Format>,
    /// What stands between two fields, of any length, e.g. `"::"`. Default:
    /// what the format says (`,` or tab); where the format is guessed, what
    /// the first line shows.
    pub delimiter: Option<String>,
    /// Whether the first line names the columns. Default: yes when a column
    /// is given by name, or when the first line holds a usual name of the
    /// user or the item column.
    pub header: Option<bool>,
    /// Whether fields may stand in double quotes. Default: yes for CSV with
    /// a delimiter of one character, no otherwise.
    pub quote: Option<bool>,
    /// The character that escapes a quote inside quotes, e.g. `"\\"`; a
    /// doubled quote always does.
    pub escape: Option<char>,
    pub encoding: Encoding,
    /// Columns, by name or by position; the first column is 1. Absent: found
    /// by their usual names in a header (`user_id`, `item_id`, `rating`,
    /// `timestamp` and the like); without a header user and item are columns
    /// 1 and 2 and there are no others. An empty name means no such column.
    pub user: Option<Column>,
    pub item: Option<Column>,
    /// Rating, count or any other number: the weight of the interaction.
    pub rating: Option<Column>,
    pub timestamp: Option<Column>,
    /// Type of the event; its weight is looked up in `event_weights` (and
    /// multiplied by the rating where there is one, too).
    pub event: Option<Column>,
    /// Column with the name of the platform.
    pub platform: Option<Column>,
    pub timestamp_unit: TimestampUnit,
    /// Weight of each event type; 0 drops the type. A type that is not
    /// listed is an error.
    pub event_weights: BTreeMap<String, f32>,
    /// `[[data.source]]`: several sources, joined on the ids that they share.
    pub source: Vec<SourceConfig>,
    /// Which ids mean the same in every source. The ids of the other kind
    /// become `name:id`, in feature files and given negatives, too.
    pub shared: Shared,
    /// `[data.user_features]`
    pub user_features: Option<FeaturesConfig>,
    /// `[data.item_features]`
    pub item_features: Option<FeaturesConfig>,
    /// `[data.clean]`
    pub clean: CleanConfig,
}

/// `[[data.source]]`: keys as in [`DataConfig`]; absent ones are taken from
/// there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceConfig {
    /// The name of the platform; required when there are several sources.
    pub name: Option<String>,
    pub path: Paths,
    pub train: Paths,
    pub validation: Paths,
    pub test: Paths,
    pub format: Option<Format>,
    pub delimiter: Option<String>,
    pub header: Option<bool>,
    pub quote: Option<bool>,
    pub escape: Option<char>,
    pub encoding: Option<Encoding>,
    pub user: Option<Column>,
    pub item: Option<Column>,
    pub rating: Option<Column>,
    pub timestamp: Option<Column>,
    pub event: Option<Column>,
    pub platform: Option<Column>,
    pub timestamp_unit: Option<TimestampUnit>,
    pub event_weights: Option<BTreeMap<String, f32>>,
}

/// `[data.user_features]` and `[data.item_features]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeaturesConfig {
    pub path: Paths,
    pub format: Option<Format>,
    pub delimiter: Option<String>,
    pub header: Option<bool>,
    pub quote: Option<bool>,
    pub escape: Option<char>,
    pub encoding: Encoding,
    /// The column with the user or item id. Default: found by its usual name
    /// in a header, or column 1.
    pub id: Option<Column>,
    /// The column that shows an entity to a person: one of `columns`, or
    /// another column of the file, which is then read as text.
    pub title: Option<Column>,
    /// Which row counts of an id that has several. Absent: the first one,
    /// and how many there were is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicates: Option<KeptRow>,
    /// The columns to read, by the name that they shall have. Empty with
    /// RecBole files: all, typed by their header.
    pub columns: BTreeMap<String, FeatureSpec>,
}

/// One of several rows, in the order of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeptRow {
    First,
    Last,
}

/// `"numeric"`, or `{ type = "list", separator = "|", column = 3 }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a type (\"categorical\", \"numeric\", \"list\" or \"text\") or a table { type, column, separator }"
)]
pub enum FeatureSpec {
    Type(FeatureType),
    Column(FeatureColumnSpec),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureColumnSpec {
    #[serde(rename = "type")]
    pub kind: FeatureType,
    /// Where it stands in the file. Default: under the feature's own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<Column>,
    /// Between the entries of a list. Default: a space in RecBole files,
    /// `|` otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureType {
    Categorical,
    Numeric,
    List,
    Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Fields between commas, or what `delimiter` says.
    Csv,
    /// Fields between tabs.
    Tsv,
    Parquet,
    /// RecBole's atomic files: tabs, and a header of `name:type`.
    Recbole,
    /// One line for each user: `user item item ...`.
    UserItems,
    /// One `user item` for each line, in time order.
    Pairs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encoding {
    #[default]
    #[serde(rename = "utf-8", alias = "utf8")]
    Utf8,
    #[serde(rename = "latin-1", alias = "latin1", alias = "iso-8859-1")]
    Latin1,
}

/// How the timestamps are written. `auto` takes text that is no number for
/// ISO 8601, and numbers beyond 10^11 for milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimestampUnit {
    #[default]
    Auto,
    Seconds,
    Milliseconds,
    Iso,
}

/// What the sources have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shared {
    #[default]
    Both,
    Users,
    Items,
}

/// A column, by its name in the header or by its position, from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a column name or a position from 1")]
pub enum Column {
    Position(usize),
    Name(String),
}

/// One path or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a path or a list of paths")]
pub enum Paths {
    One(String),
    Many(Vec<String>),
}

impl Default for Paths {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Paths {
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::Many(paths) => paths,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.as_slice().iter().all(String::is_empty)
    }
}

impl From<&str> for Paths {
    fn from(path: &str) -> Self {
        Self::One(path.to_string())
    }
}

impl DataConfig {
    /// The sources with all keys filled in: those of `[[data.source]]`, or
    /// `[data]` itself as the only one.
    pub fn sources(&self) -> Vec<SourceConfig> {
        if self.source.is_empty() {
            let paths = SourceConfig {
                path: self.path.clone(),
                train: self.train.clone(),
                validation: self.validation.clone(),
                test: self.test.clone(),
                ..SourceConfig::default()
            };
            return vec![self.fill(&paths)];
        }
        self.source.iter().map(|s| self.fill(s)).collect()
    }

    fn fill(&self, source: &SourceConfig) -> SourceConfig {
        let s = source.clone();
        SourceConfig {
            name: s.name,
            path: s.path,
            train: s.train,
            validation: s.validation,
            test: s.test,
            format: s.format.or(self.format),
            delimiter: s.delimiter.or_else(|| self.delimiter.clone()),
            header: s.header.or(self.header),
            quote: s.quote.or(self.quote),
            escape: s.escape.or(self.escape),
            encoding: s.encoding.or(Some(self.encoding)),
            user: s.user.or_else(|| self.user.clone()),
            item: s.item.or_else(|| self.item.clone()),
            rating: s.rating.or_else(|| self.rating.clone()),
            timestamp: s.timestamp.or_else(|| self.timestamp.clone()),
            event: s.event.or_else(|| self.event.clone()),
            platform: s.platform.or_else(|| self.platform.clone()),
            timestamp_unit: s.timestamp_unit.or(Some(self.timestamp_unit)),
            event_weights: s.event_weights.or_else(|| Some(self.event_weights.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_inherits_what_it_does_not_set() {
        let config: DataConfig = toml::from_str(
            r#"
            delimiter = "::"
            user = 1
            event_weights = { view = 1, cart = 2 }
            [[source]]
            name = "web"
            path = "a.csv"
            [[source]]
            name = "app"
            path = ["b.csv", "c.csv"]
            user = "uid"
            delimiter = ";"
            "#,
        )
        .unwrap();
        let [web, app] = &config.sources()[..] else {
            panic!("two sources")
        };
        assert_eq!(web.delimiter.as_deref(), Some("::"));
        assert_eq!(web.user, Some(Column::Position(1)));
        assert_eq!(app.delimiter.as_deref(), Some(";"));
        assert_eq!(app.user, Some(Column::Name("uid".into())));
        assert_eq!(app.path.as_slice().len(), 2);
        assert_eq!(app.event_weights.as_ref().unwrap()["cart"], 2.0);
    }

    #[test]
    fn feature_columns_are_a_type_or_a_table() {
        let config: DataConfig = toml::from_str(
            r#"
            path = "x.csv"
            [item_features]
            path = "movies.dat"
            title = 2
            columns = { year = "numeric", genres = { type = "list", separator = "|", column = 3 } }
            "#,
        )
        .unwrap();
        let features = config.item_features.unwrap();
        assert_eq!(
            features.columns["year"],
            FeatureSpec::Type(FeatureType::Numeric)
        );
        assert!(matches!(
            &features.columns["genres"],
            FeatureSpec::Column(c) if c.column == Some(Column::Position(3))
        ));
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_errors() {
        let unknown = toml::from_str::<DataConfig>("pth = 'x'").unwrap_err();
        assert!(unknown.to_string().contains("pth"), "{unknown}");
        let wrong = toml::from_str::<DataConfig>("path = 3").unwrap_err();
        assert!(wrong.to_string().contains("list of paths"), "{wrong}");
    }

    #[test]
    fn the_default_survives_toml() {
        let config = DataConfig {
            path: "x".into(),
            ..DataConfig::default()
        };
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<DataConfig>(&text).unwrap(), config);
    }
}

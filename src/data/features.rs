//! User and item features: typed columns, aligned with the dense indices.

/// The features of all users or all items; every column has one value for
/// each dense index.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureTable {
    pub columns: Vec<FeatureColumn>,
    /// Name of the column that shows an entity to a person, e.g. `title`.
    pub title: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FeatureColumn {
    pub name: String,
    pub values: FeatureValues,
}

/// One typed column; entities without a row, and empty cells, are missing.
#[derive(Clone, Debug, PartialEq)]
pub enum FeatureValues {
    /// Codes into `labels`; `None` is missing.
    Categorical {
        labels: Vec<String>,
        codes: Vec<Option<u32>>,
    },
    /// NaN is missing.
    Numeric(Vec<f32>),
    /// Several categories an entity, codes into `labels`.
    List {
        labels: Vec<String>,
        codes: Vec<Vec<u32>>,
    },
    /// Free text; empty is missing.
    Text(Vec<String>),
}

impl FeatureTable {
    pub fn column(&self, name: &str) -> Option<&FeatureColumn> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// The title of an entity, where the table has one.
    pub fn title_of(&self, idx: u32) -> Option<&str> {
        match &self.column(self.title.as_deref()?)?.values {
            FeatureValues::Text(v) => v
                .get(idx as usize)
                .map(String::as_str)
                .filter(|s| !s.is_empty()),
            FeatureValues::Categorical { labels, codes } => {
                let code = (*codes.get(idx as usize)?)?;
                labels.get(code as usize).map(String::as_str)
            }
            FeatureValues::Numeric(_) | FeatureValues::List { .. } => None,
        }
    }
}

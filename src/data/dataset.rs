//! What reading and cleaning make of the input: dense ids and columns.

use crate::data::features::FeatureTable;
use crate::data::interactions::{Interactions, RowColumns};
use crate::ids::{ExternalIds, IdMap};
use serde::{Deserialize, Serialize};

/// Encoded, cleaned interactions in input order, with what belongs to them.
#[derive(Clone, Debug)]
pub struct Dataset {
    pub users: IdMap,
    pub items: IdMap,
    pub log: Log,
    pub user_features: Option<FeatureTable>,
    pub item_features: Option<FeatureTable>,
    /// Names of the platforms in `log.platforms`, empty with a single source.
    pub platforms: Vec<String>,
    /// The given negatives of each user (NCF protocol), CSR over all users.
    pub negatives: Option<Interactions>,
    /// Counts before and after each cleaning step, in order; the first is
    /// what was read.
    pub cleaning: Vec<CleaningStep>,
    /// SHA-256 over the content of the input files and the data config.
    pub hash: String,
}

impl Dataset {
    /// A data set of a log that is dense already: every external id is the
    /// index itself.
    pub fn from_log(log: Log, num_users: usize, num_items: usize) -> Self {
        let ids = |n: usize| IdMap::new(ExternalIds::Int((0..n as i64).collect()));
        let read = CleaningStep {
            name: "read".to_string(),
            rows: log.len(),
            users: num_users,
            items: num_items,
        };
        Self {
            users: ids(num_users),
            items: ids(num_items),
            log,
            user_features: None,
            item_features: None,
            platforms: Vec::new(),
            negatives: None,
            cleaning: vec![read],
            hash: String::new(),
        }
    }
}

/// Rows in input order; all present columns have the same length.
#[derive(Clone, Debug, Default)]
pub struct Log {
    pub users: Vec<u32>,
    pub items: Vec<u32>,
    /// Rating, event weight or count.
    pub weights: Option<Vec<f32>>,
    /// Unix seconds.
    pub timestamps: Option<Vec<i64>>,
    /// Index into [`Dataset::platforms`].
    pub platforms: Option<Vec<u16>>,
    /// Which part a row was given to, where the files say so.
    pub parts: Option<Vec<Part>>,
}

impl Log {
    pub fn len(&self) -> usize {
        self.users.len()
    }

    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    pub fn columns(&self) -> RowColumns<'_> {
        RowColumns {
            users: &self.users,
            items: &self.items,
            weights: self.weights.as_deref(),
            timestamps: self.timestamps.as_deref(),
        }
    }
}

/// A part of a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Train,
    Validation,
    Test,
}

/// Counts after one cleaning step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleaningStep {
    /// What was done, e.g. `rating >= 3`.
    pub name: String,
    pub rows: usize,
    pub users: usize,
    pub items: usize,
}

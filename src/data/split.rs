//! Train, validation and test parts, and who is asked for what in each.

use crate::data::dataset::Dataset;
use crate::data::interactions::Interactions;
use crate::seed::Seed;
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// `[split]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct SplitConfig {}

/// A data set divided.
#[derive(Clone, Debug)]
pub struct Split {
    pub train: Interactions,
    pub validation: Option<EvalSet>,
    pub test: EvalSet,
    pub protocol: SplitProtocol,
}

/// What one part asks of a model. All tables have one row for each user.
#[derive(Clone, Debug)]
pub struct EvalSet {
    /// What is known of each user at that moment, in time order: the query's
    /// history, masked when ranking.
    pub history: Interactions,
    /// What is held out.
    pub targets: Interactions,
    /// The only items to rank beside the targets, where the protocol gives
    /// them (NCF) or samples them; `None` ranks the whole catalog.
    pub candidates: Option<Interactions>,
}

/// The protocol, as reports print it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SplitProtocol {
    /// One sentence, e.g. `random 80/10/10 within each user`.
    pub description: String,
    /// Share of a user's consecutive interactions with equal timestamps.
    pub timestamp_tie_rate: Option<f64>,
    pub train_interactions: usize,
    pub validation_interactions: usize,
    pub test_interactions: usize,
    pub notes: Vec<String>,
}

/// Divides a data set.
///
/// # Errors
/// Data that lacks what the split needs (timestamps, given parts), a split
/// that leaves no training interactions or no test users.
pub fn split(_dataset: &Dataset, _config: &SplitConfig, _seed: Seed) -> Result<Split> {
    unimplemented!()
}

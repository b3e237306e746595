//! `[data.clean]`

use serde::{Deserialize, Serialize};

/// `[data.clean]`: the steps run in the order of these keys, and each is
/// counted. Rows without a user or an item, or with an empty cell in another
/// column that is read, are always dropped first. Empty is a cell with
/// nothing in it, or one of `NULL`, `null`, `NaN`, `nan`, `None`, `\N`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CleanConfig {
    /// What to do with a row that cannot be read: `error`, or `drop` and
    /// count it.
    pub malformed: Malformed,
    /// Keeps interactions at or after this time: unix seconds, or an ISO
    /// date or time such as `"2013-01-31"` or `"2013-01-31 12:00:00"` (UTC).
    pub after: Option<TimePoint>,
    /// Keeps interactions before this time.
    pub before: Option<TimePoint>,
    /// Keeps interactions with at least this rating or weight.
    pub min_rating: Option<f32>,
    /// `{ min, max }` moves ratings outside to the nearest bound;
    /// `{ lower_quantile, upper_quantile }` takes the bounds from the data.
    pub clip: Option<Clip>,
    /// What becomes of several interactions of one user with one item.
    pub duplicates: Duplicates,
    /// Turns ratings into labels: 1, a click, from this rating on, and 0,
    /// shown and not clicked, below. For `loss = "log_loss"` and the metrics
    /// of clicks.
    pub click_threshold: Option<f32>,
    /// Drops users with more interactions than this (bots, test accounts).
    pub max_user_interactions: Option<usize>,
    /// Drops users and items with fewer interactions, again and again until
    /// none is left (k-core).
    pub min_user_interactions: usize,
    pub min_item_interactions: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Malformed {
    #[default]
    Error,
    Drop,
}

/// `keep` is the default: a repeat may be a signal (purchases, plays, the
/// order of a sequence), and nothing should vanish unasked. Ranking against
/// seen items wants distinct pairs: choose another where `recsys data stats`
/// reports duplicates. "First" and "last" go by time, ties by input row, and
/// given parts are kept apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Duplicates {
    #[default]
    Keep,
    /// The earliest stays.
    First,
    /// The latest stays.
    Last,
    /// The latest stays, with the sum of the weights.
    Sum,
    /// The latest stays, with the number of interactions as its weight.
    Count,
}

/// Bounds for ratings. A quantile is in `[0, 1]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clip {
    pub min: Option<f32>,
    pub max: Option<f32>,
    pub lower_quantile: Option<f64>,
    pub upper_quantile: Option<f64>,
}

/// Unix seconds or ISO text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected unix seconds or an ISO date or time in quotes"
)]
pub enum TimePoint {
    Seconds(i64),
    Iso(String),
}

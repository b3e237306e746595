//! Train, validation and test parts, and who is asked for what in each.
//!
//! Validation never sees test: a validation query knows of a user what train
//! holds, a test query what train and validation hold, in time order. Ties in
//! time, and logs without timestamps, keep the order of the input.

mod assemble;
mod assign;
mod config;
mod moment;
mod protocol;
mod shares;
#[cfg(test)]
mod tests;
mod time;

pub(crate) use assign::Role;
pub use config::{Order, Select, SplitConfig, SplitKind};
pub use moment::parse_moment;
pub use shares::share_counts;
pub(crate) use time::UserRows;

use crate::data::dataset::{Dataset, Log};
use crate::data::interactions::Interactions;
use crate::seed::Seed;
use anyhow::{Result, ensure};
use assemble::assemble;
use assign::{Rows, assign};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A data set divided.
#[derive(Clone, Debug)]
pub struct Split {
    pub train: Arc<Interactions>,
    pub validation: Option<EvalSet>,
    pub test: EvalSet,
    pub protocol: SplitProtocol,
}

/// What one part asks of a model. All tables have one row for each user.
#[derive(Clone, Debug)]
pub struct EvalSet {
    /// What is known of each user at that moment, in time order: the query's
    /// history, masked when ranking.
    pub history: Arc<Interactions>,
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
/// `leave_one_out` holds out each user's last interaction for test and the
/// one before for validation; a user with fewer than three stays in train:
///
/// ```
/// use recsys::{data::{Dataset, Log, split::*}, ids::UserIdx, seed::Seed};
/// # fn config(text: &str) -> SplitConfig { toml::from_str(text).unwrap() }
/// let log = Log {
///     users: vec![0, 0, 0, 1],
///     items: vec![7, 8, 9, 7],
///     timestamps: Some(vec![30, 10, 20, 5]),
///     ..Log::default()
/// };
/// let data = Dataset::from_log(log.clone(), 2, 10);
/// let parts = split(&data, &config("kind = 'leave_one_out'"), Seed(1))?;
/// assert_eq!(parts.train.items, [8, 7]);
/// let validation = parts.validation.unwrap();
/// assert_eq!(validation.targets.items_of(UserIdx(0)), [9]);
/// assert_eq!(parts.test.targets.items_of(UserIdx(0)), [7]);
/// assert_eq!(parts.test.history.items_of(UserIdx(0)), [8, 9]);
///
/// // `global_time`, the default with timestamps: one moment for everybody.
/// let parts = split(&data, &config("test_start = 20\nvalidation_start = 10"), Seed(1))?;
/// assert_eq!(parts.train.items, [7]);
/// assert_eq!(parts.validation.unwrap().targets.items, [8]);
/// assert_eq!(parts.test.targets.items, [9, 7]);
///
/// // `ratio_per_user`, here in time order.
/// let parts = split(
///     &data,
///     &config("kind = 'ratio_per_user'\norder = 'time'\nratios = [0.6, 0.0, 0.4]"),
///     Seed(1),
/// )?;
/// assert_eq!(parts.train.items, [8, 9, 7]);
/// assert!(parts.validation.is_none());
/// assert_eq!(parts.test.targets.items, [7]);
///
/// // `ratio` and `k_fold` divide the rows of all users together.
/// let parts = split(&data, &config("kind = 'ratio'\nratios = [0.5, 0.0, 0.5]"), Seed(1))?;
/// assert_eq!((parts.train.len(), parts.test.targets.len()), (2, 2));
/// let parts = split(&data, &config("kind = 'k_fold'\nfolds = 4\nfold = 2"), Seed(1))?;
/// assert_eq!((parts.train.len(), parts.test.targets.len()), (3, 1));
///
/// // `new_user`: the held-out user is absent from train; what it is known by
/// // is its fold-in. (User 1 has one interaction only: nothing to ask.)
/// let parts = split(
///     &data,
///     &config("kind = 'new_user'\nratios = [0.5, 0.0, 0.5]\nfold_in = 0.67\norder = 'time'"),
///     Seed(1),
/// )?;
/// assert_eq!(parts.train.items_of(UserIdx(1)), [7]);
/// assert_eq!(parts.test.history.items_of(UserIdx(0)), [8, 9]);
/// assert_eq!(parts.test.targets.items_of(UserIdx(0)), [7]);
///
/// // `new_item`: the held-out items are absent from train.
/// let parts = split(&data, &config("kind = 'new_item'\nratios = [0.6, 0.0, 0.4]"), Seed(1))?;
/// assert!(parts.test.targets.items.iter().all(|i| !parts.train.items.contains(i)));
///
/// // `given`, the default where files say which part a row belongs to.
/// use recsys::data::Part::{Test, Train};
/// let log = Log { parts: Some(vec![Train, Test, Train, Train]), ..log };
/// let data = Dataset::from_log(log, 2, 10);
/// let parts = split(&data, &SplitConfig::default(), Seed(1))?;
/// assert_eq!(parts.test.targets.items, [8]);
/// # anyhow::Ok(())
/// ```
///
/// # Errors
/// Data that lacks what the split needs (timestamps, given parts), a key that
/// does not belong to the kind, a split that leaves no training interactions
/// or no test users.
pub fn split(dataset: &Dataset, config: &SplitConfig, seed: Seed) -> Result<Split> {
    divide(dataset.log.clone(), dataset, config, seed)
}

/// [`split`] that uses up the log of the data set, so that both need not
/// stand in memory.
///
/// # Errors
/// As [`split`].
pub fn take_split(dataset: &mut Dataset, config: &SplitConfig, seed: Seed) -> Result<Split> {
    divide(std::mem::take(&mut dataset.log), dataset, config, seed)
}

fn divide(log: Log, dataset: &Dataset, config: &SplitConfig, seed: Seed) -> Result<Split> {
    ensure!(!log.is_empty(), "there are no interactions to split");
    ensure!(
        u32::try_from(log.len()).is_ok(),
        "{} interactions are more than a split can hold (2^32)",
        log.len()
    );
    let (num_users, num_items) = (dataset.users.len(), dataset.items.len());
    let plan = config.plan(&log)?;
    let by_user = UserRows::new(&log, num_users);
    let rows = Rows {
        log: &log,
        by_user: &by_user,
        num_items,
        seed: config.seed.map_or(seed, Seed),
    };
    let roles = assign(&plan, &rows)?;
    let tie_rate = by_user.tie_rate(&log);
    let has_time = log.timestamps.is_some();
    let candidates = dataset.negatives.clone();
    let mut split = assemble(log, by_user, roles, num_items, candidates);
    check(&split, &plan)?;
    split.protocol = protocol::describe(&plan, has_time, &split, tie_rate);
    Ok(split)
}

/// What becomes of each row of the log under a split, without dividing it.
///
/// # Errors
/// As [`split`], less those about parts that come out empty.
pub(crate) fn assign_roles(
    dataset: &Dataset,
    by_user: &UserRows,
    config: &SplitConfig,
    seed: Seed,
) -> Result<Vec<Role>> {
    let rows = Rows {
        log: &dataset.log,
        by_user,
        num_items: dataset.items.len(),
        seed: config.seed.map_or(seed, Seed),
    };
    assign(&config.plan(&dataset.log)?, &rows)
}

fn check(split: &Split, plan: &config::Plan) -> Result<()> {
    let total = split.test.history.len() + split.test.targets.len();
    ensure!(
        !split.train.is_empty(),
        "the split ({}) leaves none of {total} interactions to train on: {}",
        protocol::description(plan),
        protocol::advice(plan)
    );
    ensure!(
        !split.test.targets.is_empty(),
        "the split ({}) leaves no test users among {total} interactions: {}",
        protocol::description(plan),
        protocol::advice(plan)
    );
    Ok(())
}

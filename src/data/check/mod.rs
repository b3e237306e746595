//! What is wrong with data, before somebody believes figures made of them:
//! `recsys data check`.
//!
//! What is looked at is the data as a training would see them: read, cleaned
//! and split as the config says. So a finding is gone once the config line
//! that mends it is there. All that walks over interactions does so user by
//! user over row numbers: beside the log it takes about 25 bytes for each
//! interaction, fewer than ingest.

mod activity;
mod audiences;
mod columns;
mod finding;
mod ids;
mod items;
mod leaks;
mod places;
mod rows;
#[cfg(test)]
mod tests;
mod text;
mod values;

pub use finding::{CheckReport, Example, Finding, Mend, Severity};

use crate::data::config::DataConfig;
use crate::data::dataset::Dataset;
use crate::data::read::{Scan, scan, scan_features};
use crate::data::split::{Role, SplitConfig, UserRows, assign_roles};
use crate::event::Observer;
use crate::seed::Seed;
use anyhow::Result;
use finding::Draft;
use std::path::Path;

/// What every check looks at.
struct Data<'a> {
    dataset: &'a Dataset,
    config: &'a DataConfig,
    split: &'a SplitConfig,
    by_user: UserRows,
    /// The part of each row under the split; absent where it cannot be made.
    roles: Option<Vec<Role>>,
    /// Unix seconds: later times are wrong.
    now: i64,
}

/// Runs every check; `now` is the present in unix seconds, and `base` the
/// folder of the config file.
///
/// # Errors
/// Files that cannot be read a second time.
pub fn check(
    dataset: &Dataset,
    config: &DataConfig,
    split: &SplitConfig,
    seed: Seed,
    now: i64,
    base: &Path,
    observer: &mut dyn Observer,
) -> Result<CheckReport> {
    let by_user = UserRows::new(&dataset.log, dataset.users.len());
    let mut drafts = Vec::new();
    let roles = match assign_roles(dataset, &by_user, split, seed) {
        Ok(roles) => Some(roles),
        Err(error) => {
            drafts.push(
                Draft::new("split", Severity::Error, 1, 1)
                    .says(format!("the split cannot be made: {error:#}")),
            );
            None
        }
    };
    let data = Data {
        dataset,
        config,
        split,
        by_user,
        roles,
        now,
    };
    drafts.extend(rows::check(&data));
    drafts.extend(leaks::check(&data));
    drafts.extend(activity::check(&data));
    drafts.extend(values::check(&data));
    drafts.extend(ids::check(&data));
    drafts.extend(text::check(&data));
    drafts.extend(columns::check(&data));
    drafts.extend(items::check(&data));
    drafts.extend(audiences::check(&data));
    let wanted = places::wanted(&data, &drafts);
    let seen = scan(config, base, wanted, observer)?;
    drafts.extend(columns::empty_cells(&seen));
    drafts.extend(ids::padded(&seen));
    let (users, items) = (&dataset.users, &dataset.items);
    let repeats = scan_features(config, base, users, items, observer)?;
    drafts.extend(columns::repeated(config, &repeats));
    Ok(report(&data, drafts, &seen))
}

fn report(data: &Data<'_>, drafts: Vec<Draft>, seen: &Scan) -> CheckReport {
    let mut findings: Vec<Finding> = drafts
        .into_iter()
        .map(|draft| places::resolve(data, draft, seen))
        .collect();
    // The worst first; of equals the earlier check.
    findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
    CheckReport {
        interactions: data.dataset.log.len(),
        users: data.dataset.users.len(),
        items: data.dataset.items.len(),
        findings,
        hash: data.dataset.hash.clone(),
    }
}

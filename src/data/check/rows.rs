//! Rows that repeat each other, and timestamps that leave an order open.

use super::Data;
use super::finding::{Draft, MOST_EXAMPLES, Severity, percent};
use crate::data::clean::Duplicates;
use crate::data::split::{Order, Select, SplitKind};
use rayon::prelude::*;

/// Users that one core looks at before it hands over what it found.
const USERS: usize = 1 << 10;
/// A share of ties from which the order inside a user is more the file's than
/// that of time.
const MANY_TIES: f64 = 0.5;

pub fn check(data: &Data<'_>) -> Vec<Draft> {
    let found = by_users(data, |rows, found: &mut Repeats| found.look(data, rows));
    let total = data.dataset.log.len();
    let mut drafts = Vec::new();
    if found.rows.count > 0 {
        drafts.push(found.rows(total));
    }
    if found.pairs.count > 0 {
        drafts.push(found.pairs(data, total));
    }
    if found.ties.count > 0 {
        drafts.push(found.ties(data));
    }
    drafts
}

/// What a walk over users counts.
pub(super) trait Tally: Default + Send {
    /// Adds what was found among later users.
    fn join(&mut self, other: Self);
}

/// Walks over all users on all cores; the result does not depend on how many.
pub(super) fn by_users<T: Tally>(data: &Data<'_>, look: impl Fn(&[u32], &mut T) + Sync) -> T {
    let users = data.by_user.num_users();
    let chunks: Vec<T> = (0..users.div_ceil(USERS))
        .into_par_iter()
        .map(|chunk| {
            let mut found = T::default();
            for user in chunk * USERS..((chunk + 1) * USERS).min(users) {
                look(data.by_user.of(user), &mut found);
            }
            found
        })
        .collect();
    let mut all = T::default();
    chunks.into_iter().for_each(|found| all.join(found));
    all
}

/// A count, and rows that show it.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub count: usize,
    pub rows: Vec<u32>,
}

impl Shown {
    pub fn add(&mut self, rows: &[u32]) {
        self.count += 1;
        if self.rows.len() < MOST_EXAMPLES {
            self.rows.extend(rows);
        }
    }

    pub fn join(&mut self, other: Self) {
        self.count += other.count;
        if self.rows.len() < MOST_EXAMPLES {
            self.rows.extend(other.rows);
        }
    }
}

#[derive(Default)]
struct Repeats {
    /// Rows equal to an earlier one in all that is read.
    rows: Shown,
    /// Rows that repeat a pair at another time or with another rating.
    pairs: Shown,
    /// Consecutive interactions of a user with one timestamp, and all.
    ties: Shown,
    steps: usize,
}

impl Tally for Repeats {
    fn join(&mut self, other: Self) {
        self.rows.join(other.rows);
        self.pairs.join(other.pairs);
        self.ties.join(other.ties);
        self.steps += other.steps;
    }
}

impl Repeats {
    /// Takes the rows of one user, in time order.
    fn look(&mut self, data: &Data<'_>, rows: &[u32]) {
        let log = &data.dataset.log;
        let time = |row: u32| log.timestamps.as_ref().map(|t| t[row as usize]);
        let weight = |row: u32| log.weights.as_ref().map(|w| w[row as usize].to_bits());
        let part = |row: u32| log.parts.as_ref().map(|p| p[row as usize] as u8);
        let key = |&row: &u32| {
            let item = log.items[row as usize];
            (part(row), item, time(row), weight(row), row)
        };
        let mut sorted = rows.to_vec();
        sorted.sort_unstable_by_key(key);
        for two in sorted.windows(2) {
            let (a, b) = (key(&two[0]), key(&two[1]));
            // A pair in several given parts is a leak, and told as one.
            if (a.0, a.1) != (b.0, b.1) {
                continue;
            }
            match (a.2, a.3) == (b.2, b.3) {
                true => self.rows.add(two),
                false => self.pairs.add(two),
            }
        }
        if log.timestamps.is_some() {
            self.steps += rows.len().saturating_sub(1);
            let ties = rows.windows(2).filter(|w| time(w[0]) == time(w[1]));
            ties.for_each(|two| self.ties.add(two));
        }
    }

    fn rows(&self, total: usize) -> Draft {
        let count = self.rows.count;
        Draft::new("duplicate rows", Severity::Warning, count, total)
            .says(format!(
                "{count} of {total} rows ({}) equal another row in every column that is read: \
                 most often a file that was written or joined twice",
                percent(count, total)
            ))
            .rows(self.rows.rows.clone())
            .mend("data.clean", "duplicates = \"last\"")
    }

    fn pairs(&self, data: &Data<'_>, total: usize) -> Draft {
        let count = self.pairs.count;
        let draft = Draft::new("duplicate pairs", Severity::Warning, count, total)
            .says(format!(
                "{count} of {total} rows ({}) repeat a user-item pair at another time or with \
                 another rating: a repeat in test can never be found while seen items are masked",
                percent(count, total)
            ))
            .rows(self.pairs.rows.clone());
        // Where each visit has a weight of its own, the sum keeps it.
        let line = match data.config.event_weights.is_empty() {
            true => "duplicates = \"last\" # or \"count\", where repeats are a signal",
            false => "duplicates = \"sum\"",
        };
        match data.config.clean.duplicates {
            Duplicates::Keep => draft.mend("data.clean", line),
            _ => draft,
        }
    }

    fn ties(&self, data: &Data<'_>) -> Draft {
        let (count, steps) = (self.ties.count, self.steps);
        // Only where the order inside a user decides what is held out.
        let by_order = data.split.kind == Some(SplitKind::LeaveOneOut)
            && data.split.select != Some(Select::Random)
            || data.split.order == Some(Order::Time);
        let many = by_order && count as f64 > MANY_TIES * steps as f64;
        let severity = if many {
            Severity::Warning
        } else {
            Severity::Info
        };
        Draft::new("timestamp ties", severity, count, steps)
            .says(format!(
                "{count} of {steps} pairs of consecutive interactions of a user ({}) have one \
                 timestamp: between them the order of the file counts",
                percent(count, steps)
            ))
            .rows(self.ties.rows.clone())
            .advice(match many {
                true => {
                    "what is held out is the file's choice: use kind = \"global_time\" in \
                     [split], or sort the file by what really came first"
                }
                false => "nothing to do, unless models of sequences shall be judged: they learn the file's order",
            })
    }
}

//! From a log and the roles of its rows to the tables of a split, with no
//! more in memory at any moment than they need: the log is taken apart column
//! by column as the tables grow.

use super::assign::Role;
use super::time::UserRows;
use super::{EvalSet, Split, SplitProtocol};
use crate::data::dataset::Log;
use crate::data::interactions::Interactions;
use crate::data::times::{Times, filter};
use rayon::prelude::*;
use std::sync::Arc;

/// A set of roles.
#[derive(Clone, Copy)]
struct Wanted(u8);

impl Wanted {
    const fn of(roles: &[Role]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < roles.len() {
            bits |= 1 << roles[i] as u8;
            i += 1;
        }
        Self(bits)
    }

    fn has(self, role: Role) -> bool {
        self.0 >> role as u8 & 1 == 1
    }
}

const TABLES: [Wanted; 5] = [
    Wanted::of(&[Role::Train]),
    Wanted::of(&[Role::Train, Role::ValidationFoldIn]),
    Wanted::of(&[Role::Validation]),
    Wanted::of(&[
        Role::Train,
        Role::ValidationFoldIn,
        Role::Validation,
        Role::TestFoldIn,
    ]),
    Wanted::of(&[Role::Test]),
];

/// Builds the tables of all parts; `roles` are in the order of the log.
pub(super) fn assemble(
    log: Log,
    by_user: UserRows,
    roles: Vec<Role>,
    num_items: usize,
    candidates: Option<Interactions>,
) -> Split {
    let has_validation = roles.contains(&Role::Validation);
    let own_history = has_validation && roles.contains(&Role::ValidationFoldIn);
    let mut rows = Rows::new(log, by_user, roles);
    let wanted = [true, own_history, has_validation, true, true];
    let mut tables = TABLES.map(|roles| rows.table(roles, num_items));
    rows.fill(&mut tables, wanted);
    let [train, history, validation, known, test] = tables;
    let train = Arc::new(train);
    let history = match own_history {
        true => Arc::new(history),
        false => Arc::clone(&train),
    };
    Split {
        train,
        validation: has_validation.then_some(EvalSet {
            history,
            targets: validation,
            candidates: None,
        }),
        test: EvalSet {
            history: Arc::new(known),
            targets: test,
            candidates,
        },
        protocol: SplitProtocol::default(),
    }
}

/// The log by user, each user's rows in time order.
struct Rows {
    offsets: Vec<usize>,
    items: Vec<u32>,
    weights: Option<Vec<f32>>,
    timestamps: Option<Times>,
    roles: Vec<Role>,
}

impl Rows {
    fn new(log: Log, by_user: UserRows, roles: Vec<Role>) -> Self {
        let (offsets, rows) = by_user.into_parts();
        let Log {
            users,
            items,
            weights,
            timestamps,
            platforms,
            parts,
        } = log;
        drop((users, platforms, parts));
        // One column after the other; each old one goes before the next.
        Self {
            roles: gather(roles, &rows),
            items: gather(items, &rows),
            weights: weights.map(|w| gather(w, &rows)),
            timestamps: timestamps.map(|t| Times::gather(&t, &rows)),
            offsets,
        }
    }

    /// The offsets of a table.
    fn table(&self, wanted: Wanted, num_items: usize) -> Interactions {
        let users: Vec<usize> = self
            .offsets
            .par_windows(2)
            .with_min_len(1 << 10)
            .map(|bounds| {
                let roles = &self.roles[bounds[0]..bounds[1]];
                roles.iter().filter(|r| wanted.has(**r)).count()
            })
            .collect();
        let mut offsets = Vec::with_capacity(users.len() + 1);
        offsets.push(0);
        let mut end = 0;
        offsets.extend(users.into_iter().map(|count| {
            end += count;
            end
        }));
        Interactions {
            offsets,
            num_items,
            ..Interactions::default()
        }
    }

    /// Fills the columns of the tables that are wanted, and lets go of its
    /// own.
    fn fill(&mut self, tables: &mut [Interactions; 5], wanted: [bool; 5]) {
        let roles = &self.roles;
        let mut each = |column: &mut dyn FnMut(&mut Interactions, usize, Wanted)| {
            for ((table, roles), _) in tables
                .iter_mut()
                .zip(TABLES)
                .zip(wanted)
                .filter(|(_, w)| *w)
            {
                let len = table.offsets.last().copied().unwrap_or(0);
                column(table, len, roles);
            }
        };
        if let Some(times) = self.timestamps.take() {
            each(&mut |table, len, wanted| {
                table.timestamps = Some(times.filter(len, |i| wanted.has(roles[i])));
            });
        }
        if let Some(weights) = self.weights.take() {
            each(&mut |table, len, wanted| {
                table.weights = Some(filter(&weights, len, |i| wanted.has(roles[i])));
            });
        }
        let items = std::mem::take(&mut self.items);
        each(&mut |table, len, wanted| {
            table.items = filter(&items, len, |i| wanted.has(roles[i]));
        });
    }
}

fn gather<T: Copy + Send + Sync>(values: Vec<T>, rows: &[u32]) -> Vec<T> {
    let rows = rows.par_iter().with_min_len(1 << 12);
    rows.map(|row| values[*row as usize]).collect()
}

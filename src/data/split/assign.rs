//! Gives every interaction its role, one function for each kind of split.

use crate::data::dataset::{Log, Part};
use crate::data::split::config::{Carve, Order, Plan, Select};
use crate::data::split::shares::share_counts;
use crate::data::split::time::{UserRows, nth_smallest, time_order};
use crate::seed::{Rng, Seed};
use anyhow::{Context, Result, ensure};

/// What becomes of one interaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Train,
    /// History of a user who is held out for validation: known when asking,
    /// never trained on.
    ValidationFoldIn,
    Validation,
    /// The same for test.
    TestFoldIn,
    Test,
}

const PARTS: [Role; 3] = [Role::Train, Role::Validation, Role::Test];

/// The data in the forms that the rules need.
pub(super) struct Rows<'a> {
    pub log: &'a Log,
    pub by_user: &'a UserRows,
    pub num_items: usize,
    pub seed: Seed,
}

impl Rows<'_> {
    /// One stream for the choices over the whole data.
    fn stream(&self) -> Rng {
        self.seed.stream("split")
    }

    /// A user's rows in the order in which they are cut; each user draws from
    /// a stream of its own, so that one user's rows never move another's.
    fn user_rows(&self, user: usize, order: Order) -> Vec<u32> {
        let mut rows = self.by_user.of(user).to_vec();
        if order == Order::Random {
            let mut stream = self.seed.indexed("split", user as u64 + 1);
            stream.shuffle(&mut rows);
        }
        rows
    }

    fn users(&self) -> std::ops::Range<usize> {
        0..self.by_user.num_users()
    }
}

/// The role of each row, in input order.
pub(super) fn assign(plan: &Plan, rows: &Rows<'_>) -> Result<Vec<Role>> {
    let mut roles = vec![Role::Train; rows.log.len()];
    match *plan {
        Plan::LeaveOneOut(select) => leave_one_out(rows, select, &mut roles),
        Plan::RatioPerUser(order, ratios) => {
            for user in rows.users() {
                cut(&rows.user_rows(user, order), ratios, &mut roles);
            }
        }
        Plan::Ratio(ratios) => {
            let mut all = time_order(rows.log);
            rows.stream().shuffle(&mut all);
            cut(&all, ratios, &mut roles);
        }
        Plan::TimeByRatio(ratios) => time_by_ratio(rows, ratios, &mut roles)?,
        Plan::TimeByDate(validation, test) => {
            time_by_date(rows, validation.unwrap_or(test), test, &mut roles)?;
        }
        Plan::Given(by) => given(rows, by, &mut roles)?,
        Plan::KFold { folds, fold, carve } => k_fold(rows, folds, fold, carve, &mut roles),
        Plan::NewUser {
            ratios,
            fold_in,
            order,
        } => new_user(rows, ratios, fold_in, order, &mut roles),
        Plan::NewItem(ratios) => new_item(rows, ratios, &mut roles),
    }
    Ok(roles)
}

/// Cuts a sequence of rows into train, validation and test.
fn cut(sequence: &[u32], ratios: [f64; 3], roles: &mut [Role]) {
    let counts = share_counts(sequence.len(), ratios);
    let parts = PARTS
        .iter()
        .zip(counts)
        .flat_map(|(&role, count)| std::iter::repeat_n(role, count));
    for (&row, role) in sequence.iter().zip(parts) {
        roles[row as usize] = role;
    }
}

fn leave_one_out(rows: &Rows<'_>, select: Select, roles: &mut [Role]) {
    let order = match select {
        Select::Last => Order::Time,
        Select::Random => Order::Random,
    };
    for user in rows.users() {
        if let [.., _, validation, test] = rows.user_rows(user, order)[..] {
            roles[validation as usize] = Role::Validation;
            roles[test as usize] = Role::Test;
        }
    }
}

fn time_by_ratio(rows: &Rows<'_>, ratios: [f64; 3], roles: &mut [Role]) -> Result<()> {
    let times = timestamps(rows)?;
    let [train, validation, _] = share_counts(times.len(), ratios);
    // A moment, not a row, is the border: rows of one moment stay together.
    let moment = |position: usize| match position < times.len() {
        true => nth_smallest(times, position),
        false => i64::MAX,
    };
    time_by_date(rows, moment(train), moment(train + validation), roles)
}

fn time_by_date(rows: &Rows<'_>, validation: i64, test: i64, roles: &mut [Role]) -> Result<()> {
    for (role, &time) in roles.iter_mut().zip(timestamps(rows)?) {
        if time >= test {
            *role = Role::Test;
        } else if time >= validation {
            *role = Role::Validation;
        }
    }
    Ok(())
}

fn timestamps<'a>(rows: &Rows<'a>) -> Result<&'a [i64]> {
    let times = rows.log.timestamps.as_deref();
    times.context("a split by time needs timestamps, which this data does not have")
}

fn given(rows: &Rows<'_>, by: Carve, roles: &mut [Role]) -> Result<()> {
    let parts = rows.log.parts.as_deref().context(
        "split.kind = \"given\" needs files that are given as train and test, \
         which [data] does not name: name them, or choose another kind",
    )?;
    for (role, part) in roles.iter_mut().zip(parts) {
        *role = match part {
            Part::Train => Role::Train,
            Part::Validation => Role::Validation,
            Part::Test => Role::Test,
        };
    }
    ensure!(
        by.ratio == 0.0 || !parts.contains(&Part::Validation),
        "split.validation_ratio has no meaning where the files already give a validation part: \
         remove one of them"
    );
    carve(rows, by, roles);
    Ok(())
}

/// Moves a share of each user's training rows to validation.
fn carve(rows: &Rows<'_>, by: Carve, roles: &mut [Role]) {
    if by.ratio == 0.0 {
        return;
    }
    let ratios = [1.0 - by.ratio, by.ratio, 0.0];
    for user in rows.users() {
        let mut train = rows.user_rows(user, by.order);
        train.retain(|&row| roles[row as usize] == Role::Train);
        cut(&train, ratios, roles);
    }
}

fn k_fold(rows: &Rows<'_>, folds: usize, fold: usize, by: Carve, roles: &mut [Role]) {
    let mut all: Vec<u32> = (0..roles.len() as u32).collect();
    rows.stream().shuffle(&mut all);
    for &row in all.iter().skip(fold - 1).step_by(folds) {
        roles[row as usize] = Role::Test;
    }
    carve(rows, by, roles);
}

fn new_user(rows: &Rows<'_>, ratios: [f64; 3], fold_in: f64, order: Order, roles: &mut [Role]) {
    let present = rows.users().filter(|&u| !rows.by_user.of(u).is_empty());
    let parts = shuffled_parts(present.map(|u| u as u32).collect(), ratios, rows.stream());
    for (user, part) in parts {
        let (known, asked) = match part {
            Role::Validation => (Role::ValidationFoldIn, Role::Validation),
            Role::Test => (Role::TestFoldIn, Role::Test),
            _ => continue,
        };
        let sequence = rows.user_rows(user as usize, order);
        let most = sequence.len().saturating_sub(1).max(1);
        let num_known = ((fold_in * sequence.len() as f64) as usize).clamp(1, most);
        for (i, &row) in sequence.iter().enumerate() {
            roles[row as usize] = if i < num_known { known } else { asked };
        }
    }
}

fn new_item(rows: &Rows<'_>, ratios: [f64; 3], roles: &mut [Role]) {
    let mut present = vec![false; rows.num_items];
    for &item in &rows.log.items {
        present[item as usize] = true;
    }
    let items = (0..rows.num_items as u32).filter(|&i| present[i as usize]);
    let mut part_of = vec![Role::Train; rows.num_items];
    for (item, part) in shuffled_parts(items.collect(), ratios, rows.stream()) {
        part_of[item as usize] = part;
    }
    for (role, &item) in roles.iter_mut().zip(&rows.log.items) {
        *role = part_of[item as usize];
    }
}

/// Users or items with the part that each falls to.
fn shuffled_parts(
    mut entities: Vec<u32>,
    ratios: [f64; 3],
    mut stream: Rng,
) -> impl Iterator<Item = (u32, Role)> {
    stream.shuffle(&mut entities);
    let counts = share_counts(entities.len(), ratios);
    let parts = PARTS
        .into_iter()
        .zip(counts)
        .flat_map(|(role, count)| std::iter::repeat_n(role, count));
    entities.into_iter().zip(parts)
}

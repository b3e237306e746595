//! What test shares with train, and should not.

use super::Data;
use super::finding::{Draft, Example, MOST_EXAMPLES, Severity, many, percent};
use super::rows::{Shown, Tally, by_users};
use crate::data::split::{Role, SplitKind};
use crate::ids::IdMap;

/// A share of test that is worth a warning when training knows nothing of it.
const MANY_COLD: f64 = 0.05;

pub fn check(data: &Data<'_>) -> Vec<Draft> {
    let Some(roles) = &data.roles else {
        return Vec::new();
    };
    let found = by_users(data, |rows, found: &mut Leaks| {
        found.look(data, roles, rows);
    });
    let mut drafts = Vec::new();
    if found.same.count > 0 {
        drafts.push(same(data, &found));
    }
    if found.pairs.count > 0 {
        drafts.push(pairs(&found));
    }
    if found.early.count > 0 {
        drafts.push(early(data, &found));
    }
    drafts.extend(cold_items(data, roles));
    drafts.extend(cold_users(data, roles, &found));
    drafts
}

#[derive(Default)]
struct Leaks {
    /// Test rows whose pair, and time where there is one, is known before.
    same: Shown,
    /// Test rows whose pair is known at another time.
    pairs: Shown,
    /// Users with a test row older than one of their training rows.
    early: Shown,
    test: usize,
    test_users: usize,
    /// Test users without anything known.
    unknown: Shown,
}

impl Tally for Leaks {
    fn join(&mut self, other: Self) {
        self.same.join(other.same);
        self.pairs.join(other.pairs);
        self.early.join(other.early);
        self.unknown.join(other.unknown);
        self.test += other.test;
        self.test_users += other.test_users;
    }
}

impl Leaks {
    fn look(&mut self, data: &Data<'_>, roles: &[Role], rows: &[u32]) {
        let log = &data.dataset.log;
        let item = |row: u32| log.items[row as usize];
        let time = |row: u32| log.timestamps.as_ref().map(|t| t[row as usize]);
        let is_test = |row: &&u32| roles[**row as usize] == Role::Test;
        let test: Vec<u32> = rows.iter().filter(is_test).copied().collect();
        let mut known: Vec<u32> = rows.iter().filter(|r| !is_test(r)).copied().collect();
        self.test += test.len();
        let Some(&first) = test.first() else {
            return;
        };
        self.test_users += 1;
        // In time order still, so the last is the latest.
        match known.last() {
            Some(&latest) if time(first) < time(latest) => self.early.add(&[latest, first]),
            Some(_) => {}
            None => self.unknown.add(&[first]),
        }
        known.sort_unstable_by_key(|&row| (item(row), time(row), row));
        for row in test {
            let (from, to) = (
                known.partition_point(|&k| item(k) < item(row)),
                known.partition_point(|&k| item(k) <= item(row)),
            );
            let alike = &known[from..to];
            match alike.iter().find(|&&k| time(k) == time(row)) {
                Some(&k) => self.same.add(&[k, row]),
                None if !alike.is_empty() => self.pairs.add(&[alike[0], row]),
                None => {}
            }
        }
    }
}

fn kind(data: &Data<'_>) -> Option<SplitKind> {
    let parts = data.dataset.log.parts.is_some();
    let default = parts.then_some(SplitKind::Given);
    data.split.kind.or(default)
}

fn same(data: &Data<'_>, found: &Leaks) -> Draft {
    let (count, of) = (found.same.count, found.test);
    let timed = data.dataset.log.timestamps.is_some();
    let what = if timed {
        "user, item and time"
    } else {
        "user-item pair"
    };
    let draft = Draft::new("leak: test in train", Severity::Error, count, of)
        .says(format!(
            "{count} of {of} test rows ({}) have the {what} of a row that training or the user's \
             history holds: with seen items masked they cannot be found, without the mask they \
             are known beforehand",
            percent(count, of)
        ))
        .rows(found.same.rows.clone());
    match kind(data) {
        Some(SplitKind::Given) => draft
            .advice("take the rows out of the train files, or name all files in data.path and let [split] divide"),
        _ => draft.mend("data.clean", "duplicates = \"last\""),
    }
}

fn pairs(found: &Leaks) -> Draft {
    let (count, of) = (found.pairs.count, found.test);
    Draft::new("repeats in test", Severity::Warning, count, of)
        .says(format!(
            "{count} of {of} test rows ({}) are of an item that the user had before, at another \
             time: with seen items masked they can never be found",
            percent(count, of)
        ))
        .rows(found.pairs.rows.clone())
        .mend(
            "data.clean",
            "duplicates = \"first\" # or [evaluation] mask_seen = false, where repeats are what to predict",
        )
}

/// Splits at random are meant to be so, but the figures do not tell how well
/// the future is predicted.
fn early(data: &Data<'_>, found: &Leaks) -> Draft {
    let (count, of) = (found.early.count, found.test_users);
    let given = kind(data) == Some(SplitKind::Given);
    let severity = if given {
        Severity::Warning
    } else {
        Severity::Info
    };
    Draft::new("leak: test before train", severity, count, of)
        .says(format!(
            "{count} of {} ({}) have a test interaction older than one of their training \
             interactions: the split does not follow time, so what is measured is how well gaps \
             in the past are filled",
            many(of, "test user", "test users"),
            percent(count, of)
        ))
        .rows(found.early.rows.clone())
        .mend(
            "split",
            match given {
                true => "kind = \"global_time\" # with the files in data.path, not as given parts",
                false => "kind = \"global_time\" # to measure how well the future is predicted",
            },
        )
}

fn cold_items(data: &Data<'_>, roles: &[Role]) -> Option<Draft> {
    let log = &data.dataset.log;
    let mut trained = vec![false; data.dataset.items.len()];
    let mut tested = vec![0usize; data.dataset.items.len()];
    for (&item, &role) in log.items.iter().zip(roles) {
        match role {
            Role::Train => trained[item as usize] = true,
            Role::Test => tested[item as usize] += 1,
            _ => {}
        }
    }
    let cold = |item: &usize| !trained[*item] && tested[*item] > 0;
    let items: Vec<usize> = (0..trained.len()).filter(cold).collect();
    let rows: usize = items.iter().map(|&i| tested[i]).sum();
    let test: usize = tested.iter().sum();
    if items.is_empty() || kind(data) == Some(SplitKind::NewItem) {
        return None;
    }
    Some(
        Draft::new("items only in test", severity(rows, test), items.len(), trained.len())
            .says(format!(
                "{} of {} only in test, not in train: {rows} of {test} test interactions \
                 ({}) are of them, and no model without item features can find them",
                many(items.len(), "item", "items"),
                trained.len(),
                percent(rows, test)
            ))
            .examples(named("item", &data.dataset.items, &items, &tested))
            .mend(
                "data.clean",
                "min_item_interactions = 5 # fewer of them; none go where a split by time has new items",
            ),
    )
}

fn cold_users(data: &Data<'_>, roles: &[Role], found: &Leaks) -> Option<Draft> {
    if matches!(kind(data), Some(SplitKind::NewUser)) || found.test_users == 0 {
        return None;
    }
    let log = &data.dataset.log;
    let mut trained = vec![false; data.dataset.users.len()];
    let mut tested = vec![0usize; data.dataset.users.len()];
    for (&user, &role) in log.users.iter().zip(roles) {
        match role {
            Role::Train => trained[user as usize] = true,
            Role::Test => tested[user as usize] += 1,
            _ => {}
        }
    }
    let cold = |user: &usize| !trained[*user] && tested[*user] > 0;
    let users: Vec<usize> = (0..trained.len()).filter(cold).collect();
    (!users.is_empty()).then(|| {
        let count = users.len();
        Draft::new(
            "users only in test",
            severity(count, found.test_users),
            count,
            found.test_users,
        )
        .says(format!(
            "{count} of {} ({}) have no training interactions: everybody gets the same list there, \
             or an answer from history alone",
            many(found.test_users, "test user", "test users"),
            percent(count, found.test_users)
        ))
        .examples(named("user", &data.dataset.users, &users, &tested))
        .mend("evaluation", "users = \"known\"")
    })
}

fn severity(count: usize, of: usize) -> Severity {
    if count as f64 > MANY_COLD * of as f64 {
        Severity::Warning
    } else {
        Severity::Info
    }
}

fn named<'a>(
    what: &'a str,
    ids: &'a IdMap,
    indices: &'a [usize],
    counts: &'a [usize],
) -> impl Iterator<Item = Example> + 'a {
    indices.iter().take(MOST_EXAMPLES).map(move |&i| {
        let id = ids.external(i as u32);
        let times = many(counts[i], "test interaction", "test interactions");
        Example::of(format!("{what} {id}: {times}"))
    })
}

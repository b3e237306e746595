//! Users who do more than a person can.

use super::Data;
use super::finding::{Draft, Example, Severity, many};
use super::rows::{Shown, Tally, by_users};
use crate::data::stats::iso;

const DAY: i64 = 86_400;
/// A page of a catalog with as many stars on it is sent at once; more is not
/// done by hand.
const MOST_AT_ONCE: usize = 100;
/// One each second, ten minutes long.
const SPAN: i64 = 600;
const MOST_IN_SPAN: usize = 600;
const MOST_IN_A_DAY: usize = 2_000;
/// Beyond so many times what 99 of 100 users do at most, and no fewer than
/// that, a user is no person or speaks for many.
const OUTLIER: usize = 20;
const FEWEST: usize = 1_000;

pub fn check(data: &Data<'_>) -> Vec<Draft> {
    let mut drafts = Vec::new();
    if let Some(times) = &data.dataset.log.timestamps {
        let clock = Clock::of(times);
        let found = by_users(data, |rows, found: &mut Bursts| {
            found.look(times, clock, rows);
        });
        drafts.extend(bursts(data, &found));
    }
    drafts.extend(outliers(data));
    drafts
}

/// How finely the times of a file tell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clock {
    Seconds,
    Days,
    /// Not finer than some other unit, e.g. years: nothing can be told.
    Coarse,
}

impl Clock {
    fn of(times: &[i64]) -> Self {
        let all = |unit: i64| times.iter().all(|t| t.rem_euclid(unit) == 0);
        let (first, last) = (times.iter().min(), times.iter().max());
        if first == last {
            Self::Coarse
        } else if all(DAY) {
            Self::Days
        } else if all(60) || times.iter().all(|t| (0..DAY).contains(t)) {
            // Minutes say nothing of seconds, ranks nothing at all.
            Self::Coarse
        } else {
            Self::Seconds
        }
    }
}

#[derive(Default)]
struct Bursts {
    users: Shown,
    /// What each of the first of them did.
    what: Vec<(usize, String)>,
    /// The fewest interactions of one of them; 0 without any.
    fewest: usize,
    /// The most interactions of a user without a burst.
    most_of_others: usize,
}

impl Tally for Bursts {
    fn join(&mut self, other: Self) {
        self.users.join(other.users);
        self.what.extend(other.what);
        self.fewest = least(self.fewest, other.fewest);
        self.most_of_others = self.most_of_others.max(other.most_of_others);
    }
}

impl Bursts {
    fn look(&mut self, times: &[i64], clock: Clock, rows: &[u32]) {
        let limits = match clock {
            Clock::Seconds => &[
                (1, MOST_AT_ONCE),
                (SPAN, MOST_IN_SPAN),
                (DAY, MOST_IN_A_DAY),
            ][..],
            Clock::Days => &[(1, MOST_IN_A_DAY)],
            Clock::Coarse => &[],
        };
        for &(span, limit) in limits {
            let (most, from) = most_within(times, rows, span);
            if most > limit {
                self.users.add(&rows[from..=from]);
                self.fewest = least(self.fewest, rows.len());
                if self.what.len() < super::finding::MOST_EXAMPLES {
                    let span = match (clock, span) {
                        (Clock::Days, _) | (_, DAY) => "a day",
                        (_, 1) => "one second",
                        _ => "ten minutes",
                    };
                    let at = iso(times[rows[from] as usize]);
                    self.what
                        .push((from, format!("{most} within {span} from {at}")));
                }
                return;
            }
        }
        self.most_of_others = self.most_of_others.max(rows.len());
    }
}

/// The smaller one of those that are not 0.
fn least(a: usize, b: usize) -> usize {
    if a == 0 || b == 0 { a.max(b) } else { a.min(b) }
}

/// The most rows within a span, and the first of them; rows are in time order.
fn most_within(times: &[i64], rows: &[u32], span: i64) -> (usize, usize) {
    let at = |i: usize| times[rows[i] as usize];
    let (mut start, mut most, mut from) = (0, 0, 0);
    for end in 0..rows.len() {
        while at(end).saturating_sub(at(start)) >= span {
            start += 1;
        }
        if end + 1 - start > most {
            (most, from) = (end + 1 - start, start);
        }
    }
    (most, from)
}

fn bursts(data: &Data<'_>, found: &Bursts) -> Option<Draft> {
    let (count, of) = (found.users.count, data.dataset.users.len());
    if count == 0 {
        return None;
    }
    let log = &data.dataset.log;
    let example = |(&row, (_, what)): (&u32, &(usize, String))| {
        let user = data.dataset.users.external(log.users[row as usize]);
        let all = data.by_user.of(log.users[row as usize] as usize).len();
        Example::of(format!("user {user}: {what}, {all} in all"))
    };
    let examples: Vec<_> = found
        .users
        .rows
        .iter()
        .zip(&found.what)
        .map(example)
        .collect();
    let draft = Draft::new("impossible activity", Severity::Warning, count, of)
        .says(format!(
            "{} of {of} did more than a person can ({MOST_AT_ONCE} interactions in a second, \
             {MOST_IN_SPAN} in ten minutes, {MOST_IN_A_DAY} in a day): robots, imports, or \
             timestamps of something else",
            many(count, "user", "users")
        ))
        .examples(examples);
    // A limit that takes them out and nobody else, where there is one.
    let limit = found.most_of_others.max(1);
    Some(match found.fewest > limit {
        true => draft.mend("data.clean", format!("max_user_interactions = {limit}")),
        false => draft.advice(
            "other users have as many interactions, so no limit takes out these alone: \
             drop them from the file, or look where their rows come from",
        ),
    })
}

fn outliers(data: &Data<'_>) -> Option<Draft> {
    let users = data.by_user.num_users();
    let len = |user: usize| data.by_user.of(user).len();
    let mut counts: Vec<usize> = (0..users).map(len).collect();
    counts.sort_unstable();
    let p99 = *counts.get((users * 99).div_ceil(100).max(1) - 1)?;
    let limit = (OUTLIER * p99).max(FEWEST);
    let mut found: Vec<usize> = (0..users).filter(|&u| len(u) > limit).collect();
    if found.is_empty() {
        return None;
    }
    found.sort_by_key(|&u| std::cmp::Reverse(len(u)));
    let rows: usize = found.iter().map(|&u| len(u)).sum();
    let example = |&u: &usize| {
        let id = data.dataset.users.external(u as u32);
        Example::of(format!("user {id}: {} interactions", len(u)))
    };
    let count = found.len();
    Some(
        Draft::new("outlier users", Severity::Warning, count, users)
            .says(format!(
                "{} of {users} {} more than {limit} interactions, {OUTLIER} times what 99% of \
                 users have at most ({p99}): a robot, a shop's own account, or an id that stands \
                 for many; they hold {rows} rows",
                many(count, "user", "users"),
                if count == 1 { "has" } else { "have" }
            ))
            .examples(found.iter().map(example))
            .mend("data.clean", format!("max_user_interactions = {limit}")),
    )
}

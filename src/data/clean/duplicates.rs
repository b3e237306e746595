//! What becomes of several interactions of one user with one item.

use super::config::{CleanConfig, Duplicates};
use super::retain;
use crate::data::dataset::{Log, Part};
use anyhow::Result;

/// Leaves one row of each user-item pair (and given part), at its place in
/// the input.
pub(super) fn duplicates(log: &mut Log, config: &CleanConfig) -> Result<Option<String>> {
    let policy = config.duplicates;
    if policy == Duplicates::Keep {
        return Ok(None);
    }
    let order = by_pair_and_time(log);
    let mut keep = vec![false; log.len()];
    let mut weights = match policy {
        Duplicates::Sum | Duplicates::Count => {
            Some(log.weights.take().unwrap_or_else(|| vec![1.0; log.len()]))
        }
        _ => None,
    };
    for group in order.chunk_by(|a, b| pair(log, *a) == pair(log, *b)) {
        let chosen = match policy {
            Duplicates::First => group[0],
            _ => group[group.len() - 1],
        } as usize;
        keep[chosen] = true;
        if let Some(weights) = &mut weights {
            weights[chosen] = match policy {
                Duplicates::Count => group.len() as f32,
                // Summed in double precision, in time order.
                _ => group
                    .iter()
                    .map(|r| f64::from(weights[*r as usize]))
                    .sum::<f64>() as f32,
            };
        }
    }
    if weights.is_some() {
        log.weights = weights;
    }
    retain(log, &keep);
    let name = match policy {
        Duplicates::Keep => "keep",
        Duplicates::First => "first",
        Duplicates::Last => "last",
        Duplicates::Sum => "sum",
        Duplicates::Count => "count",
    };
    Ok(Some(format!("duplicates: {name}")))
}

fn part(log: &Log, row: u32) -> Option<Part> {
    log.parts.as_ref().map(|p| p[row as usize])
}

fn pair(log: &Log, row: u32) -> (u32, u32, Option<Part>) {
    (
        log.users[row as usize],
        log.items[row as usize],
        part(log, row),
    )
}

/// Row numbers by user, item, part, time and input order. First by counting
/// into users: sorting all rows at once would jump through memory at every
/// comparison.
fn by_pair_and_time(log: &Log) -> Vec<u32> {
    let num_users = log.users.iter().max().map_or(0, |m| *m as usize + 1);
    let mut ends = vec![0usize; num_users];
    for &user in &log.users {
        ends[user as usize] += 1;
    }
    let mut start = 0;
    for end in &mut ends {
        start += std::mem::replace(end, start);
    }
    let mut order = vec![0u32; log.len()];
    for (row, &user) in log.users.iter().enumerate() {
        let end = &mut ends[user as usize];
        order[*end] = row as u32;
        *end += 1;
    }
    let mut rest = &mut order[..];
    let mut start = 0;
    for end in ends {
        let (rows, others) = rest.split_at_mut(end - start);
        rows.sort_unstable_by_key(|&row| {
            let (_, item, part) = pair(log, row);
            let time = log.timestamps.as_ref().map(|t| t[row as usize]);
            (item, part.map(|p| p as u8), time, row)
        });
        (rest, start) = (others, end);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::super::tests::log;
    use super::*;

    fn run(duplicates_: Duplicates) -> Log {
        let mut data = log(&[
            (0, 7, 1.0, 30),
            (1, 7, 2.0, 5),
            (0, 7, 4.0, 10),
            (0, 7, 8.0, 30),
        ]);
        let config = CleanConfig {
            duplicates: duplicates_,
            ..CleanConfig::default()
        };
        duplicates(&mut data, &config).unwrap();
        data
    }

    #[test]
    fn first_and_last_go_by_time_and_then_by_row() {
        let first = run(Duplicates::First);
        assert_eq!(first.weights.unwrap(), [2.0, 4.0]);
        let last = run(Duplicates::Last);
        assert_eq!(last.weights.unwrap(), [2.0, 8.0]);
        assert_eq!(last.timestamps.unwrap(), [5, 30]);
    }

    #[test]
    fn sums_and_counts_become_weights() {
        assert_eq!(run(Duplicates::Sum).weights.unwrap(), [2.0, 13.0]);
        assert_eq!(run(Duplicates::Count).weights.unwrap(), [1.0, 3.0]);
        let mut bare = log(&[(0, 0, 1.0, 0), (0, 0, 1.0, 0)]);
        (bare.weights, bare.timestamps) = (None, None);
        let config = CleanConfig {
            duplicates: Duplicates::Sum,
            ..CleanConfig::default()
        };
        duplicates(&mut bare, &config).unwrap();
        assert_eq!(bare.weights.unwrap(), [2.0]);
    }

    #[test]
    fn given_parts_are_kept_apart() {
        let mut data = log(&[(0, 0, 1.0, 0), (0, 0, 1.0, 1), (0, 0, 1.0, 2)]);
        data.parts = Some(vec![Part::Train, Part::Train, Part::Test]);
        let config = CleanConfig {
            duplicates: Duplicates::Last,
            ..CleanConfig::default()
        };
        duplicates(&mut data, &config).unwrap();
        assert_eq!(data.timestamps.unwrap(), [1, 2]);
    }
}

//! What a data set looks like in numbers: `recsys data stats`.

use crate::data::dataset::{CleaningStep, Dataset, Log};
use chrono::DateTime;
use rayon::slice::ParallelSliceMut;
use serde::Serialize;
use std::collections::BTreeMap;

/// Rating values are listed one by one up to this many different ones.
const MAX_HISTOGRAM: usize = 20;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataStats {
    /// Counts before and after each cleaning step.
    pub cleaning: Vec<CleaningStep>,
    pub interactions: usize,
    pub users: usize,
    pub items: usize,
    /// Distinct user-item pairs over all possible ones.
    pub density: f64,
    /// 1 - density.
    pub sparsity: f64,
    /// Rows beyond the first of their user-item pair.
    pub duplicates: usize,
    pub per_user: Quantiles,
    pub per_item: Quantiles,
    pub time: Option<TimeStats>,
    pub ratings: Option<RatingStats>,
    /// Empty with a single platform.
    pub platforms: Vec<PlatformStats>,
    /// Users and items that occur on more than one platform.
    pub shared_users: usize,
    pub shared_items: usize,
    /// Rows of each part, where the files give a split.
    pub parts: BTreeMap<String, usize>,
    pub hash: String,
}

/// Of the number of interactions; quantiles are values that occur (the
/// smallest that at least this share does not exceed).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    pub min: usize,
    pub p25: usize,
    pub median: usize,
    pub p75: usize,
    pub p90: usize,
    pub p99: usize,
    pub max: usize,
    pub mean: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TimeStats {
    /// ISO 8601, UTC.
    pub first: String,
    pub last: String,
    pub days: f64,
    /// Share of a user's consecutive interactions, in time order, with equal
    /// timestamps.
    pub tie_rate: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RatingStats {
    pub min: f32,
    pub max: f32,
    pub mean: f64,
    /// Value and count, ascending; absent with more than 20 values.
    pub histogram: Option<Vec<(f32, usize)>>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlatformStats {
    pub name: String,
    pub interactions: usize,
    pub users: usize,
    pub items: usize,
}

/// Counts everything once.
pub fn stats(dataset: &Dataset) -> DataStats {
    let log = &dataset.log;
    let (users, items) = (dataset.users.len(), dataset.items.len());
    let distinct = distinct_pairs(log);
    let cells = users as f64 * items as f64;
    let density = if cells > 0.0 {
        distinct as f64 / cells
    } else {
        0.0
    };
    let (platforms, shared_users, shared_items) = platforms(dataset);
    DataStats {
        cleaning: dataset.cleaning.clone(),
        interactions: log.len(),
        users,
        items,
        density,
        sparsity: 1.0 - density,
        duplicates: log.len() - distinct,
        per_user: quantiles(&log.users, users),
        per_item: quantiles(&log.items, items),
        time: time(log),
        ratings: log.weights.as_deref().and_then(ratings),
        platforms,
        shared_users,
        shared_items,
        parts: parts(log),
        hash: dataset.hash.clone(),
    }
}

fn distinct_pairs(log: &Log) -> usize {
    let pair = |(u, i): (&u32, &u32)| u64::from(*u) << 32 | u64::from(*i);
    let mut pairs: Vec<u64> = log.users.iter().zip(&log.items).map(pair).collect();
    pairs.par_sort_unstable();
    pairs.dedup();
    pairs.len()
}

fn quantiles(indices: &[u32], len: usize) -> Quantiles {
    let mut counts = vec![0usize; len];
    for &i in indices {
        counts[i as usize] += 1;
    }
    counts.sort_unstable();
    let Some((&min, &max)) = counts.first().zip(counts.last()) else {
        return Quantiles::default();
    };
    let at = |share: f64| counts[((share * len as f64).ceil() as usize).max(1) - 1];
    Quantiles {
        min,
        p25: at(0.25),
        median: at(0.5),
        p75: at(0.75),
        p90: at(0.9),
        p99: at(0.99),
        max,
        mean: indices.len() as f64 / len as f64,
    }
}

fn time(log: &Log) -> Option<TimeStats> {
    let times = log.timestamps.as_deref()?;
    let (first, last) = (*times.iter().min()?, *times.iter().max()?);
    Some(TimeStats {
        first: iso(first),
        last: iso(last),
        days: (last as f64 - first as f64) / 86_400.0,
        tie_rate: tie_rate(&log.users, times),
    })
}

/// Unix seconds as ISO 8601 in UTC, or the number where no calendar holds it.
pub fn iso(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0).map_or_else(
        || seconds.to_string(),
        |t| t.naive_utc().to_string().replacen(' ', "T", 1) + "Z",
    )
}

fn tie_rate(users: &[u32], times: &[i64]) -> f64 {
    let mut rows: Vec<(u32, i64)> = users.iter().copied().zip(times.iter().copied()).collect();
    rows.par_sort_unstable();
    let (mut steps, mut ties) = (0usize, 0usize);
    for pair in rows.windows(2) {
        if pair[0].0 == pair[1].0 {
            steps += 1;
            ties += usize::from(pair[0].1 == pair[1].1);
        }
    }
    if steps == 0 {
        0.0
    } else {
        ties as f64 / steps as f64
    }
}

fn ratings(weights: &[f32]) -> Option<RatingStats> {
    let mut histogram = BTreeMap::new();
    for w in weights {
        // The usual trick: with the sign handled, bits sort like the values.
        let bits = w.to_bits();
        let key = if bits >> 31 == 0 {
            bits | 1 << 31
        } else {
            !bits
        };
        if histogram.len() <= MAX_HISTOGRAM || histogram.contains_key(&key) {
            histogram.entry(key).or_insert((*w, 0usize)).1 += 1;
        }
    }
    let few = histogram.len() <= MAX_HISTOGRAM;
    Some(RatingStats {
        min: weights.iter().copied().reduce(f32::min)?,
        max: weights.iter().copied().reduce(f32::max)?,
        mean: weights.iter().map(|&w| f64::from(w)).sum::<f64>() / weights.len() as f64,
        histogram: few.then(|| histogram.into_values().collect()),
    })
}

fn platforms(dataset: &Dataset) -> (Vec<PlatformStats>, usize, usize) {
    let log = &dataset.log;
    let Some(codes) = log.platforms.as_deref() else {
        return (Vec::new(), 0, 0);
    };
    let count = dataset.platforms.len();
    let (users, shared_users) = entities(codes, &log.users, count);
    let (items, shared_items) = entities(codes, &log.items, count);
    let mut rows = vec![0; count];
    for &code in codes {
        rows[code as usize] += 1;
    }
    let named = dataset.platforms.iter().enumerate();
    let list = named.map(|(p, name)| PlatformStats {
        name: name.clone(),
        interactions: rows[p],
        users: users[p],
        items: items[p],
    });
    (list.collect(), shared_users, shared_items)
}

/// Distinct entities of each platform, and how many are on several.
fn entities(codes: &[u16], indices: &[u32], platforms: usize) -> (Vec<usize>, usize) {
    let mut pairs: Vec<(u32, u16)> = indices.iter().copied().zip(codes.iter().copied()).collect();
    pairs.par_sort_unstable();
    pairs.dedup();
    let mut each = vec![0; platforms];
    for &(_, code) in &pairs {
        each[code as usize] += 1;
    }
    let several = pairs
        .chunk_by(|a, b| a.0 == b.0)
        .filter(|group| group.len() > 1)
        .count();
    (each, several)
}

fn parts(log: &Log) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for part in log.parts.iter().flatten() {
        *counts
            .entry(format!("{part:?}").to_lowercase())
            .or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::Part;
    use crate::ids::{ExternalIds, IdMap};

    fn sample() -> Dataset {
        Dataset {
            users: IdMap::new(ExternalIds::Int(vec![10, 20])),
            items: IdMap::new(ExternalIds::Int(vec![1, 2, 3])),
            log: Log {
                users: vec![0, 0, 0, 1],
                items: vec![0, 1, 1, 2],
                weights: Some(vec![-1.0, 5.0, 5.0, 3.0]),
                timestamps: Some(vec![0, 86_400, 86_400, 43_200]),
                platforms: Some(vec![0, 0, 1, 1]),
                parts: Some(vec![Part::Train, Part::Train, Part::Train, Part::Test]),
            },
            user_features: None,
            item_features: None,
            platforms: vec!["web".into(), "app".into()],
            negatives: None,
            cleaning: Vec::new(),
            hash: "h".into(),
        }
    }

    #[test]
    fn counts_by_hand() {
        let s = stats(&sample());
        assert_eq!((s.interactions, s.users, s.items), (4, 2, 3));
        assert_eq!(s.duplicates, 1);
        assert_eq!(s.density, 0.5);
        assert_eq!((s.per_user.min, s.per_user.max), (1, 3));
        assert_eq!(s.per_user.mean, 2.0);
        assert_eq!(s.per_item.median, 1);
        let ratings = s.ratings.unwrap();
        assert_eq!(ratings.histogram.unwrap(), [(-1.0, 1), (3.0, 1), (5.0, 2)]);
        assert_eq!(ratings.mean, 3.0);
        assert_eq!((s.parts["train"], s.parts["test"]), (3, 1));
    }

    #[test]
    fn times_are_iso_and_ties_are_counted_within_users() {
        let time = stats(&sample()).time.unwrap();
        assert_eq!(time.first, "1970-01-01T00:00:00Z");
        assert_eq!(time.last, "1970-01-02T00:00:00Z");
        assert_eq!(time.days, 1.0);
        // User 0 has two steps, one of them a tie; user 1 has none.
        assert_eq!(time.tie_rate, 0.5);
    }

    #[test]
    fn platforms_share_users_and_items() {
        let s = stats(&sample());
        let counts: Vec<_> = s
            .platforms
            .iter()
            .map(|p| (p.interactions, p.users, p.items))
            .collect();
        assert_eq!(counts, [(2, 1, 2), (2, 2, 2)]);
        assert_eq!((s.shared_users, s.shared_items), (1, 1));
    }

    #[test]
    fn an_empty_log_has_stats() {
        let mut empty = sample();
        empty.log = Log::default();
        empty.users = IdMap::new(ExternalIds::Int(Vec::new()));
        let s = stats(&empty);
        assert_eq!((s.interactions, s.per_user.max, s.density), (0, 0, 0.0));
        assert!(s.time.is_none() && s.ratings.is_none());
    }

    #[test]
    fn many_values_have_no_histogram() {
        let many: Vec<f32> = (0..100).map(|x| x as f32).collect();
        assert!(ratings(&many).unwrap().histogram.is_none());
    }
}

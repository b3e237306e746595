//! Ratings and timestamps that cannot be meant so.

use super::Data;
use super::finding::{Draft, MOST_EXAMPLES, Severity, percent};
use crate::data::config::TimestampUnit;
use crate::data::stats::iso;
use std::collections::BTreeMap;

/// 1990: before it nobody logged what people do on a web site.
const EARLIEST: i64 = 631_152_000;
/// Clocks of other people may be ahead by a day.
const AHEAD: i64 = 86_400;
/// A scale of ratings has at most so many values (half stars of ten are 21).
const MOST_OF_SCALE: usize = 25;
/// A value that fewer rows have than that is no value of the scale when it
/// lies apart from the others.
const RARE: f64 = 0.001;
/// So many times what 99 of 100 rows have at most.
const OUTLIER: f32 = 20.0;

pub fn check(data: &Data<'_>) -> Vec<Draft> {
    let mut drafts = Vec::new();
    if let Some(times) = data.dataset.log.timestamps.as_deref() {
        drafts.extend(timestamps(data, times));
    }
    if let Some(weights) = data.dataset.log.weights.as_deref() {
        drafts.extend(ratings(weights));
    }
    drafts
}

/// The rows for which `bad` says so: how many, and the first.
fn rows_where<T: Copy>(values: &[T], bad: impl Fn(T) -> bool) -> (usize, Vec<u32>) {
    let (mut count, mut first) = (0, Vec::new());
    for (row, &value) in (0..).zip(values) {
        if bad(value) {
            count += 1;
            if first.len() < MOST_EXAMPLES {
                first.push(row);
            }
        }
    }
    (count, first)
}

fn timestamps(data: &Data<'_>, times: &[i64]) -> Vec<Draft> {
    let of = times.len();
    let Some((&first, &last)) = times.iter().min().zip(times.iter().max()) else {
        return Vec::new();
    };
    if first == last {
        let says = format!("every interaction has the timestamp {}", iso(first));
        return vec![
            Draft::new("constant timestamps", Severity::Error, of, of)
                .says(says + ": there is no time to split by")
                .mend(
                    "data",
                    "timestamp = \"\" # or the column that holds the time",
                ),
        ];
    }
    let latest = data.now + AHEAD;
    let (late, late_rows) = rows_where(times, |t| t > latest);
    let (zero, zero_rows) = rows_where(times, |t| t == 0);
    let (early, early_rows) = rows_where(times, |t| t != 0 && t < EARLIEST);
    if let Some(draft) = unit(data, times, late + early) {
        return vec![
            draft.rows(
                [late_rows, early_rows]
                    .concat()
                    .into_iter()
                    .take(3)
                    .collect(),
            ),
        ];
    }
    let mut drafts = Vec::new();
    if zero > 0 {
        drafts.push(
            Draft::new("zero timestamps", Severity::Error, zero, of)
                .says(format!(
                    "{zero} of {of} timestamps ({}) are 0, which is 1970: the time is missing, \
                     and a split by time takes these for the oldest",
                    percent(zero, of)
                ))
                .rows(zero_rows)
                .mend("data.clean", "after = 1"),
        );
    }
    if late > 0 {
        let bound = iso(data.now);
        drafts.push(
            Draft::new("future timestamps", Severity::Error, late, of)
                .says(format!(
                    "{late} of {of} timestamps ({}) lie in the future, up to {}: a split by time \
                     makes a test part of them",
                    percent(late, of),
                    iso(last)
                ))
                .rows(late_rows)
                .mend("data.clean", format!("before = \"{}\"", &bound[..10])),
        );
    }
    if early > 0 {
        drafts.push(
            Draft::new("early timestamps", Severity::Warning, early, of)
                .says(format!(
                    "{early} of {of} timestamps ({}) lie before 1990, down to {}",
                    percent(early, of),
                    iso(first)
                ))
                .rows(early_rows)
                .mend("data.clean", "after = \"1990-01-01\""),
        );
    }
    drafts
}

/// Where nearly all times are impossible, it is their unit that is wrong.
fn unit(data: &Data<'_>, times: &[i64], impossible: usize) -> Option<Draft> {
    let of = times.len();
    if impossible * 10 < of * 9 {
        return None;
    }
    let mut sample: Vec<i64> = times
        .iter()
        .step_by((of / 10_000).max(1))
        .copied()
        .collect();
    sample.sort_unstable();
    let middle = sample[sample.len() / 2];
    let fits = |seconds: i64| (EARLIEST..=data.now + AHEAD).contains(&seconds);
    let draft = |severity| Draft::new("timestamp unit", severity, impossible, of);
    let asked = data.config.timestamp_unit;
    if fits(middle / 1000) && asked == TimestampUnit::Seconds {
        return Some(
            draft(Severity::Error)
                .says(format!(
                    "timestamps are read as seconds and come out around {}: as milliseconds they \
                     are around {}",
                    iso(middle),
                    iso(middle / 1000)
                ))
                .mend("data", "timestamp_unit = \"milliseconds\""),
        );
    }
    // Read as milliseconds already, these are finer still.
    for (unit, factor) in [
        ("milliseconds", 1_000),
        ("microseconds", 1_000_000),
        ("nanoseconds", 1_000_000_000),
    ] {
        if fits(middle / factor) {
            return Some(
                draft(Severity::Error)
                    .says(format!(
                        "timestamps come out around {}: they are not seconds or milliseconds, \
                         but finer by a factor of {factor} ({unit} of what they were taken for)",
                        iso(middle)
                    ))
                    .advice(format!(
                        "divide the column by {factor} before reading; until then only the order \
                         of times is right"
                    )),
            );
        }
    }
    if fits(middle.saturating_mul(1000)) && asked == TimestampUnit::Milliseconds {
        return Some(
            draft(Severity::Error)
                .says(format!(
                    "timestamps are read as milliseconds and come out around {}: as seconds they \
                     are around {}",
                    iso(middle),
                    iso(middle.saturating_mul(1000))
                ))
                .mend("data", "timestamp_unit = \"seconds\""),
        );
    }
    (middle.abs() < EARLIEST && times.iter().all(|t| *t < EARLIEST)).then(|| {
        draft(Severity::Info)
            .says(format!(
                "timestamps run from {} to {}, which are no unix times: only their order is used, \
                 and spans of days mean nothing",
                times.iter().min().unwrap_or(&0),
                times.iter().max().unwrap_or(&0)
            ))
            .advice("nothing to do where they are ranks or counters")
    })
}

fn ratings(weights: &[f32]) -> Vec<Draft> {
    let of = weights.len();
    let (min, max) = weights
        .iter()
        .fold((f32::MAX, f32::MIN), |(a, b), &w| (a.min(w), b.max(w)));
    if min == max {
        return vec![
            Draft::new("constant ratings", Severity::Info, of, of)
                .says(format!(
                    "every rating is {min}: they say that something happened and nothing else"
                ))
                .mend("data", "rating = \"\""),
        ];
    }
    let mut drafts = Vec::new();
    let (negative, rows) = rows_where(weights, |w| w < 0.0);
    if negative > 0 && negative * 10 < of {
        drafts.push(
            Draft::new("negative ratings", Severity::Warning, negative, of)
                .says(format!(
                    "{negative} of {of} ratings ({}) are below 0, down to {min}, among positive \
                     ones: returns, corrections or dislikes that count as interactions",
                    percent(negative, of)
                ))
                .rows(rows)
                .mend("data.clean", "min_rating = 0"),
        );
    }
    match scale(weights) {
        Some(counts) => drafts.extend(off_scale(weights, &counts)),
        None => drafts.extend(outliers(weights, max)),
    }
    drafts
}

/// The values and their counts, where they are few enough to be a scale.
fn scale(weights: &[f32]) -> Option<BTreeMap<i64, usize>> {
    let mut counts = BTreeMap::new();
    for &w in weights {
        // Halves and quarters are exact; what is finer is no scale.
        let quarters = w * 4.0;
        if quarters.fract() != 0.0 || quarters.abs() > 1e9 {
            return None;
        }
        *counts.entry(quarters as i64).or_insert(0) += 1;
        if counts.len() > MOST_OF_SCALE {
            return None;
        }
    }
    Some(counts)
}

/// Zeros among stars, and rare values far from the others.
fn off_scale(weights: &[f32], counts: &BTreeMap<i64, usize>) -> Vec<Draft> {
    let of = weights.len();
    let mut drafts = Vec::new();
    let zeros = counts.get(&0).copied().unwrap_or(0);
    let positive: Vec<i64> = counts.keys().copied().filter(|v| *v > 0).collect();
    // 1 to 5 or 1 to 10 with a 0 below; 0 and 1 are clicks, 0.5 to 5 half stars.
    if zeros > 0 && positive.len() >= 4 && positive[0] == 4 {
        let (_, rows) = rows_where(weights, |w| w == 0.0);
        drafts.push(
            Draft::new("zero ratings", Severity::Warning, zeros, of)
                .says(format!(
                    "{zeros} of {of} ratings ({}) are 0 on a scale that begins at 1: most often \
                     it stands for \"not rated\", and a model of ratings takes it for the worst",
                    percent(zeros, of)
                ))
                .rows(rows)
                .mend(
                    "data.clean",
                    "min_rating = 1 # for a model of ratings; keep them for ranking",
                ),
        );
    }
    let common: Vec<i64> = counts
        .iter()
        .filter(|(_, count)| **count as f64 >= RARE * of as f64)
        .map(|(value, _)| *value)
        .collect();
    let (Some(&low), Some(&high)) = (common.first(), common.last()) else {
        return drafts;
    };
    // Apart by more than the whole scale.
    let (low, high) = (low as f32 / 4.0, high as f32 / 4.0);
    let reach = (high - low).max(1.0);
    let is_off = |w: f32| w > high + reach || (w < low - reach && w >= 0.0);
    let (count, rows) = rows_where(weights, is_off);
    if count > 0 {
        drafts.push(
            Draft::new("ratings off the scale", Severity::Warning, count, of)
                .says(format!(
                    "{count} of {of} ratings ({}) lie far from the scale of the others, {low} to \
                     {high}",
                    percent(count, of)
                ))
                .rows(rows)
                .mend(
                    "data.clean",
                    format!("clip = {{ min = {low:?}, max = {high:?} }}"),
                ),
        );
    }
    drafts
}

fn outliers(weights: &[f32], max: f32) -> Option<Draft> {
    let of = weights.len();
    let mut sorted: Vec<f32> = weights
        .iter()
        .step_by((of / 1_000_000).max(1))
        .copied()
        .collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let p99 = sorted[(sorted.len() * 99).div_ceil(100).max(1) - 1];
    let limit = OUTLIER * p99;
    if p99 <= 0.0 || max <= limit {
        return None;
    }
    let (count, rows) = rows_where(weights, |w| w > limit);
    Some(
        Draft::new("outlier ratings", Severity::Warning, count, of)
            .says(format!(
                "{count} of {of} ratings ({}) are more than {OUTLIER} times what 99% have at most \
                 ({p99}), up to {max}: they outweigh all others where ratings are weights",
                percent(count, of)
            ))
            .rows(rows)
            .mend(
                "data.clean",
                "clip = { lower_quantile = 0.0, upper_quantile = 0.99 }",
            ),
    )
}

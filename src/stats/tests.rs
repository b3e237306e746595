use super::*;
use crate::seed::Seed;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `scripts/golden_stats.py` made it with scipy.
#[derive(Deserialize)]
struct Golden {
    cases: BTreeMap<String, Case>,
    holm: Vec<HolmCase>,
}

#[derive(Deserialize)]
struct Case {
    differences: Vec<f64>,
    mean: f64,
    statistic: f64,
    p_value: f64,
    rank_biserial: f64,
    cohens_dz: f64,
    /// Percentile interval of the mean, 10,000 resamples of another generator.
    interval: [f64; 2],
    standard_error: f64,
}

#[derive(Deserialize)]
struct HolmCase {
    p_values: Vec<f64>,
    adjusted: Vec<f64>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../tests/golden_stats.json")).unwrap()
}

fn near(value: f64, expected: f64, what: &str) {
    let error = (value - expected).abs();
    assert!(
        error <= 1e-10 * expected.abs() + 1e-300,
        "{what}: {value}, scipy {expected}"
    );
}

#[test]
fn signed_ranks_and_effects_are_scipys() {
    for (name, case) in golden().cases {
        let test = signed_ranks(&case.differences);
        near(test.positive.min(test.negative), case.statistic, &name);
        near(test.p_value, case.p_value, &name);
        near(test.rank_biserial, case.rank_biserial, &name);
        near(mean(&case.differences), case.mean, &name);
        near(cohens_dz(&case.differences).unwrap(), case.cohens_dz, &name);
    }
}

#[test]
fn intervals_are_scipys_but_for_the_draws() {
    for (name, case) in golden().cases {
        let [low, high] = mean_intervals(&[&case.differences], Seed(3))[0];
        // The 2.5% point of 10,000 draws scatters by about 0.027 standard
        // errors, and so does scipy's.
        let tolerance = 0.15 * case.standard_error;
        for (ours, theirs) in [(low, case.interval[0]), (high, case.interval[1])] {
            assert!(
                (ours - theirs).abs() <= tolerance,
                "{name}: {ours}, scipy {theirs}"
            );
        }
    }
}

#[test]
fn holm_steps_down() {
    for case in golden().holm {
        for (ours, theirs) in holm(&case.p_values).iter().zip(&case.adjusted) {
            near(*ours, *theirs, "holm");
        }
    }
    assert!(holm(&[]).is_empty());
}

#[test]
fn no_difference_is_none() {
    let zeros = [0.0; 30];
    let test = signed_ranks(&zeros);
    assert_eq!((test.p_value, test.rank_biserial), (1.0, 0.0));
    assert_eq!(cohens_dz(&zeros), Some(0.0));
    assert_eq!(mean_intervals(&[&zeros], Seed(1)), [[0.0, 0.0]]);
    assert_eq!(cohens_dz(&[1.0; 3]), None);
    assert_eq!(signed_ranks(&[]).p_value, 1.0);
}

#[test]
fn what_is_not_there_does_not_count() {
    let whole = [0.5, -0.25, 1.0, 0.125, 0.75];
    let mut gaps = whole.to_vec();
    gaps.insert(2, f64::NAN);
    assert_eq!(signed_ranks(&gaps), signed_ranks(&whole));
    assert_eq!(mean(&gaps), mean(&whole));
    assert_eq!(deviation(&gaps), deviation(&whole));
    let [low, high] = mean_intervals(&[&gaps], Seed(1))[0];
    assert!(-0.25 <= low && low < mean(&whole) && mean(&whole) < high && high <= 1.0);
}

#[test]
fn intervals_repeat_and_columns_do_not_change_each_other() {
    let a: Vec<f64> = (0..70).map(|i| f64::from(i % 7) - 2.5).collect();
    let b: Vec<f64> = a.iter().map(|v| -v).collect();
    let both = mean_intervals(&[&a, &b], Seed(9));
    assert_eq!(both[0], mean_intervals(&[&a], Seed(9))[0]);
    assert_eq!(both[0], [-both[1][1], -both[1][0]]);
    assert_ne!(both[0], mean_intervals(&[&a], Seed(8))[0]);
}

#[test]
fn many_users_need_no_resampling() {
    let values = |n: u32| {
        (0..n)
            .map(|i| f64::from(i * 37 % 101).powi(2))
            .collect::<Vec<_>>()
    };
    let (few, many) = (values(99_990), values(100_000));
    let resampled = mean_intervals(&[&few], Seed(1))[0];
    let normal = mean_intervals(&[&many], Seed(1))[0];
    let width = normal[1] - normal[0];
    for (a, b) in resampled.iter().zip(normal) {
        assert!((a - b).abs() < 0.05 * width, "{resampled:?} {normal:?}");
    }
}

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

/// Metrics of users: a few hits among many misses, as skewed as such columns
/// come, differences of two of them, and one with a long tail.
fn skewed(users: u32) -> Vec<Vec<f64>> {
    let mut random = Seed(u64::from(users)).stream("skewed");
    let mut hit = |share: f64| match random.uniform64() < share {
        true => 1.0 / (2.0 + 8.0 * random.uniform64()).log2(),
        false => 0.0,
    };
    let rare: Vec<f64> = (0..users).map(|_| hit(0.01)).collect();
    let differences = (0..users).map(|_| hit(0.05) - hit(0.02)).collect();
    let tail = (0..users)
        .map(|_| -random.uniform64().ln())
        .map(|v| v.powi(2));
    vec![rare, differences, tail.collect()]
}

#[test]
fn many_users_need_no_resampling() {
    for column in skewed(5_000) {
        let fewer = &column[1..];
        let error = deviation(&column).unwrap() / (column.len() as f64).sqrt();
        let resampled = mean_intervals(&[fewer], Seed(1))[0];
        let shift = mean(&column) - mean(fewer);
        let expanded = mean_intervals(&[&column], Seed(1))[0];
        for (a, b) in resampled.iter().zip(expanded) {
            // Near four deviations of the end of a resampled interval; without
            // the skewness it would be .09 off by itself.
            let apart = (a + shift - b).abs() / error;
            assert!(apart < 0.1, "{resampled:?} {expanded:?}: {apart}");
        }
    }
}

#[test]
fn a_few_values_among_many_users_are_resampled() {
    let values: Vec<f64> = (0..40).map(|i| f64::from(i % 9)).collect();
    let mut column = vec![f64::NAN; 6_000];
    for (i, value) in values.iter().enumerate() {
        column[i * 149] = *value;
    }
    let whole = vec![1.0; 6_000];
    let made = mean_intervals(&[&column, &whole], Seed(1));
    assert_eq!(made[0], mean_intervals(&[&values], Seed(1))[0]);
    assert_eq!(made[1], [1.0, 1.0]);
}

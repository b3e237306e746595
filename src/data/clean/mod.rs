//! Cleaning: every step is chosen in `[data.clean]`, runs in a fixed order,
//! and is counted.

mod config;
mod duplicates;
mod filters;

pub use config::{CleanConfig, Clip, Duplicates, Malformed, TimePoint};

use crate::data::dataset::{CleaningStep, Log};
use anyhow::{Result, ensure};

/// Runs the steps that `config` asks for and appends one entry to `steps`
/// for each. The codes of users and items stay as they are.
///
/// # Errors
/// A step that needs what the data lacks, or that leaves nothing: it is
/// named.
pub fn clean(log: &mut Log, config: &CleanConfig, steps: &mut Vec<CleaningStep>) -> Result<()> {
    type Step = fn(&mut Log, &CleanConfig) -> Result<Option<String>>;
    const STEPS: [Step; 7] = [
        filters::time_window,
        filters::min_rating,
        filters::clip,
        duplicates::duplicates,
        filters::click_threshold,
        filters::max_user_interactions,
        filters::k_core,
    ];
    for step in STEPS {
        if let Some(name) = step(log, config)? {
            count(name, log, steps)?;
        }
    }
    Ok(())
}

/// Counts after a step.
///
/// # Errors
/// The step left nothing.
pub fn count(name: String, log: &Log, steps: &mut Vec<CleaningStep>) -> Result<()> {
    let before = steps.last().map_or(0, |s| s.rows);
    ensure!(
        !log.is_empty(),
        "no interactions are left after the cleaning step `{name}` ({before} before it)"
    );
    steps.push(CleaningStep {
        name,
        rows: log.len(),
        users: distinct(&log.users),
        items: distinct(&log.items),
    });
    Ok(())
}

fn distinct(codes: &[u32]) -> usize {
    let len = codes.iter().max().map_or(0, |m| *m as usize + 1);
    let mut seen = vec![false; len];
    let mut count = 0;
    for &code in codes {
        count += usize::from(!std::mem::replace(&mut seen[code as usize], true));
    }
    count
}

/// Keeps the rows for which `keep` says so, in their order.
fn retain(log: &mut Log, keep: &[bool]) {
    fn column<T>(values: &mut Vec<T>, keep: &[bool]) {
        let mut flags = keep.iter();
        values.retain(|_| flags.next().copied().unwrap_or(false));
    }
    column(&mut log.users, keep);
    column(&mut log.items, keep);
    if let Some(v) = &mut log.weights {
        column(v, keep);
    }
    if let Some(v) = &mut log.timestamps {
        column(v, keep);
    }
    if let Some(v) = &mut log.platforms {
        column(v, keep);
    }
    if let Some(v) = &mut log.parts {
        column(v, keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(super) fn log(rows: &[(u32, u32, f32, i64)]) -> Log {
        Log {
            users: rows.iter().map(|r| r.0).collect(),
            items: rows.iter().map(|r| r.1).collect(),
            weights: Some(rows.iter().map(|r| r.2).collect()),
            timestamps: Some(rows.iter().map(|r| r.3).collect()),
            platforms: None,
            parts: None,
        }
    }

    #[test]
    fn steps_run_in_order_and_are_counted() {
        let mut data = log(&[
            (0, 0, 5.0, 1),
            (0, 1, 1.0, 2),
            (1, 0, 4.0, 9),
            (1, 0, 5.0, 8),
        ]);
        let config = CleanConfig {
            before: Some(TimePoint::Seconds(9)),
            min_rating: Some(3.0),
            ..CleanConfig::default()
        };
        let mut steps = Vec::new();
        clean(&mut data, &config, &mut steps).unwrap();
        let counts: Vec<_> = steps.iter().map(|s| (s.rows, s.users, s.items)).collect();
        assert_eq!(counts, [(3, 2, 2), (2, 2, 1)]);
        assert_eq!(steps[1].name, "rating >= 3");
    }

    #[test]
    fn the_step_that_empties_the_data_is_named() {
        let mut data = log(&[(0, 0, 5.0, 1)]);
        let config = CleanConfig {
            min_rating: Some(6.0),
            ..CleanConfig::default()
        };
        let error = clean(&mut data, &config, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("rating >= 6"), "{error}");
    }

    proptest! {
        #[test]
        fn a_k_core_has_no_one_below_the_limits(
            rows in proptest::collection::vec((0u32..8, 0u32..8), 1..120),
            k in 1usize..5,
        ) {
            let rows: Vec<_> = rows.iter().map(|&(u, i)| (u, i, 1.0, 0)).collect();
            let mut data = log(&rows);
            let config = CleanConfig {
                min_user_interactions: k,
                min_item_interactions: k,
                ..CleanConfig::default()
            };
            if clean(&mut data, &config, &mut Vec::new()).is_ok() {
                for codes in [&data.users, &data.items] {
                    for code in codes {
                        prop_assert!(codes.iter().filter(|c| *c == code).count() >= k);
                    }
                }
            }
        }

        #[test]
        fn without_duplicates_every_pair_stands_once(
            rows in proptest::collection::vec((0u32..4, 0u32..4, 0i64..5), 1..60),
        ) {
            let rows: Vec<_> = rows.iter().map(|&(u, i, t)| (u, i, 1.0, t)).collect();
            for duplicates in [Duplicates::First, Duplicates::Last, Duplicates::Sum, Duplicates::Count] {
                let mut data = log(&rows);
                let config = CleanConfig { duplicates, ..CleanConfig::default() };
                clean(&mut data, &config, &mut Vec::new()).unwrap();
                let mut pairs: Vec<_> = data.users.iter().zip(&data.items).collect();
                let before = pairs.len();
                pairs.sort();
                pairs.dedup();
                prop_assert_eq!(pairs.len(), before);
                if matches!(duplicates, Duplicates::Sum | Duplicates::Count) {
                    let total: f32 = data.weights.unwrap().iter().sum();
                    prop_assert_eq!(total, rows.len() as f32);
                }
            }
        }
    }
}

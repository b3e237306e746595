use super::*;
use crate::data::RowColumns;
use crate::data::dataset::{Log, Part};
use crate::ids::UserIdx;
use proptest::prelude::*;

fn config(text: &str) -> SplitConfig {
    toml::from_str(text).unwrap()
}

fn log(users: &[u32], items: &[u32], times: Option<&[i64]>) -> Log {
    Log {
        users: users.to_vec(),
        items: items.to_vec(),
        timestamps: times.map(<[i64]>::to_vec),
        ..Log::default()
    }
}

fn data(log: Log) -> Dataset {
    let size = |v: &[u32]| v.iter().max().map_or(0, |m| *m as usize + 1);
    let (users, items) = (size(&log.users), size(&log.items));
    Dataset::from_log(log, users, items)
}

fn error(dataset: &Dataset, text: &str) -> String {
    format!("{:#}", split(dataset, &config(text), Seed(1)).unwrap_err())
}

#[test]
fn ties_in_time_keep_the_order_of_the_input_and_are_counted() {
    let data = data(log(&[0; 4], &[3, 2, 1, 0], Some(&[5, 5, 1, 5])));
    let parts = split(&data, &config("kind = 'leave_one_out'"), Seed(1)).unwrap();
    assert_eq!(parts.train.items, [1, 3]);
    assert_eq!(parts.validation.unwrap().targets.items, [2]);
    assert_eq!(parts.test.targets.items, [0]);
    assert_eq!(parts.protocol.timestamp_tie_rate, Some(2.0 / 3.0));
}

#[test]
fn one_moment_is_never_divided() {
    let data = data(log(
        &[0; 10],
        &[0; 10],
        Some(&[1, 2, 3, 4, 5, 6, 7, 8, 8, 8]),
    ));
    let parts = split(&data, &SplitConfig::default(), Seed(1)).unwrap();
    assert_eq!(parts.train.len(), 7);
    assert_eq!(parts.test.targets.len(), 3);
    assert!(parts.validation.is_none());
    let notes = parts.protocol.notes.join("; ");
    assert!(notes.contains("validation part came out empty"), "{notes}");
}

#[test]
fn a_cold_item_and_a_cold_user_are_counted() {
    let data = data(log(&[0, 0, 1], &[0, 1, 2], Some(&[1, 2, 3])));
    let parts = split(&data, &config("test_start = 2"), Seed(1)).unwrap();
    let notes = parts.protocol.notes.join("; ");
    assert!(notes.contains("2 of 2 test targets are items"), "{notes}");
    assert!(notes.contains("1 of 2 test users have no"), "{notes}");
}

#[test]
fn a_validation_part_is_carved_out_of_given_train() {
    let mut log = log(&[0; 5], &[0, 1, 2, 3, 4], None);
    log.parts = Some([Part::Train; 5].into_iter().collect());
    log.parts.as_mut().unwrap()[0] = Part::Test;
    let data = data(log);
    let parts = split(&data, &config("validation_ratio = 0.5"), Seed(1)).unwrap();
    assert_eq!(parts.test.targets.items, [0]);
    assert_eq!(
        (parts.train.len(), parts.protocol.validation_interactions),
        (2, 2)
    );
    assert_eq!(parts.test.history.items, [1, 2, 3, 4]);
}

#[test]
fn given_negatives_are_kept_and_their_quirks_told() {
    let mut log = log(&[0, 0, 1, 1], &[0, 1, 0, 2], None);
    log.parts = Some(vec![Part::Train, Part::Test, Part::Train, Part::Test]);
    let mut data = data(log);
    let negatives = RowColumns {
        users: &[0, 0, 1],
        items: &[1, 2, 1],
        weights: None,
        timestamps: None,
    };
    data.negatives = Some(Interactions::from_rows(&[0, 1, 2], &negatives, 2, 3));
    let parts = split(&data, &SplitConfig::default(), Seed(1)).unwrap();
    assert_eq!(parts.test.candidates, data.negatives);
    let notes = parts.protocol.notes.join("; ");
    assert!(notes.contains("1 of 2 given negative lists"), "{notes}");
}

#[test]
fn every_fold_tests_its_own_rows() {
    let data = data(log(&[0; 10], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], None));
    let mut tested: Vec<u32> = (1..=3)
        .flat_map(|fold| {
            let config = config(&format!("kind = 'k_fold'\nfolds = 3\nfold = {fold}"));
            split(&data, &config, Seed(4)).unwrap().test.targets.items
        })
        .collect();
    tested.sort_unstable();
    assert_eq!(tested, (0..10).collect::<Vec<_>>());
}

#[test]
fn what_cannot_be_split_says_what_to_do() {
    let plain = data(log(&[0, 1], &[0, 1], None));
    assert!(error(&plain, "kind = 'global_time'").contains("ratio_per_user"));
    assert!(error(&plain, "kind = 'given'").contains("train and test"));
    assert!(error(&plain, "kind = 'leave_one_out'").contains("no test users"));
    assert!(error(&plain, "order = 'time'").contains("needs timestamps"));
    assert!(error(&plain, "ratios = [8.0, 1.0, 1.0]").contains("sum is 1, not 10"));
    assert!(error(&plain, "ratios = [0.9, 0.1, 0.0]").contains("test on"));
    assert!(error(&plain, "kind = 'k_fold'\nfold = 6").contains("between 1 and"));
    let wrong_key = error(&plain, "kind = 'leave_one_out'\nfolds = 3");
    assert!(wrong_key.contains("split.folds") && wrong_key.contains("its keys: select"));
    let timed = data(log(&[0, 1], &[0, 1], Some(&[1, 2])));
    assert!(error(&timed, "test_start = 1").contains("none of 2 interactions"));
    assert!(error(&timed, "test_start = 9").contains("no test users"));
    assert!(error(&timed, "validation_start = 1").contains("needs split.test_start"));
    let empty = data(Log::default());
    assert!(error(&empty, "").contains("no interactions"));
}

const KINDS: &[&str] = &[
    "kind = 'leave_one_out'",
    "kind = 'leave_one_out'\nselect = 'random'",
    "kind = 'ratio_per_user'",
    "kind = 'ratio_per_user'\norder = 'time'",
    "kind = 'ratio'",
    "kind = 'global_time'",
    "kind = 'k_fold'\nvalidation_ratio = 0.2",
    "kind = 'new_user'\nratios = [0.4, 0.3, 0.3]",
    "kind = 'new_item'",
];

/// More rows than twice the users, so that somebody has three; the weight is
/// the number of the row.
fn logs() -> impl Strategy<Value = Log> {
    proptest::collection::vec((0u32..6, 0u32..12, 0i64..9), 13..120).prop_map(|rows| Log {
        users: rows.iter().map(|r| r.0).collect(),
        items: rows.iter().map(|r| r.1).collect(),
        timestamps: Some(rows.iter().map(|r| r.2).collect()),
        weights: Some((0..rows.len()).map(|i| i as f32).collect()),
        ..Log::default()
    })
}

/// The input rows of a table, which the weights carry.
fn rows_of(table: &Interactions) -> Vec<u32> {
    let weights = table.weights.as_ref().unwrap();
    weights.iter().map(|w| *w as u32).collect()
}

proptest! {
    #[test]
    fn parts_are_disjoint_complete_and_repeatable(log in logs(), kind in 0..KINDS.len(), seed in 0u64..9) {
        let data = data(log);
        let Ok(parts) = split(&data, &config(KINDS[kind]), Seed(seed)) else {
            return Ok(());
        };
        // What is asked and what is known at test time is everything, once.
        let mut all = rows_of(&parts.test.history);
        all.extend(rows_of(&parts.test.targets));
        all.sort_unstable();
        prop_assert_eq!(all, (0..data.log.len() as u32).collect::<Vec<_>>());
        let test = rows_of(&parts.test.targets);
        let train = rows_of(&parts.train);
        if let Some(validation) = &parts.validation {
            let asked = rows_of(&validation.targets);
            let known = rows_of(&validation.history);
            prop_assert!(asked.iter().all(|r| !known.contains(r) && !train.contains(r)));
            prop_assert!(test.iter().all(|r| !known.contains(r) && !asked.contains(r)));
            prop_assert!(train.iter().all(|r| known.contains(r)));
        }
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let again = one.install(|| split(&data, &config(KINDS[kind]), Seed(seed)).unwrap());
        prop_assert_eq!(again.train, parts.train);
        prop_assert_eq!(again.test.targets, parts.test.targets);
        prop_assert_eq!(again.protocol, parts.protocol);
    }

    #[test]
    fn leave_one_out_holds_out_each_users_latest(log in logs()) {
        let data = data(log);
        let parts = split(&data, &config("kind = 'leave_one_out'"), Seed(1)).unwrap();
        let validation = parts.validation.unwrap();
        for user in (0..data.users.len() as u32).map(UserIdx) {
            let times = |t: &Interactions| -> Vec<i64> {
                let all = t.timestamps.as_ref().unwrap();
                t.range(user).map(|i| all.at(i)).collect()
            };
            let (train, middle, last) = (times(&parts.train), times(&validation.targets), times(&parts.test.targets));
            if last.is_empty() {
                prop_assert!(train.len() < 3 && middle.is_empty());
            } else {
                prop_assert_eq!((middle.len(), last.len()), (1, 1));
                prop_assert!(train.iter().all(|t| *t <= middle[0]) && middle[0] <= last[0]);
            }
        }
    }

    #[test]
    fn global_time_never_trains_on_the_future(log in logs()) {
        let data = data(log);
        let Ok(parts) = split(&data, &SplitConfig::default(), Seed(1)) else {
            return Ok(());
        };
        let latest = |t: &Interactions| t.timestamps.as_ref().unwrap().iter().max();
        let earliest = |t: &Interactions| t.timestamps.as_ref().unwrap().iter().min();
        prop_assert!(latest(&parts.test.history) < earliest(&parts.test.targets));
        if let Some(validation) = &parts.validation {
            prop_assert!(latest(&parts.train) < earliest(&validation.targets));
        }
    }

    #[test]
    fn new_users_and_new_items_are_absent_from_train(log in logs()) {
        let data = data(log);
        if let Ok(parts) = split(&data, &config(KINDS[7]), Seed(2)) {
            for user in (0..data.users.len() as u32).map(UserIdx) {
                let tested = !parts.test.targets.range(user).is_empty();
                prop_assert!(!tested || parts.train.range(user).is_empty());
                prop_assert!(!tested || !parts.test.history.range(user).is_empty());
            }
        }
        if let Ok(parts) = split(&data, &config(KINDS[8]), Seed(2)) {
            prop_assert!(parts.test.targets.items.iter().all(|i| !parts.train.items.contains(i)));
        }
    }
}

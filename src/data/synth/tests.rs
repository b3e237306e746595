//! The files, through our own reader.

use super::*;
use crate::data::config::DataConfig;
use crate::data::{Dataset, read};
use crate::event::Silent;
use std::collections::HashSet;
use std::path::Path;

pub(super) fn config() -> SynthConfig {
    SynthConfig {
        seed: 1,
        users: 200,
        items: 300,
        interactions: 6_000,
        dimension: 8,
        skew: 0.8,
        threshold: 1.0,
        noise: 0.3,
        days: Some(30),
        platforms: 1,
        features: true,
        repeats: false,
    }
}

fn data(folder: &Path) -> Dataset {
    let text = std::fs::read_to_string(folder.join(CONFIG)).unwrap();
    let table: ::toml::Table = text.parse().unwrap();
    let config: DataConfig = table["data"].clone().try_into().unwrap();
    read(&config, folder, &mut Silent).unwrap()
}

fn made(config: &SynthConfig) -> Dataset {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("synth");
    generate(config, &folder, &mut Silent).unwrap();
    data(&folder)
}

fn pairs(data: &Dataset) -> usize {
    let pairs = data.log.users.iter().zip(&data.log.items);
    pairs.collect::<HashSet<_>>().len()
}

/// Every file of a folder, by name.
fn bytes(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries
        .map(|e| e.unwrap())
        .map(|e| {
            (
                e.file_name().into_string().unwrap(),
                std::fs::read(e.path()).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

#[test]
fn a_seed_gives_the_same_bytes_at_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let config = SynthConfig {
        platforms: 2,
        ..config()
    };
    let run = |name: &str, threads: usize, config: &SynthConfig| {
        let folder = dir.path().join(name);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build()
            .unwrap()
            .install(|| generate(config, &folder, &mut Silent).map(|_| ()))
            .unwrap();
        bytes(&folder)
    };
    let one = run("one", 1, &config);
    assert_eq!(one.len(), 6);
    assert_eq!(one, run("three", 3, &config));
    let other = SynthConfig { seed: 2, ..config };
    let other = run("other", 1, &other);
    assert!(
        one.iter()
            .zip(&other)
            .all(|(a, b)| a.0 == b.0 && a.1 != b.1)
    );
}

#[test]
fn counts_are_as_asked_and_no_pair_stands_twice() {
    let data = made(&config());
    assert_eq!(data.log.len(), 6_000);
    assert_eq!(data.users.len(), 200);
    assert!(data.items.len() > 150 && data.items.len() <= 300);
    assert_eq!(pairs(&data), 6_000);
    let times = data.log.timestamps.unwrap();
    let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    assert!(*first >= 1_577_836_800 && *last < 1_577_836_800 + 30 * 86_400);
    assert!(last - first > 29 * 86_400);
    // A user's rows come in the order of time.
    for (users, times) in data.log.users.windows(2).zip(times.windows(2)) {
        assert!(users[0] != users[1] || times[0] <= times[1]);
    }
}

#[test]
fn repeats_come_when_asked_for() {
    let data = made(&SynthConfig {
        repeats: true,
        days: None,
        ..config()
    });
    assert_eq!(data.log.len(), 6_000);
    assert!(pairs(&data) < 5_900);
    assert!(data.log.timestamps.is_none());
}

#[test]
fn skew_moves_interactions_to_few_items() {
    let top = |skew: f64| {
        let data = made(&SynthConfig { skew, ..config() });
        let mut counts = vec![0usize; data.items.len()];
        data.log.items.iter().for_each(|i| counts[*i as usize] += 1);
        counts.sort_unstable_by(|a, b| b.cmp(a));
        counts[..30].iter().sum::<usize>() as f64 / data.log.len() as f64
    };
    let (even, zipf) = (top(0.0), top(1.2));
    assert!(even < 0.25 && zipf > 1.4 * even, "{even} {zipf}");
}

#[test]
fn platforms_and_features_are_read() {
    let data = made(&SynthConfig {
        platforms: 3,
        ..config()
    });
    assert_eq!(data.platforms, ["p1", "p2", "p3"]);
    assert_eq!(data.log.len(), 6_000);
    assert_eq!(pairs(&data), 6_000);
    let platforms = data.log.platforms.unwrap();
    // Three quarters and a third of the rest are at home.
    let mut home = vec![[0usize; 3]; data.users.len()];
    for (user, platform) in data.log.users.iter().zip(&platforms) {
        home[*user as usize][*platform as usize] += 1;
    }
    let at_home: usize = home.iter().map(|c| *c.iter().max().unwrap()).sum();
    assert!((4_700..5_400).contains(&at_home), "{at_home}");
    let names = |t: &crate::data::features::FeatureTable| {
        t.columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&data.user_features.unwrap()), ["segment"]);
    let items = data.item_features.unwrap();
    assert_eq!(names(&items), ["category", "quality", "tags", "title"]);
    let id = data.items.external(0).into_owned();
    assert_eq!(items.title_of(0), Some(format!("Item {id}").as_str()));
}

#[test]
fn what_cannot_be_is_named() {
    let error = |config: SynthConfig| config.validate().unwrap_err().to_string();
    assert!(
        error(SynthConfig {
            users: 0,
            ..config()
        })
        .contains("--users")
    );
    assert!(
        error(SynthConfig {
            interactions: 10,
            ..config()
        })
        .contains("--interactions")
    );
    let full = SynthConfig {
        interactions: 200 * 150 + 1,
        ..config()
    };
    assert!(error(full.clone()).contains("--repeats"));
    assert!(
        SynthConfig {
            repeats: true,
            ..full
        }
        .validate()
        .is_ok()
    );
    assert!(
        error(SynthConfig {
            noise: 0.0,
            ..config()
        })
        .contains("--noise")
    );
    assert!(
        error(SynthConfig {
            skew: -1.0,
            ..config()
        })
        .contains("--skew")
    );
}

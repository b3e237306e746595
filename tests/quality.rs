//! Floors on real data. Skipped, and said so, where the data is not there:
//! `recsys data fetch ml-100k`, or `RECSYS_DATASETS` naming a folder that has
//! it.

use anyhow::{Context, Result};
use burn::tensor::Device;
use recsys::data::split::{Split, SplitConfig, split};
use recsys::data::{Dataset, Log, Part};
use recsys::event::Silent;
use recsys::ids::UserIdx;
use recsys::model::{FitContext, ModelData, Query, Recommender};
use recsys::models;
use recsys::seed::Seed;
use recsys::training::{MemorySink, TrainingConfig};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The generator behind PyTorch's `randperm` on the CPU (Matsumoto and
/// Nishimura, MT19937), to divide the rows exactly as RecBole does.
struct MersenneTwister {
    state: Vec<u32>,
    position: usize,
}

impl MersenneTwister {
    fn new(seed: u32) -> Self {
        let mut state = vec![seed];
        for i in 1..624u32 {
            let last = state[i as usize - 1];
            state.push(
                1_812_433_253u32
                    .wrapping_mul(last ^ (last >> 30))
                    .wrapping_add(i),
            );
        }
        let position = 624;
        Self { state, position }
    }

    fn next(&mut self) -> u32 {
        if self.position == 624 {
            for k in 0..624 {
                let high = self.state[k] & 0x8000_0000;
                let low = self.state[(k + 1) % 624] & 0x7fff_ffff;
                let mixed = (high | low) >> 1;
                let twist = if low & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[k] = self.state[(k + 397) % 624] ^ mixed ^ twist;
            }
            self.position = 0;
        }
        let mut y = self.state[self.position];
        self.position += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    fn permutation(&mut self, len: usize) -> Vec<usize> {
        let mut values: Vec<usize> = (0..len).collect();
        for i in 0..len.saturating_sub(1) {
            let ahead = self.next() as usize % (len - i);
            values.swap(i, i + ahead);
        }
        values
    }
}

fn folders() -> Vec<PathBuf> {
    let named = std::env::var_os("RECSYS_DATASETS").map(PathBuf::from);
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets");
    named.into_iter().chain([fetched]).collect()
}

/// `u.data` of ml-100k: user, item, rating, timestamp.
fn ml_100k() -> Option<String> {
    for folder in folders() {
        let plain = folder.join("ml-100k/u.data");
        if let Ok(text) = std::fs::read_to_string(plain) {
            return Some(text);
        }
        if let Ok(file) = std::fs::File::open(folder.join("ml-100k/u.data.gz")) {
            let mut text = String::new();
            let mut reader = flate2::read::GzDecoder::new(file);
            reader.read_to_string(&mut text).unwrap();
            return Some(text);
        }
    }
    None
}

fn parse(text: &str) -> Result<Log> {
    let mut log = Log::default();
    for line in text.lines() {
        let mut fields = line.split('\t').map(str::parse::<u32>);
        let mut next = || fields.next().context("a field is missing");
        log.users.push(next()?? - 1);
        log.items.push(next()?? - 1);
    }
    Ok(log)
}

/// Random 80/10/10 within each user with the rows that RecBole 1.2.1 takes
/// under its default seed, 2020.
fn recbole_split(mut log: Log) -> Split {
    let mut by_user = vec![Vec::new(); 943];
    for row in MersenneTwister::new(2020).permutation(log.len()) {
        by_user[log.users[row] as usize].push(row);
    }
    let mut parts = vec![Part::Train; log.len()];
    for rows in by_user {
        let [train, validation, _] = recsys::data::split::share_counts(rows.len(), [0.8, 0.1, 0.1]);
        for &row in &rows[train..train + validation] {
            parts[row] = Part::Validation;
        }
        for &row in &rows[train + validation..] {
            parts[row] = Part::Test;
        }
    }
    log.parts = Some(parts);
    let data = Dataset::from_log(log, 943, 1682);
    split(&data, &SplitConfig::default(), Seed(0)).unwrap()
}

fn fit(name: &str, split: &Split) -> Box<dyn Recommender> {
    let context = FitContext {
        data: ModelData {
            train: &split.train,
            user_features: None,
            item_features: None,
        },
        training: &TrainingConfig::default(),
        device: &Device::flex(),
        seed: Seed(2020),
        observer: &mut Silent,
        validate: None,
        checkpoints: &mut MemorySink::default(),
    };
    let spec = models::build(name, toml::Table::new()).unwrap();
    spec.fit(context).unwrap().model
}

/// NDCG@10 and Recall@10, written down once more, so that a fault in
/// `metrics` cannot hide one in a model.
fn ndcg_and_recall(model: &dyn Recommender, split: &Split, known: Known) -> (f64, f64) {
    let (mut ndcg, mut recall, mut users) = (0.0, 0.0, 0.0);
    for user in (0..943).map(UserIdx) {
        let targets = split.test.targets.items_of(user);
        let seen = split.test.history.items_of(user);
        let history = match known {
            Known::Train => split.train.items_of(user),
            Known::TrainAndValidation => seen,
        };
        let query = Query {
            user: Some(user),
            history,
            ..Query::default()
        };
        let mut row = vec![0.0; model.num_items()];
        model.score(&[query], &mut row).unwrap();
        let mut items: Vec<u32> = (0..1682).filter(|i| !seen.contains(i)).collect();
        items.sort_by(|a, b| row[*b as usize].total_cmp(&row[*a as usize]).then(a.cmp(b)));
        let gain = |rank: usize| 1.0 / ((rank + 2) as f64).log2();
        let hits = (0..10).filter(|&r| targets.contains(&items[r]));
        let ideal: f64 = (0..targets.len().min(10)).map(gain).sum();
        recall += hits.clone().count() as f64 / targets.len() as f64;
        ndcg += hits.map(gain).sum::<f64>() / ideal;
        users += 1.0;
    }
    (ndcg / users, recall / users)
}

#[derive(Clone, Copy)]
enum Known {
    Train,
    TrainAndValidation,
}

/// RecBole 1.2.1 measured NDCG@10 .2834 and Recall@10 .2470 on these rows.
/// It knows of a test user what train holds; here validation is known too,
/// which moves the figure by less than its hundredth part.
#[test]
fn item_knn_reaches_recbole_on_the_same_rows() {
    let Some(text) = ml_100k() else {
        eprintln!("skipped: no ml-100k in any of {:?}", folders());
        return;
    };
    let split = recbole_split(parse(&text).unwrap());
    let model = fit("item_knn", &split);
    let (ndcg, recall) = ndcg_and_recall(&*model, &split, Known::Train);
    assert!((ndcg - 0.2834).abs() < 0.0005, "ndcg@10 {ndcg}");
    assert!((recall - 0.2470).abs() < 0.0005, "recall@10 {recall}");
    let (ndcg, _) = ndcg_and_recall(&*model, &split, Known::TrainAndValidation);
    assert!((ndcg / 0.2834 - 1.0).abs() < 0.01, "ndcg@10 {ndcg}");
}

/// True counts reach .1418 / .1278. RecBole's `Pop` (.1033 / .0810) adds one
/// for each batch that an item is in, its sampled negatives included.
#[test]
fn popularity_counts_interactions() {
    let Some(text) = ml_100k() else {
        eprintln!("skipped: no ml-100k in any of {:?}", folders());
        return;
    };
    let split = recbole_split(parse(&text).unwrap());
    let model = fit("popularity", &split);
    let (ndcg, recall) = ndcg_and_recall(&*model, &split, Known::Train);
    assert!((ndcg - 0.1418).abs() < 0.0005, "ndcg@10 {ndcg}");
    assert!((recall - 0.1278).abs() < 0.0005, "recall@10 {recall}");
}

use super::*;
use crate::data::features::{FeatureColumn, FeatureValues};
use crate::data::interactions::RowColumns;
use crate::ids::ExternalIds;
use crate::model::{ItemVectors, Query, ScoreForm};
use crate::report::ModelSummary;
use crate::report::Report;
use crate::tensors::NamedTensors;

/// Item vectors on a circle.
struct Circle(usize);

impl Recommender for Circle {
    fn num_items(&self) -> usize {
        self.0
    }

    fn score(&self, _: &[Query<'_>], scores: &mut [f32]) -> Result<()> {
        scores.fill(0.0);
        Ok(())
    }

    fn score_form(&self) -> Result<ScoreForm> {
        let angle = |i: usize| i as f32 / self.0 as f32 * std::f32::consts::TAU;
        Ok(ScoreForm::InnerProducts(ItemVectors {
            dim: 2,
            vectors: (0..self.0)
                .flat_map(|i| [angle(i).cos(), angle(i).sin()])
                .collect(),
            biases: None,
        }))
    }

    fn weights(&self) -> Result<NamedTensors> {
        Ok(NamedTensors::default())
    }
}

fn table(rows: &[&[u32]], num_items: usize) -> Interactions {
    let users: Vec<u32> = (0..)
        .zip(rows)
        .flat_map(|(u, r)| vec![u; r.len()])
        .collect();
    let items: Vec<u32> = rows.iter().flat_map(|r| r.iter().copied()).collect();
    let order: Vec<u32> = (0..users.len() as u32).collect();
    let columns = RowColumns {
        users: &users,
        items: &items,
        weights: None,
        timestamps: None,
    };
    Interactions::from_rows(&order, &columns, rows.len(), num_items)
}

fn features() -> FeatureTable {
    let strings = |s: &[&str]| s.iter().map(|s| s.to_string()).collect::<Vec<_>>();
    FeatureTable {
        title: Some("title".into()),
        columns: vec![
            FeatureColumn {
                name: "title".into(),
                values: FeatureValues::Text((0..12).map(|i| format!("<Item {i}>")).collect()),
            },
            FeatureColumn {
                name: "genre".into(),
                values: FeatureValues::Categorical {
                    labels: strings(&["even", "odd"]),
                    codes: (0..12).map(|i| Some(i % 2)).collect(),
                },
            },
        ],
    }
}

/// Three users of twelve items; the first has seen most. User 0 is held out
/// items 4 and 5, user 1 item 11, user 2 (new) item 3.
pub(in crate::report) fn sample() -> (Analysis, Vec<EpochRecord>) {
    let train = table(&[&[0, 1, 2, 3], &[0, 1], &[]], 12);
    let set = EvalSet {
        history: train.clone().into(),
        targets: table(&[&[4, 5], &[11], &[3]], 12),
        candidates: None,
    };
    let metrics = MetricSpec::expand(&["recall@1", "recall@2"], &[]).unwrap();
    let lists = |items: &[[u32; 2]]| UserLists {
        k: 2,
        places: vec![0, 1, 2],
        items: items.iter().map(|l| l.to_vec()).collect(),
    };
    let values = |rows: [[f64; 3]; 2]| {
        let names = ["recall@1", "recall@2"];
        let named = names.iter().zip(rows);
        named
            .map(|(n, r)| (n.to_string(), r.to_vec()))
            .collect::<Vec<_>>()
    };
    let means = |scores: &[(String, Vec<f64>)]| -> MetricValues {
        let mean = |(n, v): &(String, Vec<f64>)| (n.clone(), v.iter().sum::<f64>() / 3.0);
        scores.iter().map(mean).collect()
    };
    let (ours, theirs) = (
        values([[0.5, 0.0, 0.0], [1.0, 0.0, 1.0]]),
        values([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]),
    );
    let (our_lists, their_lists) = (
        lists(&[[4, 5], [2, 3], [0, 3]]),
        lists(&[[6, 7], [2, 3], [3, 0]]),
    );
    let (our_means, their_means) = (means(&ours), means(&theirs));
    let users = IdMap::new(ExternalIds::Int(vec![10, 11, 12]));
    let items = IdMap::new(ExternalIds::Int((0..12).collect()));
    let epochs: Vec<EpochRecord> = (1..=3)
        .map(|epoch| EpochRecord {
            epoch,
            loss: 1.0 / epoch as f64,
            best: epoch == 2,
            validation: [("recall@2".to_string(), 0.25)].into(),
            ..EpochRecord::default()
        })
        .collect();
    let features = features();
    let material = Material {
        part: EvaluatedPart::Test,
        set: &set,
        train: &train,
        mask_seen: true,
        evaluated: &[UserIdx(0), UserIdx(1), UserIdx(2)],
        users: &users,
        items: &items,
        user_features: None,
        item_features: Some(&features),
        epochs: &epochs,
        watched: "recall@2",
        model: &Circle(12),
        metrics: &metrics,
        seed: Seed(1),
    };
    let subjects = [
        Subject {
            name: "mf",
            metrics: &our_means,
            scores: &ours,
            lists: &our_lists,
        },
        Subject {
            name: "popularity",
            metrics: &their_means,
            scores: &theirs,
            lists: &their_lists,
        },
    ];
    (analyze(&material, &subjects).unwrap(), epochs)
}

#[test]
fn the_watched_metric_stands_for_the_others() {
    let (made, _) = sample();
    assert_eq!((made.metric.as_deref(), made.k), (Some("recall@2"), 2));
    assert_eq!(made.models, ["mf", "popularity"]);
    let interval = &made.intervals[1];
    assert_eq!(interval.metric, "recall@2");
    assert!(interval.low < 2.0 / 3.0 && interval.high == 1.0);
}

#[test]
fn cutoffs_agree_with_the_metrics() {
    let (made, _) = sample();
    let curve = &made.cutoffs[0];
    assert_eq!(
        (curve.metric.as_str(), &curve.cutoffs[..]),
        ("recall", &[1, 2][..])
    );
    assert_eq!(curve.values[0], Some(vec![0.5 / 3.0, 2.0 / 3.0]));
    assert_eq!(curve.values[1], Some(vec![1.0 / 3.0, 1.0 / 3.0]));
}

#[test]
fn users_are_grouped_by_activity_and_novelty() {
    let (made, _) = sample();
    let activity = &made.user_groups[0].groups;
    let labels: Vec<_> = activity
        .iter()
        .map(|g| (g.label.as_str(), g.count))
        .collect();
    assert_eq!(labels, [("0", 1), ("2", 1), ("4", 1)]);
    assert_eq!(activity[2].values, [Some(1.0), Some(0.0)]);
    let known = &made.user_groups[1].groups;
    assert_eq!(known[0].label, "in training");
    assert_eq!((known[0].count, known[0].values[0]), (2, Some(0.5)));
    assert_eq!((known[1].count, known[1].values[1]), (1, Some(1.0)));
}

#[test]
fn held_out_items_are_grouped_by_popularity_and_feature() {
    let (made, _) = sample();
    let popularity = &made.item_groups[0].groups;
    // Of the four targets only item 3 has training interactions.
    assert_eq!(popularity.len(), 1);
    assert_eq!(
        (popularity[0].count, &popularity[0].values[..]),
        (1, &[Some(1.0), Some(1.0)][..])
    );
    let known = &made.item_groups[1].groups;
    assert_eq!((known[1].label.as_str(), known[1].count), ("new (cold)", 3));
    assert_eq!(known[1].values, [Some(2.0 / 3.0), Some(0.0)]);
    let genre = &made.item_groups[2];
    assert_eq!(genre.title, "genre");
    assert_eq!(genre.groups[0].values[0], Some(1.0));
    assert_eq!(
        (genre.groups[1].count, genre.groups[1].values[0]),
        (3, Some(2.0 / 3.0))
    );
}

#[test]
fn exposure_counts_the_lists() {
    let (made, _) = sample();
    let exposure = made.exposure.unwrap();
    let ours = &exposure.models[0];
    assert_eq!(
        (ours.model.as_str(), ours.accuracy),
        ("mf", Some(2.0 / 3.0))
    );
    assert_eq!(ours.coverage, 5.0 / 12.0);
    // Items 0, 1, 2, 3 were interacted with 2, 2, 1, 1 times.
    assert_eq!(ours.popularity, (1 + 1 + 2 + 1) as f64 / 6.0);
    let shares = &exposure.concentration;
    assert_eq!(shares.training[1], 4.0 / 6.0);
    assert_eq!(shares.recommended[0].last(), Some(&1.0));
    let shown: u64 = exposure.items.iter().map(|i| i.recommended).sum();
    assert_eq!(shown, 6);
}

#[test]
fn examples_show_hits_by_title() {
    let (made, _) = sample();
    assert_eq!(made.examples.len(), 3);
    let first = made.examples.iter().find(|e| e.user == "10").unwrap();
    assert_eq!(
        first.history,
        ["<Item 3>", "<Item 2>", "<Item 1>", "<Item 0>"]
    );
    assert_eq!(first.value, Some(1.0));
    assert!(first.recommended.iter().all(|r| r.hit));
    assert_eq!(first.held_out[1].rank, Some(2));
    let second = made.examples.iter().find(|e| e.user == "11").unwrap();
    assert!(second.held_out[0].rank.is_none());
}

#[test]
fn maps_need_items_and_repeat() {
    let (made, _) = sample();
    // Only four of the items are in training.
    assert!(made.map.is_none());
    assert!(made.notes[0].contains("too few items"), "{:?}", made.notes);
    let rows: Vec<u32> = (0..40).collect();
    let train = table(&[&rows], 40);
    let set = EvalSet {
        history: train.clone().into(),
        targets: table(&[&[]], 40),
        candidates: None,
    };
    let ids = IdMap::new(ExternalIds::Int((0..40).collect()));
    let make = |seed| {
        let material = Material {
            part: EvaluatedPart::Test,
            set: &set,
            train: &train,
            mask_seen: true,
            evaluated: &[],
            users: &ids,
            items: &ids,
            user_features: None,
            item_features: None,
            epochs: &[],
            watched: "",
            model: &Circle(40),
            metrics: &[],
            seed: Seed(seed),
        };
        map::item_map(&material).unwrap().0.unwrap()
    };
    let made = make(1);
    assert_eq!(made, make(1));
    assert_ne!(made.x, make(2).x);
    // Neighbors on the circle are nearer than opposites.
    let far = |a: usize, b: usize| (made.x[a] - made.x[b]).hypot(made.y[a] - made.y[b]);
    let near: f32 = (0..40).map(|i| far(i, (i + 1) % 40)).sum();
    let opposite: f32 = (0..40).map(|i| far(i, (i + 20) % 40)).sum();
    assert!(2.0 * near < opposite, "{near} {opposite}");
    assert_eq!(made.colorings[0].title, "popularity");
}

#[test]
fn an_analysis_reads_back_from_json() {
    let (made, _) = sample();
    let report = Report {
        analysis: Some(made),
        model: ModelSummary {
            name: "mf".to_string(),
            ..ModelSummary::default()
        },
        ..Report::default()
    };
    let text = crate::report::json(&report).unwrap();
    let back: Report = serde_json::from_str(&text).unwrap();
    // The last bit of a number may differ; nothing that is shown does.
    assert!(back.analysis.is_some());
    assert_eq!(crate::report::html(&back), crate::report::html(&report));
    assert_eq!(
        crate::report::markdown(&back),
        crate::report::markdown(&report)
    );
}

use super::*;
use crate::data::interactions::RowColumns;
use crate::event::Silent;
use crate::model::Query;
use crate::tensors::NamedTensors;
use anyhow::bail;
use proptest::prelude::*;

/// Scores looked up in a matrix by user index; new users get the last row, if
/// it serves them.
struct Matrix {
    num_items: usize,
    scores: Vec<f32>,
    serves_new: bool,
    ratings: bool,
}

impl Matrix {
    fn new(num_items: usize, scores: &[f32]) -> Self {
        Self {
            num_items,
            scores: scores.to_vec(),
            serves_new: false,
            ratings: false,
        }
    }
}

impl Recommender for Matrix {
    fn num_items(&self) -> usize {
        self.num_items
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<()> {
        let last = self.scores.len() / self.num_items - 1;
        for (query, row) in queries.iter().zip(scores.chunks_mut(self.num_items)) {
            let number = query.user.map_or(last, |u| u.0 as usize);
            row.copy_from_slice(&self.scores[number * self.num_items..][..self.num_items]);
        }
        Ok(())
    }

    fn predicts_ratings(&self) -> bool {
        self.ratings
    }

    fn serves_new_users(&self) -> Result<()> {
        if !self.serves_new {
            bail!("use item_knn");
        }
        Ok(())
    }

    fn weights(&self) -> Result<NamedTensors> {
        Ok(NamedTensors::default())
    }
}

/// One row for each user, of (item, weight).
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

fn set(train: &Interactions, targets: &[&[u32]]) -> EvalSet {
    EvalSet {
        history: train.clone().into(),
        targets: table(targets, train.num_items),
        candidates: None,
    }
}

fn run(
    model: &Matrix,
    set: &EvalSet,
    train: &Interactions,
    metrics: &[&str],
) -> Result<Evaluation> {
    run_with(
        model,
        set,
        train,
        metrics,
        EvaluationConfig::default().options(),
    )
}

fn run_with(
    model: &Matrix,
    set: &EvalSet,
    train: &Interactions,
    metrics: &[&str],
    options: EvaluationOptions,
) -> Result<Evaluation> {
    let metrics = MetricSpec::expand(metrics, &[])?;
    let task = EvaluationTask {
        model_name: "matrix",
        set,
        train,
        metrics: &metrics,
        options,
        seen: None,
        seed: Seed(1),
    };
    evaluate(model, &task, &mut Silent)
}

#[test]
fn three_users_by_hand() {
    // Masked lists: user 0: 1 2 3, user 1: 3 2 0, user 2: nothing held out.
    let train = table(&[&[0], &[1], &[2]], 4);
    let model = Matrix::new(4, &[9., 3., 2., 1., 1., 9., 2., 3., 0., 0., 0., 0.]);
    let set = set(&train, &[&[2], &[3, 0], &[]]);
    let metrics = [
        "recall@1",
        "recall@2",
        "mrr@3",
        "auc",
        "coverage@1",
        "arp@1",
    ];
    let result = run(&model, &set, &train, &metrics).unwrap();
    let value = |name| result.metrics.get(name).unwrap();
    assert_eq!(value("recall@1"), 0.25);
    assert_eq!(value("recall@2"), 0.75);
    assert_eq!(value("mrr@3"), 0.75);
    // User 0: 2 beats 3, loses to 1. User 1: 3 beats 2, 0 loses to it.
    assert_eq!(value("auc"), 0.5);
    assert_eq!(value("coverage@1"), 0.5);
    assert_eq!(value("arp@1"), 0.5);
    assert_eq!(result.protocol.users, 2);
    assert_eq!(result.protocol.users_without_targets, 1);
    assert_eq!(result.protocol.targets, 3);
    assert_eq!(result.protocol.cold_targets, 1);
    assert_eq!(result.per_user.users, [UserIdx(0), UserIdx(1)]);
    let recall = &result.per_user.values[1];
    assert_eq!(recall, &("recall@2".to_string(), vec![1.0, 0.5]));
}

#[test]
fn targets_that_were_seen_are_left_out_only_when_seen_items_are_masked() {
    let train = table(&[&[0]], 3);
    let model = Matrix::new(3, &[3., 2., 1.]);
    let set = set(&train, &[&[0, 1]]);
    let masked = run(&model, &set, &train, &["recall@1"]).unwrap();
    assert_eq!(masked.metrics.get("recall@1"), Some(1.0));
    assert_eq!(masked.protocol.seen_targets, 1);
    let options = EvaluationOptions {
        mask_seen: false,
        ..EvaluationConfig::default().options()
    };
    let open = run_with(&model, &set, &train, &["recall@1"], options).unwrap();
    assert_eq!(open.metrics.get("recall@1"), Some(0.5));
    assert_eq!(open.protocol.seen_targets, 0);
}

#[test]
fn users_whom_the_model_cannot_serve_are_misses_and_warned_of() {
    struct Warnings(Vec<String>);
    impl Observer for Warnings {
        fn on(&mut self, event: &Event) {
            if let Event::Warning(text) = event {
                self.0.push(text.clone());
            }
        }
    }
    let train = table(&[&[0], &[]], 3);
    let mut model = Matrix::new(3, &[0., 2., 1., 0., 2., 1.]);
    let set = set(&train, &[&[1], &[1]]);
    let metrics = MetricSpec::expand(&["recall@1", "auc"], &[]).unwrap();
    let mut task = EvaluationTask {
        model_name: "matrix",
        set: &set,
        train: &train,
        metrics: &metrics,
        options: EvaluationConfig::default().options(),
        seen: None,
        seed: Seed(1),
    };
    let mut warnings = Warnings(Vec::new());
    let result = evaluate(&model, &task, &mut warnings).unwrap();
    assert_eq!(result.metrics.get("recall@1"), Some(0.5));
    assert_eq!(result.metrics.get("auc"), Some(0.75));
    assert_eq!(result.protocol.unserved_users, 1);
    assert!(warnings.0[0].contains("1 of 2 users"), "{:?}", warnings.0);
    assert!(warnings.0[0].contains("use item_knn"), "{:?}", warnings.0);

    task.options.users = EvaluatedUsers::Known;
    let known = evaluate(&model, &task, &mut Silent).unwrap();
    assert_eq!(known.metrics.get("recall@1"), Some(1.0));
    assert_eq!(known.protocol.unknown_users_left_out, 1);

    model.serves_new = true;
    task.options.users = EvaluatedUsers::All;
    let served = evaluate(&model, &task, &mut Silent).unwrap();
    assert_eq!(served.metrics.get("recall@1"), Some(1.0));
    assert_eq!(
        (served.protocol.new_users, served.protocol.unserved_users),
        (1, 0)
    );
}

#[test]
fn given_candidates_alone_are_ranked_and_the_held_out_item_counts_once() {
    let train = table(&[&[0], &[0]], 6);
    // Item 5 would win in a full ranking; 2 ties with the target 3 and is lower.
    let model = Matrix::new(6, &[0., 1., 2., 2., 0., 9., 0., 1., 2., 2., 0., 9.]);
    let mut set = set(&train, &[&[3], &[3]]);
    set.candidates = Some(table(&[&[1, 2, 4], &[1, 3, 3]], 6));
    let result = run(&model, &set, &train, &["mrr@6", "hit@1", "auc"]).unwrap();
    assert_eq!(result.metrics.get("mrr@6"), Some(0.75));
    assert_eq!(result.metrics.get("hit_rate@1"), Some(0.5));
    assert_eq!(result.metrics.get("auc"), Some((2.5 / 3.0 + 1.0) / 2.0));
    assert!(result.protocol.ranking.contains("given candidates"));

    set.candidates = Some(table(&[&[1], &[]], 6));
    let error = run(&model, &set, &train, &["mrr@6"]).unwrap_err();
    assert!(error.to_string().contains("user index 1"), "{error}");
}

#[test]
fn sampling_more_negatives_than_there_are_is_the_full_ranking() {
    let train = table(&[&[0], &[1]], 5);
    let model = Matrix::new(5, &[5., 1., 2., 3., 4., 5., 1., 2., 2., 4.]);
    let set = set(&train, &[&[1, 3], &[2]]);
    let metrics = ["ndcg@3", "auc", "gini@3", "novelty@2"];
    let full = run(&model, &set, &train, &metrics).unwrap();
    let options = EvaluationOptions {
        sampled_negatives: Some(99),
        ..EvaluationConfig::default().options()
    };
    let sampled = run_with(&model, &set, &train, &metrics, options).unwrap();
    assert_eq!(sampled.metrics, full.metrics);
    assert!(sampled.protocol.ranking.starts_with("sampled ranking"));
}

#[test]
fn rating_errors_are_over_ratings() {
    let train = table(&[&[0], &[0], &[]], 2);
    let mut model = Matrix::new(2, &[0., 3., 0., 5.]);
    let mut set = set(&train, &[&[1], &[1, 1], &[0]]);
    let missing = run(&model, &set, &train, &["rmse"]).unwrap_err();
    assert!(missing.to_string().contains("needs ratings"), "{missing}");
    set.targets.weights = Some(vec![4.0, 5.0, 2.0, 1.0]);
    let unable = run(&model, &set, &train, &["rmse"]).unwrap_err();
    assert!(unable.to_string().contains("`matrix`"), "{unable}");
    model.ratings = true;
    let result = run(&model, &set, &train, &["rmse", "mae"]).unwrap();
    assert_eq!(result.metrics.get("rmse"), Some((10.0f64 / 3.0).sqrt()));
    assert_eq!(result.metrics.get("mae"), Some(4.0 / 3.0));
    assert_eq!(result.protocol.ratings, Some(3));
    assert_eq!(result.protocol.unpredicted_ratings, Some(1));
}

#[test]
fn impossible_questions_are_errors() {
    let train = table(&[&[0]], 3);
    let model = Matrix::new(3, &[0., f32::NAN, 1.]);
    let message = |targets: &[&[u32]], metric: &str| {
        let set = set(&train, targets);
        run(&model, &set, &train, &[metric])
            .unwrap_err()
            .to_string()
    };
    assert!(message(&[&[1]], "ndcg@4").contains("larger than the catalog of 3 items"));
    assert!(message(&[&[]], "ndcg@1").contains("no users to evaluate"));
    assert!(message(&[&[1]], "ndcg@1").contains("NaN"));
    let other = Matrix::new(2, &[0., 1.]);
    let set = set(&train, &[&[1]]);
    let error = run(&other, &set, &train, &["ndcg@1"]).unwrap_err();
    assert!(error.to_string().contains("other data"), "{error}");
    let full = Matrix::new(3, &[0., 2., 1.]);
    let all = self::set(&train, &[&[1, 2]]);
    let error = run(&full, &all, &train, &["auc"]).unwrap_err();
    assert!(error.to_string().contains("no value"), "{error}");
}

#[test]
fn the_default_config_asks_for_known_metrics() {
    let config = EvaluationConfig::default();
    assert_eq!(config.specs().unwrap().len(), 10);
    let text = toml::to_string(&config).unwrap();
    assert_eq!(toml::from_str::<EvaluationConfig>(&text).unwrap(), config);
    assert!(toml::from_str::<EvaluationConfig>("metric = []").is_err());
}

proptest! {
    #[test]
    fn values_lie_in_range_and_do_not_depend_on_tiles_or_threads(
        scores in proptest::collection::vec(-3i8..3, 8 * 9),
        held in proptest::collection::vec(proptest::collection::vec(0u32..9, 0..4), 8),
        seen in proptest::collection::vec(proptest::collection::vec(0u32..9, 1..4), 8),
        tile_bytes in 0usize..300,
        sampled in proptest::option::of(1usize..6),
    ) {
        let scores: Vec<f32> = scores.iter().map(|&s| f32::from(s)).collect();
        let model = Matrix::new(9, &scores);
        let rows = |v: &[Vec<u32>]| table(&v.iter().map(Vec::as_slice).collect::<Vec<_>>(), 9);
        let train = rows(&seen);
        let set = EvalSet { history: train.clone().into(), targets: rows(&held), candidates: None };
        let options = EvaluationOptions { sampled_negatives: sampled, ..EvaluationConfig::default().options() };
        let metrics = ["recall@3", "ndcg@5", "map@9", "precision@2", "coverage@4", "gini@4", "novelty@4"];
        let Ok(whole) = run_with(&model, &set, &train, &metrics, options) else {
            return Ok(());
        };
        for (name, value) in whole.metrics.iter().filter(|(n, _)| !n.starts_with("novelty")) {
            prop_assert!((0.0..=1.0).contains(&value), "{} = {}", name, value);
        }
        let tiles = run_with(&model, &set, &train, &metrics, EvaluationOptions { tile_bytes, ..options });
        prop_assert_eq!(tiles.unwrap(), whole.clone());
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let alone = one.install(|| run_with(&model, &set, &train, &metrics, options));
        prop_assert_eq!(alone.unwrap(), whole);
    }
}

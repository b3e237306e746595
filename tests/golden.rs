//! Metrics against independent tools; `scripts/golden_metrics.py` made the
//! values.

use anyhow::Result;
use recsys::data::split::EvalSet;
use recsys::data::{Interactions, RowColumns};
use recsys::evaluation::{Evaluation, EvaluationConfig, EvaluationTask, evaluate};
use recsys::event::Silent;
use recsys::metrics::{MetricSpec, REGISTRY};
use recsys::model::{Query, Recommender};
use recsys::seed::Seed;
use recsys::tensors::NamedTensors;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Deserialize)]
struct Golden {
    scores_times_64: Vec<Vec<f32>>,
    seen: Vec<Vec<u32>>,
    held_out: Vec<Vec<u32>>,
    ratings: Vec<Vec<f32>>,
    metrics: BTreeMap<String, f64>,
    clicks: Clicks,
    per_user: BTreeMap<String, Vec<f64>>,
}

/// Ratings as clicks, and scores as their log-odds.
#[derive(Deserialize)]
struct Clicks {
    threshold: f32,
    shift: f32,
    cold_below: u32,
    metrics: BTreeMap<String, f64>,
}

impl Golden {
    fn load() -> Self {
        serde_json::from_str(include_str!("golden_metrics.json")).unwrap()
    }

    fn num_items(&self) -> usize {
        self.scores_times_64[0].len()
    }

    fn table(&self, rows: &[Vec<u32>], weights: Option<&[f32]>) -> Interactions {
        let users: Vec<u32> = (0..)
            .zip(rows)
            .flat_map(|(u, r)| vec![u; r.len()])
            .collect();
        let items: Vec<u32> = rows.iter().flatten().copied().collect();
        let order: Vec<u32> = (0..items.len() as u32).collect();
        let columns = RowColumns {
            users: &users,
            items: &items,
            weights,
            timestamps: None,
        };
        Interactions::from_rows(&order, &columns, rows.len(), self.num_items())
    }

    fn evaluate(&self) -> Evaluation {
        let train = self.table(&self.seen, None);
        let ratings: Vec<f32> = self.ratings.iter().flatten().copied().collect();
        let set = EvalSet {
            history: train.clone().into(),
            targets: self.table(&self.held_out, Some(&ratings)),
            candidates: None,
        };
        let names: Vec<_> = self.metrics.keys().collect();
        let metrics = MetricSpec::expand(&names, &[]).unwrap();
        let task = EvaluationTask {
            model_name: "golden",
            set: &set,
            train: &train,
            metrics: &metrics,
            options: EvaluationConfig::default().options(),
            seen: None,
            seed: Seed(1),
        };
        evaluate(self, &task, &mut Silent).unwrap()
    }

    fn evaluate_clicks(&self) -> Evaluation {
        let train = self.table(&self.seen, None);
        let label = |rating: &f32| f32::from(u8::from(*rating >= self.clicks.threshold));
        let labels: Vec<f32> = self.ratings.iter().flatten().map(label).collect();
        let set = EvalSet {
            history: train.clone().into(),
            targets: self.table(&self.held_out, Some(&labels)),
            candidates: None,
        };
        let names: Vec<_> = self.clicks.metrics.keys().collect();
        let task = EvaluationTask {
            model_name: "golden",
            set: &set,
            train: &train,
            metrics: &MetricSpec::expand(&names, &[]).unwrap(),
            options: EvaluationConfig {
                cold_below: self.clicks.cold_below,
                ..EvaluationConfig::default()
            }
            .options(),
            seen: None,
            seed: Seed(1),
        };
        evaluate(&LogOdds(self), &task, &mut Silent).unwrap()
    }
}

/// The scores, moved, as log-odds.
struct LogOdds<'a>(&'a Golden);

impl Recommender for LogOdds<'_> {
    fn num_items(&self) -> usize {
        self.0.num_items()
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<()> {
        self.0.score(queries, scores)?;
        scores.iter_mut().for_each(|s| *s -= self.0.clicks.shift);
        Ok(())
    }

    fn predicts_clicks(&self) -> bool {
        true
    }

    fn weights(&self) -> Result<NamedTensors> {
        Ok(NamedTensors::default())
    }
}

impl Recommender for Golden {
    fn num_items(&self) -> usize {
        self.num_items()
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<()> {
        for (query, row) in queries.iter().zip(scores.chunks_mut(self.num_items())) {
            let user = query.user.unwrap().0 as usize;
            for (score, times_64) in row.iter_mut().zip(&self.scores_times_64[user]) {
                *score = times_64 / 64.0;
            }
        }
        Ok(())
    }

    fn predicts_ratings(&self) -> bool {
        true
    }

    fn weights(&self) -> Result<NamedTensors> {
        Ok(NamedTensors::default())
    }
}

fn close(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() <= 1e-12 * theirs.abs().max(1.0)
}

#[test]
fn every_metric_equals_an_independent_tool() {
    let golden = Golden::load();
    let evaluation = golden.evaluate();
    for (name, &theirs) in &golden.metrics {
        let ours = evaluation.metrics.get(name).unwrap();
        assert!(close(ours, theirs), "{name}: {ours} here, {theirs} there");
    }
    let evaluation = golden.evaluate_clicks();
    for (name, &theirs) in &golden.clicks.metrics {
        let ours = evaluation.metrics.get(name).unwrap();
        assert!(
            (ours - theirs).abs() < 1e-9,
            "{name}: {ours} here, {theirs} there"
        );
    }
    let names = golden.metrics.keys().chain(golden.clicks.metrics.keys());
    let covered: BTreeSet<_> = names.map(|n| n.split('@').next().unwrap()).collect();
    for entry in REGISTRY {
        assert!(
            covered.contains(entry.name),
            "{} has no golden value",
            entry.name
        );
    }
}

#[test]
fn values_of_each_user_equal_an_independent_tool() {
    let golden = Golden::load();
    let evaluation = golden.evaluate();
    for (name, theirs) in &golden.per_user {
        let found = evaluation.per_user.values.iter().find(|(n, _)| n == name);
        let (_, ours) = found.unwrap();
        assert_eq!(ours.len(), theirs.len());
        for (user, (&o, &t)) in ours.iter().zip(theirs).enumerate() {
            assert!(close(o, t), "{name} of user {user}: {o} here, {t} there");
        }
    }
}

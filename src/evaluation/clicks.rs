//! Metrics of clicks, over held-out rows: which of what was shown is clicked?

use super::{EvaluationTask, is_clicks, rows};
use crate::data::interactions::Interactions;
use crate::metrics::{Kind, MetricSpec};
use crate::model::{Query, Recommender};
use crate::tensors::NamedTensors;
use anyhow::{Context, Result, ensure};

/// Log-odds of all held-out rows, beside what became of them.
#[derive(Default)]
pub struct Clicks {
    log_odds: Vec<f32>,
    clicked: Vec<bool>,
    /// Whether the item has few training interactions.
    cold: Vec<bool>,
    /// Rows of users whom the model cannot serve.
    pub unpredicted: usize,
}

/// Scores all rows; `None` when no metric wants them.
///
/// # Errors
/// Data without labels, a model whose scores are no log-odds, scores that are
/// not finite.
pub fn evaluate(model: &dyn Recommender, task: &EvaluationTask<'_>) -> Result<Option<Clicks>> {
    let Some(first) = task.metrics.iter().find(|m| is_clicks(m)) else {
        return Ok(None);
    };
    let labels = task.set.targets.labels();
    let labels = labels.with_context(|| format!("`{first}` needs clicks"))?;
    ensure!(
        model.predicts_clicks(),
        "`{first}` needs a model that predicts clicks, which `{}` does not: train one with \
         `loss = \"log_loss\"` (e.g. `fm`), or leave `{first}` out",
        task.model_name
    );
    let counts = task.train.item_counts();
    let mut clicks = Clicks::default();
    clicks.unpredicted = rows::predict(model, task, labels, |rows, log_odds| {
        let cold = |item: &u32| counts[*item as usize] < task.options.cold_below;
        clicks.log_odds.extend_from_slice(log_odds);
        clicks.clicked.extend(rows.actual.iter().map(|y| *y > 0.5));
        clicks.cold.extend(rows.items.iter().map(cold));
    })?;
    Ok(Some(clicks))
}

impl Clicks {
    pub fn rows(&self) -> usize {
        self.clicked.len()
    }

    pub fn cold_rows(&self) -> usize {
        self.cold.iter().filter(|c| **c).count()
    }

    /// # Errors
    /// No row that the metric is about, or only clicks, or none.
    pub fn value(&self, spec: &MetricSpec, cold_below: u32) -> Result<f64> {
        let Kind::Clicks { of, cold } = spec.entry.kind else {
            unreachable!("only asked for metrics of clicks")
        };
        let value = if cold {
            let (log_odds, clicked): (Vec<_>, Vec<_>) = self.cold_part().unzip();
            of(&log_odds, &clicked)
        } else {
            of(&self.log_odds, &self.clicked)
        };
        value.with_context(|| {
            let of_items = match cold {
                true => format!(" of items with fewer than {cold_below} training interactions"),
                false => String::new(),
            };
            format!("`{spec}` has no value: there are no held-out rows{of_items} to compare")
        })
    }

    fn cold_part(&self) -> impl Iterator<Item = (f32, bool)> + '_ {
        let rows = self.log_odds.iter().zip(&self.clicked).zip(&self.cold);
        rows.filter(|(_, cold)| **cold)
            .map(|((log_odds, clicked), _)| (*log_odds, *clicked))
    }
}

/// The share of training rows that were clicked, of each item: what a model of
/// clicks must beat.
pub struct ClickRates {
    /// Log-odds of each item.
    log_odds: Vec<f32>,
}

impl ClickRates {
    /// `(clicks + smoothing * rate) / (rows + smoothing)` for each item, where
    /// `rate` is that of all rows; infinite smoothing leaves only that. A rate
    /// stays half a row away from 0 and 1.
    ///
    /// # Errors
    /// Data without labels.
    pub fn new(train: &Interactions, smoothing: f64) -> Result<Self> {
        let labels = train.labels()?;
        let total = labels.iter().map(|y| f64::from(*y)).sum::<f64>();
        let rows = labels.len() as f64;
        let rate = (total + 0.5) / (rows + 1.0);
        let mut clicks = vec![0.0; train.num_items];
        for (item, label) in train.items.iter().zip(labels) {
            clicks[*item as usize] += f64::from(*label);
        }
        let log_odds = clicks.iter().zip(train.item_counts()).map(|(clicks, n)| {
            let rate = match smoothing.is_finite() {
                true => (clicks + smoothing * rate) / (f64::from(n) + smoothing),
                false => rate,
            };
            (rate / (1.0 - rate)).ln() as f32
        });
        Ok(Self {
            log_odds: log_odds.collect(),
        })
    }
}

impl Recommender for ClickRates {
    fn num_items(&self) -> usize {
        self.log_odds.len()
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<()> {
        let rows = scores.chunks_mut(self.num_items().max(1));
        for (row, _) in rows.zip(queries) {
            row.copy_from_slice(&self.log_odds);
        }
        Ok(())
    }

    fn score_pairs(&self, _: &[Query<'_>], items: &[u32]) -> Result<Vec<f32>> {
        Ok(items.iter().map(|i| self.log_odds[*i as usize]).collect())
    }

    fn predicts_clicks(&self) -> bool {
        true
    }

    fn weights(&self) -> Result<NamedTensors> {
        let mut weights = NamedTensors::default();
        weights.insert_f32("log_odds", &[self.num_items()], self.log_odds.clone());
        Ok(weights)
    }
}

//! The most popular items, the same for everybody: the baseline that every
//! other model has to beat.

use crate::data::interactions::Interactions;
use crate::footprint::{Footprint, LESS_DATA, Workload};
use crate::model::{FitContext, Fitted, ModelData, ModelSpec, Query, Recommender, ScoreForm};
use crate::models::{ModelEntry, params};
use crate::tensors::NamedTensors;
use anyhow::{Context, Result, ensure};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

pub const ENTRY: ModelEntry = ModelEntry {
    name: "popularity",
    summary: "the items with the most interactions, the same for everybody",
    citation: "Cremonesi, Koren, Turrin: Performance of Recommender Algorithms on Top-N \
               Recommendation Tasks, RecSys 2010 (TopPop)",
    params: &[(
        "window_days",
        "count only interactions within this many days of the latest one; 0 counts all",
    )],
    gradient: false,
    defaults: params::defaults::<Popularity>,
    build: |table| {
        let spec: Popularity = params::parse(table)?;
        ensure!(
            spec.window_days.is_finite() && spec.window_days >= 0.0,
            "window_days = {} must be 0 (all time) or a number of days",
            spec.window_days
        );
        Ok(Box::new(spec))
    },
};

const SECONDS_PER_DAY: f64 = 86_400.0;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Popularity {
    window_days: f64,
}

/// `scores[i]` is the number of interactions of item `i` that count.
struct Counts {
    scores: Vec<f32>,
}

impl ModelSpec for Popularity {
    fn footprint(&self, work: &Workload<'_>) -> Footprint {
        Footprint {
            parameters: 4 * work.items(),
            fitting: 8 * work.items(),
            ranking: 8 * work.items(),
            on_device: 0,
            instead: LESS_DATA,
        }
    }

    fn fit(&self, context: FitContext<'_>) -> Result<Fitted> {
        let scores = count(context.data.train, self.window_days)?;
        Ok(Fitted::at_once(Box::new(Counts { scores })))
    }

    fn load(
        &self,
        weights: &NamedTensors,
        data: ModelData<'_>,
        _device: &Device,
    ) -> Result<Box<dyn Recommender>> {
        let scores = weights
            .f32("item_counts", &[data.train.num_items])?
            .to_vec();
        Ok(Box::new(Counts { scores }))
    }
}

fn count(train: &Interactions, window_days: f64) -> Result<Vec<f32>> {
    if window_days == 0.0 {
        return Ok(train.item_counts().iter().map(|&c| c as f32).collect());
    }
    let times = train.timestamps.as_ref().context(
        "window_days needs timestamps, which this data does not have: \
         set window_days = 0 to count all interactions",
    )?;
    let latest = times.iter().max().unwrap_or(0);
    let window = (window_days * SECONDS_PER_DAY) as i64;
    let mut scores = vec![0.0; train.num_items];
    for (&item, time) in train.items.iter().zip(times.iter()) {
        if time >= latest.saturating_sub(window) {
            scores[item as usize] += 1.0;
        }
    }
    Ok(scores)
}

impl Recommender for Counts {
    fn num_items(&self) -> usize {
        self.scores.len()
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<()> {
        for row in scores
            .chunks_mut(self.scores.len().max(1))
            .take(queries.len())
        {
            row.copy_from_slice(&self.scores);
        }
        Ok(())
    }

    fn score_pairs(&self, _queries: &[Query<'_>], items: &[u32]) -> Result<Vec<f32>> {
        Ok(items.iter().map(|&i| self.scores[i as usize]).collect())
    }

    fn score_form(&self) -> Result<ScoreForm> {
        Ok(ScoreForm::Shared(self.scores.clone()))
    }

    fn weights(&self) -> Result<NamedTensors> {
        let mut named = NamedTensors::default();
        named.insert_f32("item_counts", &[self.scores.len()], self.scores.clone());
        Ok(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn train(timestamps: Option<Vec<i64>>) -> Interactions {
        Interactions {
            offsets: vec![0, 2, 4],
            items: vec![0, 2, 2, 1],
            timestamps: timestamps.map(Into::into),
            num_items: 4,
            ..Interactions::default()
        }
    }

    #[test]
    fn counts_interactions() {
        assert_eq!(count(&train(None), 0.0).unwrap(), [1.0, 1.0, 2.0, 0.0]);
    }

    #[test]
    fn a_window_counts_recent_interactions_only() {
        let day = SECONDS_PER_DAY as i64;
        let train = train(Some(vec![day, 2 * day, 3 * day, 4 * day]));
        assert_eq!(count(&train, 1.0).unwrap(), [0.0, 1.0, 1.0, 0.0]);
        assert_eq!(count(&train, 9.0).unwrap(), [1.0, 1.0, 2.0, 0.0]);
    }

    #[test]
    fn a_window_without_timestamps_is_an_error() {
        let error = count(&train(None), 1.0).unwrap_err().to_string();
        assert!(error.contains("window_days = 0"), "{error}");
    }

    #[test]
    fn a_negative_window_is_an_error() {
        let table: toml::Table = "window_days = -1".parse().unwrap();
        assert!((ENTRY.build)(table).is_err());
    }
}

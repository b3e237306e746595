//! How good the preferences behind synthetic data are at foretelling them:
//! the ceiling of every model on these data.

use crate::config::Config;
use crate::data::interactions::Interactions;
use crate::data::split::EvalSet;
use crate::data::synth::{CONFIG, World};
use crate::evaluation::{EvaluationTask, evaluate};
use crate::event::{Event, Observer};
use crate::ids::{IdMap, UserIdx};
use crate::metrics::Kind;
use crate::model::{FitContext, Query, Recommender};
use crate::models;
use crate::pipeline;
use crate::run_dir::RunData;
use crate::seed::Seed;
use crate::tensors::NamedTensors;
use crate::training::{MemorySink, TrainingConfig};
use anyhow::{Context, Result, bail, ensure};
use burn::tensor::Device;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The model beside which the ceiling stands: the floor.
const BASELINE: &str = "popularity";

/// Test metrics of the true preferences, beside those of popularity, over the
/// same users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ceiling {
    /// Of the split, as `recsys train` makes it from the config.
    pub split: String,
    pub ranking: String,
    /// Users behind the means: all with held-out items, or a sample of them.
    pub users: usize,
    pub true_preferences: BTreeMap<String, f64>,
    pub popularity: BTreeMap<String, f64>,
}

/// Reads the data in `folder` as `recsys train` would and judges the
/// preferences of `world`, which made them, on its test part; on `most`
/// random users when there are more.
///
/// # Errors
/// Those of [`pipeline::read`], [`pipeline::divide`] and [`evaluate`]; data of
/// another world.
pub fn measure(
    world: &World,
    folder: &Path,
    most: usize,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Ceiling> {
    let path = folder.join(CONFIG);
    let config = Config::load(&path, &[])?;
    let dataset = crate::data::read(&config.data, folder, observer)?;
    let data = pipeline::divide(&config, dataset)?;
    observer.on(&Event::Stage("judging the true preferences".into()));
    let truth = Truth::new(world, &data)?;
    let set = sample(&data.split.test, most, Seed(config.seed));
    let mut metrics = config.evaluation.specs()?;
    metrics.retain(|m| !matches!(m.entry.kind, Kind::Rating { .. }));
    let judge = |name: &str, model: &dyn Recommender, train: &Interactions| {
        let task = EvaluationTask {
            model_name: name,
            set: &set,
            train,
            metrics: &metrics,
            options: config.evaluation.options(),
            seen: None,
            seed: Seed(config.seed),
        };
        evaluate(model, &task, &mut crate::event::Silent)
    };
    // The truth knows everybody, also those without training interactions.
    let everybody = everybody(&data.split.train);
    let truth = judge("true preferences", &truth, &everybody)?;
    let popularity = popularity(&data, device)?;
    let popularity = judge(BASELINE, popularity.as_ref(), &data.split.train)?;
    Ok(Ceiling {
        split: data.split.protocol.description.clone(),
        ranking: truth.protocol.ranking.clone(),
        users: truth.protocol.users,
        true_preferences: truth.metrics.to_map(),
        popularity: popularity.metrics.to_map(),
    })
}

fn popularity(data: &RunData, device: &Device) -> Result<Box<dyn Recommender>> {
    let entry = models::find(BASELINE)?;
    let spec = models::build(entry.name, (entry.defaults)())?;
    let fitted = spec.fit(FitContext {
        data: data.model_data(),
        training: &TrainingConfig::default(),
        device,
        seed: Seed(0),
        observer: &mut crate::event::Silent,
        validate: None,
        checkpoints: &mut MemorySink::default(),
    })?;
    Ok(fitted.model)
}

/// One interaction of every user, so that each counts as known.
fn everybody(train: &Interactions) -> Interactions {
    Interactions {
        offsets: (0..=train.num_users()).collect(),
        items: vec![0; train.num_users()],
        num_items: train.num_items,
        ..Interactions::default()
    }
}

/// The set with targets of at most `most` users.
fn sample(set: &EvalSet, most: usize, seed: Seed) -> EvalSet {
    let targets = &set.targets;
    let asked = |u: &u32| !targets.range(UserIdx(*u)).is_empty();
    let mut users: Vec<u32> = (0..targets.num_users() as u32).filter(asked).collect();
    seed.stream("synth/ceiling").shuffle(&mut users);
    users.truncate(most);
    users.sort_unstable();
    let mut kept = Interactions::empty(0, targets.num_items);
    let mut chosen = users.iter().peekable();
    for user in 0..targets.num_users() as u32 {
        if chosen.next_if_eq(&&user).is_some() {
            kept.items
                .extend_from_slice(targets.items_of(UserIdx(user)));
        }
        kept.offsets.push(kept.items.len());
    }
    EvalSet {
        history: set.history.clone(),
        targets: kept,
        candidates: set.candidates.clone(),
    }
}

/// Scores by the preferences that the data were drawn from.
struct Truth<'a> {
    world: &'a World,
    /// The user (from 0) of each dense index.
    users: Vec<u32>,
    /// The popularity rank of each dense item.
    ranks: Vec<u32>,
}

impl<'a> Truth<'a> {
    fn new(world: &'a World, data: &RunData) -> Result<Self> {
        let rank_of = world.ranks();
        let items = numbers(&data.items, world.config.items)?;
        Ok(Self {
            world,
            users: numbers(&data.users, world.config.users)?,
            ranks: items.iter().map(|i| rank_of[*i as usize]).collect(),
        })
    }
}

/// External ids, which count from 1, as numbers from 0.
fn numbers(ids: &IdMap, count: usize) -> Result<Vec<u32>> {
    let number = |idx: u32| {
        let id: usize = ids.external(idx).parse().context("an id is no number")?;
        ensure!(
            (1..=count).contains(&id),
            "the id {id} is not of these data"
        );
        Ok(id as u32 - 1)
    };
    (0..ids.len() as u32).map(number).collect()
}

impl Recommender for Truth<'_> {
    fn num_items(&self) -> usize {
        self.ranks.len()
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<()> {
        let rows = scores.par_chunks_mut(self.num_items()).zip(queries);
        rows.try_for_each(|(row, query)| {
            let user = query.user.context("the true preferences need a user")?;
            let taste = self.world.taste(self.users[user.0 as usize]);
            for (score, &rank) in row.iter_mut().zip(&self.ranks) {
                *score = self.world.log_preference(&taste, rank) as f32;
            }
            Ok(())
        })
    }

    fn serves_new_users(&self) -> Result<()> {
        bail!("the true preferences are those of the users that were drawn")
    }

    fn weights(&self) -> Result<NamedTensors> {
        bail!("the true preferences are not kept: their seed is")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::synth::{SynthConfig, generate};
    use crate::event::Silent;
    use crate::metrics::MetricSpec;

    fn small() -> SynthConfig {
        SynthConfig {
            seed: 5,
            users: 300,
            items: 120,
            interactions: 9_000,
            dimension: 6,
            skew: 0.8,
            threshold: 1.0,
            noise: 0.3,
            days: Some(100),
            platforms: 2,
            features: true,
            repeats: false,
        }
    }

    fn made(config: &SynthConfig, folder: &Path, most: usize) -> Ceiling {
        let world = generate(config, folder, &mut Silent).unwrap();
        measure(&world, folder, most, &cpu(), &mut Silent).unwrap()
    }

    fn cpu() -> Device {
        let resolved = crate::device::resolve(crate::device::DeviceChoice::Cpu);
        resolved.unwrap().device
    }

    #[test]
    fn the_truth_is_above_popularity_and_above_a_trained_model() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("synth");
        let ceiling = made(&small(), &folder, 1_000);
        let truth = ceiling.true_preferences["ndcg@10"];
        assert!(truth > 1.5 * ceiling.popularity["ndcg@10"], "{ceiling:?}");

        let config = Config::load(&folder.join(CONFIG), &[]).unwrap();
        let dataset = crate::data::read(&config.data, &folder, &mut Silent).unwrap();
        let data = pipeline::divide(&config, dataset).unwrap();
        let device = cpu();
        let spec = models::build("mf", config.model.params.clone()).unwrap();
        let fitted = spec
            .fit(FitContext {
                data: data.model_data(),
                training: &TrainingConfig {
                    epochs: 15,
                    batch_size: 256,
                    learning_rate: 0.01,
                    ..config.training.clone()
                },
                device: &device,
                seed: Seed(1),
                observer: &mut Silent,
                validate: None,
                checkpoints: &mut MemorySink::default(),
            })
            .unwrap();
        let task = EvaluationTask {
            model_name: "mf",
            set: &data.split.test,
            train: &data.split.train,
            metrics: &[MetricSpec::parse("ndcg@10").unwrap()],
            options: config.evaluation.options(),
            seen: None,
            seed: Seed(1),
        };
        let done = evaluate(fitted.model.as_ref(), &task, &mut Silent).unwrap();
        let mf = done.metrics.to_map()["ndcg@10"];
        assert!(
            mf > ceiling.popularity["ndcg@10"] && mf < truth,
            "{mf} {ceiling:?}"
        );
        assert_eq!(done.protocol.users, ceiling.users);
    }

    #[test]
    fn less_noise_is_easier_to_foretell() {
        let dir = tempfile::tempdir().unwrap();
        let ndcg = |noise: f64, name: &str| {
            let config = SynthConfig { noise, ..small() };
            made(&config, &dir.path().join(name), 200).true_preferences["ndcg@10"]
        };
        assert!(ndcg(0.1, "clear") > ndcg(1.0, "blurred"));
    }

    #[test]
    fn a_sample_has_that_many_users() {
        let dir = tempfile::tempdir().unwrap();
        let config = SynthConfig {
            days: None,
            features: false,
            platforms: 1,
            ..small()
        };
        let ceiling = made(&config, &dir.path().join("a"), 50);
        assert_eq!(ceiling.users, 50);
        assert!(
            ceiling.split.contains("within each user"),
            "{}",
            ceiling.split
        );
    }
}

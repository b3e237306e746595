//! Training graph models: by kernels on the CPU, by tensors elsewhere.

use super::recommender::GraphRecommender;
use super::tensors::{Goals, OnTensors, Step};
use crate::device::{Family, family};
use crate::kernels::gcn::{Batch, Gcn, Settings};
use crate::losses::Loss;
use crate::model::{FitContext, Fitted, Recommender};
use crate::models::embeddings::Embeddings;
use crate::models::pairwise::{Drawn, Examples, Objective};
use crate::optim::Optimizer;
use crate::params::Param;
use crate::sampling::NegativeSampler;
use crate::seed::{Rng, Seed};
use crate::tape::{Ids, Tape};
use crate::training::{self, FusedStep, StepLoss, Trainable, TrainingConfig};
use anyhow::{Result, ensure};
use burn::tensor::{Device, Tensor};
use std::ops::Range;
use std::sync::Arc;

/// Fits a graph model.
///
/// # Errors
/// Settings that graph models do not know, data that does not fit, and what
/// [`training::fit`] reports.
pub fn fit(
    mut settings: Settings,
    objective: Objective,
    embeddings: Embeddings,
    context: FitContext<'_>,
) -> Result<Fitted> {
    let config = context.training;
    check(config, objective.loss)?;
    settings.gradient_clip = config.gradient_clip as f32;
    let train = context.data.train;
    let log = Arc::new(train.sorted_by_item());
    let (sampling, alpha) = (config.negative_sampling, config.popularity_alpha);
    let sampler = if objective.loss.samples_negatives() {
        Some(NegativeSampler::new(log.clone(), sampling, alpha)?)
    } else {
        None
    };
    let mut recommender =
        GraphRecommender::new(&settings, train, Some(context.seed), context.device)?;
    for table in recommender.params_mut() {
        table.keep_within(embeddings.max_norm);
    }
    let mut task = GraphTask {
        examples: Examples::new(log, sampler, config.negatives),
        batch: Batch::new(recommender.graph()),
        drawn: Drawn::default(),
        users: Vec::new(),
        items: Vec::new(),
        epoch: 0,
        recommender,
        settings,
        objective,
        embeddings,
        config,
        device: context.device,
        seed: context.seed,
        gcn: None,
        tensors: None,
    };
    let summary = training::fit(&mut task, context)?;
    Ok(Fitted {
        model: Box::new(task.recommender),
        summary,
    })
}

fn check(config: &TrainingConfig, loss: Loss) -> Result<()> {
    ensure!(
        config.label_smoothing == 0.0 || !matches!(loss, Loss::Bpr | Loss::Ccl),
        "`training.label_smoothing` is for losses bce, softmax and full_softmax"
    );
    ensure!(
        !config.normalize_ratings,
        "`training.normalize_ratings` is for `loss = \"mse\"`"
    );
    Ok(())
}

/// A graph model in training.
struct GraphTask<'a> {
    recommender: GraphRecommender,
    settings: Settings,
    objective: Objective,
    embeddings: Embeddings,
    config: &'a TrainingConfig,
    device: &'a Device,
    seed: Seed,
    examples: Examples,
    epoch: usize,
    /// Of the examples of a step.
    users: Vec<u32>,
    items: Vec<u32>,
    batch: Batch,
    /// The same, where tensors train on them.
    drawn: Drawn,
    gcn: Option<Gcn>,
    tensors: Option<OnTensors>,
}

impl GraphTask<'_> {
    fn draw(&mut self, places: Range<usize>) {
        self.users.resize(places.len(), 0);
        self.items.resize(places.len() * self.examples.width(), 0);
        self.examples.fill(places, &mut self.users, &mut self.items);
        self.batch
            .fill(self.recommender.graph(), &self.users, &self.items);
    }

    /// The examples of a step by tensors. A GPU draws them by itself, unless
    /// the host must find the distinct nodes to contrast.
    fn step(&mut self, places: Range<usize>) -> Step {
        let num_users = self.recommender.graph().num_users() as u32;
        let samples = self.objective.loss.samples_negatives();
        if samples && self.settings.contrast.is_none() {
            let (users, items) = self.drawn.draw(&self.examples, places, self.device);
            let items = match items {
                Ids::Host(items) => Ids::Host(items.iter().map(|i| i + num_users).collect()),
                Ids::Device(items) => (*items + num_users as i32).into(),
            };
            return Step {
                users,
                items,
                contrasted: None,
            };
        }
        self.draw(places);
        let (batch, nodes) = (&self.batch, self.recommender.graph().nodes());
        let contrasted = self.settings.contrast.map(|_| {
            let node = |slot: u32| nodes[batch.groups.rows[slot as usize - 1] as usize];
            let of = |slots: Vec<u32>| slots.into_iter().map(node).collect();
            batch.to_contrast().map(of)
        });
        Step {
            users: Ids::Host(self.users.clone()),
            items: Ids::Host(self.items.iter().map(|i| i + num_users).collect()),
            contrasted,
        }
    }

    /// The noise of the step that begins at this place of the epoch.
    fn noise(&self, first: usize) -> Rng {
        let steps = self.examples.len().div_ceil(self.config.batch_size);
        let step = self.epoch * steps + first / self.config.batch_size;
        self.seed.indexed("noise", step as u64)
    }
}

impl Trainable for GraphTask<'_> {
    fn params(&self) -> Vec<&Param> {
        self.recommender.params()
    }

    fn params_mut(&mut self) -> Vec<&mut Param> {
        self.recommender.params_mut()
    }

    fn num_examples(&self) -> usize {
        self.examples.len()
    }

    fn begin_epoch(&mut self, seed: Seed, epoch: usize) {
        self.epoch = epoch;
        self.examples.begin_epoch(seed, epoch);
    }

    fn loss(&mut self, tape: &mut Tape, places: Range<usize>) -> Result<Tensor<1>> {
        let noise = self.noise(places.start);
        let step = self.step(places);
        let graph = self.recommender.graph();
        let tensors = self
            .tensors
            .get_or_insert_with(|| OnTensors::new(graph.clone(), self.settings, self.device));
        let params = self.recommender.params();
        let loss = Goals {
            objective: self.objective,
            smoothing: self.config.label_smoothing,
            embeddings: self.embeddings,
        };
        Ok(tensors.loss(tape, [params[0], params[1]], loss, &step, &noise))
    }

    fn fuse(&mut self, optimizer: &Optimizer) -> Result<bool> {
        let goal = self.objective.goal(self.config.label_smoothing);
        let Some(goal) =
            goal.filter(|_| family(self.device) == Family::Flex && self.embeddings.is_off())
        else {
            return Ok(false);
        };
        let params = self.recommender.params();
        let mut embeddings = params[0].host()?;
        embeddings.extend(params[1].host()?);
        let mut states = optimizer.host_states(params[0])?;
        for (state, of_items) in states.iter_mut().zip(optimizer.host_states(params[1])?) {
            state.extend(of_items);
        }
        let graph = self.recommender.graph().clone();
        self.gcn = Some(Gcn::new(graph, self.settings, goal, &embeddings, &states));
        Ok(true)
    }

    fn fused_step(&mut self, places: Range<usize>, step: FusedStep) -> Result<StepLoss> {
        let noise = self.noise(places.start);
        self.draw(places);
        let gcn = self.gcn.as_mut().expect("`fuse` has made it");
        let loss = gcn.step(&self.batch, &step.hyper, &noise);
        Ok(StepLoss::Host(loss as f32))
    }

    fn write_back(&mut self, optimizer: &mut Optimizer) -> Result<()> {
        let Some(gcn) = &self.gcn else {
            return Ok(());
        };
        let (mut users, mut states) = gcn.take();
        let graph = self.recommender.graph();
        let len = graph.num_users() * self.settings.columns;
        let items = users.split_off(len);
        let of_items = states.iter_mut().map(|state| state.split_off(len));
        let of_items: Vec<_> = of_items.collect();
        let params = self.recommender.params_mut();
        let values = [(users, states), (items, of_items)];
        for (param, (values, states)) in params.into_iter().zip(values) {
            param.set_host(values);
            if !states.is_empty() {
                optimizer.set_host_states(param, states);
            }
        }
        Ok(())
    }

    fn recommender(&self) -> &dyn Recommender {
        &self.recommender
    }
}

//! A model of sequences in training.

use super::examples::Examples;
use super::on_device::OnDevice;
use super::part::{Clock, Part};
use super::recommender::SequenceRecommender;
use super::setup::SequenceLoss;
use super::step::{Negatives, Step, Trainer};
use super::tensors::{TapeStep, with_value};
use crate::data::interactions::Interactions;
use crate::device::is_host;
use crate::kernels::catalog::Goal;
#[cfg(feature = "wgpu")]
use crate::kernels::windows::Source;
use crate::model::Recommender;
use crate::optim::Optimizer;
use crate::params::Param;
use crate::sampling::NegativeSampler;
use crate::seed::Seed;
use crate::tape::{Tape, Updates};
use crate::training::{FusedStep, StepLoss, Trainable, TrainingConfig};
use anyhow::{Context, Result, ensure};
use burn::tensor::Tensor;
use std::ops::Range;
use std::sync::Arc;

pub struct SequenceTask<'a> {
    recommender: SequenceRecommender,
    examples: Examples,
    config: &'a TrainingConfig,
    seed: Seed,
    /// For losses with negatives.
    sampler: Option<NegativeSampler>,
    log_expected: Option<Vec<f32>>,
    on_device: OnDevice,
    trainer: Option<Trainer>,
}

/// The windows of a step.
struct Windows {
    parts: Vec<Part>,
    /// Their places among those of the step.
    share: f64,
}

impl<'a> SequenceTask<'a> {
    /// # Errors
    /// Data without a history of two items, or that negatives cannot be drawn
    /// for.
    pub fn new(
        recommender: SequenceRecommender,
        train: &Interactions,
        config: &'a TrainingConfig,
        seed: Seed,
    ) -> Result<Self> {
        let network = &recommender.network;
        let given = usize::from(network.body.cloze().is_none());
        let mut examples = Examples::new(train, &network.setup, given);
        if network.body.clock() != Clock::None {
            let times = train.timestamps.clone();
            examples = examples.with_times(times.context(
                "the data have no timestamps, which the bias of ages is made of; set \
                 `model.clock = \"none\"`",
            )?);
        }
        ensure!(
            examples.len() > 0,
            "no user has two training interactions, so there are no sequences to learn from"
        );
        let sampler = if network.setup.loss == SequenceLoss::CrossEntropy {
            None
        } else {
            let log = Arc::new(train.sorted_by_item());
            let (sampling, alpha) = (config.negative_sampling, config.popularity_alpha);
            Some(NegativeSampler::new(log, sampling, alpha)?)
        };
        let expected = |sampler: &NegativeSampler| sampler.log_expected(config.negatives);
        let corrected = sampler.as_ref().filter(|_| network.setup.logq_correction);
        Ok(Self {
            log_expected: corrected.map(expected),
            recommender,
            examples,
            config,
            seed,
            sampler,
            on_device: OnDevice::default(),
            trainer: None,
        })
    }

    pub fn into_recommender(self) -> SequenceRecommender {
        self.recommender
    }

    /// The windows of a step; `None` where the window before it takes up all
    /// of its places.
    ///
    /// A step's loss is that of the windows that begin in it, so that the
    /// epoch's mean is right whatever the steps' sizes.
    fn windows(&self, places: Range<usize>) -> Option<Windows> {
        let network = &self.recommender.network;
        let given = usize::from(network.body.cloze().is_none());
        let lengths = self.examples.step(places.clone()).map(|e| e.items.len());
        let held: usize = lengths.map(|len| len - given).sum();
        (held > 0).then(|| Windows {
            parts: self.parts(places.clone()),
            share: held as f64 / places.len() as f64,
        })
    }

    /// What losses sample negatives from.
    fn negatives(&self) -> Option<Negatives<'_>> {
        self.sampler.as_ref().map(|sampler| Negatives {
            sampler,
            stream: &self.examples.negatives,
            count: self.config.negatives,
            log_expected: self.log_expected.as_deref(),
        })
    }

    /// Lets a GPU have what all steps read.
    #[cfg(feature = "wgpu")]
    fn hold(&mut self) {
        let network = &self.recommender.network;
        let source = || {
            let (items, times) = self.examples.log();
            Source {
                items,
                times,
                num_items: network.num_items,
                sampler: self.sampler.as_ref(),
                log_expected: self.log_expected.as_deref(),
            }
        };
        self.on_device.hold(source, &network.device());
    }

    fn goal(&self) -> Option<Goal> {
        let network = &self.recommender.network;
        let setup = &network.setup;
        setup.goal(self.config, network.num_items)
    }

    /// The windows of a step, in groups for a graph each.
    fn parts(&self, places: Range<usize>) -> Vec<Part> {
        let network = &self.recommender.network;
        let mut parts = Vec::new();
        let mut part = Part::default();
        for example in self.examples.step(places) {
            match network.body.cloze() {
                None => part.push_next(&example, network.body.clock()),
                Some(share) => {
                    let mask = network.num_items as u32;
                    part.push_masked(&example, share, mask, &self.examples.masks);
                }
            }
            if part.len() >= network.body.rows() {
                parts.push(std::mem::take(&mut part));
            }
        }
        if !part.is_empty() {
            parts.push(part);
        }
        parts
    }
}

impl Trainable for SequenceTask<'_> {
    fn params(&self) -> Vec<&Param> {
        self.recommender.network.params()
    }

    fn params_mut(&mut self) -> Vec<&mut Param> {
        self.recommender.network_mut().params_mut()
    }

    fn num_examples(&self) -> usize {
        self.examples.len()
    }

    fn begin_epoch(&mut self, seed: Seed, epoch: usize) {
        self.examples.begin_epoch(seed, epoch);
    }

    fn loss(&mut self, tape: &mut Tape, places: Range<usize>) -> Result<Tensor<1>> {
        let Some(Windows { parts, share }) = self.windows(places) else {
            return Ok(tape.floats(vec![0.0], [1]).require_grad());
        };
        #[cfg(feature = "wgpu")]
        self.hold();
        let loss = TapeStep {
            network: &self.recommender.network,
            parts: &parts,
            goal: self.goal(),
            smoothing: self.config.label_smoothing as f32,
            negatives: self.negatives(),
            on_device: &self.on_device,
        }
        .loss(tape);
        let value = loss.clone().inner() * share;
        Ok(with_value(loss, value))
    }

    fn fuse(&mut self, optimizer: &Optimizer) -> Result<bool> {
        let network = &self.recommender.network;
        if !is_host(&network.device()) {
            return Ok(false);
        }
        let all_rows = self.config.updates == Updates::Dense;
        let smoothing = self.config.label_smoothing as f32;
        let trainer = Trainer::new(network, optimizer, self.goal(), smoothing, all_rows)?;
        self.trainer = Some(trainer);
        Ok(true)
    }

    fn fused_step(&mut self, places: Range<usize>, step: FusedStep) -> Result<StepLoss> {
        let Some(Windows { parts, share }) = self.windows(places) else {
            return Ok(StepLoss::Host(0.0));
        };
        let predictions: usize = parts.iter().map(Part::predictions).sum();
        let dropout = self.seed.indexed("dropout", step.number - 1);
        let mut trainer = self.trainer.take().expect("`fuse` has made it");
        let network = &self.recommender.network;
        let sum = trainer.step(
            &Step {
                body: network.body.as_ref(),
                setup: &network.setup,
                parts: &parts,
                negatives: self.negatives(),
                dropout: &dropout,
            },
            &step.hyper,
        );
        self.trainer = Some(trainer);
        Ok(StepLoss::Host((sum / predictions as f64 * share) as f32))
    }

    fn write_back(&mut self, optimizer: &mut Optimizer) -> Result<()> {
        if let Some(trainer) = &self.trainer {
            trainer.write_back(self.recommender.network_mut(), optimizer);
        }
        Ok(())
    }

    fn recommender(&self) -> &dyn Recommender {
        &self.recommender
    }
}

//! Epochs, steps, validation, early stopping, checkpoints.

use super::state::{self, Best, Progress};
use super::{FusedStep, StepLoss, Trainable, TrainingConfig, TrainingSummary};
use crate::event::{EpochRecord, Event};
use crate::kernels::update::Hyper;
use crate::metrics::MetricSpec;
use crate::model::FitContext;
use crate::optim::{Optimizer, ScheduleConfig};
use crate::params::{host, load_all};
use crate::tape::{Tape, Updates};
use anyhow::{Context, Result, bail, ensure};
use burn::tensor::Tensor;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Steps between two readings of the loss: a reading waits for the device.
pub const READ_EVERY: usize = 50;

/// Trains until the last epoch, or until validation stops improving, and
/// leaves the best weights in place. Goes on from the sink's checkpoint where
/// there is one.
///
/// # Errors
/// Settings that the task does not know, a loss that is not finite, a checkpoint that cannot be read or written, a
/// validation that fails.
pub fn fit(task: &mut dyn Trainable, mut context: FitContext<'_>) -> Result<TrainingSummary> {
    context.training.validate()?;
    if task.num_examples() == 0 {
        bail!("there is nothing to train on: no training interaction");
    }
    let mut run = Run::start(task, &mut context)?;
    let mut interrupted = false;
    while !run.progress.finished && !interrupted {
        interrupted = run.epoch(task, &mut context)?;
    }
    run.finish(task, interrupted)
}

struct Run {
    tape: Tape,
    optimizer: Optimizer,
    schedule: ScheduleConfig,
    steps: usize,
    /// Whether the task steps in kernels of its own.
    fused: bool,
    /// Whether those kernels have gone on since the last write-back.
    ahead: bool,
    progress: Progress,
    saved: Instant,
}

impl Run {
    fn start(task: &mut dyn Trainable, context: &mut FitContext<'_>) -> Result<Self> {
        let config = context.training;
        let steps = task.num_examples().div_ceil(config.batch_size);
        let mut optimizer = Optimizer::new(config.optimizer_config());
        let progress = match context.checkpoints.last()? {
            Some(checkpoint) => state::load(&checkpoint, task.params_mut(), &mut optimizer)
                .context("the checkpoint does not belong to this model and data")?,
            None => Progress::default(),
        };
        let fused = task.fuse(&optimizer)?;
        ensure!(
            config.updates != Updates::Hogwild || task.steps_by_example(),
            "`training.updates = \"hogwild\"` is for model `mf` on `--device cpu`, without `cosine` \
             and the keys for embeddings (`l1`, ...), with a loss of an example's own items that takes no \
             `logq_correction`; use `rows`"
        );
        Ok(Self {
            fused,
            ahead: false,
            tape: Tape::training(context.device, config.updates),
            optimizer,
            schedule: config.schedule_config(steps),
            steps,
            progress,
            saved: Instant::now(),
        })
    }

    /// Trains one epoch, or the rest of it; `true` when it was asked to stop.
    fn epoch(&mut self, task: &mut dyn Trainable, context: &mut FitContext<'_>) -> Result<bool> {
        let started = Instant::now();
        let epoch = self.progress.epoch;
        task.begin_epoch(context.seed, epoch);
        context.observer.on(&Event::EpochStarted {
            epoch: epoch + 1,
            epochs: context.training.epochs,
            steps: self.steps,
            interactions: task.num_examples(),
        });
        let first = self.progress.step * context.training.batch_size;
        let interrupted = self.steps_of(task, context)?;
        if interrupted {
            self.save(task, context)?;
            return Ok(true);
        }
        let seconds = started.elapsed().as_secs_f64();
        let examples = task.num_examples();
        let mut record = EpochRecord {
            epoch: epoch + 1,
            loss: self.progress.loss_sum / examples as f64,
            learning_rate: self.rate(),
            seconds,
            interactions_per_second: (examples - first) as f64 / seconds.max(1e-9),
            ..EpochRecord::default()
        };
        self.progress.epoch += 1;
        self.progress.step = 0;
        self.progress.loss_sum = 0.0;
        self.progress.finished = self.progress.epoch == context.training.epochs;
        self.validate(task, context, &mut record)?;
        context.checkpoints.append(&record)?;
        context.observer.on(&Event::EpochFinished(record));
        let due = self.saved.elapsed() >= Duration::from_secs(context.training.checkpoint_seconds);
        let stop = !self.progress.finished && context.observer.stop_requested();
        if due || self.progress.finished || stop {
            self.save(task, context)?;
        }
        Ok(stop)
    }

    /// The rate of the step before the one that comes next.
    fn rate(&self) -> f64 {
        self.schedule.rate(self.optimizer.steps().saturating_sub(1))
    }

    fn steps_of(&mut self, task: &mut dyn Trainable, context: &mut FitContext<'_>) -> Result<bool> {
        let mut pending = Pending::default();
        let batch_size = context.training.batch_size;
        while self.progress.step < self.steps {
            let step = self.progress.step;
            let places = step * batch_size..((step + 1) * batch_size).min(task.num_examples());
            let size = places.len();
            let loss = self.step(task, context, places)?;
            pending.push(loss, size);
            self.progress.step += 1;
            let stop = context.observer.stop_requested();
            let read = pending.len() == READ_EVERY || self.progress.step == self.steps || stop;
            let loss = if read {
                Some(self.read(&mut pending, context.training)?)
            } else {
                None
            };
            context.observer.on(&Event::Step {
                epoch: self.progress.epoch + 1,
                step: self.progress.step,
                steps: self.steps,
                interactions: size,
                loss,
            });
            if stop && self.progress.step < self.steps {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn step(
        &mut self,
        task: &mut dyn Trainable,
        context: &FitContext<'_>,
        places: Range<usize>,
    ) -> Result<StepLoss> {
        let before = self.optimizer.steps();
        let rate = self.schedule.rate(before);
        if self.fused {
            let step = FusedStep {
                number: before + 1,
                hyper: Hyper::new(self.optimizer.config(), rate, before + 1),
            };
            let loss = task.fused_step(places, step)?;
            self.ahead = true;
            self.optimizer.count_step();
            return Ok(loss);
        }
        self.tape.begin(context.seed.indexed("dropout", before));
        let loss = task.loss(&mut self.tape, places)?;
        let grads = loss.backward();
        self.optimizer
            .step(task.params_mut(), self.tape.take_leaves(), &grads, rate);
        Ok(StepLoss::Device(Box::new(loss.inner())))
    }

    /// Adds what is pending to the epoch's loss and returns its mean.
    fn read(&mut self, pending: &mut Pending, config: &TrainingConfig) -> Result<f64> {
        let first = self.progress.step - pending.len();
        let (mut sum, mut count) = (0.0, 0);
        for (i, (loss, size)) in pending.take()?.into_iter().enumerate() {
            if !loss.is_finite() {
                let step = first + i;
                bail!(
                    "the loss became {loss} in epoch {}, step {} (examples {} to {} of the epoch); \
                     lower `training.learning_rate` (now {}), set `training.gradient_clip`, or look for \
                     extreme ratings with `recsys data stats`",
                    self.progress.epoch + 1,
                    step + 1,
                    step * config.batch_size,
                    step * config.batch_size + size,
                    config.learning_rate
                );
            }
            sum += f64::from(loss) * size as f64;
            count += size;
        }
        self.progress.loss_sum += sum;
        Ok(sum / count.max(1) as f64)
    }

    fn validate(
        &mut self,
        task: &mut dyn Trainable,
        context: &mut FitContext<'_>,
        record: &mut EpochRecord,
    ) -> Result<()> {
        let config = context.training;
        let due = config.validate_every > 0
            && (record.epoch.is_multiple_of(config.validate_every) || self.progress.finished);
        let Some(validate) = context.validate.as_mut().filter(|_| due) else {
            return Ok(());
        };
        if std::mem::take(&mut self.ahead) {
            task.write_back(&mut self.optimizer)?;
        }
        record.validation = validate(task.recommender())?;
        let metric = MetricSpec::parse(&config.validation_metric)?;
        let value = value_of(&record.validation, &config.validation_metric)?;
        let better = self
            .progress
            .best
            .as_ref()
            .is_none_or(|b| metric.direction().is_better(value, b.value));
        record.best = better;
        if better {
            let weights = state::weights(&task.params())?;
            self.progress.best = Some(Best {
                epoch: record.epoch,
                value,
                weights: Arc::new(weights),
            });
            self.progress.without_improvement = 0;
            return Ok(());
        }
        self.progress.without_improvement += 1;
        let patience = config.patience;
        if patience > 0 && self.progress.without_improvement >= patience && !self.progress.finished
        {
            self.progress.finished = true;
            self.progress.stopped_early = true;
            if let Some(best) = &self.progress.best {
                context.observer.on(&Event::EarlyStop {
                    epoch: record.epoch,
                    best_epoch: best.epoch,
                    metric: config.validation_metric.clone(),
                    best: best.value,
                });
            }
        }
        Ok(())
    }

    fn save(&mut self, task: &mut dyn Trainable, context: &mut FitContext<'_>) -> Result<()> {
        if std::mem::take(&mut self.ahead) {
            task.write_back(&mut self.optimizer)?;
        }
        let state = state::store(&task.params(), &self.optimizer, &self.progress)?;
        context.checkpoints.save_last(state)?;
        self.saved = Instant::now();
        Ok(())
    }

    fn finish(self, task: &mut dyn Trainable, interrupted: bool) -> Result<TrainingSummary> {
        let progress = self.progress;
        if let Some(best) = &progress.best {
            load_all(task.params_mut(), &best.weights)?;
        }
        Ok(TrainingSummary {
            epochs: progress.epoch,
            best_epoch: progress.best.as_ref().map_or(progress.epoch, |b| b.epoch),
            best_value: progress.best.as_ref().map(|b| b.value),
            interrupted,
            stopped_early: progress.stopped_early,
        })
    }
}

fn value_of(metrics: &BTreeMap<String, f64>, name: &str) -> Result<f64> {
    metrics.get(name).copied().with_context(|| {
        let known: Vec<_> = metrics.keys().map(String::as_str).collect();
        format!(
            "`training.validation_metric = \"{name}\"` is not among what validation computes ({})",
            known.join(", ")
        )
    })
}

/// Losses that have not been read back from the device.
#[derive(Default)]
struct Pending {
    losses: Vec<StepLoss>,
    sizes: Vec<usize>,
}

impl Pending {
    fn push(&mut self, loss: StepLoss, size: usize) {
        self.losses.push(loss);
        self.sizes.push(size);
    }

    fn len(&self) -> usize {
        self.losses.len()
    }

    /// All losses on the device come back in one reading.
    fn take(&mut self) -> Result<Vec<(f32, usize)>> {
        let losses = std::mem::take(&mut self.losses);
        let on_device: Vec<_> = losses
            .iter()
            .filter_map(|loss| match loss {
                StepLoss::Device(loss) => Some(loss.as_ref().clone()),
                StepLoss::Host(_) | StepLoss::Late(..) => None,
            })
            .collect();
        let mut read = if on_device.is_empty() {
            Vec::new().into_iter()
        } else {
            host(Tensor::cat(on_device, 0))?.into_iter()
        };
        let value = |loss| {
            Ok(match loss {
                StepLoss::Host(value) => value,
                StepLoss::Device(_) => read.next().unwrap_or(f32::NAN),
                StepLoss::Late(losses, number) => losses.read(number)?,
            })
        };
        let values = losses.into_iter().map(value).collect::<Result<Vec<_>>>()?;
        let sizes = std::mem::take(&mut self.sizes);
        Ok(values.into_iter().zip(sizes).collect())
    }
}

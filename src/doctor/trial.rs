//! A training of two seconds.

use crate::data::dataset::Log;
use crate::data::interactions::Interactions;
use crate::device::{self, DeviceChoice, Resolved};
use crate::event::{Event, Observer};
use crate::model::{FitContext, ModelData};
use crate::models;
use crate::seed::Seed;
use crate::training::{MemorySink, TrainingConfig};
use anyhow::{Context, Result};
use serde::Serialize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

const SPAN: Duration = Duration::from_secs(2);
const USERS: usize = 20_000;
const ITEMS: usize = 10_000;
const PER_USER: usize = 50;

/// How a device did.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    /// As `--device` takes it.
    pub device: String,
    pub name: String,
    pub backend: String,
    pub driver: String,
    /// Until the first losses were there: kernels are compiled, data moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_seconds: Option<f64>,
    /// `mf` with BPR, 64 dimensions, batches of 2,048, over 1 M interactions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub examples_per_second: Option<f64>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Trains two seconds on a device; never fails, but says what went wrong.
pub fn trial(choice: DeviceChoice) -> Trial {
    let mut trial = Trial {
        device: choice.to_string(),
        name: String::new(),
        backend: String::new(),
        driver: String::new(),
        start_seconds: None,
        examples_per_second: None,
        error: None,
    };
    // A driver may do worse than return an error.
    let tried = catch_unwind(AssertUnwindSafe(|| {
        let device = device::resolve(choice)?;
        Ok((device.clone(), train(&device)))
    }));
    let tried: Result<(Resolved, Result<Stopwatch>)> =
        tried.unwrap_or_else(|panic| Err(anyhow::anyhow!("it panicked: {}", words(&*panic))));
    let measured = match tried {
        Ok((device, measured)) => {
            trial.name = device.name;
            trial.backend = device.backend;
            trial.driver = device.driver;
            measured.and_then(|watch| watch.speed().context("no step was finished"))
        }
        Err(e) => Err(e),
    };
    match measured {
        Ok((start, speed)) => {
            trial.start_seconds = Some(start);
            trial.examples_per_second = Some(speed);
        }
        Err(e) => trial.error = Some(format!("{e:#}")),
    }
    trial
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
    text.unwrap_or_else(|| "without a word".into())
}

fn train(device: &Resolved) -> Result<Stopwatch> {
    let train = interactions();
    let entry = models::find("mf")?;
    let training = TrainingConfig {
        epochs: usize::MAX / 2,
        validate_every: 0,
        checkpoint_seconds: u64::MAX,
        ..TrainingConfig::default()
    };
    let mut watch = Stopwatch::default();
    models::build(entry.name, (entry.defaults)())?.fit(FitContext {
        data: ModelData {
            train: &train,
            user_features: None,
            item_features: None,
        },
        training: &training,
        device: &device.device,
        seed: Seed(0),
        observer: &mut watch,
        validate: None,
        checkpoints: &mut MemorySink::default(),
    })?;
    Ok(watch)
}

/// A million interactions, each user's with items of its own.
fn interactions() -> Interactions {
    let log = Log {
        users: (0..USERS * PER_USER)
            .map(|row| (row / PER_USER) as u32)
            .collect(),
        items: (0..USERS * PER_USER)
            .map(|row| (row.wrapping_mul(7919) % ITEMS) as u32)
            .collect(),
        ..Log::default()
    };
    let order: Vec<u32> = (0..log.len() as u32).collect();
    Interactions::from_rows(&order, &log.columns(), USERS, ITEMS)
}

/// Counts examples between two moments at which the device had done all that
/// it was asked for: losses are read back then.
#[derive(Debug)]
struct Stopwatch {
    begun: Instant,
    first: Option<Instant>,
    last: Option<Instant>,
    /// Since the first, and those of them before the last.
    examples: usize,
    done: usize,
}

impl Default for Stopwatch {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            first: None,
            last: None,
            examples: 0,
            done: 0,
        }
    }
}

impl Stopwatch {
    /// Seconds until the first losses, and examples per second after them.
    fn speed(&self) -> Option<(f64, f64)> {
        let (first, last) = (self.first?, self.last?);
        let seconds = (last - first).as_secs_f64();
        let start = (first - self.begun).as_secs_f64();
        (seconds > 0.0).then(|| (start, self.done as f64 / seconds))
    }
}

impl Observer for Stopwatch {
    fn on(&mut self, event: &Event) {
        let Event::Step {
            interactions, loss, ..
        } = event
        else {
            return;
        };
        if self.first.is_some() {
            self.examples += interactions;
        }
        if loss.is_some() {
            let now = Instant::now();
            match self.first {
                None => self.first = Some(now),
                Some(_) => (self.last, self.done) = (Some(now), self.examples),
            }
        }
    }

    fn stop_requested(&self) -> bool {
        self.first.is_some_and(|first| first.elapsed() >= SPAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_trains_and_what_is_not_there_says_so() {
        let cpu = trial(DeviceChoice::Cpu);
        assert!(cpu.examples_per_second.unwrap() > 1000.0, "{cpu:?}");
        let none = trial(DeviceChoice::Wgpu(device::Adapter::Index(99)));
        assert!(none.error.unwrap().contains("wgpu"));
    }
}

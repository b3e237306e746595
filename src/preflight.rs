//! What a training will take, before and at its beginning: memory, which is
//! refused where there is not as much, and the time of an epoch.

use crate::device::{Resolved, vram};
use crate::event::{Event, Forecast, Observer};
use crate::footprint::{Footprint, Workload};
use crate::machine::{bytes, memory, resident};
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

/// An epoch is foretold once so much of it has passed.
const ENOUGH: Duration = Duration::from_secs(1);

/// What there is to have, in bytes; `None` where nobody tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    pub host: Option<u64>,
    pub device: Option<u64>,
}

impl Room {
    /// Of this machine and a device.
    pub fn of(device: &Resolved) -> Self {
        let on_gpu = device.backend.starts_with("wgpu");
        let card = on_gpu.then(|| vram::of_adapter(&device.name, &device.driver, &vram::cards()));
        Self {
            host: memory().map(|m| m.available),
            device: card.flatten().map(|c| c.free),
        }
    }
}

/// Refuses a model that will not fit.
///
/// # Errors
/// More bytes than there is room for; says what to change.
pub fn ensure_fits(model: &str, footprint: &Footprint, room: Room) -> Result<()> {
    let sides = [
        (footprint.peak(), room.host, "memory"),
        (footprint.on_device, room.device, "the device's memory"),
    ];
    for (needed, room, of_what) in sides {
        let Some(room) = room else {
            continue;
        };
        ensure!(
            needed <= room,
            "model `{model}` will take about {} of {of_what}, and {} are free: {}; `train \
             --no-preflight` tries all the same",
            bytes(needed),
            bytes(room),
            footprint.instead
        );
    }
    Ok(())
}

/// What is told of a footprint; the data are in memory by now.
pub fn forecast(footprint: &Footprint, work: &Workload<'_>) -> Forecast {
    let (now, most) = resident().unwrap_or_default();
    Forecast {
        parameter_bytes: footprint
            .parameters
            .max(footprint.on_device.min(parameters(footprint, work))),
        peak_bytes: most.max(now + footprint.peak()),
        device_bytes: footprint.on_device,
        epoch_seconds: None,
        epochs: 0,
    }
}

/// The parameters of a model on a device, from all that it holds there.
fn parameters(footprint: &Footprint, work: &Workload<'_>) -> u64 {
    let states = crate::optim::num_states(work.training.optimizer) as u64;
    footprint.on_device / (2 + states)
}

/// Passes events on, and adds a [`Forecast`] once the first epoch shows how
/// long it will take.
pub struct Forecasting<'a> {
    inner: &'a mut dyn Observer,
    forecast: Option<Forecast>,
    interactions: usize,
    done: usize,
    /// The end of the first step, which compiles kernels, and what was done
    /// then.
    first: Option<(Instant, usize)>,
}

impl<'a> Forecasting<'a> {
    pub fn new(inner: &'a mut dyn Observer, forecast: Forecast) -> Self {
        Self {
            inner,
            forecast: Some(forecast),
            interactions: 0,
            done: 0,
            first: None,
        }
    }

    fn tell(&mut self, seconds: Option<f64>) {
        if let Some(mut forecast) = self.forecast.take() {
            forecast.epoch_seconds = seconds;
            self.inner.on(&Event::Forecast(forecast));
        }
    }

    fn step(&mut self, interactions: usize, settled: bool) {
        self.done += interactions;
        let Some((since, before)) = self.first else {
            self.first = Some((Instant::now(), self.done));
            return;
        };
        // Only when losses are read has the device done what it was told.
        let elapsed = since.elapsed();
        if settled && elapsed >= ENOUGH {
            let each = elapsed.as_secs_f64() / (self.done - before).max(1) as f64;
            self.tell(Some(each * self.interactions as f64));
        }
    }
}

impl Observer for Forecasting<'_> {
    fn on(&mut self, event: &Event) {
        match event {
            Event::EpochStarted {
                epochs,
                interactions,
                ..
            } => {
                (self.interactions, self.done, self.first) = (*interactions, 0, None);
                if let Some(forecast) = &mut self.forecast {
                    forecast.epochs = *epochs;
                }
            }
            Event::Step {
                interactions, loss, ..
            } if self.forecast.is_some() => self.step(*interactions, loss.is_some()),
            Event::EpochFinished(record) => self.tell(Some(record.seconds)),
            _ => {}
        }
        self.inner.on(event);
    }

    fn stop_requested(&self) -> bool {
        self.inner.stop_requested()
    }
}

impl Drop for Forecasting<'_> {
    /// A model without epochs has its memory told all the same.
    fn drop(&mut self) {
        self.tell(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EpochRecord;

    const FOOTPRINT: Footprint = Footprint {
        parameters: 1 << 30,
        fitting: 3 << 30,
        ranking: 1 << 20,
        on_device: 0,
        instead: "set a smaller model.embedding_dim",
    };

    #[test]
    fn what_does_not_fit_is_refused_with_a_way_out() {
        let room = |host, device| Room { host, device };
        ensure_fits("mf", &FOOTPRINT, room(Some(4 << 30), None)).unwrap();
        ensure_fits("mf", &FOOTPRINT, Room::default()).unwrap();
        let error = ensure_fits("mf", &FOOTPRINT, room(Some(2 << 30), None)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "model `mf` will take about 4.0 GiB of memory, and 2.0 GiB are free: set a smaller \
             model.embedding_dim; `train --no-preflight` tries all the same"
        );
        let on_card = Footprint {
            on_device: 9 << 30,
            ..FOOTPRINT
        };
        let error = ensure_fits("mf", &on_card, room(Some(8 << 30), Some(8 << 30))).unwrap_err();
        assert!(
            error.to_string().contains("9.0 GiB of the device's memory"),
            "{error}"
        );
    }

    #[derive(Default)]
    struct Kept(Vec<Forecast>);

    impl Observer for Kept {
        fn on(&mut self, event: &Event) {
            if let Event::Forecast(forecast) = event {
                self.0.push(*forecast);
            }
        }
    }

    fn started() -> Event {
        Event::EpochStarted {
            epoch: 1,
            epochs: 7,
            steps: 100,
            interactions: 1000,
        }
    }

    fn step(loss: Option<f64>) -> Event {
        Event::Step {
            epoch: 1,
            step: 1,
            steps: 100,
            interactions: 10,
            loss,
        }
    }

    #[test]
    fn an_epoch_is_foretold_once_from_its_first_steps() {
        let mut kept = Kept::default();
        let mut observer = Forecasting::new(&mut kept, Forecast::default());
        observer.on(&started());
        observer.on(&step(Some(1.0)));
        // As if the first step had ended two seconds ago.
        let (since, done) = observer.first.unwrap();
        observer.first = Some((since - Duration::from_secs(2), done));
        observer.on(&step(None));
        observer.on(&step(Some(1.0)));
        observer.on(&step(Some(1.0)));
        drop(observer);
        assert_eq!(kept.0.len(), 1);
        // 20 examples in two seconds, 1000 in a hundred.
        let seconds = kept.0[0].epoch_seconds.unwrap();
        assert!((100.0..101.0).contains(&seconds), "{seconds}");
        assert_eq!(kept.0[0].epochs, 7);
    }

    #[test]
    fn a_short_epoch_and_no_epoch_are_told_as_they_were() {
        let mut kept = Kept::default();
        let mut observer = Forecasting::new(&mut kept, Forecast::default());
        observer.on(&started());
        observer.on(&step(Some(1.0)));
        observer.on(&Event::EpochFinished(EpochRecord {
            seconds: 0.25,
            ..EpochRecord::default()
        }));
        drop(observer);
        drop(Forecasting::new(&mut kept, Forecast::default()));
        let seconds: Vec<_> = kept.0.iter().map(|f| f.epoch_seconds).collect();
        assert_eq!(seconds, [Some(0.25), None]);
    }
}

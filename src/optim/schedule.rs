//! The learning rate over the course of a training.

use serde::{Deserialize, Serialize};

/// `schedule` of `[training]`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    #[default]
    Constant,
    /// Times `decay_factor` every `decay_epochs` epochs.
    Step,
    /// From the full rate to zero over all epochs (Loshchilov & Hutter, ICLR
    /// 2017, without restarts).
    Cosine,
}

/// The numbers of a schedule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScheduleConfig {
    pub kind: Schedule,
    pub learning_rate: f64,
    /// Steps over which the rate rises linearly from zero.
    pub warmup_steps: u64,
    pub decay_epochs: usize,
    pub decay_factor: f64,
    pub epochs: usize,
    pub steps_per_epoch: usize,
}

impl ScheduleConfig {
    /// The rate of a step, counted from 0 over the whole training.
    pub fn rate(&self, step: u64) -> f64 {
        let warmup = if step < self.warmup_steps {
            (step + 1) as f64 / self.warmup_steps as f64
        } else {
            1.0
        };
        let per_epoch = self.steps_per_epoch.max(1) as u64;
        let factor = match self.kind {
            Schedule::Constant => 1.0,
            Schedule::Step => {
                let times = step / per_epoch / self.decay_epochs.max(1) as u64;
                self.decay_factor
                    .powi(i32::try_from(times).unwrap_or(i32::MAX))
            }
            Schedule::Cosine => {
                let total = (per_epoch * self.epochs as u64).max(1);
                let progress = (step as f64 / total as f64).min(1.0);
                0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
            }
        };
        self.learning_rate * warmup * factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: ScheduleConfig = ScheduleConfig {
        kind: Schedule::Constant,
        learning_rate: 1.0,
        warmup_steps: 0,
        decay_epochs: 2,
        decay_factor: 0.5,
        epochs: 10,
        steps_per_epoch: 10,
    };

    #[test]
    fn each_schedule_at_its_landmarks() {
        assert_eq!(BASE.rate(99), 1.0);
        let step = ScheduleConfig {
            kind: Schedule::Step,
            ..BASE
        };
        assert_eq!(
            [step.rate(19), step.rate(20), step.rate(40)],
            [1.0, 0.5, 0.25]
        );
        let cosine = ScheduleConfig {
            kind: Schedule::Cosine,
            ..BASE
        };
        assert_eq!(cosine.rate(0), 1.0);
        assert!((cosine.rate(50) - 0.5).abs() < 1e-12 && cosine.rate(100) < 1e-12);
        let warm = ScheduleConfig {
            warmup_steps: 4,
            ..BASE
        };
        assert_eq!([warm.rate(0), warm.rate(3), warm.rate(4)], [0.25, 1.0, 1.0]);
    }
}

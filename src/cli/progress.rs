//! Draws events on standard error: bars on a terminal, plain lines elsewhere.

use super::interrupt::Interrupt;
use super::output;
use crate::event::{EpochRecord, Event, Forecast, Observer};
use crate::machine::bytes;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Without a terminal, a long epoch says that often how far it is.
const PLAIN_INTERVAL: Duration = Duration::from_secs(30);

const EPOCH_BAR: &str = "{prefix} {bar:30} {percent:>3}%  {msg}  ETA {eta}";
const EVALUATION_BAR: &str = "evaluating {bar:30} {percent:>3}%  {human_pos} of {human_len} users";

/// Draws what happens.
pub struct Progress {
    interrupt: Interrupt,
    quiet: bool,
    terminal: bool,
    bar: Option<ProgressBar>,
    /// Interactions of the epoch so far, and since when.
    interactions: usize,
    begun: Instant,
    last_line: Instant,
    loss: Option<f64>,
    epochs: usize,
    /// The validation metric that epoch lines show; all of them otherwise.
    watched: Option<String>,
    /// What is said once the epoch's own line is out.
    after_epoch: Option<String>,
}

impl Progress {
    pub fn new(quiet: bool, interrupt: Interrupt) -> Self {
        let now = Instant::now();
        Self {
            interrupt,
            quiet,
            terminal: std::io::stderr().is_terminal(),
            bar: None,
            interactions: 0,
            begun: now,
            last_line: now,
            loss: None,
            epochs: 0,
            watched: None,
            after_epoch: None,
        }
    }

    /// Epoch lines show this metric alone; `metrics.jsonl` has all.
    pub fn watch(&mut self, metric: &str) {
        self.watched = Some(metric.to_string());
    }

    /// A line for the person.
    pub fn say(&mut self, line: &str) {
        if self.quiet {
            return;
        }
        self.last_line = Instant::now();
        match &self.bar {
            Some(bar) => bar.suspend(|| output::note(line)),
            None => output::note(line),
        }
    }

    fn start_bar(&mut self, template: &str, len: usize, prefix: String) {
        self.end_bar();
        if self.quiet || !self.terminal {
            return;
        }
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━╸ ");
        let bar = ProgressBar::with_draw_target(Some(len as u64), ProgressDrawTarget::stderr());
        bar.set_style(style);
        bar.set_prefix(prefix);
        self.bar = Some(bar);
    }

    fn end_bar(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn step(&mut self, event: &Event) {
        let Event::Step {
            epoch,
            step,
            steps,
            interactions,
            loss,
        } = event
        else {
            return;
        };
        self.loss = loss.or(self.loss);
        self.interactions += interactions;
        let speed = self.interactions as f64 / self.begun.elapsed().as_secs_f64().max(1e-9);
        let state = format!("{}{} interactions/s", loss_text(self.loss), short(speed));
        if let Some(bar) = &self.bar {
            bar.set_position(*step as u64);
            bar.set_message(state);
        } else if self.last_line.elapsed() >= PLAIN_INTERVAL {
            let epochs = self.epochs;
            self.say(&format!(
                "epoch {epoch}/{epochs}  step {step}/{steps}  {state}"
            ));
        }
    }

    fn evaluated(&mut self, done: usize, total: usize) {
        if self.bar.is_none() {
            self.start_bar(EVALUATION_BAR, total, String::new());
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
        }
        if done >= total {
            self.end_bar();
        }
    }

    fn epoch_line(&self, record: &EpochRecord) -> String {
        let width = self.epochs.to_string().len();
        let left = self.epochs.saturating_sub(record.epoch) as f64 * record.seconds;
        let mut line = format!(
            "epoch {:>width$}/{}  loss {:.4}  {} interactions/s  {:.1} s",
            record.epoch,
            self.epochs,
            record.loss,
            short(record.interactions_per_second),
            record.seconds
        );
        // Less is over before it is read.
        if left >= 10.0 {
            line += &format!(", {} to go", duration(left));
        }
        let shown = |name: &String| self.watched.as_ref().is_none_or(|w| w == name);
        let validation = record.validation.iter().filter(|(m, _)| shown(m));
        let values: Vec<_> = validation.map(|(m, v)| format!("{m} {v:.4}")).collect();
        if !values.is_empty() {
            line += &format!("  validation {}", values.join("  "));
            line += if record.best { " (best)" } else { "" };
        }
        line
    }
}

impl Observer for Progress {
    fn on(&mut self, event: &Event) {
        match event {
            Event::Stage(text) => self.say(text),
            Event::Warning(text) => {
                // Quiet or not: a warning is about the result.
                match &self.bar {
                    Some(bar) => bar.suspend(|| output::note(&format!("warning: {text}"))),
                    None => output::note(&format!("warning: {text}")),
                }
            }
            Event::Forecast(forecast) => self.say(&forecast_line(forecast)),
            Event::EpochStarted {
                epoch,
                epochs,
                steps,
                ..
            } => {
                self.begun = Instant::now();
                self.interactions = 0;
                self.loss = None;
                self.epochs = *epochs;
                self.start_bar(EPOCH_BAR, *steps, format!("epoch {epoch}/{epochs}"));
            }
            Event::Step { .. } => self.step(event),
            Event::EpochFinished(record) => {
                self.end_bar();
                let line = self.epoch_line(record);
                self.say(&line);
                if let Some(line) = self.after_epoch.take() {
                    self.say(&line);
                }
            }
            Event::EarlyStop {
                epoch,
                best_epoch,
                metric,
                best,
            } => {
                self.after_epoch = Some(format!(
                    "stopped early after epoch {epoch}: {metric} was best in epoch {best_epoch} ({best:.4})"
                ));
            }
            Event::Evaluated { done, total } => self.evaluated(*done, *total),
        }
    }

    fn stop_requested(&self) -> bool {
        self.interrupt.requested()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end_bar();
    }
}

/// `memory` and time, in one line.
fn forecast_line(forecast: &Forecast) -> String {
    let mut line = format!(
        "takes {} of parameters, about {} of memory at the peak",
        bytes(forecast.parameter_bytes),
        bytes(forecast.peak_bytes)
    );
    if forecast.device_bytes > 0 {
        line += &format!(" and {} on the device", bytes(forecast.device_bytes));
    }
    if let Some(seconds) = forecast.epoch_seconds {
        let each = match seconds {
            s if s < 10.0 => format!("{s:.1} s"),
            s => duration(s),
        };
        line += &format!("; about {each} an epoch");
        let all = seconds * forecast.epochs as f64;
        if all >= 60.0 {
            line += &format!(", all {} at most {}", forecast.epochs, duration(all));
        }
    }
    line
}

fn loss_text(loss: Option<f64>) -> String {
    loss.map_or_else(String::new, |loss| format!("loss {loss:.4}  "))
}

/// A large number in few characters.
pub fn short(value: f64) -> String {
    match value {
        v if v >= 1e9 => format!("{:.1}G", v / 1e9),
        v if v >= 1e6 => format!("{:.1}M", v / 1e6),
        v if v >= 1e3 => format!("{:.0}k", v / 1e3),
        v => format!("{v:.0}"),
    }
}

/// Seconds as a person says them.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..=59 => format!("{whole} s"),
        60..=3599 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(short(950.4), "950");
        assert_eq!(short(12_345.0), "12k");
        assert_eq!(short(2_340_000.0), "2.3M");
        assert_eq!(duration(59.4), "59 s");
        assert_eq!(duration(61.0), "1 min 01 s");
        assert_eq!(duration(7260.0), "2 h 01 min");
    }

    #[test]
    fn a_forecast_is_one_line() {
        let forecast = Forecast {
            parameter_bytes: 12 << 20,
            peak_bytes: 180 << 20,
            device_bytes: 0,
            epoch_seconds: Some(3.21),
            epochs: 100,
        };
        assert_eq!(
            forecast_line(&forecast),
            "takes 12 MiB of parameters, about 180 MiB of memory at the peak; about 3.2 s an \
             epoch, all 100 at most 5 min 21 s"
        );
    }

    #[test]
    fn an_epoch_line_says_what_matters() {
        let mut progress = Progress::new(true, Interrupt::default());
        progress.epochs = 20;
        progress.watch("ndcg@10");
        let record = EpochRecord {
            epoch: 3,
            loss: 0.5,
            seconds: 2.0,
            interactions_per_second: 1.2e6,
            validation: [("auc".to_string(), 0.5), ("ndcg@10".to_string(), 0.25)].into(),
            best: true,
            ..EpochRecord::default()
        };
        assert_eq!(
            progress.epoch_line(&record),
            "epoch  3/20  loss 0.5000  1.2M interactions/s  2.0 s, 34 s to go  \
             validation ndcg@10 0.2500 (best)"
        );
    }
}

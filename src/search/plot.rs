//! A search as one page: how it went, and where the good settings lie.

use super::trial::shown;
use super::{Search, Trial, TrialState, has_epochs};
use crate::compare::{self, Comparison};
use crate::metrics::Direction;
use crate::page::{self, Page, escaped, muted};
use crate::report::EvaluatedPart;
use crate::tune::{Dimension, Range};

/// A search and what it tried.
pub struct Plotted<'a> {
    pub name: &'a str,
    pub metric: &'a str,
    pub search: &'a Search<'a>,
    pub trials: &'a [Trial],
    /// Of the best with the config as it stands, a part each.
    pub gains: &'a [Comparison],
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 280.0;
const PANEL: (f64, f64) = (340.0, 220.0);

/// Of a difference on validation.
const CHOSEN: &str = "The best was chosen for these figures, which flatter it; those on test had no \
                      say in it.";

/// Trials in the table.
const ROWS: usize = 15;

pub fn html(searches: &[Plotted<'_>]) -> String {
    let main: String = searches.iter().map(section).collect();
    Page {
        title: "Search for better settings",
        main: &main,
        ..Page::default()
    }
    .html()
}

fn section(plotted: &Plotted<'_>) -> String {
    let best = plotted.search.best(plotted.trials);
    let count = |state| plotted.trials.iter().filter(|t| t.state == state).count();
    let seconds: f64 = plotted.trials.iter().map(|t| t.seconds).sum();
    let mut text = format!("<h2>{}</h2>\n<p>", escaped(plotted.name));
    if let (Some(best), Some(first)) = (best, plotted.trials.first()) {
        let value = |t: &Trial| {
            t.value
                .map_or_else(|| "-".to_string(), |v| format!("{v:.4}"))
        };
        text += &format!(
            "Validation {}: {} as configured, <strong>{}</strong> at best (trial {}). ",
            escaped(plotted.metric),
            value(first),
            value(best),
            best.number + 1
        );
    }
    text += &on_test(plotted);
    text += &format!(
        "{} trials in {seconds:.0} s: {} to the end, {} given up, {} failed.</p>\n",
        plotted.trials.len(),
        count(TrialState::Complete),
        count(TrialState::Pruned),
        count(TrialState::Failed)
    );
    let scale = Scale::of(plotted);
    text += &history(plotted, &scale);
    text += &muted(
        "Full: to its end; hollow: given up; cross: failed; large: the best. What is far worse \
         lies on the edge.",
    );
    text += "<div class=\"panels\">\n";
    for dimension in &plotted.search.space().dimensions {
        text += &panel(plotted, dimension, &scale);
    }
    text += "</div>\n";
    text += &table(plotted);
    for gain in plotted.gains {
        text += &format!(
            "<h3>The best and the config as it stands, on {}</h3>\n",
            gain.part
        );
        if gain.part == EvaluatedPart::Validation {
            text += &muted(CHOSEN);
        }
        text += &compare::section(gain, 4);
    }
    text
}

/// What the search is worth where no trial was chosen.
fn on_test(plotted: &Plotted<'_>) -> String {
    let gains = plotted.gains.iter();
    let mut tests = gains
        .filter(|gain| gain.part == EvaluatedPart::Test)
        .flat_map(|gain| &gain.tests);
    match tests.find(|test| test.metric == plotted.metric) {
        Some(test) => format!(
            "Test: {:.4} as configured, <strong>{:.4}</strong> tuned, {:+.4} a user (95% interval \
             {:+.4} to {:+.4}). ",
            test.against_value, test.value, test.difference, test.interval[0], test.interval[1]
        ),
        None => String::new(),
    }
}

/// The values from which axes are made. What is far worse than the rest would
/// press the rest together, and goes to the edge.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn of(plotted: &Plotted<'_>) -> Self {
        let mut values: Vec<f64> = plotted.trials.iter().filter_map(|t| t.value).collect();
        values.sort_unstable_by(f64::total_cmp);
        let (Some(&least), Some(&most)) = (values.first(), values.last()) else {
            return Self {
                low: 0.0,
                high: 1.0,
            };
        };
        let middle = values[values.len() / 2];
        let (low, high) = match plotted.search.direction() {
            Direction::HigherIsBetter => (least.max(most - 4.0 * (most - middle)), most),
            Direction::LowerIsBetter => (least, most.min(least + 4.0 * (middle - least))),
        };
        let room = if high > low { 0.08 * (high - low) } else { 0.1 };
        Self {
            low: low - room,
            high: high + room,
        }
    }

    /// From the top of a box of this height.
    fn y(&self, value: f64, height: f64) -> f64 {
        let share = (value.clamp(self.low, self.high) - self.low) / (self.high - self.low);
        height * (1.0 - share)
    }
}

/// A picture with room for its axes: left, top, and the inner box.
struct Frame {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    text: String,
}

impl Frame {
    fn new(size: (f64, f64), title: &str, scale: &Scale) -> Self {
        let (left, top) = (56.0, 24.0);
        let (width, height) = (size.0 - left - 12.0, size.1 - top - 36.0);
        let mut text = format!(
            "<svg class=\"plot\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{title}\">\n\
             <text x=\"{left}\" y=\"14\" font-weight=\"600\">{title}</text>\n",
            size.0,
            size.1,
            title = escaped(title)
        );
        for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
            let value = scale.low + share * (scale.high - scale.low);
            let y = top + scale.y(value, height);
            text += &format!(
                "<line x1=\"{left}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"var(--rule)\"/>\n\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.3}</text>\n",
                left + width,
                left - 6.0,
                y + 4.0
            );
        }
        Self {
            left,
            top,
            width,
            height,
            text,
        }
    }

    /// A label under the box, at a share of its width.
    fn label(&mut self, share: f64, text: &str) {
        let anchor = match share {
            s if s <= 0.02 => "start",
            s if s >= 0.98 => "end",
            _ => "middle",
        };
        self.text += &format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>\n",
            self.left + share * self.width,
            self.top + self.height + 18.0,
            escaped(text)
        );
    }

    /// One trial: full where it came to its end, hollow where it was given
    /// up, a cross on the floor where it failed.
    fn mark(&mut self, share: f64, trial: &Trial, scale: &Scale, best: bool) {
        let x = self.left + share * self.width;
        let title = format!("<title>trial {}</title>", trial.number + 1);
        let Some(value) = trial.value.filter(|_| trial.state != TrialState::Failed) else {
            let y = self.top + self.height;
            self.text += &format!(
                "<path d=\"M{:.1} {:.1}l8 8m0 -8l-8 8\" stroke=\"var(--bad)\" stroke-width=\"2\">{title}</path>\n",
                x - 4.0,
                y - 4.0
            );
            return;
        };
        let y = self.top + scale.y(value, self.height);
        let look = match (trial.state, best) {
            (_, true) => "r=\"6\" fill=\"var(--good)\"",
            (TrialState::Complete, _) => "r=\"4\" fill=\"var(--c0)\" fill-opacity=\".75\"",
            _ => "r=\"4\" fill=\"none\" stroke=\"var(--muted)\" stroke-width=\"1.5\"",
        };
        self.text += &format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" {look}>{title}</circle>\n");
    }

    fn end(self) -> String {
        self.text + "</svg>\n"
    }
}

/// Value by trial, and the best so far.
fn history(plotted: &Plotted<'_>, scale: &Scale) -> String {
    let title = format!("{} by trial, and the best so far", plotted.metric);
    let mut frame = Frame::new((WIDTH, HEIGHT), &title, scale);
    let last = (plotted.trials.len().max(2) - 1) as f64;
    let best = plotted.search.best(plotted.trials).map(|t| t.number);
    let mut path = String::new();
    for trial in plotted.trials {
        let share = trial.number as f64 / last;
        let so_far = &plotted.trials[..=trial.number];
        if let Some(value) = plotted.search.best(so_far).and_then(|t| t.value) {
            let (x, y) = (
                frame.left + share * frame.width,
                frame.top + scale.y(value, frame.height),
            );
            path += &match path.is_empty() {
                true => format!("M{x:.1} {y:.1}"),
                false => format!("H{x:.1}V{y:.1}"),
            };
        }
    }
    frame.text += &format!(
        "<path d=\"{path}\" fill=\"none\" stroke=\"var(--good)\" stroke-width=\"1.5\"/>\n"
    );
    for trial in plotted.trials {
        let share = trial.number as f64 / last;
        frame.mark(share, trial, scale, best == Some(trial.number));
    }
    frame.label(0.0, "1");
    frame.label(1.0, &plotted.trials.len().to_string());
    frame.end()
}

/// Value by setting.
fn panel(plotted: &Plotted<'_>, dimension: &Dimension, scale: &Scale) -> String {
    let mut frame = Frame::new(PANEL, &dimension.key, scale);
    let best = plotted.search.best(plotted.trials).map(|t| t.number);
    let share = |place: f64| match (&dimension.range, dimension.range.line()) {
        (Range::Choice(values), _) => (place + 0.5) / values.len() as f64,
        (_, Some([low, high])) => (place - low) / (high - low),
        (_, None) => 0.5,
    };
    for trial in plotted.trials {
        let value = trial.settings.get(&dimension.key);
        if let Some(place) = value.and_then(|v| dimension.range.place_of(v)) {
            frame.mark(share(place), trial, scale, best == Some(trial.number));
        }
    }
    match (&dimension.range, dimension.range.line()) {
        (Range::Choice(values), _) => {
            for (at, value) in values.iter().enumerate() {
                frame.label(share(at as f64), &shown(value));
            }
        }
        (range, Some([low, high])) => {
            for part in [0.0, 0.5, 1.0] {
                let place = low + part * (high - low);
                frame.label(part, &shown(&range.value_at(place)));
            }
        }
        (_, None) => {}
    }
    frame.end()
}

/// The best trials with their settings.
fn table(plotted: &Plotted<'_>) -> String {
    let mut sorted: Vec<&Trial> = plotted
        .trials
        .iter()
        .filter(|t| t.value.is_some())
        .collect();
    sorted.sort_by(|a, b| {
        let values = (a.value.unwrap_or(f64::NAN), b.value.unwrap_or(f64::NAN));
        match plotted.search.direction() {
            Direction::HigherIsBetter => values.1.total_cmp(&values.0),
            Direction::LowerIsBetter => values.0.total_cmp(&values.1),
        }
    });
    let keys = plotted.search.space().dimensions.iter().map(|d| &d.key);
    let mut header = vec!["trial".to_string(), plotted.metric.to_string()];
    header.extend(keys.clone().cloned());
    let epochs = has_epochs(plotted.search.config);
    header.extend(epochs.then(|| "epochs".to_string()));
    header.extend(["seconds".to_string(), "end".to_string()]);
    let mut rows = vec![header];
    rows.extend(sorted.into_iter().take(ROWS).map(|trial| {
        let mut row = vec![
            (trial.number + 1).to_string(),
            trial.value.map_or_else(String::new, |v| format!("{v:.4}")),
        ];
        let setting = |key: &String| {
            trial
                .settings
                .get(key)
                .map_or_else(|| "-".to_string(), shown)
        };
        row.extend(keys.clone().map(setting));
        row.extend(epochs.then(|| trial.epochs.to_string()));
        row.extend([
            format!("{:.1}", trial.seconds),
            match trial.state {
                TrialState::Complete => "complete".to_string(),
                TrialState::Pruned => "given up".to_string(),
                TrialState::Failed => "failed".to_string(),
            },
        ]);
        row
    }));
    page::table(&rows, "", &[])
}

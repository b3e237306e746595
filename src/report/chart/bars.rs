//! A bar for each group, with its interval, and shapes for what stands beside.

use super::scale::{Axis, Form};
use super::{Anchor, Drawing, Scale, WIDTH};
use crate::page::escaped;

/// One group.
#[derive(Clone, Debug)]
pub struct Bar {
    pub label: String,
    /// Stands small below the label.
    pub note: String,
    /// The bar first, then the shapes.
    pub values: Vec<Option<f64>>,
    pub interval: Option<(f64, f64)>,
}

/// Bars from the left over a common axis that begins at zero.
#[derive(Clone, Debug)]
pub struct Bars<'a> {
    /// What the chart shows, for who does not see it.
    pub label: &'a str,
    pub axis: &'a str,
    /// Parallel to the values.
    pub names: &'a [String],
    pub bars: Vec<Bar>,
}

const LEFT: f64 = 128.0;
/// Values are written to the right of here.
const RIGHT: f64 = WIDTH - 58.0;
const TOP: f64 = 8.0;
const ROW: f64 = 38.0;
const THICKNESS: f64 = 18.0;

/// Widths of letters, on the wide side: fonts differ.
const CAPITAL: f64 = 9.6;
const LETTER: f64 = 7.7;

impl Bars<'_> {
    pub fn draw(&self) -> String {
        let bottom = TOP + ROW * self.bars.len() as f64;
        let mut drawing = Drawing::new(bottom + 42.0, self.label);
        let axis = Axis {
            name: self.axis,
            form: Form::Linear,
            from_zero: true,
        };
        let scale = Scale::around(&axis, self.bars.iter().flat_map(extent));
        for (value, text) in scale.ticks(4) {
            let at = scale.place(value, LEFT, RIGHT);
            drawing.line("g", (at, TOP), (at, bottom));
            drawing.text("t", (at, bottom + 16.0), Anchor::Middle, &text);
        }
        let middle = (LEFT + RIGHT) / 2.0;
        drawing.text("n", (middle, bottom + 34.0), Anchor::Middle, self.axis);
        for (number, bar) in self.bars.iter().enumerate() {
            self.row(&mut drawing, &scale, bar, TOP + ROW * (number as f64 + 0.5));
        }
        drawing.line("a", (LEFT, TOP), (LEFT, bottom));
        drawing.finish()
    }

    fn row(&self, drawing: &mut Drawing, scale: &Scale, bar: &Bar, y: f64) {
        let place = |v: f64| scale.place(v, LEFT, RIGHT);
        let end = LEFT - 8.0;
        drawing.text("l", (end, y - 1.0), Anchor::End, &shortened(&bar.label));
        drawing.text("s", (end, y + 13.0), Anchor::End, &bar.note);
        if let Some(value) = bar.values.first().copied().flatten() {
            let title = self.title(bar, 0, value);
            drawing.body += &format!(
                "<rect class=\"b c0\" x=\"{LEFT:.1}\" y=\"{:.1}\" width=\"{:.1}\" \
                 height=\"{THICKNESS:.1}\"><title>{}</title></rect>",
                y - THICKNESS / 2.0,
                (place(value) - LEFT).max(0.5),
                escaped(&title)
            );
            drawing.text(
                "v",
                (WIDTH - 4.0, y + 4.0),
                Anchor::End,
                &format!("{value:.4}"),
            );
        }
        if let Some((low, high)) = bar.interval {
            let (low, high) = (place(low), place(high));
            drawing.line("w", (low, y), (high, y));
            drawing.line("w", (low, y - 4.0), (low, y + 4.0));
            drawing.line("w", (high, y - 4.0), (high, y + 4.0));
        }
        for (color, value) in bar.values.iter().enumerate().skip(1) {
            if let Some(value) = *value {
                drawing.marker(
                    color,
                    (place(value), y),
                    4.5,
                    &self.title(bar, color, value),
                );
            }
        }
    }

    fn title(&self, bar: &Bar, number: usize, value: f64) -> String {
        let name = self.names.get(number).map_or("", String::as_str);
        let interval = match (number, bar.interval) {
            (0, Some((low, high))) => format!(" ({low:.4} to {high:.4})"),
            _ => String::new(),
        };
        format!("{}, {name}: {value:.4}{interval}", bar.label)
    }
}

fn extent(bar: &Bar) -> impl Iterator<Item = f64> {
    let interval = bar.interval.map(|(low, high)| [low, high]);
    let values = bar.values.iter().flatten().copied();
    values.chain(interval.into_iter().flatten())
}

/// As much of a label as fits beside the bars.
fn shortened(label: &str) -> String {
    let mut room = LEFT - 12.0;
    let fits = |c: &char| {
        room -= match c.is_lowercase() || c.is_whitespace() || c.is_ascii_punctuation() {
            true => LETTER,
            false => CAPITAL,
        };
        room >= 0.0
    };
    let kept: String = label.chars().take_while(fits).collect();
    if kept.len() == label.len() {
        return kept;
    }
    let short: Vec<char> = kept.chars().collect();
    let short: String = short[..short.len().saturating_sub(1)].iter().collect();
    format!("{}…", short.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_cut_where_they_do_not_fit() {
        assert_eq!(shortened("Comedy"), "Comedy");
        assert_eq!(shortened("America/Los_Angeles"), "America/Los_A…");
        assert_eq!(shortened("MCDONNELL DOUGLAS"), "MCDONNELL D…");
    }

    #[test]
    fn every_value_has_its_mark() {
        let bars = Bars {
            label: "a",
            axis: "ndcg@10",
            names: &["mf".to_string(), "ease".to_string()],
            bars: vec![Bar {
                label: "<1>".to_string(),
                note: "n = 3".to_string(),
                values: vec![Some(0.25), Some(0.5)],
                interval: Some((0.2, 0.3)),
            }],
        };
        let drawn = bars.draw();
        assert!(drawn.contains("<title>&lt;1&gt;, mf: 0.2500 (0.2000 to 0.3000)</title>"));
        assert!(drawn.contains("<title>&lt;1&gt;, ease: 0.5000</title>"));
        assert_eq!(drawn.matches("<rect").count(), 1);
    }
}

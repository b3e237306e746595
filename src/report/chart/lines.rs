//! Lines over a common axis.

use super::{Anchor, Axis, COLORS, Drawing, Plot, Scale, WIDTH};

/// One line.
#[derive(Clone, Debug)]
pub struct Line {
    pub name: String,
    pub color: usize,
    /// Ascending in x.
    pub points: Vec<(f64, f64)>,
}

/// Lines with both axes.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    /// What the chart shows, for who does not see it.
    pub label: &'a str,
    pub x: Axis<'a>,
    pub y: Axis<'a>,
    pub lines: Vec<Line>,
    /// A dashed line at an x, and its name, which stands in the corner.
    pub mark: Option<(f64, String)>,
}

const HEIGHT: f64 = 236.0;
const PLOT: Plot = Plot {
    left: 46.0,
    right: WIDTH - 16.0,
    top: 32.0,
    bottom: HEIGHT - 42.0,
};

/// Points of a line that have a title.
const TITLED: usize = 40;

impl Lines<'_> {
    pub fn draw(&self) -> String {
        let all = || self.lines.iter().flat_map(|l| &l.points);
        let x = Scale::around(&self.x, all().map(|p| p.0));
        let y = Scale::around(&self.y, all().map(|p| p.1));
        let mut drawing = Drawing::new(HEIGHT, self.label);
        drawing.axes(PLOT, &x, &y, (self.x.name, self.y.name));
        let place = |p: &(f64, f64)| {
            (
                x.place(p.0, PLOT.left, PLOT.right),
                y.place(p.1, PLOT.bottom, PLOT.top),
            )
        };
        if let Some((at, _)) = &self.mark {
            let at = x.place(*at, PLOT.left, PLOT.right);
            drawing.line("mark", (at, PLOT.top), (at, PLOT.bottom));
        }
        // The first line is drawn last: it is the one to look at.
        for line in self.lines.iter().rev() {
            drawing.body += &path(line, place);
            let every = line.points.len().div_ceil(TITLED).max(1);
            let radius = if line.points.len() <= 12 { 3.5 } else { 2.0 };
            for point in line.points.iter().step_by(every) {
                let title = format!("{}: {} at {}", line.name, value(point.1), value(point.0));
                drawing.marker(line.color, place(point), radius, &title);
            }
        }
        if let Some((_, name)) = &self.mark {
            let corner = (PLOT.right, PLOT.top - 14.0);
            drawing.text("n", corner, Anchor::End, name);
        }
        drawing.finish()
    }
}

fn path(line: &Line, place: impl Fn(&(f64, f64)) -> (f64, f64)) -> String {
    let mut d = String::new();
    for (i, point) in line.points.iter().enumerate() {
        let (x, y) = place(point);
        d += &format!("{}{x:.1} {y:.1}", if i == 0 { 'M' } else { 'L' });
    }
    format!("<path class=\"p c{}\" d=\"{d}\"/>", line.color % COLORS)
}

/// As many digits as tell values apart.
fn value(v: f64) -> String {
    if v.fract() == 0.0 && v.abs() < 1e9 {
        return format!("{v}");
    }
    format!("{v:.4}")
}

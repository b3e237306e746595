//! Charts as inline SVG, for pages that load nothing.
//!
//! A chart is drawn 380 units wide: on a phone that is nearly a pixel a unit,
//! on a laptop two stand side by side. Colors are classes of the page's style
//! sheet, `c0` for the model and `c1`, `c2`, ... for what stands beside it, so
//! that one drawing serves light and dark; shapes and dashes tell the same
//! apart without color. What a point stands for is its `<title>`.

mod bars;
mod lines;
mod scale;
mod scatter;

pub use bars::{Bar, Bars};
pub use lines::{Line, Lines};
pub use scale::{Axis, Form, short};
pub use scatter::{Points, Scatter, map};

use crate::page::escaped;
use scale::Scale;

pub const WIDTH: f64 = 380.0;

/// Colors, and dashes of lines, there are.
pub const COLORS: usize = 8;

/// A drawing under way.
struct Drawing {
    height: f64,
    label: String,
    body: String,
}

/// Where the data lie in a drawing, in its units.
#[derive(Clone, Copy)]
struct Plot {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

/// How a text is aligned to its position.
#[derive(Clone, Copy)]
enum Anchor {
    Start,
    Middle,
    End,
}

impl Drawing {
    fn new(height: f64, label: &str) -> Self {
        Self {
            height,
            label: label.to_string(),
            body: String::new(),
        }
    }

    fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.body += &format!(
            "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    fn text(&mut self, class: &str, at: (f64, f64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.body += &format!(
            "<text class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
            at.0,
            at.1,
            escaped(text)
        );
    }

    /// The shape of series `color` around a point, with a title.
    fn marker(&mut self, color: usize, at: (f64, f64), radius: f64, title: &str) {
        let (x, y, r) = (at.0, at.1, radius);
        let title = format!("<title>{}</title>", escaped(title));
        let class = format!("m c{}", color % COLORS);
        self.body += &match color % 4 {
            0 => format!(
                "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{r}\">{title}</circle>"
            ),
            shape => format!(
                "<path class=\"{class}\" d=\"{}\">{title}</path>",
                outline(shape, x, y, r)
            ),
        };
    }

    /// Grid, ticks and names of both axes.
    fn axes(&mut self, plot: Plot, x: &Scale, y: &Scale, names: (&str, &str)) {
        for (value, text) in y.ticks(5) {
            let at = y.place(value, plot.bottom, plot.top);
            self.line("g", (plot.left, at), (plot.right, at));
            self.text("t", (plot.left - 6.0, at + 4.0), Anchor::End, &text);
        }
        for (value, text) in x.ticks(5) {
            let at = x.place(value, plot.left, plot.right);
            self.line("a", (at, plot.bottom), (at, plot.bottom + 4.0));
            self.text("t", (at, plot.bottom + 17.0), Anchor::Middle, &text);
        }
        self.line("a", (plot.left, plot.bottom), (plot.right, plot.bottom));
        let middle = (plot.left + plot.right) / 2.0;
        self.text("n", (middle, plot.bottom + 35.0), Anchor::Middle, names.0);
        self.text("n", (2.0, plot.top - 14.0), Anchor::Start, names.1);
    }

    fn finish(self) -> String {
        format!(
            "<svg viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\" aria-label=\"{}\">{}</svg>",
            self.height,
            escaped(&self.label),
            self.body
        )
    }
}

/// Square, triangle or diamond around a point.
fn outline(shape: usize, x: f64, y: f64, r: f64) -> String {
    match shape {
        1 => {
            let side = 2.0 * r;
            let (left, top) = (x - r, y - r);
            format!("M{left:.1} {top:.1}h{side:.1}v{side:.1}h-{side:.1}z")
        }
        2 => format!(
            "M{x:.1} {:.1}L{:.1} {:.1}H{:.1}z",
            y - 1.2 * r,
            x + 1.2 * r,
            y + r,
            x - 1.2 * r
        ),
        _ => format!(
            "M{x:.1} {:.1}L{:.1} {y:.1}L{x:.1} {:.1}L{:.1} {y:.1}z",
            y - 1.3 * r,
            x + 1.3 * r,
            y + 1.3 * r,
            x - 1.3 * r
        ),
    }
}

/// The names of series with their shapes, as a list that wraps.
pub fn legend(names: &[(usize, &str)]) -> String {
    let item = |(color, name): &(usize, &str)| {
        let mut drawing = Drawing::new(14.0, "");
        drawing.marker(*color, (7.0, 7.0), 5.0, name);
        format!(
            "<li><svg class=\"key\" viewBox=\"0 0 14 14\" aria-hidden=\"true\">{}</svg>{}</li>",
            drawing.body,
            escaped(name)
        )
    };
    let items: String = names.iter().map(item).collect();
    format!("<ul class=\"legend\">{items}</ul>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_closed_around_their_point() {
        assert_eq!(outline(1, 10.0, 20.0, 5.0), "M5.0 15.0h10.0v10.0h-10.0z");
        assert_eq!(
            outline(3, 0.0, 0.0, 1.0),
            "M0.0 -1.3L1.3 0.0L0.0 1.3L-1.3 0.0z"
        );
    }
}

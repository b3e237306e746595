//! Points on a plane.

use super::{Axis, COLORS, Drawing, Plot, Scale, WIDTH};
use crate::page::escaped;

/// Points of one kind.
#[derive(Clone, Debug)]
pub struct Points {
    pub color: usize,
    /// Place and title.
    pub points: Vec<(f64, f64, String)>,
    pub radius: f64,
}

/// Points with both axes.
#[derive(Clone, Debug)]
pub struct Scatter<'a> {
    /// What the chart shows, for who does not see it.
    pub label: &'a str,
    pub x: Axis<'a>,
    pub y: Axis<'a>,
    pub kinds: Vec<Points>,
}

const HEIGHT: f64 = 246.0;
const PLOT: Plot = Plot {
    left: 46.0,
    right: WIDTH - 16.0,
    top: 32.0,
    bottom: HEIGHT - 42.0,
};

impl Scatter<'_> {
    pub fn draw(&self) -> String {
        let all = || self.kinds.iter().flat_map(|k| &k.points);
        let x = Scale::around(&self.x, all().map(|p| p.0));
        let y = Scale::around(&self.y, all().map(|p| p.1));
        let mut drawing = Drawing::new(HEIGHT, self.label);
        drawing.axes(PLOT, &x, &y, (self.x.name, self.y.name));
        for kind in self.kinds.iter().rev() {
            for (px, py, title) in &kind.points {
                let at = (
                    x.place(*px, PLOT.left, PLOT.right),
                    y.place(*py, PLOT.bottom, PLOT.top),
                );
                drawing.marker(kind.color, at, kind.radius, title);
            }
        }
        drawing.finish()
    }
}

/// Height of a map.
const MAP: f64 = WIDTH;

/// A square without axes, for places within -1 and 1 that have no meaning but
/// which are near which. Points are circles of class `d` whose attribute
/// `data-c` lists their groups under each coloring; the first one is drawn.
pub fn map(label: &str, points: &[(f32, f32, String, Vec<Option<u8>>)]) -> String {
    let mut drawing = Drawing::new(MAP, label);
    let place = |v: f32| 10.0 + (MAP - 20.0) * (f64::from(v) + 1.0) / 2.0;
    for (x, y, title, groups) in points {
        let number = |g: &Option<u8>| g.map_or_else(String::new, |g| g.to_string());
        let listed: Vec<String> = groups.iter().map(number).collect();
        let color = groups
            .first()
            .copied()
            .flatten()
            .map_or(COLORS, usize::from);
        drawing.body += &format!(
            "<circle class=\"d f{color}\" data-c=\"{}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\">\
             <title>{}</title></circle>",
            listed.join(","),
            place(*x),
            place(*y),
            escaped(title)
        );
    }
    drawing.finish()
}

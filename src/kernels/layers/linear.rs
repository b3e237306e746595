//! `y = x W + b`, and the rows of a table that is added by place.

use super::{Back, Graph, Op, Var, Weight, multiply, multiply_transposed};
use crate::kernels::simd::{Lane, add};

struct Linear {
    x: Var,
    weight: Weight,
    bias: Option<Weight>,
}

impl Graph<'_> {
    /// `x W + b`, without `b` where there is none.
    pub fn linear(&mut self, x: Var, weight: Weight, bias: Option<Weight>) -> Var {
        let width = self.weights.layout.entry(weight).width();
        let rows = self.len();
        let mut value = match bias {
            Some(bias) => self.weights.of(bias).repeat(rows),
            None => vec![Lane::ZERO; rows * width],
        };
        let (input, depth) = (self.value(x), self.width(x));
        multiply(input, depth, self.weights.of(weight), &mut value, width);
        self.push(value, width, Linear { x, weight, bias })
    }
}

impl Op for Linear {
    fn backward(&self, back: &mut Back<'_, '_>) {
        let graph = back.graph;
        let above = back.above;
        let width = graph.weights.layout.entry(self.weight).width();
        let depth = graph.width(self.x);
        let to = back.weight(self.weight);
        multiply_transposed(graph.value(self.x), depth, above, to, width);
        if let Some(bias) = self.bias {
            add_rows(back.weight(bias), above);
        }
        let transposed = graph.weights.transposed(self.weight);
        multiply(above, width, transposed, back.rows(self.x), depth);
    }
}

/// Adds up all rows.
fn add_rows(to: &mut [Lane], rows: &[Lane]) {
    for row in rows.chunks_exact(to.len()) {
        add(to, row);
    }
}

struct Placed {
    x: Var,
    table: Weight,
}

impl Graph<'_> {
    /// `x` plus a learned row for each place, counted from the end of its
    /// sequence: the newest item of any sequence has row 0, whatever its
    /// length.
    ///
    /// # Panics
    /// When a sequence is longer than the table: the network is at fault.
    pub fn add_places(&mut self, x: Var, table: Weight) -> Var {
        let width = self.width(x);
        let mut value = self.value(x).to_vec();
        let rows = self.weights.of(table);
        for places in self.sequences() {
            let end = places.end;
            for place in places {
                let row = &rows[(end - 1 - place) * width..][..width];
                add(&mut value[place * width..][..width], row);
            }
        }
        self.push(value, width, Placed { x, table })
    }
}

impl Op for Placed {
    fn backward(&self, back: &mut Back<'_, '_>) {
        let (graph, above) = (back.graph, back.above);
        let width = graph.width(self.x);
        let to = back.weight(self.table);
        for places in graph.sequences() {
            let end = places.end;
            for place in places {
                let row = &mut to[(end - 1 - place) * width..][..width];
                add(row, &above[place * width..][..width]);
            }
        }
        add(back.rows(self.x), above);
    }
}

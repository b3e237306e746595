//! Rows moved to later places: what a causal convolution looks at.

use super::{Back, Graph, Op, Var};
use crate::kernels::simd::{Lane, add};

struct Shift {
    x: Var,
    by: usize,
}

impl Graph<'_> {
    /// Each place's row is that of `by` places before it in its sequence;
    /// zeros before the first.
    pub fn shift(&mut self, x: Var, by: usize) -> Var {
        let width = self.width(x);
        let mut value = vec![Lane::ZERO; self.len() * width];
        for places in self.sequences() {
            if places.len() > by {
                let to = (places.start + by) * width..places.end * width;
                let from = places.start * width..(places.end - by) * width;
                value[to].copy_from_slice(&self.value(x)[from]);
            }
        }
        self.push(value, width, Shift { x, by })
    }
}

impl Op for Shift {
    fn backward(&self, back: &mut Back<'_, '_>) {
        let (graph, above) = (back.graph, back.above);
        let width = graph.width(self.x);
        let to = back.rows(self.x);
        for places in graph.sequences() {
            if places.len() > self.by {
                let from = (places.start + self.by) * width..places.end * width;
                let into = places.start * width..(places.end - self.by) * width;
                add(&mut to[into], &above[from]);
            }
        }
    }
}

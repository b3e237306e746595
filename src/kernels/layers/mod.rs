//! Layers over sequences, forward and backward, on slices of numbers.
//!
//! A [`Graph`] holds the rows of some sequences, one after the other without
//! padding, through all layers of a network: each layer is a function of the
//! graph that computes its rows at once and leaves an [`Op`] that knows the
//! way back. A thread works a graph of its own, small enough to stay in its
//! caches, into a gradient buffer of its own; what comes out depends neither
//! on other sequences nor on threads.

mod ages;
mod attention;
mod gru;
mod layout;
mod linear;
mod norm;
mod pointwise;
mod shift;
#[cfg(test)]
mod tests;
mod unit;
mod vocabulary;

pub use ages::{Ages, BUCKETS, bucket_starts};
pub use attention::{Attend, Kernel};
pub use gru::GruWeights;
pub use layout::{Entry, Init, Layout, Weight, Weights};
pub use norm::{EPSILON as NORM_EPSILON, Norm};
pub use pointwise::Activation;
pub use unit::{EPSILON as UNIT_EPSILON, ToUnit, unit_backward};
pub use vocabulary::Layers;

use crate::kernels::gemm::{Left, Right, Size, To, add_part};
use crate::kernels::simd::{self, Isa, Job, Lane, WIDTH, flat};
use crate::seed::Rng;

/// Names a matrix of a [`Graph`]: a row for each place of its sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Var(usize);

impl Var {
    /// Of other [`Layers`]: the matrix of this number.
    pub fn new(number: usize) -> Self {
        Self(number)
    }

    pub fn number(self) -> usize {
        self.0
    }
}

/// Where a graph's dropout comes from.
#[derive(Clone, Copy)]
pub struct DropoutStream<'a> {
    /// Of the step.
    pub stream: &'a Rng,
    /// The graph's number among those of the step.
    pub graph: u64,
}

/// Rows of sequences through a network.
pub struct Graph<'a> {
    weights: &'a Weights,
    /// Where each sequence begins, and where the last one ends.
    bounds: &'a [usize],
    dropout: Option<DropoutStream<'a>>,
    /// Of each sequence, where times are known.
    ages: Vec<Ages>,
    /// Uses of dropout so far.
    sites: u64,
    nodes: Vec<Node>,
}

struct Node {
    value: Vec<Lane>,
    /// Lanes in a row.
    width: usize,
    op: Box<dyn Op>,
}

/// A layer's way back.
trait Op {
    /// Adds to the gradients of what the layer read.
    fn backward(&self, back: &mut Back<'_, '_>);
}

/// What goes back through a layer.
struct Back<'a, 'g> {
    graph: &'a Graph<'g>,
    /// Gradient of the layer's rows.
    above: &'a [Lane],
    gradients: &'a mut [Vec<Lane>],
    /// Gradient of the weights, laid out as they are.
    dense: &'a mut [Lane],
}

impl Back<'_, '_> {
    /// Where the gradient of these rows is added up.
    fn rows(&mut self, var: Var) -> &mut [Lane] {
        let len = self.graph.nodes[var.0].value.len();
        let gradient = &mut self.gradients[var.0];
        if gradient.is_empty() {
            gradient.resize(len, Lane::ZERO);
        }
        gradient
    }

    fn weight(&mut self, weight: Weight) -> &mut [Lane] {
        self.graph.weights.part(weight, self.dense)
    }
}

/// Rows that come from outside.
struct Input;

impl Op for Input {
    fn backward(&self, _: &mut Back<'_, '_>) {}
}

impl<'a> Graph<'a> {
    /// `bounds` are where each sequence begins, and where the last one ends.
    /// Without a stream nothing is dropped.
    pub fn new(
        weights: &'a Weights,
        bounds: &'a [usize],
        dropout: Option<DropoutStream<'a>>,
    ) -> Self {
        Self {
            weights,
            bounds,
            dropout,
            ages: Vec::new(),
            sites: 0,
            nodes: Vec::new(),
        }
    }

    /// Tells when each row's item happened and when each row is asked what
    /// follows, both ascending in a sequence: for biases by age.
    ///
    /// # Panics
    /// When there is not one for each place.
    pub fn set_times(&mut self, happened: &[i64], asked: &[i64]) {
        assert_eq!(
            [happened.len(), asked.len()],
            [self.len(); 2],
            "a time for each place"
        );
        let of =
            |places: std::ops::Range<usize>| Ages::new(&happened[places.clone()], &asked[places]);
        self.ages = self.sequences().map(of).collect();
    }

    /// Rows of all sequences.
    pub fn len(&self) -> usize {
        self.bounds[self.bounds.len() - 1]
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Places of each sequence.
    fn sequences(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        self.bounds.windows(2).map(|b| b[0]..b[1])
    }

    /// Rows of `width` lanes from outside.
    ///
    /// # Panics
    /// When there is not one for each place.
    pub fn input(&mut self, value: Vec<Lane>, width: usize) -> Var {
        self.push(value, width, Input)
    }

    fn push(&mut self, value: Vec<Lane>, width: usize, op: impl Op + 'static) -> Var {
        assert_eq!(value.len(), self.len() * width, "a row for each place");
        let op = Box::new(op);
        self.nodes.push(Node { value, width, op });
        Var(self.nodes.len() - 1)
    }

    pub fn value(&self, var: Var) -> &[Lane] {
        &self.nodes[var.0].value
    }

    /// Lanes in a row.
    pub fn width(&self, var: Var) -> usize {
        self.nodes[var.0].width
    }

    /// Goes back from the gradient of the last rows; adds the weights' share
    /// to `dense`, which is laid out as they are, and returns the gradient of
    /// `input`.
    pub fn backward(
        self,
        last: Var,
        gradient: Vec<Lane>,
        input: Var,
        dense: &mut [Lane],
    ) -> Vec<Lane> {
        let mut gradients = vec![Vec::new(); self.nodes.len()];
        gradients[last.0] = gradient;
        for at in (0..=last.0).rev() {
            if at == input.0 || gradients[at].is_empty() {
                continue;
            }
            let above = std::mem::take(&mut gradients[at]);
            self.nodes[at].op.backward(&mut Back {
                graph: &self,
                above: &above,
                gradients: &mut gradients,
                dense,
            });
        }
        std::mem::take(&mut gradients[input.0])
    }
}

/// `to += left * right`; see [`add_part`].
struct Product<'a> {
    left: Left<'a>,
    right: Right<'a>,
    to: To<'a>,
    size: Size,
}

impl Job for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        add_part::<S>(self.left, self.right, self.to, self.size);
    }
}

/// `to += left * right` of whole matrices of lanes: `left` has `depth` lanes a
/// row, `right` and `to` have `width`.
pub fn multiply(left: &[Lane], depth: usize, right: &[Lane], to: &mut [Lane], width: usize) {
    let size = Size {
        rows: to.len() / width,
        depth: depth * WIDTH,
        width,
    };
    let left = Left {
        values: flat(left),
        row: depth * WIDTH,
        depth: 1,
    };
    let right = Right {
        lanes: right,
        row: width,
    };
    let to = To {
        lanes: to,
        row: width,
    };
    simd::run(Product {
        left,
        right,
        to,
        size,
    });
}

/// `to += transposed(left) * right`: `left` and `right` have as many rows, of
/// `rows` and `width` lanes.
pub fn multiply_transposed(
    left: &[Lane],
    rows: usize,
    right: &[Lane],
    to: &mut [Lane],
    width: usize,
) {
    let size = Size {
        rows: rows * WIDTH,
        depth: right.len() / width,
        width,
    };
    let left = Left {
        values: flat(left),
        row: 1,
        depth: rows * WIDTH,
    };
    let right = Right {
        lanes: right,
        row: width,
    };
    let to = To {
        lanes: to,
        row: width,
    };
    simd::run(Product {
        left,
        right,
        to,
        size,
    });
}

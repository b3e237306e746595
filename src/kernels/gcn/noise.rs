//! Noise that pushes an embedding inside its orthant (Yu et al., "Are graph
//! augmentations necessary? Simple graph contrastive learning for
//! recommendation", SIGIR 2022, eq. 5-7): a vector of length `strength` whose
//! numbers are uniform before it is scaled to that length, with the signs of
//! the embedding.

use crate::kernels::simd::{Isa, Lane, WIDTH, dot, flat, flat_mut};
use crate::seed::{BLOCKS, Rng};

/// Lanes that [`Rng::blocks`] fills.
const LANES: usize = 4;

const _: () = assert!(BLOCKS == WIDTH, "a lane takes one word of each block");

/// The noise of one layer of one view.
#[derive(Clone, Copy)]
pub struct Noise<'a> {
    pub stream: &'a Rng,
    pub strength: f32,
    pub columns: usize,
    /// Layers of all views that come before this one, times the nodes.
    pub first: u64,
}

/// Which layer of which view noise is for.
#[derive(Clone, Copy)]
pub struct Layer {
    /// Among the views with noise.
    pub view: usize,
    /// Counts from 1.
    pub layer: usize,
    /// Layers of a view.
    pub layers: usize,
    pub nodes: usize,
}

impl Layer {
    /// [`Noise::first`]
    pub fn first(self) -> u64 {
        ((self.view * self.layers + self.layer - 1) * self.nodes) as u64
    }
}

impl Noise<'_> {
    /// The noise of a node without signs, so many lanes as its row has.
    #[inline(always)]
    pub fn draw<S: Isa>(&self, node: u32, noise: &mut [Lane]) {
        let calls = noise.len().div_ceil(LANES) as u64;
        let first = (self.first + u64::from(node)) * calls * BLOCKS as u64;
        let positions = (first..).step_by(BLOCKS);
        for (lanes, position) in noise.chunks_mut(LANES).zip(positions) {
            let words = self.stream.blocks(position, 1);
            for (lane, words) in lanes.iter_mut().zip(words) {
                for (x, word) in lane.0.iter_mut().zip(words) {
                    *x = (word >> 8) as f32 * (1.0 / (1 << 24) as f32);
                }
            }
        }
        flat_mut(noise)[self.columns..].fill(0.0);
        let scale = self.strength / dot::<S>(noise, noise).sqrt().max(1e-12);
        flat_mut(noise).iter_mut().for_each(|x| *x *= scale);
    }

    /// Adds its noise to a node's row; `space` is of the row's length.
    #[inline(always)]
    pub fn add<S: Isa>(&self, node: u32, row: &mut [Lane], space: &mut [Lane]) {
        self.draw::<S>(node, space);
        for (x, noise) in flat_mut(row).iter_mut().zip(flat(space)) {
            // A zero has no sign to push to.
            let pushed = *x + noise.copysign(*x);
            *x = if *x == 0.0 { 0.0 } else { pushed };
        }
    }
}

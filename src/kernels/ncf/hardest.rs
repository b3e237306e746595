//! Which negative of an example is the hardest to tell from a positive.

use super::chunk::{self, Network, Scratch, Transposes};
use super::step::chunk_len;
use super::{Batch, Ncf};
use crate::kernels::simd::{self, Isa, Job};
use rayon::prelude::*;

/// Leaves each example the negative that scores highest, the first of those;
/// nothing is dropped for that.
pub fn keep_hardest(ncf: &Ncf, batch: Batch<'_>) -> Vec<u32> {
    let net = Network {
        settings: ncf.settings,
        layout: &ncf.layout,
        weights: &ncf.dense.weights,
        transposes: &Transposes::default(),
        users: &ncf.users.weights,
        items: &ncf.items.weights,
        masks: None,
        batch,
        width: batch.items.len() / batch.users.len().max(1),
        scale: 0.0,
        decay: 0.0,
    };
    let examples = chunk_len(net.width);
    let mut kept = vec![0; 2 * batch.users.len()];
    kept.par_chunks_mut(2 * examples).enumerate().for_each_init(
        Scratch::default,
        |scratch, (number, kept)| {
            simd::run(Hardest {
                net: &net,
                first: number * examples,
                scratch,
                kept,
            });
        },
    );
    kept
}

struct Hardest<'a> {
    net: &'a Network<'a>,
    first: usize,
    scratch: &'a mut Scratch,
    kept: &'a mut [u32],
}

impl Job for Hardest<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let (width, count) = (self.net.width, self.kept.len() / 2);
        let scores = chunk::scores::<S>(self.net, (self.first, count), self.scratch);
        let items = self.net.batch.items[self.first * width..].chunks_exact(width);
        let rows = items.zip(scores.chunks_exact(width));
        for (kept, (items, scores)) in self.kept.chunks_exact_mut(2).zip(rows) {
            let mut best = 1;
            for place in 2..width {
                if scores[place] > scores[best] {
                    best = place;
                }
            }
            kept.copy_from_slice(&[items[0], items[best]]);
        }
    }
}

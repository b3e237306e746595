//! The choice of one negative for each example.

use super::{Batch, Factors, Rows};
use crate::kernels::simd::{self, Isa, Job};
use crate::kernels::table::Table;
use rayon::prelude::*;

/// Examples that a thread takes at a time.
const CHUNK: usize = 64;

/// Leaves each example the negative that scores highest, the first of those.
pub fn keep_hardest(factors: &Factors, batch: &mut Batch) {
    let width = batch.width();
    let mut kept = vec![0; batch.users.len() * 2];
    let chunks = kept.par_chunks_mut(2 * CHUNK).enumerate();
    chunks.for_each(|(chunk, kept)| {
        simd::run(Hardest {
            rows: factors.settings.rows,
            users: &factors.users.weights,
            items: &factors.items.weights,
            batch,
            width,
            first: chunk * CHUNK,
            kept,
        });
    });
    batch.items = kept;
}

struct Hardest<'a> {
    rows: Rows,
    users: &'a Table,
    items: &'a Table,
    batch: &'a Batch,
    width: usize,
    first: usize,
    kept: &'a mut [u32],
}

impl Job for Hardest<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        for (place, kept) in (self.first..).zip(self.kept.chunks_exact_mut(2)) {
            let user = self.users.row(self.batch.users[place]);
            let all = &self.batch.items[place * self.width..(place + 1) * self.width];
            let mut best = f32::NEG_INFINITY;
            kept.copy_from_slice(&all[..2]);
            for &item in &all[1..] {
                let score = self.rows.score::<S>(user, self.items.row(item));
                if score > best {
                    best = score;
                    kept[1] = item;
                }
            }
        }
    }
}

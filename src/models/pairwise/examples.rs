//! The training pairs in the order of an epoch, and their negatives.

use crate::data::interactions::Interactions;
use crate::kernels::simd::{self, Isa, Job, prefetch_at};
use crate::sampling::NegativeSampler;
use crate::seed::{Permutation, Rng, Seed};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// Pairs that a thread takes at a time.
const CHUNK: usize = 256;

/// All training interactions, in an order of their own in each epoch. What a
/// place of the order holds is computed when it is asked for, from the epoch's
/// streams alone.
pub struct Examples {
    log: Arc<Interactions>,
    /// The user of each interaction.
    users: Vec<u32>,
    sampler: Option<NegativeSampler>,
    negatives: usize,
    order: Permutation,
    stream: Rng,
}

impl Examples {
    /// `log` is sorted by item inside each user. Without a sampler there are
    /// no negatives.
    pub fn new(log: Arc<Interactions>, sampler: Option<NegativeSampler>, negatives: usize) -> Self {
        let mut stream = Seed(0).stream("negatives");
        Self {
            users: log.user_column(),
            order: Permutation::new(log.len() as u32, &mut stream),
            negatives: if sampler.is_some() { negatives } else { 0 },
            log,
            sampler,
            stream,
        }
    }

    pub fn len(&self) -> usize {
        self.users.len()
    }

    pub fn begin_epoch(&mut self, seed: Seed, epoch: usize) {
        let mut shuffle = seed.indexed("shuffle", epoch as u64);
        self.order = Permutation::new(self.users.len() as u32, &mut shuffle);
        self.stream = seed.indexed("negatives", epoch as u64);
    }

    /// Items of an example: the positive and its negatives.
    pub fn width(&self) -> usize {
        1 + self.negatives
    }

    #[cfg(feature = "wgpu")]
    pub fn order(&self) -> &Permutation {
        &self.order
    }

    /// The stream that negatives come from: those of place `p` are its draws
    /// `p * negatives..`.
    #[cfg(feature = "wgpu")]
    pub fn stream(&self) -> &Rng {
        &self.stream
    }

    #[cfg(feature = "wgpu")]
    pub fn log(&self) -> &Interactions {
        &self.log
    }

    /// # Panics
    /// When there is none: the loss is at fault.
    pub fn sampler(&self) -> &NegativeSampler {
        self.sampler
            .as_ref()
            .expect("losses that sample have a sampler")
    }

    /// Users and positives at these places.
    pub fn pairs(&self, places: Range<usize>) -> (Vec<u32>, Vec<u32>) {
        let rows = places.map(|place| self.order.at(place as u32) as usize);
        rows.map(|row| (self.users[row], self.log.items[row]))
            .unzip()
    }

    /// What [`Self::fill`] fills, made anew.
    pub fn filled(&self, places: Range<usize>) -> (Vec<u32>, Vec<u32>) {
        let mut users = vec![0; places.len()];
        let mut items = vec![0; places.len() * self.width()];
        self.fill(places, &mut users, &mut items);
        (users, items)
    }

    /// Fills the users at these places, and row-major `[positive, negative,
    /// ...]` of each, [`Self::width`] items wide.
    ///
    /// # Panics
    /// When the slices do not have those lengths.
    pub fn fill(&self, places: Range<usize>, users: &mut [u32], items: &mut [u32]) {
        let width = self.width();
        assert_eq!(users.len(), places.len(), "one user a place");
        assert_eq!(items.len(), places.len() * width, "`width` items a place");
        let rows = users
            .par_chunks_mut(CHUNK)
            .zip(items.par_chunks_mut(CHUNK * width));
        rows.enumerate().for_each(|(chunk, (users, items))| {
            let first = places.start + chunk * CHUNK;
            // Rows lie anywhere: all of a chunk's are asked for before any is
            // read.
            simd::run(RowsOf {
                order: &self.order,
                first: first as u32,
                rows: users,
            });
            for &row in users.iter() {
                prefetch_at(self.users.as_ptr().wrapping_add(row as usize));
                prefetch_at(self.log.items.as_ptr().wrapping_add(row as usize));
            }
            for (user, items) in users.iter_mut().zip(items.chunks_exact_mut(width)) {
                let row = *user as usize;
                *user = self.users[row];
                items[0] = self.log.items[row];
            }
            if let Some(sampler) = &self.sampler {
                sampler.fill(&self.stream, first as u64, users, items);
            }
        });
    }

    /// Ratings at these places.
    ///
    /// # Panics
    /// When the data has none: the loss is at fault.
    pub fn ratings(&self, places: Range<usize>) -> impl Iterator<Item = f32> + '_ {
        let ratings = self.log.weights.as_deref().expect("mse has ratings");
        places.map(|place| ratings[self.order.at(place as u32) as usize])
    }
}

/// Which row stands at each of some places.
struct RowsOf<'a> {
    order: &'a Permutation,
    first: u32,
    rows: &'a mut [u32],
}

impl Job for RowsOf<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        self.order.fill(self.first, self.rows);
    }
}

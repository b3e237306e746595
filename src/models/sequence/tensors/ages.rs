//! How old keys are, of sequences side by side.

use super::Batch;
use super::batch::Sequence;
#[cfg(feature = "wgpu")]
use crate::device::{Family, family};
use crate::kernels::layers::Ages;
#[cfg(feature = "wgpu")]
use crate::kernels::padded::age_buckets;
use burn::tensor::{Device, Int, Tensor, TensorData};
use rayon::prelude::*;

impl Batch<'_> {
    /// The bucket of each key's age when each query is asked, one sequence
    /// after the other: `[sequences * length * length]`. A GPU finds them by
    /// itself, from a time for each place.
    ///
    /// # Panics
    /// When its parts have no times: a model with a clock is given them.
    pub(super) fn buckets(&self, device: &Device) -> Tensor<1, Int> {
        #[cfg(feature = "wgpu")]
        if family(device) == Family::Gpu {
            return age_buckets(&self.times(), self.length, device);
        }
        let buckets = self.buckets_on_host();
        let len = buckets.len();
        Tensor::from_data(TensorData::new(buckets, [len]), device)
    }

    /// When each place's item happened and when it is asked what follows.
    #[cfg(feature = "wgpu")]
    fn times(&self) -> Vec<(i64, i64)> {
        let empty = (i64::MAX, i64::MIN);
        let mut all = vec![empty; self.len() * self.length];
        let rows = all.chunks_exact_mut(self.length);
        for (row, sequence) in rows.zip(&self.sequences) {
            let (happened, asked) = self.times_of(sequence);
            let own = row[self.length - sequence.len..].iter_mut();
            for ((to, &happened), &asked) in own.zip(happened).zip(asked) {
                *to = (happened, asked);
            }
        }
        all
    }

    fn times_of(&self, sequence: &Sequence) -> (&[i64], &[i64]) {
        let times = self.parts[sequence.part].times.as_ref();
        let times = times.expect("a model with a clock is given times");
        let places = sequence.start..sequence.start + sequence.len;
        (&times.happened[places.clone()], &times.asked[places])
    }

    fn buckets_on_host(&self) -> Vec<i32> {
        let length = self.length;
        let mut buckets = vec![0i32; self.len() * length * length];
        buckets
            .par_chunks_exact_mut(length * length)
            .zip(&self.sequences)
            .for_each(|(to, sequence)| {
                let (happened, asked) = self.times_of(sequence);
                let ages = Ages::new(happened, asked);
                let empty = length - sequence.len;
                let rows = to.chunks_exact_mut(length).skip(empty);
                for (place, row) in rows.enumerate() {
                    for (to, &bucket) in row[empty..].iter_mut().zip(ages.row(place)) {
                        *to = i32::from(bucket);
                    }
                }
            });
        buckets
    }
}

//! What is added to the scores of a batch's users with its items, where each
//! user's own item is the class and the others are negatives.

use crate::data::interactions::Interactions;
use crate::losses;
use crate::sampling::NegativeSampler;
use burn::tensor::{Device, Int, Tensor};
use rayon::prelude::*;

/// The negatives of a batch.
pub struct InBatch {
    /// Of each item, to be drawn as a negative: its share of the training
    /// interactions. Absent where scores are not corrected for it.
    log_probabilities: Option<Vec<f32>>,
}

impl InBatch {
    pub fn new(train: &Interactions, logq_correction: bool) -> Self {
        let total = train.len().max(1) as f32;
        let log_probability = |&count: &u32| (count.max(1) as f32 / total).ln();
        Self {
            log_probabilities: logq_correction
                .then(|| train.item_counts().iter().map(log_probability).collect()),
        }
    }

    /// `[batch, batch]`, row-major: minus the log-probability of the column's
    /// item, or a large negative number where it is another positive of the
    /// row's user.
    pub fn mask(&self, sampler: &NegativeSampler, users: &[u32], items: &[u32]) -> Vec<f32> {
        let mut columns: Vec<(u32, u32)> = items.iter().copied().zip(0..).collect();
        columns.sort_unstable();
        let batch = users.len();
        let mut mask = vec![0.0; batch * batch];
        mask.par_chunks_mut(batch).enumerate().for_each(|(i, row)| {
            if let Some(log_probabilities) = &self.log_probabilities {
                for (value, &item) in row.iter_mut().zip(items) {
                    *value = -log_probabilities[item as usize];
                }
            }
            for &positive in sampler.positives_of(users[i]) {
                let from = columns.partition_point(|c| c.0 < positive);
                for &(_, column) in columns[from..].iter().take_while(|c| c.0 == positive) {
                    if column as usize != i {
                        row[column as usize] = losses::MASKED;
                    }
                }
            }
        });
        mask
    }

    /// `[batch, batch]`: 1 where the classes are, made on the device.
    pub fn diagonal(batch: usize, device: &Device) -> Tensor<2> {
        let places = Tensor::<1, Int>::arange(0..batch as i64, device);
        let rows: Tensor<2, Int> = places.clone().reshape([batch, 1]);
        rows.equal(places.reshape([1, batch])).float()
    }
}

//! Attention within sequences that stand side by side.

use super::{TensorLayers, stream_of};
use crate::kernels::layers::{Ages, Attend, BUCKETS, Kernel, Weight};
use crate::kernels::simd::{WIDTH, flat};
use crate::tape::WayBack;
use burn::tensor::{Int, Tensor, TensorData, activation};
use rayon::prelude::*;

/// Added to what a softmax must not see.
const BLOCKED: f32 = 1e9;

impl TensorLayers<'_> {
    /// From queries, keys and values, `[sequences, length, columns]`.
    pub(super) fn attend(&mut self, qkv: [Tensor<3>; 3], attend: Attend) -> Tensor<3> {
        let [sequences, length, columns] = qkv[0].dims();
        let own = columns / attend.heads;
        let by_head = |x: Tensor<3>| {
            x.reshape([sequences, length, attend.heads, own])
                .swap_dims(1, 2)
        };
        let [q, k, v] = qkv.map(by_head);
        let inner = q.matmul(k.swap_dims(2, 3));
        let seen = self.seen(attend.causal);
        let weights = match attend.kernel {
            Kernel::Softmax { dropout } => {
                let scores = inner / (own as f32).sqrt() + (seen - 1.0) * BLOCKED;
                let weights = activation::softmax(scores, 3);
                match self.attention_factors(attend.heads, dropout) {
                    Some(factors) => weights * factors,
                    None => weights,
                }
            }
            Kernel::Silu {
                bias,
                by_age,
                length,
            } => {
                let mut raw = inner + self.distance_bias(bias).unsqueeze_dim(0);
                if let Some(by_age) = by_age {
                    raw = raw + self.age_bias(by_age);
                }
                let open = activation::sigmoid(raw.clone());
                raw * open * seen / length
            }
        };
        let attended = weights.matmul(v).swap_dims(1, 2);
        attended.reshape([sequences, length, columns])
    }

    /// 1 where a query sees a key: `[sequences, 1, length, length]`.
    fn seen(&self, causal: bool) -> Tensor<4> {
        let [sequences, length, _] = self.real.dims();
        let keys = self.real.clone().reshape([sequences, 1, 1, length]);
        let rows = (0..length).flat_map(|query| {
            (0..length).map(move |key| f32::from(u8::from(!causal || key <= query)))
        });
        keys * self.tape.floats(rows.collect(), [1, 1, length, length])
    }

    /// Factors of dropout for the weights, of the next sites of each part: one
    /// for each sequence and head.
    fn attention_factors(&mut self, heads: usize, rate: f32) -> Option<Tensor<4>> {
        let stream = self.dropout.as_ref().filter(|_| rate > 0.0)?;
        let (batch, sites, length) = (self.batch, &self.sites, self.batch.length);
        let mut factors = vec![0.0; batch.len() * heads * length * length];
        factors
            .par_chunks_exact_mut(length * length)
            .enumerate()
            .for_each(|(at, to)| {
                let (sequence, head) = (&batch.sequences[at / heads], at % heads);
                let site = sites[sequence.part] + (sequence.number * heads + head) as u64;
                let (len, lanes) = (sequence.len, sequence.len.div_ceil(WIDTH));
                let from = stream_of(stream, sequence);
                let drawn = from.factors(site, 0..len * lanes, rate);
                let rows = to.chunks_exact_mut(length).skip(length - len);
                for (to, row) in rows.zip(drawn.chunks_exact(lanes)) {
                    to[length - len..].copy_from_slice(&flat(row)[..len]);
                }
            });
        for (site, part) in self.sites.iter_mut().zip(batch.parts) {
            *site += (part.sequences.len() * heads) as u64;
        }
        let shape = [batch.len(), heads, length, length];
        Some(self.tape.floats(factors, shape))
    }

    /// `bias[head, |query - key|]`: `[heads, length, length]`.
    fn distance_bias(&mut self, bias: Weight) -> Tensor<3> {
        let length = self.batch.length;
        let bias = self.weight(bias);
        let heads = bias.dims()[0];
        // A row for each query is that of the query before, moved by one: what
        // repeats after `2 n` columns and is cut after `2 n - 1` moves by one.
        let far = bias.clone().slice([0..heads, 0..length]).flip([1]);
        let near = bias.slice([0..heads, 1..length]);
        let end = Tensor::zeros([heads, 1], &self.device());
        let row = Tensor::cat(vec![far, near, end], 1);
        let width = 2 * length - 1;
        row.repeat_dim(1, length)
            .slice([0..heads, 0..length * width])
            .reshape([heads, length, width])
            .slice([0..heads, 0..length, length - 1..width])
    }

    /// `bias[head, bucket of the key's age]`:
    /// `[sequences, heads, length, length]`.
    fn age_bias(&mut self, bias: Weight) -> Tensor<4> {
        let (sequences, length) = (self.batch.len(), self.batch.length);
        let buckets = self.buckets();
        let param = &self.weights[bias.number()];
        let heads = param.shape()[0];
        let shape = [heads, sequences * length, length];
        let places = buckets.clone().reshape([1, shape[1], shape[2]]);
        let back: WayBack = Box::new(move |gradient| {
            // In two stages: a sum of one long row would be left to few
            // threads of a GPU.
            let gradient = gradient.reshape(shape);
            let of = |bucket: usize| {
                let others = places.clone().not_equal_elem(bucket as i32);
                let own = gradient.clone().mask_fill(others.expand(shape), 0.0);
                own.sum_dim(2).sum_dim(1).reshape([heads, 1])
            };
            Tensor::cat((0..BUCKETS).map(of).collect(), 1)
        });
        let biases = self
            .tape
            .derived(param, |table| table.select(1, buckets), back);
        biases
            .reshape([heads, sequences, length, length])
            .swap_dims(0, 1)
    }

    /// The bucket of each key's age when each query is asked, one sequence
    /// after the other.
    fn buckets(&self) -> Tensor<1, Int> {
        let (batch, length) = (self.batch, self.batch.length);
        let mut buckets = vec![0i32; batch.len() * length * length];
        buckets
            .par_chunks_exact_mut(length * length)
            .zip(&batch.sequences)
            .for_each(|(to, sequence)| {
                let times = batch.parts[sequence.part].times.as_ref();
                let times = times.expect("a model with a clock is given times");
                let (start, len) = (sequence.start, sequence.len);
                let happened = &times.happened[start..start + len];
                let asked = &times.asked[start..start + len];
                let ages = Ages::new(happened, asked);
                let rows = to.chunks_exact_mut(length).skip(length - len);
                for (place, row) in rows.enumerate() {
                    let keys = row[length - len..].iter_mut();
                    for (to, &bucket) in keys.zip(ages.row(place)) {
                        *to = i32::from(bucket);
                    }
                }
            });
        let len = buckets.len();
        let plain = self.device().inner();
        Tensor::from_data(TensorData::new(buckets, [len]), &plain)
    }
}

//! Attention within sequences that stand side by side.

use super::TensorLayers;
#[cfg(feature = "wgpu")]
use crate::device::{Family, family};
use crate::kernels::layers::{Attend, BUCKETS, Kernel, Weight};
#[cfg(feature = "wgpu")]
use crate::kernels::padded::bucket_sums;
use crate::tape::WayBack;
use burn::tensor::{Int, Tensor, activation};

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
                match self.dropout.as_mut().filter(|_| dropout > 0.0) {
                    Some(from) => weights * from.of_attention(self.tape, attend.heads, dropout),
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
    fn seen(&mut self, causal: bool) -> Tensor<4> {
        if let Some((_, seen)) = self.seen.as_ref().filter(|seen| seen.0 == causal) {
            return seen.clone();
        }
        let [sequences, length, _] = self.real.dims();
        let mut seen = self.real.clone().reshape([sequences, 1, 1, length]);
        if causal {
            let places = Tensor::<1, Int>::arange(0..length as i64, &self.device());
            let shape = [1, 1, length, length];
            let keys = places.clone().reshape([1, 1, 1, length]).expand(shape);
            let queries = places.reshape([1, 1, length, 1]).expand(shape);
            seen = seen * keys.lower_equal(queries).float();
        }
        self.seen = Some((causal, seen.clone()));
        seen
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
            let gradient = gradient.reshape(shape);
            #[cfg(feature = "wgpu")]
            if family(&gradient.device()) == Family::Gpu {
                let places = places.clone().reshape([shape[1] * shape[2]]);
                return bucket_sums(gradient, places);
            }
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
    fn buckets(&mut self) -> Tensor<1, Int> {
        if let Some(buckets) = &self.buckets {
            return buckets.clone();
        }
        let device = self.device().inner();
        let buckets = self.batch.buckets(&device);
        self.buckets = Some(buckets.clone());
        buckets
    }
}

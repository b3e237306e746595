//! Biases by age: the bucket of each key when each query is asked, and the
//! way back from the gradients of the buckets' biases.

use crate::kernels::gpu::{cubes, empty_beside};
use crate::kernels::layers::{BUCKETS, bucket_starts};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{DType, Device, Int, Shape, Tensor, TensorData};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;

/// Words of a time: low and high half of when it happened, and of when it is
/// asked.
const WORDS: usize = 4;

/// As [`Ages`](crate::kernels::layers::Ages) of sequences side by side, one
/// after the other: `[sequences * length * length]`. `times` are happened and
/// asked of each place; where there is none, the first must be the last moment
/// there is.
pub fn age_buckets(times: &[(i64, i64)], length: usize, device: &Device) -> Tensor<1, Int> {
    let ints = |words: Vec<i32>| {
        let shape = [words.len()];
        Tensor::from_data(TensorData::new(words, shape), device)
    };
    let starts = bucket_starts().iter().map(|&start| start as i32);
    let words = times.iter().flat_map(|&(happened, asked)| {
        [happened, happened >> 32, asked, asked >> 32].map(|half| half as i32)
    });
    buckets_of(ints(starts.collect()), ints(words.collect()), length)
}

/// The same of times on the device: low and high half of when each place
/// happened and of when it is asked. `starts` are the least ages of buckets.
pub fn buckets_of(starts: Tensor<1, Int>, times: Tensor<1, Int>, length: usize) -> Tensor<1, Int> {
    let places = times.dims()[0] / WORDS;
    Tensor::from_dispatch(Dispatch::find_buckets(
        starts.into_dispatch(),
        times.into_dispatch(),
        places,
        length,
    ))
}

/// Of each head the sums over the numbers of each bucket, `[heads, BUCKETS]`:
/// `gradient` is `[heads, rows, length]`, and `buckets` has one for each of its
/// places, the same for all heads.
pub fn bucket_sums(gradient: Tensor<3>, buckets: Tensor<1, Int>) -> Tensor<2> {
    let [heads, rows, _] = gradient.dims();
    // Each row by itself, then the rows: a sum of all at once would be left to
    // few units.
    let of_rows: Tensor<2> = Tensor::from_dispatch(Dispatch::sum_row_buckets(
        gradient.into_dispatch(),
        buckets.into_dispatch(),
    ));
    let sums: Tensor<3> = of_rows.reshape([heads, rows, BUCKETS]).sum_dim(1);
    sums.reshape([heads, BUCKETS])
}

#[backend_extension(Cube, Fusion)]
trait BucketOps: Backend {
    #[fusion(dtype = DType::I32, shape = Shape::new([places * length]))]
    fn find_buckets(
        starts: IntTensor<Self>,
        times: IntTensor<Self>,
        places: usize,
        length: usize,
    ) -> IntTensor<Self>;

    /// Of each row of `[heads, rows, length]`.
    #[fusion(dtype = gradient, shape = Shape::new([gradient[0] * gradient[1], BUCKETS]))]
    fn sum_row_buckets(gradient: FloatTensor<Self>, buckets: IntTensor<Self>) -> FloatTensor<Self>;
}

impl BucketOps for CubeBackend {
    fn find_buckets(
        starts: IntTensor<Self>,
        times: IntTensor<Self>,
        places: usize,
        length: usize,
    ) -> IntTensor<Self> {
        let (starts, times) = (into_contiguous(starts), into_contiguous(times));
        let buckets = empty_beside(&times, Shape::new([places * length]), times.dtype);
        let client = times.client.clone();
        let (count, dim) = cubes(&client, places * length);
        // SAFETY: the kernel checks its own bounds; all places have times.
        unsafe {
            kernel::find_buckets::launch_unchecked(
                &client,
                count,
                dim,
                starts.into_buffer_arg(),
                times.into_buffer_arg(),
                buckets.clone().into_buffer_arg(),
                (places * length) as u32,
                length as u32,
            );
        }
        buckets
    }

    fn sum_row_buckets(gradient: FloatTensor<Self>, buckets: IntTensor<Self>) -> FloatTensor<Self> {
        let (gradient, buckets) = (into_contiguous(gradient), into_contiguous(buckets));
        let shape = gradient.shape();
        let [heads, rows, length] = [shape[0], shape[1], shape[2]];
        let sums = empty_beside(
            &gradient,
            Shape::new([heads * rows, BUCKETS]),
            gradient.dtype,
        );
        let client = gradient.client.clone();
        let (count, dim) = cubes(&client, heads * rows);
        // SAFETY: the kernel checks its own bounds, and buckets are below
        // `BUCKETS`.
        unsafe {
            kernel::sum_row_buckets::launch_unchecked(
                &client,
                count,
                dim,
                gradient.into_buffer_arg(),
                buckets.into_buffer_arg(),
                sums.clone().into_buffer_arg(),
                (heads * rows) as u32,
                rows as u32,
                length as u32,
            );
        }
        sums
    }
}

mod kernel {
    use super::WORDS;
    use crate::kernels::layers::BUCKETS;
    use cubecl::prelude::*;

    /// A unit for each query and key.
    #[cube(launch_unchecked)]
    pub fn find_buckets(
        starts: &[i32],
        times: &[i32],
        buckets: &mut [i32],
        count: u32,
        length: u32,
    ) {
        let unit = ABSOLUTE_POS;
        if unit < count as usize {
            let length = length as usize;
            let place = unit / length;
            let key = unit % length;
            let asked = place * WORDS;
            let happened = (place / length * length + key) * WORDS;
            let (asked_low, asked_high) = (times[asked + 2] as u32, times[asked + 3]);
            let (low, high) = (times[happened] as u32, times[happened + 1]);
            let later = asked_high > high || (asked_high == high && asked_low > low);
            let mut bucket = 0usize;
            if later && key <= place % length {
                let age = asked_low - low;
                let mut above = asked_high - high;
                if asked_low < low {
                    above -= 1i32;
                }
                bucket = BUCKETS - 1;
                if above == 0i32 {
                    while bucket > 0 && starts[bucket] as u32 > age {
                        bucket -= 1;
                    }
                }
            }
            buckets[unit] = bucket as i32;
        }
    }

    /// A unit for each row of a head.
    #[cube(launch_unchecked)]
    pub fn sum_row_buckets(
        gradient: &[f32],
        buckets: &[i32],
        sums: &mut [f32],
        count: u32,
        rows: u32,
        length: u32,
    ) {
        let unit = ABSOLUTE_POS;
        if unit < count as usize {
            let (rows, length) = (rows as usize, length as usize);
            let to = unit * BUCKETS;
            for bucket in 0..BUCKETS {
                sums[to + bucket] = 0.0f32;
            }
            let (from, own) = (unit * length, unit % rows * length);
            // Keys of one bucket stand next to each other.
            let mut bucket = 0usize;
            let mut sum = 0.0f32;
            for i in 0..length {
                let next = buckets[own + i] as usize;
                if next != bucket {
                    sums[to + bucket] += sum;
                    sum = 0.0f32;
                    bucket = next;
                }
                sum += gradient[from + i];
            }
            sums[to + bucket] += sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::gpu::adapter;
    use crate::kernels::layers::Ages;
    use crate::params::host;

    const LENGTH: usize = 9;

    /// Of two sequences of 9 and of 8 places.
    fn times() -> [Vec<(i64, i64)>; 2] {
        let of = |happened: &[i64], last: i64| {
            let asked = happened[1..].iter().copied().chain([last]);
            happened.iter().copied().zip(asked).collect()
        };
        let far = 400_000_000_000;
        let first = [-far, 0, 5, 5, 90, 4000, 1 << 20, 1 << 28, 1 << 33];
        let second = [far, far + 1, far + 2, far + 4, far + 40, far + 4000];
        [
            of(&first, (1 << 33) + 100),
            of(&second, far + 4_294_967_296),
        ]
    }

    #[test]
    fn buckets_and_their_sums_are_those_of_the_host() {
        let Some(device) = adapter() else {
            return;
        };
        let sequences = times();
        let mut expected = vec![0i32; 2 * LENGTH * LENGTH];
        let mut padded = Vec::new();
        for (number, sequence) in sequences.iter().enumerate() {
            let empty = LENGTH - sequence.len();
            padded.extend(vec![(i64::MAX, i64::MIN); empty]);
            padded.extend(sequence);
            let (happened, asked): (Vec<i64>, Vec<i64>) = sequence.iter().copied().unzip();
            let ages = Ages::new(&happened, &asked);
            for place in 0..sequence.len() {
                let row = (number * LENGTH + empty + place) * LENGTH + empty;
                for (to, &bucket) in expected[row..].iter_mut().zip(ages.row(place)) {
                    *to = i32::from(bucket);
                }
            }
        }
        let buckets = age_buckets(&padded, LENGTH, &device);
        let found = buckets.clone().into_data().try_into_vec::<i32>().unwrap();
        assert_eq!(found, expected);
        let heads = 2;
        let gradient: Vec<f32> = (0..heads * expected.len())
            .map(|i| ((i * 7 % 23) as f32 - 11.0) / 8.0)
            .collect();
        let mut sums = vec![0.0f32; heads * BUCKETS];
        for (i, value) in gradient.iter().enumerate() {
            let (head, place) = (i / expected.len(), i % expected.len());
            sums[head * BUCKETS + expected[place] as usize] += value;
        }
        let shape = [heads, 2 * LENGTH, LENGTH];
        let gradient = Tensor::from_data(TensorData::new(gradient, shape), &device);
        let found = host(bucket_sums(gradient, buckets)).unwrap();
        for (found, sum) in found.iter().zip(sums) {
            assert!((found - sum).abs() < 1e-4, "{found} {sum}");
        }
    }
}

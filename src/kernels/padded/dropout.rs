//! Factors of dropout by the counters of
//! [`DropoutStream`](crate::kernels::layers::DropoutStream).

use crate::kernels::gpu::{cubes, empty_beside};
use crate::kernels::simd::WIDTH;
use crate::seed::Rng;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{DType, Device, Int, Shape, Tensor, TensorData};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;

/// Numbers that the kernel knows of a sequence.
const OF_SEQUENCE: usize = 5;

/// Where a sequence is among those of a step.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// Number of its graph, and of it among the sequences of that graph.
    pub graph: usize,
    pub number: usize,
    /// Sequences of its graph.
    pub sequences: usize,
    /// Its first row in the graph, and how many there are.
    pub start: usize,
    pub len: usize,
}

/// The sequences of a batch, on the device.
pub struct Sites {
    packed: Tensor<1, Int>,
    sequences: usize,
    length: usize,
}

/// A use of dropout.
#[derive(Clone, Debug)]
pub struct Draw<'a> {
    /// Of the step.
    pub stream: &'a Rng,
    pub rate: f32,
    /// Earlier uses on rows, and earlier heads of uses on attention.
    pub rows: usize,
    pub heads: usize,
}

/// The numbers of a launch.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    words: [u32; 4],
    limit: u32,
    keep: f32,
    rows: u32,
    heads: u32,
    sequences: usize,
    length: usize,
    /// Of what is dropped: columns of a row, or heads.
    size: usize,
    attention: bool,
}

impl Sites {
    /// Of sequences that end in one of `length` columns.
    pub fn new(sites: &[Site], length: usize, device: &Device) -> Self {
        let of = |s: &Site| [s.graph, s.number, s.sequences, s.start, s.len].map(|n| n as i32);
        let values: Vec<i32> = sites.iter().flat_map(of).collect();
        let count = values.len();
        Self {
            packed: Tensor::from_data(TensorData::new(values, [count]), device),
            sequences: sites.len(),
            length,
        }
    }

    /// For rows of so many columns: `[sequences, length, columns]`, zeros where
    /// a sequence has not begun.
    ///
    /// # Panics
    /// When the columns are no whole lanes.
    pub fn of_rows(&self, draw: &Draw<'_>, columns: usize) -> Tensor<3> {
        assert!(columns.is_multiple_of(WIDTH), "rows of whole lanes");
        self.factors(draw, columns, false)
            .reshape([self.sequences, self.length, columns])
    }

    /// For the weights of attention: `[sequences, heads, length, length]`.
    pub fn of_attention(&self, draw: &Draw<'_>, heads: usize) -> Tensor<4> {
        self.factors(draw, heads, true)
            .reshape([self.sequences, heads, self.length, self.length])
    }

    fn factors(&self, draw: &Draw<'_>, size: usize, attention: bool) -> Tensor<1> {
        let numbers = Numbers {
            words: draw.stream.words(),
            limit: (f64::from(draw.rate) * 2f64.powi(32)) as u32,
            keep: 1.0 / (1.0 - draw.rate),
            rows: draw.rows as u32,
            heads: draw.heads as u32,
            sequences: self.sequences,
            length: self.length,
            size,
            attention,
        };
        let packed = self.packed.clone().into_dispatch();
        Tensor::from_dispatch(Dispatch::draw_factors(packed, numbers))
    }
}

impl Numbers {
    fn count(&self) -> usize {
        let row = if self.attention { self.length } else { 1 };
        self.sequences * self.length * self.size * row
    }
}

#[backend_extension(Cube, Fusion)]
trait DrawOps: Backend {
    #[fusion(dtype = DType::F32, shape = Shape::new([numbers.count()]))]
    fn draw_factors(sites: IntTensor<Self>, numbers: Numbers) -> FloatTensor<Self>;
}

impl DrawOps for CubeBackend {
    fn draw_factors(sites: IntTensor<Self>, numbers: Numbers) -> FloatTensor<Self> {
        let sites = into_contiguous(sites);
        let count = numbers.count();
        let factors = empty_beside(&sites, Shape::new([count]), DType::F32);
        let client = sites.client.clone();
        let (cubes, dim) = cubes(&client, count);
        let [k0, k1, c2, c3] = numbers.words;
        // SAFETY: the kernel checks its own bounds, and `Sites` has all numbers
        // of its sequences.
        unsafe {
            kernel::draw_factors::launch_unchecked(
                &client,
                cubes,
                dim,
                sites.into_buffer_arg(),
                factors.clone().into_buffer_arg(),
                k0,
                k1,
                c2,
                c3,
                numbers.limit,
                numbers.keep,
                numbers.rows,
                numbers.heads,
                count as u32,
                numbers.length as u32,
                numbers.size as u32,
                numbers.attention,
            );
        }
        factors
    }
}

mod kernel {
    use super::OF_SEQUENCE;
    use crate::kernels::gpu::philox;
    use crate::kernels::simd::WIDTH;
    use cubecl::prelude::*;

    const LANE: u32 = WIDTH as u32;

    /// A unit for each factor. Lane `l` of a use of dropout has word `l % 4` of
    /// the blocks from `16 (l / 4)` on, counted from the use's own: see
    /// `DropoutStream::factors`.
    #[cube(launch_unchecked)]
    pub fn draw_factors(
        sites: &[i32],
        factors: &mut [f32],
        k0: u32,
        k1: u32,
        c2: u32,
        c3: u32,
        limit: u32,
        keep: f32,
        rows: u32,
        heads: u32,
        count: u32,
        length: u32,
        size: u32,
        #[comptime] attention: bool,
    ) {
        let unit = ABSOLUTE_POS as u32;
        if unit < count {
            let mut row_size = size;
            let mut row = unit / size;
            let mut head = 0u32;
            if attention.comptime() {
                row_size = length;
                let plane = unit / (length * length);
                row = plane / size * length + unit / length % length;
                head = plane % size;
            }
            let column = unit % row_size;
            let own = (row / length) as usize * OF_SEQUENCE;
            let place = row % length;
            let len = sites[own + 4] as u32;
            let empty = length - len;
            let mut factor = 0.0f32;
            let mut number = column;
            let mut lanes = size / LANE;
            let mut first = sites[own + 3] as u32;
            let mut site = rows + heads * sites[own + 2] as u32;
            let mut real = place >= empty;
            if attention.comptime() {
                real = real && column >= empty;
                number = column - empty;
                lanes = len.div_ceil(LANE);
                first = 0u32;
                site += sites[own + 1] as u32 * size + head;
            }
            if real {
                let lane = (first + place - empty) * lanes + number / LANE;
                let block = lane / 4u32 * LANE + number % LANE;
                let graph = sites[own] as u32;
                let low = (site << 24) + block;
                let high = (graph << 12) | (site >> 8);
                let word = philox(low, high, c2, c3, k0, k1, lane % 4u32);
                if word >= limit {
                    factor = keep;
                }
            }
            factors[unit as usize] = factor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::gpu::adapter;
    use crate::kernels::layers::DropoutStream;
    use crate::kernels::simd::flat;
    use crate::params::host;
    use crate::seed::Seed;

    #[test]
    fn factors_are_those_that_the_host_draws() {
        let Some(device) = adapter() else {
            return;
        };
        let stream = Seed(3).indexed("dropout", 7);
        let (length, width, heads) = (20, 2, 3);
        // Of two graphs, the second with numbers beyond 32 bits.
        let site = |graph, number, start, len| Site {
            graph,
            number,
            sequences: 300,
            start,
            len,
        };
        let all = [site(0, 0, 0, 20), site(0, 1, 20, 3), site(77, 299, 41, 17)];
        let sites = Sites::new(&all, length, &device);
        let draw = Draw {
            stream: &stream,
            rate: 0.3,
            rows: 5,
            heads: 2 * heads,
        };
        let rows = host(sites.of_rows(&draw, width * WIDTH)).unwrap();
        let weights = host(sites.of_attention(&draw, heads)).unwrap();
        let mut kept = 0;
        for (at, s) in all.iter().enumerate() {
            let from = DropoutStream {
                stream: &stream,
                graph: s.graph as u64,
            };
            let site = (draw.rows + draw.heads * s.sequences) as u64;
            let drawn = from.factors(site, s.start * width..(s.start + s.len) * width, 0.3);
            let columns = width * WIDTH;
            let own = &rows[at * length * columns..][..length * columns];
            let (empty, real) = own.split_at((length - s.len) * columns);
            assert!(empty.iter().all(|&factor| factor == 0.0));
            assert_eq!(real, flat(&drawn));
            kept += real.iter().filter(|&&factor| factor > 0.0).count();
            for head in 0..heads {
                let lanes = s.len.div_ceil(WIDTH);
                let site = site + (s.number * heads + head) as u64;
                let drawn = from.factors(site, 0..s.len * lanes, 0.3);
                for (place, expected) in drawn.chunks_exact(lanes).enumerate() {
                    let row = (at * heads + head) * length + length - s.len + place;
                    let row = &weights[row * length..][..length];
                    assert_eq!(&row[length - s.len..], &flat(expected)[..s.len]);
                }
            }
        }
        let share = kept as f64 / (40 * width * WIDTH) as f64;
        assert!((share - 0.7).abs() < 0.05, "{share}");
    }
}

//! Random numbers that a GPU draws by itself: those of [`crate::seed`] at the
//! same places of the same streams, so that what is trained there sees what
//! the host would have drawn.

use super::gpu::{cubes, empty_beside};
use super::simd::WIDTH;
use crate::seed::{BLOCKS, Rng};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{DType, Device, Int, Shape, Tensor, TensorData};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;

/// A stream on a device.
#[derive(Clone, Debug)]
pub struct DeviceStream {
    /// [`Rng::words`]
    words: Tensor<1, Int>,
}

/// Which numbers are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Draw {
    /// 0 where the 24 upper bits of a word are below `limit`, otherwise
    /// `keep`; the words in their order.
    Factors { limit: u32, keep: f32 },
    /// Normal, by two words each.
    Normals { deviation: f32 },
    /// Uniform in [0, 1), as [`crate::kernels::gcn::Noise`] takes the words
    /// for rows of so many columns.
    Rows { columns: usize },
}

/// What a launch draws.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    draw: Draw,
    /// The block of the first word.
    start: u64,
    count: usize,
}

impl DeviceStream {
    pub fn new(stream: &Rng, device: &Device) -> Self {
        let words = stream.words().map(|word| word as i32).to_vec();
        Self {
            words: Tensor::from_data(TensorData::new(words, [4]), device),
        }
    }

    /// Factors of dropout from the block `start` on: 0 with probability
    /// `rate`, otherwise `1 / (1 - rate)`.
    pub fn factors<const D: usize>(&self, start: u64, shape: [usize; D], rate: f64) -> Tensor<D> {
        let draw = Draw::Factors {
            limit: (rate * f64::from(1u32 << 24)).ceil() as u32,
            keep: 1.0 / (1.0 - rate) as f32,
        };
        self.draw(draw, start, shape)
    }

    /// Normal numbers of this deviation from the block `start` on, those of
    /// [`Rng::normal`] but for rounding.
    pub fn normals<const D: usize>(
        &self,
        start: u64,
        shape: [usize; D],
        deviation: f32,
    ) -> Tensor<D> {
        self.draw(Draw::Normals { deviation }, start, shape)
    }

    /// Rows of numbers in [0, 1), of which the first is row `first` of all
    /// that the stream has.
    ///
    /// # Panics
    /// On more rows than 32 bits count the blocks of.
    pub fn rows(&self, first: u64, [rows, columns]: [usize; 2]) -> Tensor<2> {
        let blocks = blocks_of_row(columns);
        assert!(
            (rows * blocks) as u64 <= u64::from(u32::MAX),
            "words of {rows} rows are counted by 32 bits"
        );
        self.draw(
            Draw::Rows { columns },
            first * blocks as u64,
            [rows, columns],
        )
    }

    fn draw<const D: usize>(&self, draw: Draw, start: u64, shape: [usize; D]) -> Tensor<D> {
        let numbers = Numbers {
            draw,
            start,
            count: shape.iter().product(),
        };
        let words = self.words.clone().into_dispatch();
        let drawn = Tensor::<1>::from_dispatch(Dispatch::draw_numbers(words, numbers));
        drawn.reshape(shape)
    }
}

/// Blocks that rows of so many columns take of a stream.
fn blocks_of_row(columns: usize) -> usize {
    columns.div_ceil(WIDTH).div_ceil(4) * BLOCKS
}

#[backend_extension(Cube, Fusion)]
trait DrawNumbers: Backend {
    #[fusion(dtype = DType::F32, shape = Shape::new([numbers.count]))]
    fn draw_numbers(words: IntTensor<Self>, numbers: Numbers) -> FloatTensor<Self>;
}

impl DrawNumbers for CubeBackend {
    fn draw_numbers(words: IntTensor<Self>, numbers: Numbers) -> FloatTensor<Self> {
        let words = into_contiguous(words);
        let drawn = empty_beside(&words, Shape::new([numbers.count]), DType::F32);
        let client = words.client.clone();
        let (cubes, dim) = cubes(&client, numbers.count);
        let (low, high) = (numbers.start as u32, (numbers.start >> 32) as u32);
        let (stream, to) = (words.into_buffer_arg(), drawn.clone().into_buffer_arg());
        let count = numbers.count as u32;
        // SAFETY: the kernels check their own bounds, and a stream has four
        // words.
        unsafe {
            match numbers.draw {
                Draw::Factors { limit, keep } => kernel::factors::launch_unchecked(
                    &client, cubes, dim, stream, to, low, high, count, limit, keep,
                ),
                Draw::Normals { deviation } => kernel::normals::launch_unchecked(
                    &client, cubes, dim, stream, to, low, high, count, deviation,
                ),
                Draw::Rows { columns } => kernel::rows::launch_unchecked(
                    &client,
                    cubes,
                    dim,
                    stream,
                    to,
                    low,
                    high,
                    count,
                    columns as u32,
                    blocks_of_row(columns) as u32,
                ),
            }
        }
        drawn
    }
}

mod kernel {
    use crate::kernels::gpu::word_at;
    use crate::kernels::simd::WIDTH;
    use cubecl::prelude::*;

    const LANE: u32 = WIDTH as u32;
    const SQRT_2: f32 = std::f32::consts::SQRT_2;
    /// The upper bits of the logarithm of 2, and what is left of it.
    const LN_2_HIGH: f32 = 355.0 / 512.0;
    const LN_2_LOW: f32 = -2.121_944_4e-4;

    /// Uniform in [0, 1), as [`crate::seed::Rng::uniform`].
    #[cube]
    fn uniform(word: u32) -> f32 {
        f32::cast_from(word >> 8) * 5.960_464_5e-8
    }

    #[cube(launch_unchecked)]
    pub fn factors(
        stream: &[u32],
        to: &mut [f32],
        low: u32,
        high: u32,
        count: u32,
        limit: u32,
        keep: f32,
    ) {
        let unit = ABSOLUTE_POS as u32;
        if unit < count {
            let mut factor = keep;
            if word_at(stream, 0, low, high, unit) >> 8 < limit {
                factor = 0.0f32;
            }
            to[unit as usize] = factor;
        }
    }

    #[cube(launch_unchecked)]
    pub fn normals(
        stream: &[u32],
        to: &mut [f32],
        low: u32,
        high: u32,
        count: u32,
        deviation: f32,
    ) {
        let unit = ABSOLUTE_POS as u32;
        if unit < count {
            let block = low + unit / 2;
            let mut carried = high;
            if block < low {
                carried += 1u32;
            }
            let place = unit % 2 * 2;
            let first = word_at(stream, 0, block, carried, place);
            let second = word_at(stream, 0, block, carried, place + 1);
            let radius = (-2.0f32 * log_of_rest(first >> 8)).sqrt();
            to[unit as usize] = deviation * (radius * cosine_of_turn(second >> 8));
        }
    }

    #[cube(launch_unchecked)]
    pub fn rows(
        stream: &[u32],
        to: &mut [f32],
        low: u32,
        high: u32,
        count: u32,
        columns: u32,
        blocks: u32,
    ) {
        let unit = ABSOLUTE_POS as u32;
        if unit < count {
            let column = unit % columns;
            let lane = column / LANE;
            // Four lanes take the four words of a run of blocks.
            let block = unit / columns * blocks + lane / 4 * LANE + column % LANE;
            let from = low + block;
            let mut carried = high;
            if from < low {
                carried += 1u32;
            }
            to[unit as usize] = uniform(word_at(stream, 0, from, carried, lane % 4));
        }
    }

    /// `ln(1 - n / 2^24)`, to the last bits: what shading languages promise of
    /// their own logarithm is less. The polynomial is that of Cephes' `logf`.
    #[cube]
    fn log_of_rest(n: u32) -> f32 {
        let rest = f32::cast_from(16_777_216u32 - n);
        let bits = u32::reinterpret(rest);
        let mut exponent = f32::cast_from(bits >> 23) - 151.0f32;
        let mut x = f32::reinterpret((bits & 0x007F_FFFFu32) | 0x3F80_0000u32);
        if x > SQRT_2 {
            x *= 0.5f32;
            exponent += 1.0f32;
        }
        x -= 1.0f32;
        let z = x * x;
        let mut y = 7.037_683_6e-2f32 * x - 1.151_461e-1f32;
        y = y * x + 1.167_699_87e-1f32;
        y = y * x - 1.242_014_1e-1f32;
        y = y * x + 1.424_932_3e-1f32;
        y = y * x - 1.666_805_8e-1f32;
        y = y * x + 2.000_071_5e-1f32;
        y = y * x - 2.499_999_4e-1f32;
        y = y * x + 3.333_333e-1f32;
        y = y * x * z;
        y += exponent * LN_2_LOW;
        y -= 0.5f32 * z;
        x + y + exponent * LN_2_HIGH
    }

    /// `cos(2 pi n / 2^24)`, to the last bits: the turn is cut into eighths
    /// without rounding, and in each there is a polynomial of Cephes' `cosf`.
    #[cube]
    fn cosine_of_turn(n: u32) -> f32 {
        // Up to the next quarter or from the last one on, whichever is less.
        let quarter = (n + 0x0020_0000u32) >> 22;
        let rest = f32::cast_from(n) - f32::cast_from(quarter) * 4_194_304.0f32;
        let x = rest * 3.745_070_3e-7f32;
        let z = x * x;
        let mut y = 2.443_315_7e-5f32 * z - 1.388_731_6e-3f32;
        y = y * z + 4.166_664_6e-2f32;
        let mut value = y * z * z - 0.5f32 * z + 1.0f32;
        if quarter % 2 == 1 {
            y = -1.951_529_6e-4f32 * z + 8.332_161e-3f32;
            y = y * z - 1.666_665_5e-1f32;
            value = -(y * z * x + x);
        }
        if quarter % 4 >= 2 {
            value = -value;
        }
        value
    }
}

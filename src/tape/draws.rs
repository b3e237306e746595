//! Dropout and noise: numbers of the step's stream, in the order in which they
//! are asked for. A GPU draws them by itself, other devices get them from the
//! host; they are the same.

use super::Tape;
#[cfg(feature = "wgpu")]
use crate::device::{Family, family};
#[cfg(feature = "wgpu")]
use crate::kernels::draws::DeviceStream;
use crate::seed::Rng;
use burn::tensor::Tensor;
use rayon::prelude::*;

/// Numbers that a thread draws at a time, and whole runs of which a draw takes
/// of the stream.
const RUN: usize = 1024;

impl Tape {
    /// Inverted dropout: zeroes with probability `rate` and scales the rest
    /// by `1 / (1 - rate)`.
    pub fn dropout<const D: usize>(&mut self, x: Tensor<D>, rate: f64) -> Tensor<D> {
        if !self.training || rate <= 0.0 {
            return x;
        }
        let shape = x.dims();
        // A block has four words, of which a factor takes one.
        let start = self.take(shape.iter().product(), 4);
        #[cfg(feature = "wgpu")]
        if let Some(stream) = self.device_stream() {
            return x * Tensor::from_inner(stream.factors(start, shape, rate));
        }
        let keep = 1.0 / (1.0 - rate) as f32;
        let factor = |rng: &mut Rng| {
            let dropped = f64::from(rng.uniform()) < rate;
            if dropped { 0.0 } else { keep }
        };
        x * self.drawn_on_host(start, shape, 4, factor)
    }

    /// Adds normal noise of this deviation.
    pub fn noise<const D: usize>(&mut self, x: Tensor<D>, deviation: f64) -> Tensor<D> {
        if !self.training || deviation <= 0.0 {
            return x;
        }
        let (shape, deviation) = (x.dims(), deviation as f32);
        // A normal number takes two words.
        let start = self.take(shape.iter().product(), 2);
        #[cfg(feature = "wgpu")]
        if let Some(stream) = self.device_stream() {
            return x + Tensor::from_inner(stream.normals(start, shape, deviation));
        }
        x + self.drawn_on_host(start, shape, 2, |rng| deviation * rng.normal())
    }

    /// Standard normal numbers from the beginning of a stream.
    pub fn normals<const D: usize>(&self, stream: &Rng, shape: [usize; D]) -> Tensor<D> {
        #[cfg(feature = "wgpu")]
        if family(&self.device) == Family::Gpu {
            let stream = DeviceStream::new(stream, &self.device.clone().inner());
            let drawn = stream.normals(0, shape, 1.0);
            return if self.training {
                Tensor::from_inner(drawn)
            } else {
                drawn
            };
        }
        let mut stream = stream.clone();
        let count = shape.iter().product();
        self.floats((0..count).map(|_| stream.normal()).collect(), shape)
    }

    /// The first block of so many numbers of the step's stream, `per_block` in
    /// each.
    fn take(&mut self, count: usize, per_block: usize) -> u64 {
        let start = self.drawn;
        self.drawn += (count.div_ceil(RUN) * RUN / per_block) as u64;
        start
    }

    /// The step's stream, on a device that draws by itself.
    #[cfg(feature = "wgpu")]
    fn device_stream(&mut self) -> Option<&DeviceStream> {
        if family(&self.device) != Family::Gpu {
            return None;
        }
        let stream = self.dropout.as_ref().expect("a training step has begun");
        let device = &self.device;
        let make = || DeviceStream::new(stream, &device.clone().inner());
        Some(self.on_device.get_or_insert_with(make))
    }

    fn drawn_on_host<const D: usize>(
        &self,
        start: u64,
        shape: [usize; D],
        per_block: usize,
        draw: impl Fn(&mut Rng) -> f32 + Sync,
    ) -> Tensor<D> {
        let stream = self.dropout.as_ref().expect("a training step has begun");
        let mut values = vec![0.0f32; shape.iter().product()];
        let runs = values.par_chunks_mut(RUN).enumerate();
        runs.for_each(|(run, values)| {
            let mut rng = stream.at(start + (run * RUN / per_block) as u64);
            values.iter_mut().for_each(|value| *value = draw(&mut rng));
        });
        self.floats(values, shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::host;
    use crate::seed::Seed;
    use crate::tape::Updates;
    use burn::tensor::Device;

    #[test]
    fn noise_has_its_deviation_and_is_no_dropout_s() {
        let draw = || {
            let mut tape = Tape::training(&Device::flex(), Updates::Rows);
            tape.begin(Seed(1).stream("dropout"));
            let zeros = || -> Tensor<2> { Tensor::zeros([100, 100], &Device::flex().autodiff()) };
            let first = host(tape.noise(zeros(), 0.3).inner()).unwrap();
            (first, host(tape.noise(zeros(), 0.3).inner()).unwrap())
        };
        let (a, b) = draw();
        let mean =
            |products: &dyn Fn(usize) -> f32| (0..10_000).map(products).sum::<f32>() / 10_000.0;
        assert!((mean(&|i| a[i] * a[i]) - 0.09).abs() < 0.005);
        assert!(mean(&|i| a[i] * b[i]).abs() < 0.005, "both draws are one");
        assert_eq!((a, b), draw());
        let mut tape = Tape::inference(&Device::flex());
        let ones: Tensor<2> = Tensor::ones([2, 2], &Device::flex());
        assert_eq!(host(tape.noise(ones, 0.3)).unwrap(), [1.0; 4]);
    }

    #[test]
    fn dropout_keeps_the_mean_and_repeats() {
        let draw = || {
            let mut tape = Tape::training(&Device::flex(), Updates::Rows);
            tape.begin(Seed(1).stream("dropout"));
            let ones: Tensor<2> = Tensor::ones([100, 100], &Device::flex().autodiff());
            host(tape.dropout(ones, 0.3).inner()).unwrap()
        };
        let values = draw();
        let mean = values.iter().sum::<f32>() / 10_000.0;
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
        assert_eq!(values, draw());
    }

    /// A GPU drops the very same numbers, and adds the same noise but for
    /// rounding.
    #[cfg(feature = "wgpu")]
    #[test]
    fn a_gpu_draws_what_the_host_draws() {
        let Some(gpu) = crate::kernels::gpu::adapter() else {
            return;
        };
        let draw = |device: &Device| {
            let stream = Seed(4).indexed("dropout", 9);
            let mut tape = Tape::training(device, Updates::Rows);
            tape.begin(stream.clone());
            let ones = |tape: &Tape, rows| -> Tensor<2> { Tensor::ones([rows, 37], tape.device()) };
            let mut drawn = Vec::new();
            for rows in [3, 90] {
                let x = ones(&tape, rows);
                drawn.push(host(tape.dropout(x, 0.3).inner()).unwrap());
                let x = ones(&tape, rows);
                drawn.push(host(tape.noise(x, 0.5).inner()).unwrap());
            }
            // Beyond what 32 bits count of blocks.
            tape.drawn = u64::from(u32::MAX) - 5;
            let x = ones(&tape, 2);
            drawn.push(host(tape.dropout(x, 0.5).inner()).unwrap());
            drawn.push(host(tape.normals(&stream, [500, 37]).inner()).unwrap());
            drawn
        };
        let (drawn, expected) = (draw(&gpu), draw(&Device::flex()));
        for (number, (drawn, expected)) in drawn.iter().zip(&expected).enumerate() {
            let factors = [0, 2, 4].contains(&number);
            for (a, b) in drawn.iter().zip(expected) {
                let apart = (a - b).abs();
                assert!(
                    a == b || !factors && apart < 2e-6 * (1.0 + b.abs()),
                    "draw {number}: {a} {b}"
                );
            }
        }
    }
}

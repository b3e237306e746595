//! The noise of a layer of all nodes, as tensors: a GPU draws it by itself, for
//! other devices the host does; the numbers are the same.

#[cfg(feature = "wgpu")]
use crate::device::{Family, family};
use crate::kernels::gcn::{Layer, Noise, Settings};
use crate::kernels::simd::{self, Isa, Job, Lane, WIDTH, flat};
use crate::seed::Rng;
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

/// Nodes whose noise a thread draws at a time.
const CHUNK: usize = 256;

/// The noise of a model.
pub struct Noises {
    strength: f32,
    layers: usize,
    nodes: usize,
    columns: usize,
    device: Device,
}

impl Noises {
    pub fn new(settings: &Settings, nodes: usize, device: &Device) -> Self {
        Self {
            strength: settings.contrast.map_or(0.0, |c| c.noise),
            layers: settings.layers,
            nodes,
            columns: settings.columns,
            device: device.clone(),
        }
    }

    /// Of a view with noise and one of its layers, from 1: `[nodes, columns]`,
    /// without signs.
    pub fn layer(&self, view: usize, layer: usize, stream: &Rng) -> Tensor<2> {
        let layer = Layer {
            view,
            layer,
            layers: self.layers,
            nodes: self.nodes,
        };
        #[cfg(feature = "wgpu")]
        if family(&self.device) == Family::Gpu {
            return self.on_device(layer.first(), stream);
        }
        self.on_host(layer.first(), stream)
    }

    /// As [`Noise::draw`] scales it.
    #[cfg(feature = "wgpu")]
    fn on_device(&self, first: u64, stream: &Rng) -> Tensor<2> {
        let stream = crate::kernels::draws::DeviceStream::new(stream, &self.device);
        let rows = stream.rows(first, [self.nodes, self.columns]);
        let lengths = (rows.clone() * rows.clone()).sum_dim(1).sqrt();
        rows * (lengths.clamp_min(1e-12).recip() * self.strength)
    }

    fn on_host(&self, first: u64, stream: &Rng) -> Tensor<2> {
        let columns = self.columns;
        let noise = Noise {
            stream,
            strength: self.strength,
            columns,
            first,
        };
        let mut values = vec![0.0; self.nodes * columns];
        let chunks = values.par_chunks_mut(CHUNK * columns).enumerate();
        chunks.for_each(|(chunk, values)| {
            simd::run(Draw {
                noise,
                first: chunk * CHUNK,
                values,
            });
        });
        Tensor::from_data(TensorData::new(values, [self.nodes, columns]), &self.device)
    }
}

/// The noise of nodes in a row.
struct Draw<'a> {
    noise: Noise<'a>,
    first: usize,
    values: &'a mut [f32],
}

impl Job for Draw<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Isa>(self) {
        let columns = self.noise.columns;
        let mut lanes = vec![Lane::ZERO; columns.div_ceil(WIDTH)];
        for (node, values) in (self.first as u32..).zip(self.values.chunks_exact_mut(columns)) {
            self.noise.draw::<S>(node, &mut lanes);
            values.copy_from_slice(&flat(&lanes)[..columns]);
        }
    }
}

#[cfg(all(test, feature = "wgpu"))]
mod tests {
    use super::*;
    use crate::params::host;
    use crate::seed::Seed;

    #[test]
    fn a_gpu_draws_the_noise_that_the_host_draws() {
        let Some(device) = crate::kernels::gpu::adapter() else {
            return;
        };
        let stream = Seed(2).indexed("noise", 3);
        // Rows of less than a lane, of some, and of more than a run of blocks.
        for columns in [5, 40, 70] {
            let noises = Noises {
                strength: 0.3,
                layers: 2,
                nodes: 300,
                columns,
                device: device.clone(),
            };
            let drawn = host(noises.layer(1, 2, &stream)).unwrap();
            let expected = Noises {
                device: Device::flex(),
                ..noises
            };
            let expected = host(expected.layer(1, 2, &stream)).unwrap();
            for (a, b) in drawn.iter().zip(&expected) {
                assert!((a - b).abs() < 1e-6, "{columns} columns: {a} {b}");
            }
            let length: f32 = drawn[..columns].iter().map(|x| x * x).sum();
            assert!((length.sqrt() - 0.3).abs() < 1e-5, "{length}");
        }
    }
}

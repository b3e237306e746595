//! The examples of a step with their negatives, where they are needed: drawn
//! by a GPU that trains on them, or by the host.

use super::Examples;
#[cfg(feature = "wgpu")]
use crate::device::{Family, family};
#[cfg(feature = "wgpu")]
use crate::kernels::examples::DeviceExamples;
use crate::params::host;
use crate::tape::Ids;
use anyhow::Result;
use burn::tensor::{Device, Int, Tensor};
use std::ops::Range;

/// What draws a training's examples.
#[derive(Default)]
pub struct Drawn {
    /// The interactions on a GPU that holds them, once they were asked for.
    #[cfg(feature = "wgpu")]
    on_device: Option<Option<DeviceExamples>>,
}

impl Drawn {
    /// Users and, `[positive, negative, ...]` one after the other, the items of
    /// the examples at these places of the epoch.
    pub fn draw(
        &mut self,
        examples: &Examples,
        places: Range<usize>,
        device: &Device,
    ) -> (Ids, Ids) {
        #[cfg(feature = "wgpu")]
        if let Some(on_device) = self.on_device(examples, device) {
            let (users, items) = on_device.draw((examples.order(), examples.stream()), places);
            return (users.into(), items.into());
        }
        // Only GPUs draw by themselves.
        let _ = device;
        let (users, items) = examples.filled(places);
        (Ids::Host(users), Ids::Host(items))
    }

    /// A log that no buffer of the GPU holds stays with the host.
    #[cfg(feature = "wgpu")]
    fn on_device(&mut self, examples: &Examples, device: &Device) -> Option<&mut DeviceExamples> {
        if family(device) != Family::Gpu {
            return None;
        }
        let make = || {
            let (log, sampler) = (examples.log(), examples.sampler());
            DeviceExamples::new(log, sampler, examples.width(), device).ok()
        };
        self.on_device.get_or_insert_with(make).as_mut()
    }
}

/// Leaves each example its positive and the negative with the highest of the
/// scores `[examples, width]`, the first of those.
///
/// # Errors
/// A device that fails.
pub fn keep_hardest(items: Ids, scores: Tensor<2>) -> Result<Ids> {
    let [examples, width] = scores.dims();
    let items = match items {
        Ids::Host(items) => items,
        Ids::Device(items) => {
            let best = scores.slice([0..examples, 1..width]).argmax(1);
            let items = items.reshape([examples, width]);
            let positives: Tensor<2, Int> = items.clone().slice([0..examples, 0..1]);
            let negatives = items.slice([0..examples, 1..width]).gather(1, best);
            let kept = Tensor::cat(vec![positives, negatives], 1);
            let kept: Tensor<1, Int> = kept.reshape([2 * examples]);
            return Ok(kept.into());
        }
    };
    let scores = host(scores)?;
    let rows = items.chunks_exact(width).zip(scores.chunks_exact(width));
    let kept = rows.flat_map(|(items, scores)| {
        let mut best = 1;
        for k in 2..width {
            if scores[k] > scores[best] {
                best = k;
            }
        }
        [items[0], items[best]]
    });
    Ok(Ids::Host(kept.collect()))
}

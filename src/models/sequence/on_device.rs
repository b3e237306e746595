//! The log of a training, where a GPU holds it.

#[cfg(feature = "wgpu")]
use crate::device::{Family, family};
#[cfg(feature = "wgpu")]
use crate::kernels::windows::{DeviceLog, Source};
#[cfg(feature = "wgpu")]
use burn::tensor::Device;

/// What a device holds of a training. Only GPUs do: for any other, and for a
/// log that no buffer of the GPU holds, the host puts each step together.
#[derive(Default)]
pub struct OnDevice {
    /// Once it was asked for.
    #[cfg(feature = "wgpu")]
    log: Option<Option<DeviceLog>>,
}

#[cfg(feature = "wgpu")]
impl OnDevice {
    /// Uploads the log, in the first step.
    pub fn hold<'a>(&mut self, source: impl FnOnce() -> Source<'a>, device: &Device) {
        let upload = || {
            if family(device) != Family::Gpu {
                return None;
            }
            DeviceLog::new(&source(), device).ok()
        };
        self.log.get_or_insert_with(upload);
    }

    pub fn log(&self) -> Option<&DeviceLog> {
        self.log.as_ref()?.as_ref()
    }
}

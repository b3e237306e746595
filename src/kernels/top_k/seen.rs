//! What users have seen, on the GPU that ranks for them.

use std::ops::Range;

#[cfg(feature = "wgpu")]
use crate::device::ensure_fits;
#[cfg(feature = "wgpu")]
use crate::kernels::gpu::upload;
#[cfg(feature = "wgpu")]
use burn::tensor::{Device, Int, Tensor};
#[cfg(feature = "wgpu")]
use std::sync::OnceLock;

/// The items of all histories, one after the other, which the masks of
/// rankings are slices of. A GPU gets it once, with the first ranking, and
/// for each list only the places of its slice.
#[derive(Debug)]
pub struct SeenLog<'a> {
    items: &'a [u32],
    /// `None` where no buffer holds it.
    #[cfg(feature = "wgpu")]
    on_device: OnceLock<Option<Tensor<1, Int>>>,
}

impl<'a> SeenLog<'a> {
    pub fn new(items: &'a [u32]) -> Self {
        Self {
            items,
            #[cfg(feature = "wgpu")]
            on_device: OnceLock::new(),
        }
    }

    /// The places of a slice of this log; `None` for one that lies elsewhere.
    pub fn places(&self, part: &[u32]) -> Option<Range<usize>> {
        if part.is_empty() {
            return Some(0..0);
        }
        let (log, part_at) = (self.items.as_ptr_range(), part.as_ptr_range());
        let inside = log.start <= part_at.start && part_at.end <= log.end;
        inside.then(|| {
            let bytes = part_at.start as usize - log.start as usize;
            let first = bytes / size_of::<u32>();
            first..first + part.len()
        })
    }

    /// The log on a device; `None` where it is on another one, or has no room
    /// there.
    ///
    /// # Panics
    /// On an item beyond the catalog: a kernel would write to its score.
    #[cfg(feature = "wgpu")]
    pub(super) fn on(&self, device: &Device, num_items: usize) -> Option<Tensor<1, Int>> {
        let upload = || {
            let inside = |&item: &u32| (item as usize) < num_items;
            assert!(
                self.items.iter().all(inside),
                "a seen item is in the catalog"
            );
            let bytes = size_of_val(self.items);
            ensure_fits(device, "the log of what users have seen", bytes).ok()?;
            Some(upload(self.items.iter().copied(), device))
        };
        let log = self.on_device.get_or_init(upload).clone();
        log.filter(|log| log.device() == *device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_found_where_they_lie() {
        let items = [4, 1, 3, 1];
        let log = SeenLog::new(&items);
        assert_eq!(log.places(&items[1..3]), Some(1..3));
        assert_eq!(log.places(&items[3..]), Some(3..4));
        assert_eq!(log.places(&[]), Some(0..0));
        assert_eq!(log.places(&items.to_vec()[1..3]), None, "equal, elsewhere");
    }
}

//! The best items of rows of scores, chosen on the GPU that holds the scores,
//! so that only the lists come back.

#[cfg(feature = "wgpu")]
mod gpu;
mod seen;

pub use seen::SeenLog;

use crate::device::{Family, family};
use anyhow::{Context, Result};
use burn::tensor::Tensor;

/// Longest lists that the kernel has room for.
pub const MOST: usize = 1024;

/// What the rows of a call may not return.
#[derive(Clone, Copy, Debug)]
pub struct Masks<'a> {
    /// For each row, items that are left out of its list.
    pub masked: &'a [&'a [u32]],
    /// One flag for each item; those with `false` are left out of all lists.
    pub allowed: Option<&'a [bool]>,
    /// Where the slices of `masked` lie, if they lie in one log.
    pub log: Option<&'a SeenLog<'a>>,
}

/// The list of a row: items, best first, and their scores; `None` for a row
/// with a score that is not finite.
pub type List = Option<(Vec<u32>, Vec<f32>)>;

/// The `k` best items of each row of `scores`, `[rows, items]`, best first;
/// ties go to the lower index. Lists are shorter where fewer items are left.
/// `None` where there is no kernel for this device or for lists of this
/// length.
///
/// # Errors
/// A device that fails.
///
/// # Panics
/// When a mask names an item that there is not, or the masks do not fit the
/// scores.
pub fn top_k(scores: Tensor<2>, masks: Masks<'_>, k: usize) -> Result<Option<Vec<List>>> {
    let [rows, items] = scores.dims();
    if family(&scores.device()) != Family::Gpu || k > MOST {
        return Ok(None);
    }
    assert_eq!(masks.masked.len(), rows, "one mask a row");
    let k = k.min(items);
    if rows == 0 || k == 0 {
        return Ok(Some(vec![Some((Vec::new(), Vec::new())); rows]));
    }
    #[cfg(feature = "wgpu")]
    return gpu::top_k(scores, masks, k).map(Some);
    #[cfg(not(feature = "wgpu"))]
    return Ok(None);
}

/// As [`top_k`], where the scores of at most `height` rows are made at a time:
/// `scores` gives those of some of the rows, `[rows, items]`.
///
/// # Errors
/// A device that fails or has no such kernel, and what `scores` reports.
pub fn top_k_in_tiles<T>(
    rows: &[T],
    height: usize,
    masks: Masks<'_>,
    k: usize,
    mut scores: impl FnMut(&[T]) -> Result<Tensor<2>>,
) -> Result<Vec<List>> {
    let mut lists = Vec::with_capacity(rows.len());
    let tiles = rows.chunks(height).zip(masks.masked.chunks(height));
    for (rows, masked) in tiles {
        let picked = top_k(scores(rows)?, Masks { masked, ..masks }, k)?;
        lists.extend(picked.context("this device does not rank lists of this length")?);
    }
    Ok(lists)
}

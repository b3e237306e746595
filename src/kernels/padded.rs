//! Sequences side by side on a GPU, `[sequences, length, columns]`, padded on
//! the left: what operations on tensors would make of many launches, or what
//! the host would draw and upload.
//!
//! Each computes what a layer of [`crate::kernels::layers`] does, on the same
//! random numbers.

mod ages;
mod dropout;
mod gru;

pub use ages::{age_buckets, bucket_sums, buckets_of};
pub use dropout::{Draw, Site, Sites};
pub use gru::{fits, gru};

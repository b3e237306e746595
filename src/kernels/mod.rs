//! Fused operations: what a model's step costs when nothing is computed that
//! it does not need. Each is held against the plain tensor operations that it
//! replaces.

pub mod catalog;
pub mod gemm;
#[cfg(feature = "wgpu")]
pub mod gpu;
pub mod groups;
pub mod layers;
pub mod mf;
pub mod ncf;
pub mod rows;
pub mod scan;
pub mod simd;
pub mod table;
pub mod top_k;
pub mod update;

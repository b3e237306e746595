//! Fused operations: what a model's step costs when nothing is computed that
//! it does not need. Each is held against the plain formula: tensor operations
//! where it replaces some, else loops over numbers of 64 bits.

pub mod als;
#[cfg(feature = "wgpu")]
pub mod bags;
pub mod catalog;
pub mod contrast;
#[cfg(feature = "wgpu")]
pub mod draws;
pub mod eigen;
#[cfg(feature = "wgpu")]
pub mod examples;
pub mod gcn;
pub mod gemm;
#[cfg(feature = "wgpu")]
pub mod gpu;
pub mod groups;
pub mod layers;
pub mod lengths;
pub mod mf;
pub mod ncf;
#[cfg(feature = "wgpu")]
pub mod padded;
pub mod propagate;
pub mod rows;
pub mod scan;
pub mod simd;
pub mod svdpp;
pub mod table;
pub mod top_k;
pub mod update;
#[cfg(feature = "wgpu")]
pub mod windows;

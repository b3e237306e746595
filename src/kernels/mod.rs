//! Fused operations: what a model's step costs when nothing is computed that
//! it does not need. Each is held against the plain tensor operations that it
//! replaces.

pub mod gemm;
pub mod groups;
pub mod mf;
pub mod ncf;
pub mod scan;
pub mod simd;
pub mod table;
pub mod update;

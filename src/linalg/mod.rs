//! Linear algebra of the closed-form models: sparse matrices of interactions,
//! a symmetric matrix in tiles that is inverted in its place, factors of small
//! matrices, and the leading singular vectors of large sparse ones.

pub mod cholesky;
mod inverse;
mod memory;
mod packed;
pub mod sparse;
pub mod svd;
pub mod symmetric;
pub mod tall;

pub use cholesky::Cholesky;
pub use memory::ensure_fits;
pub use sparse::Sparse;
pub use symmetric::Symmetric;

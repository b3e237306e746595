//! One test program: each module is a layer of tests.

mod cli;
mod configs;
mod conformance;
mod devices;
#[cfg(feature = "ndarray")]
mod embeddings;
#[cfg(feature = "ndarray")]
mod fused;
mod golden;
mod kernels;
mod networks;
mod newcomers;
mod quality;
mod resume;
mod sequences;

//! One test program: each module is a layer of tests.

mod cli;
mod configs;
mod conformance;
mod devices;
mod golden;
mod kernels;
mod quality;
mod resume;

//! One test program: each module is a layer of tests.

mod cli;
mod configs;
mod conformance;
mod golden;
mod quality;
mod resume;

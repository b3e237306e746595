//! One test program: each module is a layer of tests.

mod conformance;
mod quality;
mod resume;

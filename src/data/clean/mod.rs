//! Cleaning: every step is chosen in `[data.clean]`, and counted.

mod config;

pub use config::{CleanConfig, Clip, Duplicates, Malformed, TimePoint};

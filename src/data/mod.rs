//! From files to dense, clean, split interactions.

pub mod cache;
pub mod check;
pub mod clean;
pub mod config;
pub mod dataset;
pub mod features;
pub mod fetch;
pub mod interactions;
pub mod read;
pub mod split;
pub mod stats;
pub mod synth;
pub mod times;

pub use cache::read_cached;
pub use config::DataConfig;
pub use dataset::{CleaningStep, Dataset, Log, Part};
pub use interactions::{Interactions, RowColumns};
pub use read::read;

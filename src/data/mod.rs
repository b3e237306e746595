//! From files to dense, clean, split interactions.

pub mod dataset;
pub mod features;
pub mod interactions;
pub mod split;

pub use dataset::{CleaningStep, Dataset, Log, Part};
pub use interactions::{Interactions, RowColumns};

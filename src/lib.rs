//! `recsys` trains, evaluates and serves recommenders.

pub mod cli;
pub mod config;
pub mod data;
pub mod device;
pub mod evaluation;
pub mod event;
pub mod fsio;
pub mod ids;
pub mod losses;
pub mod metrics;
pub mod model;
pub mod models;
pub mod optim;
pub mod params;
pub mod pipeline;
pub mod ranking;
pub mod recommend;
pub mod report;
pub mod run_dir;
pub mod sampling;
pub mod seed;
pub mod suggest;
pub mod tensors;
pub mod training;

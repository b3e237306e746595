//! `recsys` trains, evaluates and serves recommenders, from interaction logs
//! to top-N lists, on any GPU through wgpu or on the CPU.
//!
//! # Map
//!
//! A later line may use an earlier one, never the reverse.
//!
//! | module | what it holds |
//! |---|---|
//! | [`ids`], [`seed`], [`event`], [`fsio`], [`suggest`], [`tensorboard`], [`mlflow`], [`tensors`] | typed indices and the id map; one seed, many streams; what happens, for who draws it; whole files or none; did-you-mean; event files for TensorBoard; runs for MLflow; named tensors on disk |
//! | [`machine`], [`allocator`] | memory, disk and processor, and their limits; what is kept of freed memory |
//! | [`device`] | `--device` to a ready device; the only place that knows which backends a build has |
//! | [`data`] | read, clean, encode, cache, split; features; statistics; what is wrong with a log; fetching public data, drawing synthetic data |
//! | [`metrics`], [`losses`], [`stats`] | a registry with one file a metric; losses as pure tensor functions; paired tests over users |
//! | [`kernels`], [`sampling`], [`params`], [`tape`], [`optim`] | fused operations, each with the plain formula as its test; negatives, never a positive; parameters outside the graph; the tape that reads them, row by row for embedding tables; optimizers for what it read |
//! | [`linalg`] | sparse matrices of interactions; a symmetric matrix in tiles, inverted in its place; small Cholesky factors; leading singular vectors |
//! | [`model`], [`training`], [`footprint`] | the contracts `Recommender`, `ModelSpec`, `Query`; the one epoch loop behind them, early stopping, checkpoints, resume; how much memory a model will take |
//! | [`ranking`] | score, mask, top-k: shared by evaluation and recommending |
//! | [`models`] | a registry with one file (or folder) a model |
//! | [`page`], [`evaluation`], [`report`] | pages of one file; model + held-out part + metrics to figures; a closer look at them; table, page, Markdown, JSON, CSV |
//! | [`tune`], [`config`], [`run_dir`] | spaces of settings and what to try next in them; the configuration file; the directory of one training |
//! | [`preflight`] | refuses what does not fit, and foretells an epoch |
//! | [`recommend`], [`pipeline`], [`compare`], [`search`], [`ceiling`] | external ids to ranked external ids; read, split, fit, evaluate, keep; whether runs differ; trials of settings; how good the preferences behind synthetic data are |
//! | [`reproduce`] | configs whose figures are known, trained again and judged |
//! | [`doctor`] | what this machine is good for, and what is wrong with it |
//! | [`cli`] | one file a command |
//!
//! # Invariants
//!
//! - Nothing below [`cli`] prints, reads the environment or the arguments, or
//!   exits. Long work emits [`event`]s.
//! - Nothing below [`config`] sees the whole configuration; each module owns
//!   its section.
//! - [`metrics`] and [`ranking`] know no tensor library.
//! - [`training`] does not know [`evaluation`]: validation is a closure.
//! - External ids stop at [`data`] and come back in [`recommend`] and
//!   [`report`].
//! - Nobody but [`device`] makes a device, and nobody asks for a default one.
//! - Every random choice comes from a named stream of the one seed, and what
//!   must repeat across devices is drawn on the host, or in a kernel from the
//!   same counters.

pub mod allocator;
pub mod ceiling;
pub mod cli;
pub mod compare;
pub mod config;
pub mod data;
pub mod device;
pub mod doctor;
pub mod evaluation;
pub mod event;
pub mod footprint;
pub mod fsio;
pub mod ids;
pub mod kernels;
pub mod linalg;
pub mod losses;
pub mod machine;
pub mod metrics;
pub mod mlflow;
pub mod model;
pub mod models;
pub mod optim;
pub mod page;
pub mod params;
pub mod pipeline;
pub mod preflight;
pub mod ranking;
pub mod recommend;
pub mod report;
pub mod reproduce;
pub mod run_dir;
pub mod sampling;
pub mod search;
pub mod seed;
pub mod stats;
pub mod suggest;
pub mod tape;
pub mod tensorboard;
pub mod tensors;
pub mod training;
pub mod tune;

//! The models. Adding one is a file here and its two lines below.

mod autoencoder;
pub mod bspm;
pub mod dcn_v2;
pub mod deep_fm;
pub mod ease;
mod embeddings;
mod features;
pub mod fm;
pub mod gf_cf;
pub mod graph;
pub mod ials;
pub mod item_knn;
mod item_weights;
pub mod mf;
pub mod mult_vae;
mod neighbors;
pub mod neumf;
mod pairwise;
pub mod params;
pub mod popularity;
pub mod pure_svd;
pub mod rec_vae;
pub mod rp3beta;
pub mod sequence;
mod similarity;
pub mod slim;
pub mod svdpp;
pub mod two_tower;
pub mod user_knn;

use crate::model::ModelSpec;
use anyhow::{Context, Result, bail};

/// What the program knows of a model before it is built.
pub struct ModelEntry {
    pub name: &'static str,
    pub summary: &'static str,
    /// Authors, title, venue, year.
    pub citation: &'static str,
    /// Name and meaning of each parameter; defaults come from `defaults`.
    pub params: &'static [(&'static str, &'static str)],
    /// Whether it is trained in epochs, so that `[training]` counts.
    pub gradient: bool,
    /// The default parameters.
    pub defaults: fn() -> toml::Table,
    /// From the `[model]` table less its `name`.
    pub build: fn(toml::Table) -> Result<Box<dyn ModelSpec>>,
}

/// All models, in the order in which `recsys models` lists them.
pub const REGISTRY: &[&ModelEntry] = &[
    &popularity::ENTRY,
    &item_knn::ENTRY,
    &user_knn::ENTRY,
    &rp3beta::ENTRY,
    &slim::ENTRY,
    &ease::ENTRY,
    &ials::ENTRY,
    &gf_cf::ENTRY,
    &bspm::ENTRY,
    &pure_svd::ENTRY,
    &mf::ENTRY,
    &svdpp::ENTRY,
    &neumf::GMF,
    &neumf::MLP,
    &neumf::NEUMF,
    &fm::ENTRY,
    &deep_fm::ENTRY,
    &dcn_v2::ENTRY,
    &two_tower::ENTRY,
    &mult_vae::VAE,
    &mult_vae::DAE,
    &rec_vae::ENTRY,
    &graph::LIGHTGCN,
    &graph::SIMGCL,
    &graph::XSIMGCL,
    &sequence::sasrec::ENTRY,
    &sequence::hstu::ENTRY,
    &sequence::gru4rec::ENTRY,
    &sequence::bert4rec::ENTRY,
    &sequence::nextitnet::ENTRY,
];

/// Finds a model by name.
///
/// # Errors
/// An unknown name; offers the nearest one and lists all.
pub fn find(name: &str) -> Result<&'static ModelEntry> {
    if let Some(entry) = REGISTRY.iter().find(|e| e.name == name) {
        return Ok(entry);
    }
    let names: Vec<_> = REGISTRY.iter().map(|e| e.name).collect();
    bail!(
        "unknown model `{name}`{} (there are: {})",
        crate::suggest::did_you_mean(name, &names),
        names.join(", ")
    )
}

/// Builds a model from its name and parameters.
///
/// # Errors
/// An unknown model, or a parameter that it does not have or whose value is
/// not valid.
pub fn build(name: &str, params: toml::Table) -> Result<Box<dyn ModelSpec>> {
    let entry = find(name)?;
    (entry.build)(params).with_context(|| format!("[model] of `{name}`"))
}

//! The parameters of graph models.

use crate::losses::Loss;
use crate::models::embeddings::Embeddings;
use crate::models::pairwise::{self, Objective};
use crate::models::params;
use anyhow::Result;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What all three share: their size, the loss of scores, and what keeps
/// embeddings small.
pub struct Shared {
    pub size: Size,
    pub loss: LossParams,
    pub embeddings: Embeddings,
}

/// What one has beside that.
pub trait Own: Default + Serialize + DeserializeOwned {
    /// The default of `layers`.
    const LAYERS: i64;
}

/// The parameters of a model, and the shared ones beside them.
pub fn defaults<T: Own>() -> toml::Table {
    let mut all = params::defaults::<Size>();
    all.insert("layers".to_string(), T::LAYERS.into());
    all.extend(params::defaults::<T>());
    all.extend(params::defaults::<LossParams>());
    all.extend(params::defaults::<Embeddings>());
    all
}

/// Undoes what [`defaults`] does.
///
/// # Errors
/// As [`params::parse`].
pub fn parse<T: Own>(mut table: toml::Table) -> Result<(T, Shared)> {
    let all = defaults::<T>();
    // The default of a model, which its size does not know.
    table.entry("layers").or_insert(T::LAYERS.into());
    let shared = Shared {
        size: params::take(&mut table, &all)?,
        loss: params::take(&mut table, &all)?,
        embeddings: params::take(&mut table, &all)?,
    };
    Ok((params::parse(table)?, shared))
}

/// The size of the embeddings, how far they go, and their regularization.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Size {
    pub embedding_dim: usize,
    pub layers: usize,
    pub regularization: f64,
}

impl Default for Size {
    fn default() -> Self {
        Self {
            embedding_dim: 64,
            layers: 2,
            regularization: 5e-5,
        }
    }
}

/// The loss of scores, of all three.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossParams {
    pub loss: Loss,
    pub cosine: bool,
    pub softmax_temperature: f64,
    pub margin: f64,
    pub negative_weight: f64,
}

impl Default for LossParams {
    fn default() -> Self {
        Self {
            loss: Loss::Bpr,
            cosine: false,
            softmax_temperature: 1.0,
            margin: pairwise::MARGIN,
            negative_weight: pairwise::NEGATIVE_WEIGHT,
        }
    }
}

impl LossParams {
    pub fn objective(&self) -> Objective {
        Objective {
            loss: self.loss,
            temperature: self.softmax_temperature,
            hardest_negative: false,
            margin: self.margin,
            negative_weight: self.negative_weight,
            logq_correction: false,
        }
    }
}

/// `lightgcn` has nothing but the shared parameters.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LightGcn {}

impl Own for LightGcn {
    const LAYERS: i64 = 3;
}

/// Parameters of `simgcl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimGcl {
    pub contrast_weight: f64,
    pub temperature: f64,
    pub noise: f64,
}

impl Own for SimGcl {
    const LAYERS: i64 = 2;
}

impl Default for SimGcl {
    fn default() -> Self {
        Self {
            contrast_weight: 0.05,
            temperature: 0.2,
            noise: 0.1,
        }
    }
}

/// Parameters of `xsimgcl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct XSimGcl {
    pub contrast_weight: f64,
    pub temperature: f64,
    pub noise: f64,
    pub contrast_layer: usize,
}

impl Own for XSimGcl {
    const LAYERS: i64 = 2;
}

impl Default for XSimGcl {
    fn default() -> Self {
        Self {
            contrast_weight: 0.1,
            temperature: 0.2,
            noise: 0.2,
            contrast_layer: 1,
        }
    }
}

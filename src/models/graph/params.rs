//! The parameters of graph models.

use crate::losses::Loss;
use crate::models::embeddings::Embeddings;
use crate::models::pairwise::{self, Objective};
use crate::models::params;
use anyhow::Result;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What all three share: the loss of scores, and what keeps embeddings small.
pub struct Shared {
    pub loss: LossParams,
    pub embeddings: Embeddings,
}

/// The parameters of a model, and the shared ones beside them.
pub fn defaults<T: Default + Serialize>() -> toml::Table {
    let mut all = params::defaults::<T>();
    all.extend(params::defaults::<LossParams>());
    all.extend(params::defaults::<Embeddings>());
    all
}

/// Undoes what [`defaults`] does.
///
/// # Errors
/// As [`params::parse`].
pub fn parse<T>(mut table: toml::Table) -> Result<(T, Shared)>
where
    T: Default + Serialize + DeserializeOwned,
{
    let all = defaults::<T>();
    let shared = Shared {
        loss: params::take(&mut table, &all)?,
        embeddings: params::take(&mut table, &all)?,
    };
    Ok((params::parse(table)?, shared))
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

/// Parameters of `lightgcn`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LightGcn {
    pub embedding_dim: usize,
    pub layers: usize,
    pub regularization: f64,
}

impl Default for LightGcn {
    fn default() -> Self {
        Self {
            embedding_dim: 64,
            layers: 3,
            regularization: 5e-5,
        }
    }
}

/// Parameters of `simgcl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimGcl {
    pub embedding_dim: usize,
    pub layers: usize,
    pub regularization: f64,
    pub contrast_weight: f64,
    pub temperature: f64,
    pub noise: f64,
}

impl Default for SimGcl {
    fn default() -> Self {
        Self {
            embedding_dim: 64,
            layers: 2,
            regularization: 5e-5,
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
    pub embedding_dim: usize,
    pub layers: usize,
    pub regularization: f64,
    pub contrast_weight: f64,
    pub temperature: f64,
    pub noise: f64,
    pub contrast_layer: usize,
}

impl Default for XSimGcl {
    fn default() -> Self {
        Self {
            embedding_dim: 64,
            layers: 2,
            regularization: 5e-5,
            contrast_weight: 0.1,
            temperature: 0.2,
            noise: 0.2,
            contrast_layer: 1,
        }
    }
}

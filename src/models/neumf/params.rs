//! The parameters of `gmf`, `mlp` and `neumf`: each has those of its branches.

use super::Kind;
use crate::losses::Loss;
use crate::models::embeddings::{self, Embeddings};
use crate::models::pairwise::{self, Objective};
use crate::models::params::{self, Parameter, joined};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

const OF_GMF: &[Parameter] = &[("embedding_dim", "width of the GMF embeddings")];

const OF_MLP: &[Parameter] = &[
    (
        "mlp_embedding_dim",
        "width of the MLP embeddings, each of user and item",
    ),
    ("hidden", "widths of the MLP's layers"),
    (
        "dropout",
        "probability of dropping an input of an MLP layer",
    ),
];

const OF_BOTH: &[Parameter] = &[
    (
        "pretrained_gmf",
        "run directory of a `gmf` on the same data and split to start from",
    ),
    (
        "pretrained_mlp",
        "run directory of an `mlp` on the same data and split to start from",
    ),
];

const LOSS: &[Parameter] = &[("loss", "mse (ratings), bce, bpr, softmax (sampled)")];

const LOSS_OF_GMF: &[Parameter] = &[(
    "loss",
    "mse (ratings), bce, bpr, softmax (sampled), full_softmax (the catalog)",
)];

const SHARED: &[Parameter] = &[
    (
        "regularization",
        "L2 on the embeddings of a batch, per example",
    ),
    (
        "init_deviation",
        "deviation of the normal that embeddings start from",
    ),
    ("temperature", "divides scores before a softmax"),
    (
        "hardest_negative",
        "bpr: learn from the highest-scored of the negatives alone (dynamic negative sampling)",
    ),
    embeddings::L1,
    embeddings::MAX_NORM,
    embeddings::NOISE,
    embeddings::DROPOUT,
];

pub const GMF: &[Parameter] = &joined::<10>(&joined::<2>(OF_GMF, LOSS_OF_GMF), SHARED);

pub const MLP: &[Parameter] = &joined::<12>(&joined::<4>(OF_MLP, LOSS), SHARED);

pub const NEUMF: &[Parameter] = &joined::<15>(
    &joined::<6>(OF_GMF, &joined::<5>(OF_MLP, OF_BOTH)),
    &joined::<9>(LOSS, SHARED),
);

/// Parameters of `gmf`, `mlp` and `neumf`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    pub embedding_dim: usize,
    pub mlp_embedding_dim: usize,
    pub hidden: Vec<usize>,
    pub dropout: f64,
    pub loss: Loss,
    pub regularization: f64,
    pub init_deviation: f64,
    pub temperature: f64,
    pub hardest_negative: bool,
    /// Empty does not pre-train.
    pub pretrained_gmf: String,
    /// Empty does not pre-train.
    pub pretrained_mlp: String,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            embedding_dim: 64,
            mlp_embedding_dim: 64,
            hidden: vec![128, 64],
            dropout: 0.0,
            loss: Loss::Bce,
            regularization: 0.0,
            init_deviation: 0.01,
            temperature: 1.0,
            hardest_negative: false,
            pretrained_gmf: String::new(),
            pretrained_mlp: String::new(),
        }
    }
}

/// The defaults of a kind's parameters: of no branch that it does not have.
pub fn defaults(kind: Kind) -> toml::Table {
    let absent = [
        (kind.gmf, OF_GMF),
        (kind.mlp, OF_MLP),
        (kind.gmf && kind.mlp, OF_BOTH),
    ];
    let absent = absent.into_iter().filter(|(has, _)| !has);
    let absent: Vec<&str> = absent
        .flat_map(|(_, keys)| keys)
        .map(|(key, _)| *key)
        .collect();
    let mut all = params::defaults::<Params>();
    all.retain(|key, _| absent.iter().all(|absent| key != *absent));
    all.extend(params::defaults::<Embeddings>());
    all
}

/// From the `[model]` table.
///
/// # Errors
/// A parameter that the kind does not have, or whose value is not valid.
pub fn parse(kind: Kind, mut table: toml::Table) -> Result<(Params, Embeddings)> {
    let embeddings: Embeddings = params::take(&mut table, &defaults(kind))?;
    embeddings.check()?;
    let params: Params = params::parse(table)?;
    params.validate(kind)?;
    Ok((params, embeddings))
}

impl Params {
    pub fn objective(&self) -> Objective {
        Objective {
            loss: self.loss,
            temperature: self.temperature,
            hardest_negative: self.hardest_negative,
            margin: pairwise::MARGIN,
            negative_weight: pairwise::NEGATIVE_WEIGHT,
            logq_correction: false,
        }
    }

    fn validate(&self, kind: Kind) -> Result<()> {
        for (key, value) in [
            ("embedding_dim", self.embedding_dim),
            ("mlp_embedding_dim", self.mlp_embedding_dim),
        ] {
            ensure!(value > 0, "`{key}` must be at least 1");
        }
        ensure!(
            !self.hidden.is_empty() && self.hidden.iter().all(|&h| h > 0),
            "`hidden` must list at least one layer, each at least 1 wide"
        );
        ensure!(
            (0.0..1.0).contains(&self.dropout),
            "`dropout` must lie in [0, 1)"
        );
        ensure!(
            self.regularization >= 0.0,
            "`regularization` must not be negative"
        );
        ensure!(
            self.init_deviation > 0.0,
            "`init_deviation` must be above 0"
        );
        self.validate_loss(kind)
    }

    fn validate_loss(&self, kind: Kind) -> Result<()> {
        ensure!(
            self.loss != Loss::Ccl,
            "`loss = \"ccl\"` is one of cosines, and scores of learned weights are none: use bce, bpr or \
             softmax, or model `mf` with `cosine = true`"
        );
        ensure!(
            self.loss != Loss::InBatchSoftmax,
            "in_batch_softmax is of models `mf` and `two_tower`: use `loss = \"softmax\"`"
        );
        ensure!(
            self.loss != Loss::FullSoftmax || !kind.mlp,
            "`loss = \"full_softmax\"` would take every user of a batch with every item through the \
             MLP, far more than memory holds: use softmax with more `training.negatives`, or model `gmf` \
             or `mf`"
        );
        self.objective().check(false, "temperature")
    }
}

//! Neural collaborative filtering: GMF, MLP, and their fusion NeuMF.
//!
//! He et al., "Neural collaborative filtering", WWW 2017: GMF is a weighted
//! inner product (eq. 9), MLP a tower over concatenated embeddings (eq. 10),
//! NeuMF scores the concatenation of both last layers (eq. 12). The first
//! layer of the tower is kept as a user part and an item part, which is the
//! same product and lets a catalog be scored without repeating either.

mod fused;
mod network;
#[cfg(test)]
mod tests;

use super::embeddings::{self, Embeddings};
use super::pairwise::{self, Objective, PairNetwork};
use super::{ModelEntry, params};
use crate::data::interactions::Interactions;
use crate::footprint::{Footprint, Workload};
use crate::losses::Loss;
use crate::model::{FitContext, Fitted, ModelData, ModelSpec, Recommender};
use crate::params::Param;
use crate::seed::Seed;
use crate::tensors::NamedTensors;
use anyhow::{Context, Result, ensure};
use burn::tensor::Device;
use network::{Gmf, Mlp, Network};
use serde::{Deserialize, Serialize};
use std::path::Path;

const CITATION: &str = "He et al., Neural collaborative filtering, WWW 2017";

pub const GMF: ModelEntry = entry(
    "gmf",
    "generalized matrix factorization: a learned weight for each dimension of the inner product",
    |table| build(Kind::GMF, table),
);

pub const MLP: ModelEntry = entry(
    "mlp",
    "multi-layer perceptron over concatenated user and item embeddings",
    |table| build(Kind::MLP, table),
);

pub const NEUMF: ModelEntry = entry(
    "neumf",
    "neural matrix factorization: GMF and MLP fused in the last layer",
    |table| build(Kind::NEUMF, table),
);

type Build = fn(toml::Table) -> Result<Box<dyn ModelSpec>>;

/// What the three models have in common.
const fn entry(name: &'static str, summary: &'static str, build: Build) -> ModelEntry {
    ModelEntry {
        name,
        summary,
        citation: CITATION,
        params: PARAMS,
        gradient: true,
        defaults,
        build,
    }
}

const PARAMS: &[(&str, &str)] = &[
    ("embedding_dim", "width of the GMF embeddings"),
    (
        "mlp_embedding_dim",
        "width of the MLP embeddings, each of user and item",
    ),
    ("hidden", "widths of the MLP's layers"),
    (
        "dropout",
        "probability of dropping an input of an MLP layer",
    ),
    ("loss", "mse (ratings), bce, bpr, softmax (sampled)"),
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
    (
        "pretrained_gmf",
        "run directory of a `gmf` on the same data and split to start from",
    ),
    (
        "pretrained_mlp",
        "run directory of an `mlp` on the same data and split to start from",
    ),
    embeddings::L1,
    embeddings::MAX_NORM,
    embeddings::NOISE,
    embeddings::DROPOUT,
];

/// Which branches a network has.
#[derive(Clone, Copy, Debug)]
struct Kind {
    gmf: bool,
    mlp: bool,
}

impl Kind {
    const GMF: Self = Self {
        gmf: true,
        mlp: false,
    };
    const MLP: Self = Self {
        gmf: false,
        mlp: true,
    };
    const NEUMF: Self = Self {
        gmf: true,
        mlp: true,
    };
}

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

impl Params {
    fn objective(&self) -> Objective {
        Objective {
            loss: self.loss,
            temperature: self.temperature,
            hardest_negative: self.hardest_negative,
            margin: pairwise::MARGIN,
            negative_weight: pairwise::NEGATIVE_WEIGHT,
            logq_correction: false,
        }
    }
}

impl Params {
    /// # Errors
    /// A parameter that somebody set for a branch that the model does not have.
    fn ensure_used(&self, kind: Kind) -> Result<()> {
        let default = Self::default();
        let of_gmf = [("embedding_dim", self.embedding_dim == default.embedding_dim)];
        let of_mlp = [
            (
                "mlp_embedding_dim",
                self.mlp_embedding_dim == default.mlp_embedding_dim,
            ),
            ("hidden", self.hidden == default.hidden),
            ("dropout", self.dropout == default.dropout),
        ];
        let unused = of_gmf.iter().filter(|_| !kind.gmf);
        for (key, is_default) in unused.chain(of_mlp.iter().filter(|_| !kind.mlp)) {
            let has = if kind.gmf {
                "`gmf` has no MLP"
            } else {
                "`mlp` has no GMF"
            };
            ensure!(*is_default, "`{key}` changes nothing: {has}; leave it out");
        }
        Ok(())
    }
}

struct Spec {
    kind: Kind,
    params: Params,
    embeddings: Embeddings,
}

fn defaults() -> toml::Table {
    let mut all = params::defaults::<Params>();
    all.extend(params::defaults::<Embeddings>());
    all
}

fn build(kind: Kind, mut table: toml::Table) -> Result<Box<dyn ModelSpec>> {
    let embeddings: Embeddings = params::take(&mut table, &defaults())?;
    embeddings.check()?;
    let params: Params = params::parse(table)?;
    ensure!(
        params.embedding_dim > 0,
        "`embedding_dim` must be at least 1"
    );
    ensure!(
        params.mlp_embedding_dim > 0,
        "`mlp_embedding_dim` must be at least 1"
    );
    ensure!(
        !params.hidden.is_empty() && params.hidden.iter().all(|&h| h > 0),
        "`hidden` must list at least one layer, each at least 1 wide"
    );
    ensure!(
        (0.0..1.0).contains(&params.dropout),
        "`dropout` must lie in [0, 1)"
    );
    ensure!(
        params.regularization >= 0.0,
        "`regularization` must not be negative"
    );
    ensure!(
        params.init_deviation > 0.0,
        "`init_deviation` must be above 0"
    );
    ensure!(
        !matches!(
            params.loss,
            Loss::InBatchSoftmax | Loss::FullSoftmax | Loss::Ccl
        ),
        "in_batch_softmax, full_softmax and ccl need a score that is an inner product; use model \
         `mf`, or `loss = \"softmax\"`"
    );
    params.objective().check(false, "temperature")?;
    params.ensure_used(kind)?;
    ensure!(
        (kind.gmf && kind.mlp)
            || (params.pretrained_gmf.is_empty() && params.pretrained_mlp.is_empty()),
        "`pretrained_gmf` and `pretrained_mlp` are for model `neumf`"
    );
    Ok(Box::new(Spec {
        kind,
        params,
        embeddings,
    }))
}

impl Spec {
    /// To be trained, or without a seed all zero, to be loaded.
    fn network(&self, train: &Interactions, seed: Option<Seed>, device: &Device) -> Network {
        let (users, items, p) = (train.num_users(), train.num_items, &self.params);
        let table = |name: &str, rows: usize, dim: usize| {
            let Some(seed) = seed else {
                return Param::zeros(name, [rows, dim], device);
            };
            let stream = seed.stream(&format!("init/{name}"));
            Param::normal(name, [rows, dim], p.init_deviation, &stream, device)
        };
        let gmf = self.kind.gmf.then(|| Gmf {
            users: table("gmf_user_embedding", users, p.embedding_dim),
            items: table("gmf_item_embedding", items, p.embedding_dim),
            output: Param::glorot(
                "gmf_output",
                [p.embedding_dim, 1],
                p.embedding_dim,
                seed,
                device,
            ),
        });
        let mlp = self.kind.mlp.then(|| {
            let (dim, first) = (p.mlp_embedding_dim, p.hidden[0]);
            let last = p.hidden[p.hidden.len() - 1];
            Mlp {
                users: table("mlp_user_embedding", users, dim),
                items: table("mlp_item_embedding", items, dim),
                first_user: Param::glorot("mlp_first_user", [dim, first], 2 * dim, seed, device),
                first_item: Param::glorot("mlp_first_item", [dim, first], 2 * dim, seed, device),
                first_bias: Param::zeros("mlp_first_bias", [1, first], device),
                layers: p
                    .hidden
                    .windows(2)
                    .enumerate()
                    .map(|(i, w)| {
                        let weight = Param::glorot(
                            &format!("mlp_{}_weight", i + 2),
                            [w[0], w[1]],
                            w[0],
                            seed,
                            device,
                        );
                        (
                            weight,
                            Param::zeros(&format!("mlp_{}_bias", i + 2), [1, w[1]], device),
                        )
                    })
                    .collect(),
                output: Param::glorot("mlp_output", [last, 1], last, seed, device),
                dropout: p.dropout,
            }
        });
        Network {
            gmf,
            mlp,
            bias: Param::zeros("output_bias", [1, 1], device),
            regularization: p.regularization,
            num_items: items,
            disturbance: Embeddings::default(),
        }
    }

    /// Starts from fitted parts: their tables and towers, and half of each
    /// one's output weights (section 3.4.1 of the paper, alpha = 0.5).
    fn pretrain(&self, network: &mut Network) -> Result<()> {
        let parts = [
            ("pretrained_gmf", &self.params.pretrained_gmf, "gmf_"),
            ("pretrained_mlp", &self.params.pretrained_mlp, "mlp_"),
        ];
        for (key, dir, prefix) in parts {
            if dir.is_empty() {
                continue;
            }
            let weights = NamedTensors::load_burnpack(&Path::new(dir).join("model.bpk"))
                .with_context(|| format!("`{key}` must be the directory of a finished run"))?;
            for param in network.params_mut() {
                if param.name().starts_with(prefix) {
                    param.load(&weights, "").with_context(|| {
                        format!("`{key} = \"{dir}\"` does not fit this model and data")
                    })?;
                }
                if param.name() == format!("{prefix}output") {
                    param.update(|w| w * 0.5);
                }
            }
        }
        Ok(())
    }
}

impl ModelSpec for Spec {
    fn unused_training_keys(&self) -> Vec<String> {
        self.params.objective().unused_training_keys()
    }

    fn footprint(&self, work: &Workload<'_>) -> Footprint {
        let p = &self.params;
        let mut columns = 0;
        let mut wide = 0;
        if self.kind.gmf {
            columns += p.embedding_dim as u64;
            wide += p.embedding_dim as u64;
        }
        if self.kind.mlp {
            columns += p.mlp_embedding_dim as u64;
            wide += 2 * p.mlp_embedding_dim as u64 + p.hidden.iter().sum::<usize>() as u64;
        }
        pairwise::footprint(work, columns, wide, p.loss)
    }

    fn fit(&self, context: FitContext<'_>) -> Result<Fitted> {
        let mut network = self.network(context.data.train, Some(context.seed), context.device);
        self.pretrain(&mut network)?;
        network.regularize(self.embeddings);
        pairwise::fit(Box::new(network), self.params.objective(), context)
    }

    fn load(
        &self,
        weights: &NamedTensors,
        data: ModelData<'_>,
        device: &Device,
    ) -> Result<Box<dyn Recommender>> {
        let network = self.network(data.train, None, device);
        pairwise::load(Box::new(network), weights, data, device)
    }
}

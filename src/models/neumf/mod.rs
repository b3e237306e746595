//! Neural collaborative filtering: GMF, MLP, and their fusion NeuMF.
//!
//! He et al., "Neural collaborative filtering", WWW 2017: GMF is a weighted
//! inner product (eq. 9), MLP a tower over concatenated embeddings (eq. 10),
//! NeuMF scores the concatenation of both last layers (eq. 12). The first
//! layer of the tower is kept as a user part and an item part, which is the
//! same product and lets a catalog be scored without repeating either.

mod fused;
mod network;
mod params;
#[cfg(test)]
mod tests;

use super::ModelEntry;
use super::embeddings::Embeddings;
use super::pairwise::{self, PairNetwork};
use crate::data::interactions::Interactions;
use crate::footprint::{Footprint, Workload};
use crate::model::{FitContext, Fitted, ModelData, ModelSpec, Recommender};
use crate::params::Param;
use crate::seed::Seed;
use crate::tensors::NamedTensors;
use anyhow::{Context, Result};
use burn::tensor::Device;
use network::{Gmf, Mlp, Network};
use params::Params;
use std::path::Path;

const CITATION: &str = "He et al., Neural collaborative filtering, WWW 2017";

pub const GMF: ModelEntry = ModelEntry {
    name: "gmf",
    summary: "generalized matrix factorization: a learned weight for each dimension of the inner product",
    citation: CITATION,
    params: params::GMF,
    gradient: true,
    defaults: || params::defaults(Kind::GMF),
    build: |table| build(Kind::GMF, table),
};

pub const MLP: ModelEntry = ModelEntry {
    name: "mlp",
    summary: "multi-layer perceptron over concatenated user and item embeddings",
    citation: CITATION,
    params: params::MLP,
    gradient: true,
    defaults: || params::defaults(Kind::MLP),
    build: |table| build(Kind::MLP, table),
};

pub const NEUMF: ModelEntry = ModelEntry {
    name: "neumf",
    summary: "neural matrix factorization: GMF and MLP fused in the last layer",
    citation: CITATION,
    params: params::NEUMF,
    gradient: true,
    defaults: || params::defaults(Kind::NEUMF),
    build: |table| build(Kind::NEUMF, table),
};

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

struct Spec {
    kind: Kind,
    params: Params,
    embeddings: Embeddings,
}

fn build(kind: Kind, table: toml::Table) -> Result<Box<dyn ModelSpec>> {
    let (params, embeddings) = params::parse(kind, table)?;
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

//! Neural collaborative filtering: GMF, MLP, and their fusion NeuMF.
//!
//! He et al., "Neural collaborative filtering", WWW 2017: GMF is a weighted
//! inner product (eq. 9), MLP a tower over concatenated embeddings (eq. 10),
//! NeuMF scores the concatenation of both last layers (eq. 12). The first
//! layer of the tower is kept as a user part and an item part, which is the
//! same product and lets a catalog be scored without repeating either.

use super::ModelEntry;
use super::pairwise::{self, Objective, PairNetwork};
use crate::data::interactions::Interactions;
use crate::losses::Loss;
use crate::model::{FitContext, Fitted, ModelData, ModelSpec, Recommender};
use crate::params::{Index, Param, Tape, host};
use crate::seed::Seed;
use crate::tensors::NamedTensors;
use anyhow::{Context, Result, ensure};
use burn::tensor::{Device, Tensor, activation};
use serde::{Deserialize, Serialize};
use std::path::Path;

const CITATION: &str = "He et al., Neural collaborative filtering, WWW 2017";

pub const GMF: ModelEntry = ModelEntry {
    name: "gmf",
    summary: "generalized matrix factorization: a learned weight for each dimension of the inner product",
    citation: CITATION,
    params: PARAMS,
    gradient: true,
    defaults: super::params::defaults::<Params>,
    build: |table| {
        build(
            Kind {
                gmf: true,
                mlp: false,
            },
            table,
        )
    },
};

pub const MLP: ModelEntry = ModelEntry {
    name: "mlp",
    summary: "multi-layer perceptron over concatenated user and item embeddings",
    citation: CITATION,
    params: PARAMS,
    gradient: true,
    defaults: super::params::defaults::<Params>,
    build: |table| {
        build(
            Kind {
                gmf: false,
                mlp: true,
            },
            table,
        )
    },
};

pub const NEUMF: ModelEntry = ModelEntry {
    name: "neumf",
    summary: "neural matrix factorization: GMF and MLP fused in the last layer",
    citation: CITATION,
    params: PARAMS,
    gradient: true,
    defaults: super::params::defaults::<Params>,
    build: |table| {
        build(
            Kind {
                gmf: true,
                mlp: true,
            },
            table,
        )
    },
};

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
        "pretrained_gmf",
        "run directory of a `gmf` on the same data and split to start from",
    ),
    (
        "pretrained_mlp",
        "run directory of an `mlp` on the same data and split to start from",
    ),
];

/// Which branches a network has.
#[derive(Clone, Copy, Debug)]
struct Kind {
    gmf: bool,
    mlp: bool,
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
    pub init_deviation: f32,
    pub temperature: f64,
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
            pretrained_gmf: String::new(),
            pretrained_mlp: String::new(),
        }
    }
}

struct Spec {
    kind: Kind,
    params: Params,
}

fn build(kind: Kind, table: toml::Table) -> Result<Box<dyn ModelSpec>> {
    let params: Params = super::params::parse(table)?;
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
    ensure!(params.temperature > 0.0, "`temperature` must be above 0");
    ensure!(
        params.loss != Loss::InBatchSoftmax,
        "`loss = \"in_batch_softmax\"` needs a score that is an inner product; use model `mf`, or `loss = \"softmax\"`"
    );
    ensure!(
        (kind.gmf && kind.mlp)
            || (params.pretrained_gmf.is_empty() && params.pretrained_mlp.is_empty()),
        "`pretrained_gmf` and `pretrained_mlp` are for model `neumf`"
    );
    Ok(Box::new(Spec { kind, params }))
}

impl Spec {
    fn network(&self, train: &Interactions, seed: Seed, device: &Device) -> Network {
        let (users, items, p) = (train.num_users(), train.num_items, &self.params);
        let table = |name: &str, rows: usize, dim: usize| {
            let mut rng = seed.stream(&format!("init/{name}"));
            Param::normal(name, [rows, dim], p.init_deviation, &mut rng, device)
        };
        let gmf = self.kind.gmf.then(|| Gmf {
            users: table("gmf_user_embedding", users, p.embedding_dim),
            items: table("gmf_item_embedding", items, p.embedding_dim),
            output: glorot(
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
                first_user: glorot("mlp_first_user", [dim, first], 2 * dim, seed, device),
                first_item: glorot("mlp_first_item", [dim, first], 2 * dim, seed, device),
                first_bias: Param::zeros("mlp_first_bias", [1, first], device),
                layers: p
                    .hidden
                    .windows(2)
                    .enumerate()
                    .map(|(i, w)| {
                        let weight = glorot(
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
                output: glorot("mlp_output", [last, 1], last, seed, device),
                dropout: p.dropout,
            }
        });
        Network {
            gmf,
            mlp,
            bias: Param::zeros("output_bias", [1, 1], device),
            regularization: p.regularization,
            num_items: items,
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

/// Uniform with the limit of Glorot & Bengio (AISTATS 2010).
fn glorot(name: &str, shape: [usize; 2], fan_in: usize, seed: Seed, device: &Device) -> Param {
    let limit = (6.0 / (fan_in + shape[1]) as f32).sqrt();
    Param::uniform(
        name,
        shape,
        limit,
        &mut seed.stream(&format!("init/{name}")),
        device,
    )
}

impl ModelSpec for Spec {
    fn fit(&self, context: FitContext<'_>) -> Result<Fitted> {
        let mut network = self.network(context.data.train, context.seed, context.device);
        self.pretrain(&mut network)?;
        let objective = Objective {
            loss: self.params.loss,
            temperature: self.params.temperature,
            logq_correction: false,
        };
        pairwise::fit(Box::new(network), objective, context)
    }

    fn load(
        &self,
        weights: &NamedTensors,
        data: ModelData<'_>,
        device: &Device,
    ) -> Result<Box<dyn Recommender>> {
        let network = self.network(data.train, Seed(0), device);
        pairwise::load(Box::new(network), weights, data, device)
    }
}

struct Gmf {
    users: Param,
    items: Param,
    output: Param,
}

struct Mlp {
    users: Param,
    items: Param,
    first_user: Param,
    first_item: Param,
    first_bias: Param,
    layers: Vec<(Param, Param)>,
    output: Param,
    dropout: f64,
}

struct Network {
    gmf: Option<Gmf>,
    mlp: Option<Mlp>,
    bias: Param,
    regularization: f64,
    num_items: usize,
}

/// Embedding rows of a batch in one branch.
struct Branch {
    users: Tensor<2>,
    items: Tensor<2>,
}

impl Branch {
    fn squares(&self) -> Tensor<1> {
        (self.users.clone() * self.users.clone()).sum()
            + (self.items.clone() * self.items.clone()).sum()
    }
}

impl Gmf {
    /// `[users, width]` from rows `[users, dim]` and `[users * width, dim]`.
    fn forward(&self, tape: &mut Tape, rows: Branch) -> Tensor<2> {
        let [batch, dim] = rows.users.dims();
        let width = rows.items.dims()[0] / batch;
        let weighted = rows.users * tape.param(&self.output).transpose();
        let products = weighted.reshape([batch, 1, dim]) * rows.items.reshape([batch, width, dim]);
        products.sum_dim(2).reshape([batch, width])
    }
}

impl Mlp {
    fn forward(&self, tape: &mut Tape, rows: Branch) -> Tensor<2> {
        let [batch, _] = rows.users.dims();
        let width = rows.items.dims()[0] / batch;
        let users = tape.dropout(rows.users, self.dropout);
        let items = tape.dropout(rows.items, self.dropout);
        let users = users.matmul(tape.param(&self.first_user)) + tape.param(&self.first_bias);
        let items = items.matmul(tape.param(&self.first_item));
        self.tower(tape, users, items).reshape([batch, width])
    }

    /// From the two halves of the first layer, `[users, h]` and
    /// `[users * width, h]`, to scores `[users * width, 1]`.
    fn tower(&self, tape: &mut Tape, users: Tensor<2>, items: Tensor<2>) -> Tensor<2> {
        let ([batch, h], [pairs, _]) = (users.dims(), items.dims());
        let sum = users.reshape([batch, 1, h]) + items.reshape([batch, pairs / batch, h]);
        let mut x = activation::relu(sum.reshape([pairs, h]));
        for (weight, bias) in &self.layers {
            x = tape.dropout(x, self.dropout);
            x = activation::relu(x.matmul(tape.param(weight)) + tape.param(bias));
        }
        x.matmul(tape.param(&self.output))
    }
}

impl Network {
    fn rows(tape: &mut Tape, users: &Param, items: &Param, at: (&Index, &Index)) -> Branch {
        Branch {
            users: tape.lookup(users, at.0),
            items: tape.lookup(items, at.1),
        }
    }

    /// Scores all items for a few users, `[users, items]`, on the device.
    fn tile(&self, tape: &mut Tape, rows: &[Tensor<2>], from: usize, to: usize) -> Tensor<2> {
        let take = |t: &Tensor<2>| t.clone().slice([from..to, 0..t.dims()[1]]);
        let mut rows = rows.iter();
        let mut scores = None;
        if let (Some(gmf), Some(users)) = (
            &self.gmf,
            rows.by_ref().take(usize::from(self.gmf.is_some())).next(),
        ) {
            let weighted = take(users) * gmf.output.value().transpose();
            scores = Some(weighted.matmul(gmf.items.value().transpose()));
        }
        if let (Some(mlp), Some(users)) = (&self.mlp, rows.next()) {
            let (n, count) = (self.num_items, to - from);
            let users = take(users).matmul(mlp.first_user.value()) + mlp.first_bias.value();
            let items = mlp.items.value().matmul(mlp.first_item.value());
            let h = items.dims()[1];
            let items = items
                .reshape([1, n, h])
                .expand([count, n, h])
                .reshape([count * n, h]);
            let tower = mlp.tower(tape, users, items).reshape([count, n]);
            scores = Some(match scores {
                Some(s) => s + tower,
                None => tower,
            });
        }
        scores.expect("a network has a branch") + self.bias.value()
    }
}

/// Activations that a tile of catalog scores may hold at once, in elements.
const TILE: usize = 1 << 23;

impl PairNetwork for Network {
    fn params(&self) -> Vec<&Param> {
        let mut params = Vec::new();
        if let Some(g) = &self.gmf {
            params.extend([&g.users, &g.items, &g.output]);
        }
        if let Some(m) = &self.mlp {
            params.extend([
                &m.users,
                &m.items,
                &m.first_user,
                &m.first_item,
                &m.first_bias,
                &m.output,
            ]);
            params.extend(m.layers.iter().flat_map(|(w, b)| [w, b]));
        }
        params.push(&self.bias);
        params
    }

    fn params_mut(&mut self) -> Vec<&mut Param> {
        let mut params = Vec::new();
        if let Some(g) = &mut self.gmf {
            params.extend([&mut g.users, &mut g.items, &mut g.output]);
        }
        if let Some(m) = &mut self.mlp {
            params.extend([
                &mut m.users,
                &mut m.items,
                &mut m.first_user,
                &mut m.first_item,
                &mut m.first_bias,
                &mut m.output,
            ]);
            params.extend(m.layers.iter_mut().flat_map(|(w, b)| [w, b]));
        }
        params.push(&mut self.bias);
        params
    }

    fn scores(
        &self,
        tape: &mut Tape,
        users: &[u32],
        items: &[u32],
    ) -> (Tensor<2>, Option<Tensor<1>>) {
        let batch = users.len() as f64;
        let rows = self.user_tables()[0].shape()[0];
        let at = (
            tape.index(users.to_vec(), rows),
            tape.index(items.to_vec(), self.num_items),
        );
        let mut sum: Option<(Tensor<2>, Tensor<1>)> = None;
        let mut add = |scores: Tensor<2>, squares: Tensor<1>| {
            sum = Some(match sum.take() {
                Some((s, q)) => (s + scores, q + squares),
                None => (scores, squares),
            });
        };
        if let Some(gmf) = &self.gmf {
            let rows = Self::rows(tape, &gmf.users, &gmf.items, (&at.0, &at.1));
            let squares = rows.squares();
            add(gmf.forward(tape, rows), squares);
        }
        if let Some(mlp) = &self.mlp {
            let rows = Self::rows(tape, &mlp.users, &mlp.items, (&at.0, &at.1));
            let squares = rows.squares();
            add(mlp.forward(tape, rows), squares);
        }
        let (scores, squares) = sum.expect("a network has a branch");
        let penalty = (self.regularization > 0.0).then(|| squares * (self.regularization / batch));
        (scores + tape.param(&self.bias), penalty)
    }

    fn user_tables(&self) -> Vec<&Param> {
        let gmf = self.gmf.as_ref().map(|g| &g.users);
        gmf.into_iter()
            .chain(self.mlp.as_ref().map(|m| &m.users))
            .collect()
    }

    fn score_rows(&self, rows: &[Tensor<2>], scores: &mut [f32]) -> Result<()> {
        let queries = rows[0].dims()[0];
        let width = self.mlp.as_ref().map_or(1, |m| m.first_bias.shape()[1]);
        let height = (TILE / (self.num_items * width)).max(1);
        let mut tape = Tape::inference(&rows[0].device());
        for from in (0..queries).step_by(height) {
            let to = (from + height).min(queries);
            let tile = host(self.tile(&mut tape, rows, from, to))?;
            scores[from * self.num_items..to * self.num_items].copy_from_slice(&tile);
        }
        Ok(())
    }
}

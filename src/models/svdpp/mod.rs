//! SVD++: biased matrix factorization of ratings whose user vector also knows
//! which items a user has rated at all.
//!
//! Koren, "Factorization meets the neighborhood: a multifaceted collaborative
//! filtering model", KDD 2008, eq. 15:
//!
//! ```text
//! r(u, i) = mean + b_u + b_i + q_i . (p_u + |N(u)|^-1/2 sum of y_j over N(u))
//! ```
//!
//! `N(u)` are the user's training items. A step follows each rating, as in the
//! paper; ratings come user by user, users and the ratings of each in a random
//! order, in one thread. It is computed on the host, whatever the device. A
//! user that training never saw has no `p_u` and `b_u`, but a history, which
//! is `N(u)`.
//!
//! Of `[training]`, it goes by `epochs`, `learning_rate` with its schedule,
//! `normalize_ratings`, validation, patience and checkpoints. The optimizer is
//! plain stochastic gradient descent, and there are no negatives.

mod recommender;
mod task;

use super::{ModelEntry, params};
use crate::data::interactions::Interactions;
use crate::device;
use crate::footprint::{Footprint, Workload};
use crate::kernels::svdpp::{Factors, Rated};
use crate::kernels::table::Table;
use crate::linalg::Sparse;
use crate::model::{FitContext, Fitted, ModelData, ModelSpec, Recommender};
use crate::models::pairwise::Scale;
use crate::params::{Param, load_all, normal_values};
use crate::seed::Seed;
use crate::tensors::NamedTensors;
use crate::training::{self, TrainingConfig};
use anyhow::{Context, Result, ensure};
use burn::tensor::Device;
use recommender::SvdPp;
use serde::{Deserialize, Serialize};
use task::{Decays, Ratings, Task};

pub const ENTRY: ModelEntry = ModelEntry {
    name: "svdpp",
    summary: "SVD++: biased factorization of ratings, with which items were rated as implicit feedback; on the CPU, whatever the device",
    citation: "Koren, Factorization meets the neighborhood: a multifaceted collaborative filtering model, KDD 2008",
    params: &[
        ("embedding_dim", "width of the embeddings"),
        ("regularization", "L2 on the vectors of a rating"),
        ("bias_regularization", "L2 on its biases"),
        (
            "init_deviation",
            "deviation of the normal that embeddings start from",
        ),
    ],
    gradient: true,
    defaults: params::defaults::<Spec>,
    build: |table| {
        let spec: Spec = params::parse(table)?;
        spec.validate()?;
        Ok(Box::new(spec))
    },
};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Spec {
    embedding_dim: usize,
    regularization: f64,
    bias_regularization: f64,
    init_deviation: f64,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            embedding_dim: 64,
            regularization: 0.015,
            bias_regularization: 0.005,
            init_deviation: 0.01,
        }
    }
}

/// The tables, in the order of [`params_of`].
const TABLES: [&str; 3] = ["user_embedding", "item_embedding", "implicit_embedding"];

impl Spec {
    fn validate(&self) -> Result<()> {
        ensure!(self.embedding_dim > 0, "`embedding_dim` must be at least 1");
        for (name, value) in [
            ("regularization", self.regularization),
            ("bias_regularization", self.bias_regularization),
            ("init_deviation", self.init_deviation),
        ] {
            ensure!(
                value.is_finite() && value >= 0.0,
                "`{name}` = {value} must be 0 or more"
            );
        }
        ensure!(
            self.init_deviation > 0.0,
            "`init_deviation` must be above 0"
        );
        Ok(())
    }

    /// To be trained, or without a seed all zero, to be loaded. Items that
    /// nobody rated in training start at zero, too: nothing would move them,
    /// and what is drawn for them would be noise in every score they touch.
    fn params(&self, train: &Interactions, seed: Option<Seed>) -> Vec<Param> {
        let host = device::host();
        let (users, items) = (train.num_users(), train.num_items);
        let ratings = train.item_counts();
        let mut params = Vec::with_capacity(5);
        for (name, rows) in TABLES.into_iter().zip([users, items, items]) {
            let shape = [rows, self.embedding_dim];
            params.push(match seed {
                Some(seed) => {
                    let stream = seed.stream(&format!("init/{name}"));
                    let count = shape.iter().product();
                    let mut values = normal_values(count, self.init_deviation, &stream);
                    if name != TABLES[0] {
                        let rows = values.chunks_exact_mut(self.embedding_dim);
                        let unrated = rows.zip(&ratings).filter(|(_, count)| **count == 0);
                        unrated.for_each(|(row, _)| row.fill(0.0));
                    }
                    Param::new(name, shape, values, &host)
                }
                None => Param::zeros(name, shape, &host),
            });
        }
        params.push(Param::zeros("user_bias", [users, 1], &host));
        params.push(Param::zeros("item_bias", [items, 1], &host));
        params
    }
}

/// The tables of a kernel from the parameters.
fn factors_of(params: &[Param]) -> Result<Factors> {
    let table = |param: &Param| {
        let [rows, dim] = param.shape();
        let mut table = Table::zeros(rows, dim);
        table.put(0, dim, &param.host()?);
        anyhow::Ok(table)
    };
    Ok(Factors {
        users: table(&params[0])?,
        items: table(&params[1])?,
        implicit: table(&params[2])?,
        user_biases: params[3].host()?,
        item_biases: params[4].host()?,
    })
}

/// The distinct items of each user.
fn rated(train: &Interactions) -> Rated {
    let matrix = Sparse::from_interactions(train, false);
    Rated {
        offsets: matrix.offsets,
        items: matrix.columns,
    }
}

impl ModelSpec for Spec {
    fn unused_training_keys(&self) -> Vec<String> {
        TrainingConfig::keys_but(&[
            "epochs",
            "batch_size",
            "validate_every",
            "validation_metric",
            "patience",
            "checkpoint_seconds",
            "learning_rate",
            "schedule",
            "warmup_steps",
            "decay_epochs",
            "decay_factor",
            "normalize_ratings",
        ])
    }

    fn footprint(&self, work: &Workload<'_>) -> Footprint {
        let dim = self.embedding_dim as u64;
        let rows = work.users() + 2 * work.items();
        let ratings = 3 * work.sparse();
        work.closed_form(rows * dim + work.users() + work.items(), ratings)
    }

    fn fit(&self, context: FitContext<'_>) -> Result<Fitted> {
        let train = context.data.train;
        let weights = train.weights.as_deref().context(
            "`svdpp` learns from ratings: name their column in `data.rating`, or use a model of \
             implicit feedback",
        )?;
        let scale = Scale::of(weights, context.training.normalize_ratings);
        let params = self.params(train, Some(context.seed));
        let model = SvdPp::new(
            factors_of(&params)?,
            rated(train),
            scale,
            self.embedding_dim,
        );
        let ratings = Ratings::new(train, weights, scale);
        let decays = Decays {
            vectors: self.regularization as f32,
            biases: self.bias_regularization as f32,
        };
        let mut task = Task::new(model, params, ratings, decays, context.training);
        let summary = training::fit(&mut task, context)?;
        Ok(Fitted {
            model: Box::new(task.finish()?),
            summary,
        })
    }

    fn load(
        &self,
        weights: &NamedTensors,
        data: ModelData<'_>,
        _device: &Device,
    ) -> Result<Box<dyn Recommender>> {
        let mut params = self.params(data.train, None);
        load_all(params.iter_mut().collect(), weights)?;
        Ok(Box::new(SvdPp::new(
            factors_of(&params)?,
            rated(data.train),
            Scale::load(weights)?,
            self.embedding_dim,
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_that_nobody_rated_start_at_zero_and_no_others() {
        let train = Interactions {
            offsets: vec![0, 2, 3],
            items: vec![0, 3, 1],
            num_items: 5,
            ..Interactions::default()
        };
        let params = Spec::default().params(&train, Some(Seed(3)));
        for param in &params[1..3] {
            let [items, dim] = param.shape();
            assert_eq!(items, train.num_items);
            let values = param.host().unwrap();
            for (item, row) in values.chunks_exact(dim).enumerate() {
                let zero = row.iter().all(|&value| value == 0.0);
                assert_eq!(zero, [2, 4].contains(&item), "item {item}");
            }
        }
    }
}

//! Implicit alternating least squares.
//!
//! Hu, Koren & Volinsky (ICDM 2008) in the form of Rendle, Krichene, Zhang &
//! Koren, "Revisiting the performance of iALS on item recommendation
//! benchmarks" (RecSys 2022): observed pairs count 1, all pairs count
//! `unobserved_weight` towards zero, and L2 grows with how often a row is
//! used. With `block_size` below `embedding_dim` it is iALS++ (Rendle et al.,
//! "iALS++: speeding up matrix factorization with subspace optimization",
//! 2021), a Newton step for each block of dimensions; with `cg_steps` some
//! steps of conjugate gradients from where a row is (Takacs, Pilaszy & Tikk,
//! RecSys 2011), which cost much less than a solution and, from epoch to
//! epoch, come to the same.
//!
//! It is computed on the host, whatever the device of the run. Of
//! `[training]`, it goes by `epochs`, `batch_size`, validation, patience and
//! checkpoints; there is no gradient, so that the keys of an optimizer and of
//! negatives do not matter to it. An epoch solves for all users and then for
//! all items. The loss is the whole objective over the observed pairs, the
//! mean of what it is after either half.

mod pairs;
mod recommender;
mod task;

use super::{ModelEntry, params};
use crate::device;
use crate::footprint::{Footprint, Workload};
use crate::kernels::als::{Settings, Solver};
use crate::model::{FitContext, Fitted, ModelData, ModelSpec, Recommender};
use crate::tensors::NamedTensors;
use crate::training::{self, TrainingConfig};
use anyhow::{Result, ensure};
use burn::tensor::Device;
use pairs::both;
use recommender::{Factors, Ials};
use serde::{Deserialize, Serialize};
use task::Task;

pub const ENTRY: ModelEntry = ModelEntry {
    name: "ials",
    summary: "implicit alternating least squares, exact, by conjugate gradients or by blocks (iALS++); on the CPU, whatever the device",
    citation: "Rendle, Krichene, Zhang & Koren, Revisiting the performance of iALS on item recommendation \
               benchmarks, RecSys 2022; Rendle et al., iALS++: speeding up matrix factorization with subspace \
               optimization, 2021; Hu, Koren & Volinsky, ICDM 2008",
    params: &[
        ("embedding_dim", "width of the embeddings"),
        (
            "unobserved_weight",
            "weight of every pair's pull towards zero, beside 1 of an observed pair's towards one",
        ),
        (
            "regularization",
            "L2 on a row, times (its pairs + unobserved_weight * the other side's rows)^regularization_exponent",
        ),
        (
            "regularization_exponent",
            "how much more rows with many pairs are regularized: 0 not at all, 1 in proportion",
        ),
        (
            "init_deviation",
            "deviation of the normal that embeddings start from, times the root of their width",
        ),
        (
            "block_size",
            "dimensions that are solved together (iALS++); 0 solves for all of them, exactly",
        ),
        (
            "cg_steps",
            "steps of conjugate gradients for a row, in place of solving for it; 0 solves",
        ),
        (
            "weighted",
            "observed pairs count by their weight (rating, count); new users' by the mean weight",
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
    unobserved_weight: f64,
    regularization: f64,
    regularization_exponent: f64,
    init_deviation: f64,
    block_size: usize,
    cg_steps: usize,
    weighted: bool,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            embedding_dim: 64,
            unobserved_weight: 0.1,
            regularization: 0.003,
            regularization_exponent: 1.0,
            init_deviation: 0.1,
            block_size: 0,
            cg_steps: 0,
            weighted: false,
        }
    }
}

impl Spec {
    fn validate(&self) -> Result<()> {
        ensure!(self.embedding_dim > 0, "`embedding_dim` must be at least 1");
        ensure!(
            self.block_size <= self.embedding_dim,
            "`block_size` = {} must be at most `embedding_dim` = {}, or 0 for all dimensions at once",
            self.block_size,
            self.embedding_dim
        );
        ensure!(
            self.block_size == 0 || self.cg_steps == 0,
            "`block_size` and `cg_steps` are two ways to the same: set one of them to 0"
        );
        for (name, value) in [
            ("regularization", self.regularization),
            ("init_deviation", self.init_deviation),
        ] {
            ensure!(
                value.is_finite() && value > 0.0,
                "`{name}` = {value} must be above 0"
            );
        }
        for (name, value) in [
            ("unobserved_weight", self.unobserved_weight),
            ("regularization_exponent", self.regularization_exponent),
        ] {
            ensure!(
                value.is_finite() && value >= 0.0,
                "`{name}` = {value} must be 0 or more"
            );
        }
        Ok(())
    }

    fn settings(&self) -> Settings {
        let dim = self.embedding_dim;
        Settings {
            dim,
            unobserved_weight: self.unobserved_weight,
            regularization: self.regularization,
            exponent: self.regularization_exponent,
            solver: match (self.cg_steps, self.block_size) {
                (0, block) if block == 0 || block == dim => Solver::Exact,
                (0, block) => Solver::Blocks(block),
                (steps, _) => Solver::Gradients(steps),
            },
        }
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
        ])
    }

    fn footprint(&self, work: &Workload<'_>) -> Footprint {
        let dim = self.embedding_dim as u64;
        // The pairs of both sides, and a system for each thread.
        let pairs = 2 * work.sparse();
        let systems = (1 + work.threads as u64) * dim * dim * 8;
        work.closed_form((work.users() + work.items()) * dim, pairs + systems)
    }

    fn fit(&self, context: FitContext<'_>) -> Result<Fitted> {
        let train = context.data.train;
        let (by_user, by_item, mean_weight) = both(train, self.weighted)?;
        let deviation = self.init_deviation / (self.embedding_dim as f64).sqrt();
        let factors = Factors::drawn(
            (&by_user, &by_item),
            self.embedding_dim,
            deviation,
            context.seed,
        );
        let model = Ials::new(self.settings(), factors, mean_weight);
        let mut task = Task::new(model, by_user, by_item, &device::host());
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
        let sizes = [data.train.num_users(), data.train.num_items];
        Ok(Box::new(Ials::load(self.settings(), weights, sizes)?))
    }
}

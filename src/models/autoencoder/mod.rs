//! What autoencoders of users share: a user goes in as the items of a history
//! and comes out as a distribution over the catalog. Nobody has a row of an
//! own, so a new user is served like any other, from the history.

mod recommender;
mod task;
#[cfg(test)]
pub mod tests;

pub use task::Batch;

use crate::data::interactions::Interactions;
use crate::device;
use crate::footprint::{Footprint, Workload};
use crate::model::{FitContext, Fitted, ModelData, ModelSpec, Recommender};
use crate::params::{Param, load_all};
use crate::seed::Seed;
use crate::tape::{Bags, Tape};
use crate::tensors::NamedTensors;
use crate::training;
use anyhow::{Result, ensure};
use burn::tensor::{Device, Tensor, activation};
use recommender::Autoencoder;
use task::Task;

/// An autoencoder: everything but batches, the loop and serving.
pub trait Network: Send + Sync {
    /// Those that are learned, and those that a resumed training needs.
    fn params(&self) -> Vec<&Param>;

    fn params_mut(&mut self) -> Vec<&mut Param>;

    /// The last layer, `[width, items]`, and its biases, `[1, items]`.
    fn output(&self) -> (&Param, &Param);

    /// What the last layer is applied to, `[bags, width]`, without noise.
    /// `scales` `[bags, 1]` multiply a bag's sum.
    fn hidden(&self, tape: &mut Tape, bags: &Bags, scales: Tensor<2>) -> Tensor<2>;

    /// The mean loss of a batch.
    fn loss(&self, tape: &mut Tape, batch: &Batch) -> Tensor<1>;

    /// Share of the input that a batch of this epoch loses.
    fn dropout(&self, epoch: usize) -> f64;

    /// Before the first batch of an epoch, and again when a training goes on
    /// inside of it.
    fn begin_epoch(&mut self, _: usize) {}
}

/// What to change where a model does not fit.
const SMALLER: &str = "set a smaller training.batch_size, model.hidden_dim or model.latent_dim, or drop \
                       rare items (data.clean.min_item_interactions)";

/// An autoencoder by its parameters; this alone makes it a [`ModelSpec`].
pub trait Spec: Send + Sync {
    /// How many numbers the network has, for a catalog of that size.
    fn num_weights(&self, num_items: usize) -> usize;

    /// To be trained, or without a seed all zero, to be loaded.
    fn network(
        &self,
        train: &Interactions,
        seed: Option<Seed>,
        device: &Device,
    ) -> Box<dyn Network>;
}

impl<S: Spec> ModelSpec for S {
    fn unused_training_keys(&self) -> Vec<String> {
        [
            "negatives",
            "negative_sampling",
            "popularity_alpha",
            "label_smoothing",
            "normalize_ratings",
        ]
        .map(String::from)
        .to_vec()
    }

    fn footprint(&self, work: &Workload<'_>) -> Footprint {
        let floats = self.num_weights(work.train.num_items) as u64;
        let batch = (work.training.batch_size as u64).min(work.users());
        // Scores of a batch, their softmax, and what autodiff keeps of each;
        // and the gradients of the weights, twice while they are added to.
        let step = 7 * 4 * batch * work.items() + 2 * 4 * floats;
        let mut footprint = work.trained(floats, step, SMALLER);
        footprint.fitting += 12 * work.pairs();
        footprint
    }

    fn fit(&self, context: FitContext<'_>) -> Result<Fitted> {
        let (train, config) = (context.data.train, context.training);
        let network = self.network(train, Some(context.seed), context.device);
        ensure_fits(
            network.as_ref(),
            train.num_items,
            config.batch_size,
            context.device,
        )?;
        let model = Autoencoder::new(network, train.num_items, context.device);
        let mut task = Task::new(model, train, config.batch_size, context.seed);
        let summary = training::fit(&mut task, context)?;
        Ok(Fitted {
            model: Box::new(task.model),
            summary,
        })
    }

    fn load(
        &self,
        weights: &NamedTensors,
        data: ModelData<'_>,
        device: &Device,
    ) -> Result<Box<dyn Recommender>> {
        let mut network = self.network(data.train, None, device);
        load_all(network.params_mut(), weights)?;
        let items = data.train.num_items;
        Ok(Box::new(Autoencoder::new(network, items, device)))
    }
}

fn ensure_fits(
    network: &dyn Network,
    num_items: usize,
    batch_size: usize,
    device: &Device,
) -> Result<()> {
    for param in network.params() {
        let [rows, columns] = param.shape();
        let what = format!("the parameter `{}`", param.name());
        device::ensure_fits(device, &what, 4 * rows * columns)?;
    }
    let what = format!("the scores of `training.batch_size = {batch_size}` users");
    device::ensure_fits(device, &what, 4 * batch_size * num_items)
}

/// Makes parameters, to be trained, or without a seed all zero, to be loaded.
#[derive(Clone, Copy)]
pub struct Init<'a> {
    pub seed: Option<Seed>,
    pub device: &'a Device,
}

impl Init<'_> {
    pub fn weight(&self, name: &str, shape: [usize; 2]) -> Param {
        Param::glorot(name, shape, shape[0], self.seed, self.device)
    }

    pub fn bias(&self, name: &str, width: usize) -> Param {
        Param::zeros(name, [1, width], self.device)
    }
}

/// A linear layer.
pub struct Linear {
    pub weight: Param,
    pub bias: Param,
}

impl Linear {
    pub fn new(name: &str, shape: [usize; 2], init: Init<'_>) -> Self {
        Self {
            weight: init.weight(&format!("{name}_weight"), shape),
            bias: init.bias(&format!("{name}_bias"), shape[1]),
        }
    }

    pub fn forward(&self, tape: &mut Tape, x: Tensor<2>) -> Tensor<2> {
        x.matmul(tape.param(&self.weight)) + tape.param(&self.bias)
    }

    /// Without learning it.
    pub fn forward_constant(&self, tape: &Tape, x: Tensor<2>) -> Tensor<2> {
        x.matmul(tape.constant(&self.weight)) + tape.constant(&self.bias)
    }

    pub fn params(&self) -> [&Param; 2] {
        [&self.weight, &self.bias]
    }

    pub fn params_mut(&mut self) -> [&mut Param; 2] {
        [&mut self.weight, &mut self.bias]
    }
}

/// The first layer of Mult-VAE and Mult-DAE: a sum of the items' rows.
pub fn first_layer(
    tape: &mut Tape,
    (items, bias): (&Param, &Param),
    bags: &Bags,
    scales: Tensor<2>,
) -> Tensor<2> {
    let sums = tape.bag_sums(items, bags) * scales;
    (sums + tape.param(bias)).tanh()
}

/// Minus the multinomial log-likelihood of the batch's items, the mean over
/// its users (Liang et al., WWW 2018, eq. 2).
pub fn negative_log_likelihood(logits: Tensor<2>, batch: &Batch) -> Tensor<1> {
    let users = logits.dims()[0] as f64;
    let likelihoods = activation::log_softmax(logits, 1);
    let of_items = likelihoods.gather(1, batch.positives.clone()) * batch.present.clone();
    of_items.sum() / -users
}

/// `epsilon exp(log_variance / 2) + mean`, with the batch's standard normal
/// epsilon.
pub fn sample(mean: Tensor<2>, log_variance: Tensor<2>, tape: &Tape, batch: &Batch) -> Tensor<2> {
    let noise = tape.normals(&batch.noise, mean.dims());
    mean + (log_variance * 0.5).exp() * noise
}

/// # Errors
/// Names the parameter that is out of its range.
pub fn check(widths: &[(&str, usize)], dropout: f64) -> Result<()> {
    for (name, width) in widths {
        ensure!(*width > 0, "`{name}` must be at least 1");
    }
    ensure!(
        (0.0..1.0).contains(&dropout),
        "`dropout` = {dropout} must lie in [0, 1)"
    );
    Ok(())
}

//! RecVAE.
//!
//! Shenbin, Alekseev, Tutubalina, Malykh & Nikolenko, "RecVAE: a new
//! variational autoencoder for top-N recommendations with implicit feedback",
//! WSDM 2020. Beside Mult-VAE: a deeper encoder with swish activations, layer
//! norms and dense skips; a linear decoder; a composite prior, of which a part
//! is the encoder as it was before (eq. 7); a weight of the divergence in
//! proportion to how much a user has (eq. 12); and turns, in which either the
//! encoder or, without dropout, the decoder learns (algorithm 1).
//!
//! An epoch of `[training]` is one pass over the users: `encoder_epochs` of
//! them learn the encoder, then `decoder_epochs` the decoder, over and over.
//! One deviation: both halves share an optimizer, so that Adam's bias
//! correction counts the steps of both.

mod encoder;

use super::ModelEntry;
use super::autoencoder::{
    self, Batch, Init, Linear, Network, check, negative_log_likelihood, sample,
};
use crate::data::interactions::Interactions;
use crate::models::params;
use crate::params::Param;
use crate::seed::Seed;
use crate::tape::{Bags, Tape};
use anyhow::{Result, ensure};
use burn::tensor::{Device, Tensor};
use encoder::{Encoder, Input, Posterior};
use serde::{Deserialize, Serialize};

pub const ENTRY: ModelEntry = ModelEntry {
    name: "rec_vae",
    summary: "Mult-VAE with a composite prior, a user's own weight of it, and turns of encoder and decoder",
    citation: "Shenbin, Alekseev, Tutubalina, Malykh & Nikolenko, RecVAE: a new variational autoencoder for top-N \
               recommendations with implicit feedback, WSDM 2020",
    params: &[
        ("hidden_dim", "width of the encoder's layers"),
        ("latent_dim", "width of the latent vector"),
        (
            "dropout",
            "share of a user's items that the encoder does not see while it learns",
        ),
        (
            "gamma",
            "weight of the divergence from the prior, for each item of a user",
        ),
        ("encoder_epochs", "epochs in a row that learn the encoder"),
        ("decoder_epochs", "epochs in a row that learn the decoder"),
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
    hidden_dim: usize,
    latent_dim: usize,
    dropout: f64,
    gamma: f64,
    encoder_epochs: usize,
    decoder_epochs: usize,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            hidden_dim: 600,
            latent_dim: 200,
            dropout: 0.5,
            gamma: 0.005,
            encoder_epochs: 3,
            decoder_epochs: 1,
        }
    }
}

/// Weight and log-variance of the prior's parts: the standard normal, the
/// encoder as it was, and a wide normal (section 3.3; the numbers are those of
/// the authors' code).
const STANDARD: f64 = 3.0 / 20.0;
const EARLIER: f64 = 3.0 / 4.0;
const WIDE: f64 = 1.0 / 10.0;
const WIDE_LOG_VARIANCE: f64 = 10.0;

impl Spec {
    fn validate(&self) -> Result<()> {
        let widths = [
            ("hidden_dim", self.hidden_dim),
            ("latent_dim", self.latent_dim),
            ("encoder_epochs", self.encoder_epochs),
            ("decoder_epochs", self.decoder_epochs),
        ];
        check(&widths, self.dropout)?;
        ensure!(
            self.gamma.is_finite() && self.gamma >= 0.0,
            "`gamma` = {} must be 0 or more",
            self.gamma
        );
        Ok(())
    }

    fn learns_decoder(&self, epoch: usize) -> bool {
        epoch % (self.encoder_epochs + self.decoder_epochs) >= self.encoder_epochs
    }
}

impl autoencoder::Spec for Spec {
    fn num_weights(&self, num_items: usize) -> usize {
        let (hidden, latent) = (self.hidden_dim, self.latent_dim);
        // Five layers with their norms, and two heads; twice, since the
        // encoder of the epoch before is kept.
        let encoder = (num_items + 4 * hidden + 2 * latent) * hidden + 15 * hidden + 2 * latent;
        2 * encoder + (latent + 1) * num_items
    }

    fn network(
        &self,
        train: &Interactions,
        seed: Option<Seed>,
        device: &Device,
    ) -> Box<dyn Network> {
        let init = Init { seed, device };
        let shape = [train.num_items, self.hidden_dim, self.latent_dim];
        let encoder = Encoder::new("", shape, init);
        let mut earlier = Encoder::new("earlier_", shape, init);
        earlier.copy(&encoder);
        Box::new(RecVae {
            spec: self.clone(),
            encoder,
            earlier,
            output: Linear::new("output", [self.latent_dim, train.num_items], init),
        })
    }
}

struct RecVae {
    spec: Spec,
    encoder: Encoder,
    /// As it was at the end of its last turn.
    earlier: Encoder,
    output: Linear,
}

impl RecVae {
    fn encoder_loss(&self, tape: &mut Tape, batch: &Batch) -> Tensor<1> {
        let input = Input {
            bags: &batch.corrupted,
            scales: batch.corrupted_scales.clone(),
        };
        let posterior = self.encoder.forward(tape, input);
        let latent = sample(
            posterior.mean.clone(),
            posterior.log_variance.clone(),
            tape,
            batch,
        );
        let logits = self.output.forward_constant(tape, latent.clone());
        let likelihood = negative_log_likelihood(logits, batch);
        likelihood + self.divergence(tape, batch, &posterior, latent)
    }

    /// `gamma |x_u| (log q(z|x) - log p(z))`, the mean over users.
    fn divergence(
        &self,
        tape: &Tape,
        batch: &Batch,
        posterior: &Posterior,
        latent: Tensor<2>,
    ) -> Tensor<1> {
        let input = Input {
            bags: &batch.clean,
            scales: batch.scales.clone(),
        };
        let earlier = self.earlier.forward_constant(tape, input);
        let [users, _] = latent.dims();
        let standard = log_normal(latent.clone(), 0.0) + STANDARD.ln();
        let wide = log_normal(latent.clone(), WIDE_LOG_VARIANCE) + WIDE.ln();
        let prior = log_add(
            log_add(standard, earlier.log_density(latent.clone()) + EARLIER.ln()),
            wide,
        );
        let excess = posterior.log_density(latent) - prior;
        let sizes = batch.clean.sizes();
        let weights = sizes.map(|size| (self.spec.gamma * size as f64) as f32);
        let weights = tape.floats(weights.collect(), [users, 1]);
        (excess.sum_dim(1) * weights).sum() / users as f64
    }

    fn decoder_loss(&self, tape: &mut Tape, batch: &Batch) -> Tensor<1> {
        let input = Input {
            bags: &batch.corrupted,
            scales: batch.corrupted_scales.clone(),
        };
        let posterior = self.encoder.forward_constant(tape, input);
        let latent = sample(posterior.mean, posterior.log_variance, tape, batch);
        negative_log_likelihood(self.output.forward(tape, latent), batch)
    }
}

const LOG_TAU: f64 = 1.837_877_066_409_345_3;

/// Log-density of a normal around zero, element by element.
fn log_normal(x: Tensor<2>, log_variance: f64) -> Tensor<2> {
    (x.clone() * x / log_variance.exp() + (log_variance + LOG_TAU)) * -0.5
}

/// `ln(e^a + e^b)`
fn log_add(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    let distance = (a.clone() - b.clone()).abs();
    let larger = a.max_pair(b);
    larger + (distance.neg().exp() + 1.0).log()
}

impl Network for RecVae {
    fn params(&self) -> Vec<&Param> {
        let mut params = self.encoder.params();
        params.extend(self.earlier.params());
        params.extend(self.output.params());
        params
    }

    fn params_mut(&mut self) -> Vec<&mut Param> {
        let mut params = self.encoder.params_mut();
        params.extend(self.earlier.params_mut());
        params.extend(self.output.params_mut());
        params
    }

    fn output(&self) -> (&Param, &Param) {
        (&self.output.weight, &self.output.bias)
    }

    fn hidden(&self, tape: &mut Tape, bags: &Bags, scales: Tensor<2>) -> Tensor<2> {
        self.encoder.forward(tape, Input { bags, scales }).mean
    }

    fn loss(&self, tape: &mut Tape, batch: &Batch) -> Tensor<1> {
        if self.spec.learns_decoder(batch.epoch) {
            self.decoder_loss(tape, batch)
        } else {
            self.encoder_loss(tape, batch)
        }
    }

    fn dropout(&self, epoch: usize) -> f64 {
        if self.spec.learns_decoder(epoch) {
            0.0
        } else {
            self.spec.dropout
        }
    }

    /// The encoder stands still while the decoder learns, so that copying it
    /// once more in the middle of that changes nothing.
    fn begin_epoch(&mut self, epoch: usize) {
        if self.spec.learns_decoder(epoch) {
            self.earlier.copy(&self.encoder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::autoencoder::Spec as _;
    use crate::models::autoencoder::tests::{ITEMS, batch_of, randomized, train, weights_after};
    use crate::models::features::tests::plain_linear;
    use crate::params::host;
    use burn::tensor::TensorData;
    use std::collections::BTreeMap;

    fn row(values: &[f32]) -> Tensor<2> {
        let data = TensorData::new(values.to_vec(), [1, values.len()]);
        Tensor::from_data(data, &Device::flex())
    }

    #[test]
    fn densities_are_those_of_normals() {
        let x = [-1.5f64, 0.0, 0.3, 4.0];
        let plain = |x: f64, mean: f64, variance: f64| {
            let z = (x - mean).powi(2) / variance;
            (-0.5 * z).exp() / (std::f64::consts::TAU * variance).sqrt()
        };
        let tensor = row(&x.map(|x| x as f32));
        let standard = host(log_normal(tensor.clone(), 0.0)).unwrap();
        let wide = host(log_normal(tensor.clone(), 2.0)).unwrap();
        let sum = host(log_add(row(&standard), row(&wide))).unwrap();
        let other = Posterior {
            mean: row(&[0.5; 4]),
            log_variance: row(&[-1.0; 4]),
        };
        let other = host(other.log_density(tensor)).unwrap();
        for (i, x) in x.into_iter().enumerate() {
            let (a, b) = (plain(x, 0.0, 1.0), plain(x, 0.0, 2f64.exp()));
            assert!((f64::from(standard[i]) - a.ln()).abs() < 1e-5);
            assert!((f64::from(wide[i]) - b.ln()).abs() < 1e-5);
            assert!((f64::from(sum[i]) - (a + b).ln()).abs() < 1e-5);
            let c = plain(x, 0.5, (-1f64).exp());
            assert!((f64::from(other[i]) - c.ln()).abs() < 1e-4);
        }
    }

    const HIDDEN: usize = 4;
    const LATENT: usize = 3;

    type Weights = BTreeMap<String, Vec<f64>>;

    fn linear(weights: &Weights, name: &str, x: &[f64]) -> Vec<f64> {
        let parts = [format!("{name}_weight"), format!("{name}_bias")];
        plain_linear(x, &parts.map(|part| weights[&part].clone()))
    }

    /// Normalized, as layer `number` of the encoder does it after its swish.
    fn activated(weights: &Weights, prefix: &str, number: usize, x: &[f64]) -> Vec<f64> {
        let x: Vec<f64> = x.iter().map(|x| x / (1.0 + (-x).exp())).collect();
        let mean = x.iter().sum::<f64>() / HIDDEN as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / HIDDEN as f64;
        let part = |part: &str| &weights[&format!("{prefix}norm_{number}_{part}")];
        let unit = |x: f64| (x - mean) / (variance + 0.1).sqrt();
        (0..HIDDEN)
            .map(|c| unit(x[c]) * part("gain")[c] + part("offset")[c])
            .collect()
    }

    /// Means and log-variances of a user with these items: every layer sees the
    /// sum of all before it.
    fn posterior(weights: &Weights, prefix: &str, items: &[usize]) -> [Vec<f64>; 2] {
        let named = |name: &str| format!("{prefix}{name}");
        let input: Vec<f64> = (0..HIDDEN)
            .map(|c| {
                let table = &weights[&named("item_embedding")];
                let sum: f64 = items.iter().map(|i| table[i * HIDDEN + c]).sum();
                sum / (items.len() as f64).sqrt() + weights[&named("first_bias")][c]
            })
            .collect();
        let mut outputs = vec![activated(weights, prefix, 1, &input)];
        for number in 2..=5 {
            let last = &outputs[outputs.len() - 1];
            let mut x = linear(weights, &named(&format!("layer_{number}")), last);
            for (c, x) in x.iter_mut().enumerate() {
                *x += outputs.iter().map(|output| output[c]).sum::<f64>();
            }
            outputs.push(activated(weights, prefix, number, &x));
        }
        ["mean", "log_variance"].map(|head| linear(weights, &named(head), &outputs[4]))
    }

    fn density(x: f64, mean: f64, log_variance: f64) -> f64 {
        let z = (x - mean).powi(2) / log_variance.exp();
        (-0.5 * z).exp() / (std::f64::consts::TAU * log_variance.exp()).sqrt()
    }

    /// The likelihood of a user's items, less `gamma` times their number times
    /// how much likelier the latent vector is by the encoder than by the
    /// composite prior (section 3.3 and 3.4), from weights that are all random.
    #[test]
    fn the_encoders_loss_is_that_of_the_composite_prior() {
        let spec = Spec {
            hidden_dim: HIDDEN,
            latent_dim: LATENT,
            dropout: 0.0,
            gamma: 0.3,
            ..Spec::default()
        };
        let mut network = spec.network(&train(), Some(Seed(3)), &Device::flex());
        let weights = randomized(network.as_mut());
        let same = spec.network(&train(), Some(Seed(3)), &Device::flex());
        let (mut tape, batch) = batch_of(same);
        let loss = host(network.loss(&mut tape, &batch).inner()).unwrap()[0];
        let targets = batch.clean.counts();
        let users = targets.len() / ITEMS;
        let noise = host(tape.normals(&batch.noise, [users, LATENT]).inner()).unwrap();
        let mut expected = 0.0;
        for (taken, noise) in targets.chunks(ITEMS).zip(noise.chunks(LATENT)) {
            let items: Vec<usize> = (0..ITEMS).filter(|&i| taken[i] > 0.0).collect();
            let [mean, log_variance] = posterior(&weights, "", &items);
            let [old_mean, old_log_variance] = posterior(&weights, "earlier_", &items);
            let latent: Vec<f64> = (0..LATENT)
                .map(|k| mean[k] + (0.5 * log_variance[k]).exp() * f64::from(noise[k]))
                .collect();
            let logits = linear(&weights, "output", &latent);
            let total: f64 = logits.iter().map(|l| l.exp()).sum();
            let likelihood: f64 = items.iter().map(|&i| logits[i] - total.ln()).sum();
            let excess = |k: usize| {
                let z = latent[k];
                let prior = 0.15 * density(z, 0.0, 0.0)
                    + 0.75 * density(z, old_mean[k], old_log_variance[k])
                    + 0.1 * density(z, 0.0, 10.0);
                density(z, mean[k], log_variance[k]).ln() - prior.ln()
            };
            let excess: f64 = (0..LATENT).map(excess).sum();
            expected += (0.3 * items.len() as f64 * excess - likelihood) / users as f64;
        }
        assert!(
            (f64::from(loss) - expected).abs() < 1e-3,
            "{loss} {expected}"
        );
    }

    #[test]
    fn encoder_and_decoder_take_turns() {
        let spec = Spec::default();
        let turns: Vec<bool> = (0..8).map(|epoch| spec.learns_decoder(epoch)).collect();
        assert_eq!(
            turns,
            [false, false, false, true, false, false, false, true]
        );
    }

    #[test]
    fn only_whose_turn_it_is_learns() {
        let spec = Spec {
            hidden_dim: 5,
            latent_dim: 3,
            encoder_epochs: 1,
            ..Spec::default()
        };
        let (first, second) = (weights_after(&spec, 1), weights_after(&spec, 2));
        let same = |name: &str| first.tensors[name] == second.tensors[name];
        for name in [
            "item_embedding",
            "mean_weight",
            "norm_2_gain",
            "layer_3_bias",
        ] {
            assert!(same(name), "{name}");
            let earlier = &second.tensors[&format!("earlier_{name}")];
            assert_eq!(*earlier, second.tensors[name], "{name}");
            assert!(
                first.tensors[&format!("earlier_{name}")] != *earlier,
                "{name}"
            );
        }
        assert!(!same("output_weight") && !same("output_bias"));
    }
}

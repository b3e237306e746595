//! Autoencoders with a multinomial likelihood: Mult-VAE and Mult-DAE.
//!
//! Liang, Krishnan, Hoffman & Jebara, "Variational autoencoders for
//! collaborative filtering", WWW 2018. The input is a user's items, scaled to
//! length one, of which dropout takes some; the output is a softmax over the
//! catalog. Mult-VAE draws its latent vector from a normal around what the
//! encoder says and pays a weight times the divergence from a standard normal
//! (eq. 7). The weight rises from zero by `1 / anneal_steps` a step and stays
//! at `beta`, as in the authors' code: with `beta = 0.2` after a fifth of those
//! steps. Mult-DAE has one hidden layer and no noise but the dropout.

use super::ModelEntry;
use super::autoencoder::{
    Batch, Init, Linear, Network, Spec, check, first_layer, negative_log_likelihood, sample,
};
use crate::data::interactions::Interactions;
use crate::models::params;
use crate::params::Param;
use crate::seed::Seed;
use crate::tape::{Bags, Tape};
use anyhow::ensure;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

const CITATION: &str = "Liang, Krishnan, Hoffman & Jebara, Variational autoencoders for collaborative filtering, WWW 2018";

pub const VAE: ModelEntry = ModelEntry {
    name: "mult_vae",
    summary: "variational autoencoder of a user's items with a multinomial likelihood",
    citation: CITATION,
    params: &[
        ("hidden_dim", "width of the hidden layers"),
        ("latent_dim", "width of the latent vector"),
        (
            "dropout",
            "share of a user's items that the encoder does not see",
        ),
        (
            "beta",
            "weight of the divergence from the prior, at the end of its rise",
        ),
        (
            "anneal_steps",
            "steps in which that weight would rise from zero to one; it stops at beta",
        ),
    ],
    gradient: true,
    defaults: params::defaults::<VaeSpec>,
    build: |table| {
        let spec: VaeSpec = params::parse(table)?;
        let widths = [
            ("hidden_dim", spec.hidden_dim),
            ("latent_dim", spec.latent_dim),
        ];
        check(&widths, spec.dropout)?;
        ensure!(
            spec.beta.is_finite() && spec.beta >= 0.0,
            "`beta` = {} must be 0 or more",
            spec.beta
        );
        Ok(Box::new(spec))
    },
};

pub const DAE: ModelEntry = ModelEntry {
    name: "mult_dae",
    summary: "denoising autoencoder of a user's items with a multinomial likelihood",
    citation: CITATION,
    params: &[
        ("latent_dim", "width of the hidden layer"),
        (
            "dropout",
            "share of a user's items that the encoder does not see",
        ),
    ],
    gradient: true,
    defaults: params::defaults::<DaeSpec>,
    build: |table| {
        let spec: DaeSpec = params::parse(table)?;
        check(&[("latent_dim", spec.latent_dim)], spec.dropout)?;
        Ok(Box::new(spec))
    },
};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct VaeSpec {
    hidden_dim: usize,
    latent_dim: usize,
    dropout: f64,
    beta: f64,
    anneal_steps: u64,
}

impl Default for VaeSpec {
    fn default() -> Self {
        Self {
            hidden_dim: 600,
            latent_dim: 200,
            dropout: 0.5,
            beta: 0.2,
            anneal_steps: 200_000,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DaeSpec {
    latent_dim: usize,
    dropout: f64,
}

impl Default for DaeSpec {
    fn default() -> Self {
        Self {
            latent_dim: 200,
            dropout: 0.5,
        }
    }
}

struct Vae {
    spec: VaeSpec,
    /// A row for each item: the first layer.
    items: Param,
    first_bias: Param,
    mean: Linear,
    log_variance: Linear,
    decoder: Linear,
    output: Linear,
}

impl VaeSpec {
    /// After so many steps.
    fn divergence_weight(&self, step: u64) -> f64 {
        (step as f64 / self.anneal_steps.max(1) as f64).min(self.beta)
    }
}

impl Spec for VaeSpec {
    fn num_weights(&self, num_items: usize) -> usize {
        let (hidden, latent) = (self.hidden_dim, self.latent_dim);
        (2 * num_items + 3 * latent) * hidden + num_items + 2 * hidden + 2 * latent
    }

    fn network(
        &self,
        train: &Interactions,
        seed: Option<Seed>,
        device: &Device,
    ) -> Box<dyn Network> {
        let init = Init { seed, device };
        let (items, hidden, latent) = (train.num_items, self.hidden_dim, self.latent_dim);
        Box::new(Vae {
            spec: self.clone(),
            items: init.weight("item_embedding", [items, hidden]),
            first_bias: init.bias("first_bias", hidden),
            mean: Linear::new("mean", [hidden, latent], init),
            log_variance: Linear::new("log_variance", [hidden, latent], init),
            decoder: Linear::new("decoder", [latent, hidden], init),
            output: Linear::new("output", [hidden, items], init),
        })
    }
}

impl Vae {
    fn encoder(&self, tape: &mut Tape, bags: &Bags, scales: Tensor<2>) -> Tensor<2> {
        first_layer(tape, (&self.items, &self.first_bias), bags, scales)
    }
}

impl Network for Vae {
    fn params(&self) -> Vec<&Param> {
        let layers = [&self.mean, &self.log_variance, &self.decoder, &self.output];
        let layers = layers.into_iter().flat_map(Linear::params);
        [&self.items, &self.first_bias]
            .into_iter()
            .chain(layers)
            .collect()
    }

    fn params_mut(&mut self) -> Vec<&mut Param> {
        let layers = [
            &mut self.mean,
            &mut self.log_variance,
            &mut self.decoder,
            &mut self.output,
        ];
        let layers = layers.into_iter().flat_map(Linear::params_mut);
        [&mut self.items, &mut self.first_bias]
            .into_iter()
            .chain(layers)
            .collect()
    }

    fn output(&self) -> (&Param, &Param) {
        (&self.output.weight, &self.output.bias)
    }

    fn hidden(&self, tape: &mut Tape, bags: &Bags, scales: Tensor<2>) -> Tensor<2> {
        let hidden = self.encoder(tape, bags, scales);
        let mean = self.mean.forward(tape, hidden);
        self.decoder.forward(tape, mean).tanh()
    }

    fn loss(&self, tape: &mut Tape, batch: &Batch) -> Tensor<1> {
        let scales = batch.corrupted_scales.clone();
        let hidden = self.encoder(tape, &batch.corrupted, scales);
        let mean = self.mean.forward(tape, hidden.clone());
        let log_variance = self.log_variance.forward(tape, hidden);
        let latent = sample(mean.clone(), log_variance.clone(), tape, batch);
        let decoded = self.decoder.forward(tape, latent).tanh();
        let logits = self.output.forward(tape, decoded);
        let weight = self.spec.divergence_weight(batch.step);
        negative_log_likelihood(logits, batch) + divergence(mean, log_variance) * weight
    }

    fn dropout(&self, _: usize) -> f64 {
        self.spec.dropout
    }
}

/// Of the normals from a standard one (Kullback-Leibler), the mean over the
/// batch.
fn divergence(mean: Tensor<2>, log_variance: Tensor<2>) -> Tensor<1> {
    let users = mean.dims()[0] as f64;
    let terms = log_variance.clone().exp() + mean.clone() * mean - log_variance - 1.0;
    terms.sum() * (0.5 / users)
}

struct Dae {
    spec: DaeSpec,
    /// A row for each item: the first layer.
    items: Param,
    first_bias: Param,
    output: Linear,
}

impl Spec for DaeSpec {
    fn num_weights(&self, num_items: usize) -> usize {
        (2 * self.latent_dim + 1) * num_items + self.latent_dim
    }

    fn network(
        &self,
        train: &Interactions,
        seed: Option<Seed>,
        device: &Device,
    ) -> Box<dyn Network> {
        let init = Init { seed, device };
        let (items, latent) = (train.num_items, self.latent_dim);
        Box::new(Dae {
            spec: self.clone(),
            items: init.weight("item_embedding", [items, latent]),
            first_bias: init.bias("first_bias", latent),
            output: Linear::new("output", [latent, items], init),
        })
    }
}

impl Network for Dae {
    fn params(&self) -> Vec<&Param> {
        let [weight, bias] = self.output.params();
        vec![&self.items, &self.first_bias, weight, bias]
    }

    fn params_mut(&mut self) -> Vec<&mut Param> {
        let [weight, bias] = self.output.params_mut();
        vec![&mut self.items, &mut self.first_bias, weight, bias]
    }

    fn output(&self) -> (&Param, &Param) {
        (&self.output.weight, &self.output.bias)
    }

    fn hidden(&self, tape: &mut Tape, bags: &Bags, scales: Tensor<2>) -> Tensor<2> {
        first_layer(tape, (&self.items, &self.first_bias), bags, scales)
    }

    fn loss(&self, tape: &mut Tape, batch: &Batch) -> Tensor<1> {
        let scales = batch.corrupted_scales.clone();
        let hidden = self.hidden(tape, &batch.corrupted, scales);
        negative_log_likelihood(self.output.forward(tape, hidden), batch)
    }

    fn dropout(&self, _: usize) -> f64 {
        self.spec.dropout
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::autoencoder::tests::{HISTORIES, ITEMS, batch_of, randomized, train};
    use crate::models::features::tests::plain_linear;
    use crate::params::host;
    use burn::tensor::TensorData;

    #[test]
    fn the_divergence_is_that_of_normals() {
        let tensor = |values: [f32; 4]| -> Tensor<2> {
            Tensor::from_data(TensorData::new(values.to_vec(), [2, 2]), &Device::flex())
        };
        let (mean, log_variance) = ([0.5, -1.0, 2.0, 0.0], [0.0, 1.0, -2.0, 0.3]);
        let terms = mean.iter().zip(&log_variance).map(|(&m, &l)| {
            let (m, l) = (f64::from(m), f64::from(l));
            0.5 * (m * m + l.exp() - l - 1.0)
        });
        let expected = terms.sum::<f64>() / 2.0;
        let value = host(divergence(tensor(mean), tensor(log_variance))).unwrap()[0];
        assert!(
            (f64::from(value) - expected).abs() < 1e-5,
            "{value} {expected}"
        );
    }

    #[test]
    fn the_weight_of_the_divergence_rises_at_its_pace_and_stops_at_beta() {
        let weights = |beta: f64| {
            let spec = VaeSpec {
                beta,
                anneal_steps: 10,
                ..VaeSpec::default()
            };
            [0, 1, 2, 3, 10, 20].map(|step| spec.divergence_weight(step))
        };
        assert_eq!(weights(0.25), [0.0, 0.1, 0.2, 0.25, 0.25, 0.25]);
        assert_eq!(weights(1.0), [0.0, 0.1, 0.2, 0.3, 1.0, 1.0]);
    }

    /// Equation 7 with the noise that is drawn, from weights that are random
    /// where they begin as zeros.
    #[test]
    fn the_loss_is_the_bound_of_the_paper() {
        const HIDDEN: usize = 4;
        const LATENT: usize = 3;
        let spec = VaeSpec {
            hidden_dim: HIDDEN,
            latent_dim: LATENT,
            dropout: 0.0,
            beta: 0.7,
            anneal_steps: 10,
        };
        let mut network = spec.network(&train(), Some(Seed(3)), &Device::flex());
        let weights = randomized(network.as_mut());
        let same = spec.network(&train(), Some(Seed(3)), &Device::flex());
        let (mut tape, mut batch) = batch_of(same);
        batch.step = 4;
        let loss = host(network.loss(&mut tape, &batch).inner()).unwrap()[0];
        let noise = tape.normals(&batch.noise, [HISTORIES.len(), LATENT]);
        let noise = host(noise.inner()).unwrap();
        let targets = batch.clean.counts();
        let linear = |x: &[f64], name: &str| {
            let parts = [format!("{name}_weight"), format!("{name}_bias")];
            plain_linear(x, &parts.map(|part| weights[&part].clone()))
        };
        let mut expected = 0.0;
        for (taken, noise) in targets.chunks(ITEMS).zip(noise.chunks(LATENT)) {
            let items: Vec<usize> = (0..ITEMS).filter(|&i| taken[i] > 0.0).collect();
            let hidden: Vec<f64> = (0..HIDDEN)
                .map(|c| {
                    let rows = items
                        .iter()
                        .map(|i| weights["item_embedding"][i * HIDDEN + c]);
                    let sum = rows.sum::<f64>() / (items.len() as f64).sqrt();
                    (sum + weights["first_bias"][c]).tanh()
                })
                .collect();
            let (mean, log_variance) = (linear(&hidden, "mean"), linear(&hidden, "log_variance"));
            let normals = mean.iter().zip(&log_variance);
            let latent: Vec<f64> = normals
                .clone()
                .zip(noise)
                .map(|((m, l), &e)| m + (0.5 * l).exp() * f64::from(e))
                .collect();
            let decoded: Vec<f64> = linear(&latent, "decoder")
                .iter()
                .map(|d| d.tanh())
                .collect();
            let logits = linear(&decoded, "output");
            let total: f64 = logits.iter().map(|l| l.exp()).sum();
            let likelihood: f64 = items.iter().map(|&i| logits[i] - total.ln()).sum();
            let divergence: f64 = normals
                .map(|(m, l)| 0.5 * (m * m + l.exp() - l - 1.0))
                .sum();
            expected += (0.4 * divergence - likelihood) / HISTORIES.len() as f64;
        }
        assert!(
            (f64::from(loss) - expected).abs() < 1e-4,
            "{loss} {expected}"
        );
    }

    /// Minus the log-probability of each of a user's items, by hand.
    #[test]
    fn the_loss_is_that_of_a_multinomial() {
        let spec = DaeSpec {
            latent_dim: 3,
            dropout: 0.0,
        };
        let network = spec.network(&train(), Some(Seed(3)), &Device::flex());
        let (mut tape, batch) = batch_of(spec.network(&train(), Some(Seed(3)), &Device::flex()));
        let loss = host(network.loss(&mut tape, &batch).inner()).unwrap()[0];
        let (items, output) = (
            network.params()[0].host().unwrap(),
            network.output().0.host().unwrap(),
        );
        let mut expected = 0.0;
        for history in HISTORIES {
            let hidden: Vec<f64> = (0..3)
                .map(|k| {
                    let rows = history
                        .iter()
                        .map(|&i| f64::from(items[i as usize * 3 + k]));
                    (rows.sum::<f64>() / (history.len() as f64).sqrt()).tanh()
                })
                .collect();
            let logit = |item: usize| -> f64 {
                let terms = (0..3).map(|k| hidden[k] * f64::from(output[k * ITEMS + item]));
                terms.sum()
            };
            let total: f64 = (0..ITEMS).map(|item| logit(item).exp()).sum();
            for &item in history {
                expected -= logit(item as usize) - total.ln();
            }
        }
        expected /= HISTORIES.len() as f64;
        assert!(
            (f64::from(loss) - expected).abs() < 1e-4,
            "{loss} {expected}"
        );
    }
}

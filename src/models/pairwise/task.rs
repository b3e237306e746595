//! The loss of a batch of pairs, by the tape or by a network's own kernels.

use super::drawn::{self, Drawn};
use super::examples::Examples;
use super::recommender::PairRecommender;
use super::{Fuse, FusedPairs, InBatch, Objective};
use crate::losses::{self, Loss};
use crate::model::Recommender;
use crate::optim::Optimizer;
use crate::params::Param;
use crate::seed::Seed;
use crate::tape::{Ids, Tape, Updates};
use crate::training::{FusedStep, StepLoss, Trainable, TrainingConfig};
use anyhow::Result;
use burn::tensor::{Device, Tensor};
use std::ops::Range;

/// A pair model in training.
pub struct PairTask<'a> {
    pub recommender: PairRecommender,
    pub objective: Objective,
    pub config: &'a TrainingConfig,
    pub device: &'a Device,
    pub seed: Seed,
    pub examples: Examples,
    pub drawn: Drawn,
    pub in_batch: InBatch,
    /// `[items]`, see [`NegativeSampler::log_expected`]; absent where scores are
    /// not corrected for it.
    ///
    /// [`NegativeSampler::log_expected`]: crate::sampling::NegativeSampler::log_expected
    pub log_expected: Option<Tensor<1>>,
    pub fused: Option<Box<dyn FusedPairs>>,
}

impl PairTask<'_> {
    /// Leaves each example the negative that scores highest, the first of
    /// those (Zhang et al., "Optimizing top-n collaborative filtering via
    /// dynamic negative item sampling", SIGIR 2013).
    fn keep_hardest(&self, users: &Ids, items: Ids) -> Result<Ids> {
        let mut tape = Tape::inference(self.device);
        let (scores, _) = self.recommender.network.scores(&mut tape, users, &items);
        drawn::keep_hardest(items, scores)
    }

    fn mse(
        &self,
        tape: &mut Tape,
        places: Range<usize>,
        users: &[u32],
        items: &[u32],
    ) -> (Tensor<1>, Option<Tensor<1>>) {
        let scale = self.recommender.scale.expect("mse has a scale");
        let ratings = self.examples.ratings(places);
        let targets: Vec<f32> = ratings.map(|r| scale.normalized(r)).collect();
        let pairs = [users, items].map(Ids::from);
        let network = &self.recommender.network;
        let (scores, penalty) = network.scores(tape, &pairs[0], &pairs[1]);
        let targets = tape.floats(targets, [users.len(), 1]);
        (losses::mse(scores, targets), penalty)
    }

    fn in_batch(
        &self,
        tape: &mut Tape,
        users: &[u32],
        items: &[u32],
    ) -> (Tensor<1>, Option<Tensor<1>>) {
        let (scores, penalty) = self
            .recommender
            .network
            .cross_scores(tape, users, items)
            .expect("checked when the model was built");
        let batch = users.len();
        let mask = self.in_batch.mask(self.examples.sampler(), users, items);
        let mask = tape.floats(mask, [batch, batch]);
        let diagonal = InBatch::diagonal(batch, tape.device());
        let scores = scores / self.objective.temperature;
        (
            losses::in_batch_softmax(scores, mask, diagonal, self.config.label_smoothing),
            penalty,
        )
    }

    fn over_catalog(
        &self,
        tape: &mut Tape,
        users: &[u32],
        items: &[u32],
    ) -> (Tensor<1>, Option<Tensor<1>>) {
        let network = &self.recommender.network;
        let (scores, penalty) = network
            .catalog_scores(tape, users, items)
            .expect("checked when the model was built");
        let scores = scores / self.objective.temperature;
        let smoothing = self.config.label_smoothing;
        let positives = tape.ints(items);
        (losses::full_softmax(scores, positives, smoothing), penalty)
    }
}

/// What a table `[items]` has of these items, in this shape.
fn of_items(table: &Tensor<1>, tape: &Tape, items: &Ids, shape: [usize; 2]) -> Tensor<2> {
    let items = match items {
        Ids::Host(items) => tape.ints(items).inner(),
        Ids::Device(items) => Tensor::clone(items),
    };
    Tensor::from_inner(table.clone().select(0, items).reshape(shape))
}

impl Trainable for PairTask<'_> {
    fn params(&self) -> Vec<&Param> {
        self.recommender.network.params()
    }

    fn params_mut(&mut self) -> Vec<&mut Param> {
        self.recommender.network.params_mut()
    }

    fn num_examples(&self) -> usize {
        self.examples.len()
    }

    fn begin_epoch(&mut self, seed: Seed, epoch: usize) {
        self.examples.begin_epoch(seed, epoch);
    }

    fn loss(&mut self, tape: &mut Tape, places: Range<usize>) -> Result<Tensor<1>> {
        let smoothing = self.config.label_smoothing;
        let (loss, penalty) = match self.objective.loss {
            Loss::Mse => {
                let (users, items) = self.examples.pairs(places.clone());
                self.mse(tape, places, &users, &items)
            }
            Loss::InBatchSoftmax => {
                let (users, items) = self.examples.pairs(places);
                self.in_batch(tape, &users, &items)
            }
            Loss::FullSoftmax => {
                let (users, items) = self.examples.pairs(places);
                self.over_catalog(tape, &users, &items)
            }
            _ => {
                let (users, mut items) = self.drawn.draw(&self.examples, places, self.device);
                if self.objective.hardest_negative {
                    items = self.keep_hardest(&users, items)?;
                }
                let (scores, penalty) = self.recommender.network.scores(tape, &users, &items);
                let expected = self.log_expected.as_ref();
                let expected = expected.map(|of| of_items(of, tape, &items, scores.dims()));
                (self.objective.sampled(scores, expected, smoothing), penalty)
            }
        };
        Ok(losses::with_penalty(loss, penalty))
    }

    fn fuse(&mut self, optimizer: &Optimizer) -> Result<bool> {
        self.fused = self.recommender.network.fuse(&Fuse {
            objective: self.objective,
            config: self.config,
            optimizer,
            scale: self.recommender.scale,
            device: self.device,
            seed: self.seed,
        })?;
        Ok(self.fused.is_some())
    }

    fn steps_by_example(&self) -> bool {
        self.fused.is_some() && self.config.updates == Updates::Hogwild
    }

    fn fused_step(&mut self, places: Range<usize>, step: FusedStep) -> Result<StepLoss> {
        let fused = self.fused.as_mut().expect("`fuse` has made it");
        fused.step(&self.examples, places, step)
    }

    fn write_back(&mut self, optimizer: &mut Optimizer) -> Result<()> {
        match &mut self.fused {
            Some(fused) => fused.write_back(self.recommender.network.params_mut(), optimizer),
            None => Ok(()),
        }
    }

    fn recommender(&self) -> &dyn Recommender {
        &self.recommender
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::interactions::Interactions;
    use crate::models::pairwise::PairNetwork;
    use crate::optim::OptimizerConfig;
    use crate::params::host;
    use crate::sampling::{NegativeSampler, NegativeSampling};
    use std::sync::Arc;

    /// Every user scores an item alike.
    struct Alike(Param);

    impl PairNetwork for Alike {
        fn params(&self) -> Vec<&Param> {
            vec![&self.0]
        }

        fn params_mut(&mut self) -> Vec<&mut Param> {
            vec![&mut self.0]
        }

        fn scores(
            &self,
            tape: &mut Tape,
            users: &Ids,
            items: &Ids,
        ) -> (Tensor<2>, Option<Tensor<1>>) {
            let index = tape.index_of(items, self.0.shape()[0]);
            let width = items.len() / users.len();
            (
                tape.lookup(&self.0, &index).reshape([users.len(), width]),
                None,
            )
        }

        fn user_tables(&self) -> Vec<&Param> {
            Vec::new()
        }

        fn tile(&self, _: &[Tensor<2>]) -> Tensor<2> {
            self.0.value().transpose()
        }

        fn tile_height(&self) -> usize {
            1
        }
    }

    /// Items 0 to 3 with 3, 2, 1 and 2 interactions.
    fn log() -> Interactions {
        Interactions {
            offsets: vec![0, 3, 5, 7, 8],
            items: vec![0, 1, 3, 0, 2, 0, 3, 1],
            num_items: 4,
            ..Interactions::default()
        }
    }

    fn objective(logq_correction: bool) -> Objective {
        Objective {
            loss: Loss::Softmax,
            temperature: 0.5,
            hardest_negative: false,
            margin: crate::models::pairwise::MARGIN,
            negative_weight: crate::models::pairwise::NEGATIVE_WEIGHT,
            logq_correction,
        }
    }

    /// `-ln softmax(s / temperature - ln q)` of the positive, `q` being how
    /// probable an item is as a negative: the root of its count over their sum.
    #[test]
    fn a_softmax_over_popular_negatives_takes_off_their_log_probability() {
        let (device, scores) = (Device::flex(), [0.3f32, -0.8, 0.5, 1.1]);
        let log = Arc::new(log());
        let sampler = || {
            let sampling = NegativeSampling::Popularity;
            NegativeSampler::new(log.clone(), sampling, 0.5).unwrap()
        };
        let config = TrainingConfig::default();
        let network = Alike(Param::new("items", [4, 1], scores.to_vec(), &device));
        let mut task = PairTask {
            recommender: PairRecommender::new(Box::new(network), log.clone(), None, &device),
            objective: objective(true),
            config: &config,
            device: &device,
            seed: Seed(1),
            examples: super::super::Examples::new(log.clone(), Some(sampler()), 3),
            in_batch: InBatch::new(&log, false),
            drawn: Drawn::default(),
            log_expected: Some(Tensor::from_floats(&sampler().log_expected(3)[..], &device)),
            fused: None,
        };
        task.begin_epoch(Seed(1), 0);
        let mut tape = Tape::training(&device, Updates::Rows);
        tape.begin(Seed(1).stream("dropout"));
        let loss = task.loss(&mut tape, 0..8).unwrap();
        let loss = f64::from(host(loss.inner()).unwrap()[0]);
        let (mut users, mut items) = (vec![0; 8], vec![0; 32]);
        task.examples.fill(0..8, &mut users, &mut items);
        let roots = [3f64, 2.0, 1.0, 2.0].map(f64::sqrt);
        let total: f64 = roots.iter().sum();
        let odds = |&item: &u32| {
            let item = item as usize;
            (f64::from(scores[item]) / 0.5).exp() * total / roots[item]
        };
        let expected = items.chunks(4).map(|row| {
            let odds: Vec<f64> = row.iter().map(odds).collect();
            -(odds[0] / odds.iter().sum::<f64>()).ln() / 8.0
        });
        let expected: f64 = expected.sum();
        assert!((loss - expected).abs() < 1e-5, "{loss} {expected}");
    }

    #[test]
    fn kernels_leave_a_corrected_softmax_to_the_tape() {
        let optimizer = Optimizer::new(OptimizerConfig::plain_sgd());
        let has_kernels = |logq_correction: bool, sampling: NegativeSampling| {
            let fuse = Fuse {
                objective: objective(logq_correction),
                config: &TrainingConfig {
                    negative_sampling: sampling,
                    ..TrainingConfig::default()
                },
                optimizer: &optimizer,
                scale: None,
                device: &Device::flex(),
                seed: Seed(1),
            };
            fuse.goal().is_some()
        };
        assert!(has_kernels(true, NegativeSampling::Uniform));
        assert!(has_kernels(false, NegativeSampling::Popularity));
        assert!(!has_kernels(true, NegativeSampling::Popularity));
    }
}

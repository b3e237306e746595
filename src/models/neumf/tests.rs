//! The kernels against the plain tensor operations that they replace.

use super::network::Network;
use super::{Kind, Params, Spec};
use crate::data::interactions::Interactions;
use crate::kernels::update::Hyper;
use crate::losses::{self, Loss};
use crate::models::embeddings::Embeddings;
use crate::models::pairwise::{Examples, Fuse, Objective, PairNetwork, Scale};
use crate::optim::{Optimizer, OptimizerKind};
use crate::params::host;
use crate::sampling::{NegativeSampler, NegativeSampling};
use crate::seed::Seed;
use crate::tape::{Ids, Tape, Updates};
use crate::training::{FusedStep, StepLoss, TrainingConfig};
use burn::tensor::{Device, Tensor};
use std::ops::Range;
use std::sync::Arc;

/// 30 users, 25 items, ratings of 1 to 5.
fn train() -> Interactions {
    let mut rng = Seed(1).stream("test");
    let mut log = Interactions {
        offsets: vec![0],
        num_items: 25,
        ..Interactions::default()
    };
    for _ in 0..30 {
        let mut items: Vec<u32> = (0..9).map(|_| rng.below(25)).collect();
        items.sort_unstable();
        items.dedup();
        log.items.extend(items);
        log.offsets.push(log.items.len());
    }
    let ratings = (0..log.items.len()).map(|_| 1.0 + rng.below(5) as f32);
    log.weights = Some(ratings.collect());
    log
}

/// One network under both.
struct Case {
    spec: Spec,
    config: TrainingConfig,
}

impl Case {
    fn network(&self) -> Network {
        let mut network = self.spec.network(&train(), Some(Seed(5)), &Device::flex());
        // Far enough from zero for the differences to show.
        for param in network.params_mut() {
            let mut rng = Seed(6).stream(param.name());
            let values = param.host().unwrap();
            param.set_host(values.iter().map(|v| v + 0.3 * rng.normal()).collect());
        }
        network
    }

    fn objective(&self) -> Objective {
        Objective {
            loss: self.spec.params.loss,
            temperature: self.spec.params.temperature,
            hardest_negative: self.spec.params.hardest_negative,
            margin: 0.9,
            negative_weight: 10.0,
            logq_correction: false,
        }
    }

    fn scale(&self) -> Option<Scale> {
        let ratings = train().weights.unwrap();
        (self.spec.params.loss == Loss::Mse).then(|| Scale::of(&ratings, true))
    }

    fn examples(&self) -> Examples {
        let log = Arc::new(train());
        let sampling = NegativeSampling::Uniform;
        let sampler = NegativeSampler::new(log.clone(), sampling, 1.0).unwrap();
        let sampler = (self.spec.params.loss != Loss::Mse).then_some(sampler);
        let mut examples = Examples::new(log, sampler, self.config.negatives);
        examples.begin_epoch(Seed(5), 0);
        examples
    }

    fn plain_loss(&self, network: &Network, tape: &mut Tape, places: Range<usize>) -> Tensor<1> {
        let examples = self.examples();
        let mut users = vec![0; places.len()];
        let mut items = vec![0; places.len() * examples.width()];
        examples.fill(places.clone(), &mut users, &mut items);
        if self.spec.params.hardest_negative {
            items = self.hardest(network, &users, &items);
        }
        let (scores, penalty) =
            network.scores(tape, &Ids::from(&users[..]), &Ids::from(&items[..]));
        let smoothing = self.config.label_smoothing;
        let loss = match self.spec.params.loss {
            Loss::Mse => {
                let scale = self.scale().unwrap();
                let targets = examples.ratings(places).map(|r| scale.normalized(r));
                let targets = tape.floats(targets.collect(), [users.len(), 1]);
                losses::mse(scores, targets)
            }
            Loss::Bce => losses::bce(scores, smoothing),
            Loss::Bpr => losses::bpr(scores),
            _ => losses::softmax(scores / self.spec.params.temperature, smoothing),
        };
        match penalty {
            Some(penalty) => loss + penalty,
            None => loss,
        }
    }

    fn hardest(&self, network: &Network, users: &[u32], items: &[u32]) -> Vec<u32> {
        let mut tape = Tape::inference(&Device::flex());
        let scores = host(
            network
                .scores(&mut tape, &Ids::from(users), &Ids::from(items))
                .0,
        )
        .unwrap();
        let width = items.len() / users.len();
        let rows = items.chunks(width).zip(scores.chunks(width));
        let kept = rows.flat_map(|(items, scores)| {
            let better = |a: &usize, b: &usize| scores[*a].total_cmp(&scores[*b]);
            let best = (1..width).rev().max_by(better).unwrap();
            [items[0], items[best]]
        });
        kept.collect()
    }

    /// Losses of three steps and the weights after them.
    fn plain(&self) -> (Vec<f32>, Vec<Vec<f32>>) {
        let (mut network, device) = (self.network(), Device::flex());
        let mut optimizer = Optimizer::new(self.config.optimizer_config());
        let mut tape = Tape::training(&device, Updates::Rows);
        let mut losses = Vec::new();
        for (step, places) in self.steps() {
            tape.begin(Seed(5).indexed("dropout", step - 1));
            let loss = self.plain_loss(&network, &mut tape, places);
            let grads = loss.backward();
            let leaves = tape.take_leaves();
            optimizer.step(
                network.params_mut(),
                leaves,
                &grads,
                self.config.learning_rate,
            );
            losses.push(host(loss.inner()).unwrap()[0]);
        }
        let params = network.params().into_iter();
        (losses, params.map(|p| p.host().unwrap()).collect())
    }

    fn fused(&self) -> (Vec<f32>, Vec<Vec<f32>>) {
        let (mut network, device) = (self.network(), Device::flex());
        let mut optimizer = Optimizer::new(self.config.optimizer_config());
        let mut fused = network
            .fuse(&Fuse {
                objective: self.objective(),
                config: &self.config,
                optimizer: &optimizer,
                scale: self.scale(),
                device: &device,
                seed: Seed(5),
            })
            .unwrap()
            .unwrap();
        let mut losses = Vec::new();
        for (number, places) in self.steps() {
            let config = self.config.optimizer_config();
            let step = FusedStep {
                number,
                hyper: Hyper::new(&config, self.config.learning_rate, number),
            };
            match fused.step(&self.examples(), places, step).unwrap() {
                StepLoss::Host(loss) => losses.push(loss),
                StepLoss::Device(_) | StepLoss::Late(..) => panic!("the kernels are on the host"),
            }
        }
        fused
            .write_back(network.params_mut(), &mut optimizer)
            .unwrap();
        let params = network.params().into_iter();
        (losses, params.map(|p| p.host().unwrap()).collect())
    }

    fn steps(&self) -> impl Iterator<Item = (u64, Range<usize>)> {
        (1..).zip([0..150, 150..163, 20..90])
    }

    fn check(&self) {
        let ((plain_losses, plain), (losses, fused)) = (self.plain(), self.fused());
        let what = format!("{:?} {:?}", self.spec.kind, self.spec.params);
        for (a, b) in losses.iter().zip(&plain_losses) {
            assert!((a - b).abs() < 1e-4, "{what}: {losses:?} {plain_losses:?}");
        }
        for (param, (a, b)) in self.network().params().iter().zip(fused.iter().zip(&plain)) {
            for (at, (x, y)) in a.iter().zip(b).enumerate() {
                let near = (x - y).abs() < 1e-4 * (1.0 + y.abs());
                assert!(near, "{what}: {} at {at}: {x} {y}", param.name());
            }
        }
    }
}

fn case(kind: Kind, params: Params) -> Case {
    // A plain step of gradient descent: the difference of two weights is
    // that of two gradients.
    let config = TrainingConfig {
        optimizer: OptimizerKind::Sgd,
        momentum: 0.5,
        learning_rate: 1.0,
        negatives: 4,
        ..TrainingConfig::default()
    };
    Case {
        spec: Spec {
            kind,
            params,
            embeddings: Embeddings::default(),
        },
        config,
    }
}

fn small() -> Params {
    Params {
        embedding_dim: 6,
        mlp_embedding_dim: 9,
        hidden: vec![21, 10, 3],
        ..Params::default()
    }
}

#[test]
fn every_branch_trains_as_the_tensors_do() {
    for kind in [Kind::GMF, Kind::MLP, Kind::NEUMF] {
        case(kind, small()).check();
    }
    let one_layer = Params {
        hidden: vec![40],
        ..small()
    };
    case(Kind::NEUMF, one_layer).check();
}

#[test]
fn dropout_and_regularization_are_those_of_the_tensors() {
    let params = Params {
        dropout: 0.3,
        regularization: 0.2,
        ..small()
    };
    case(Kind::NEUMF, params.clone()).check();
    let uneven = Params {
        mlp_embedding_dim: 7,
        hidden: vec![5, 18],
        ..params
    };
    case(Kind::MLP, uneven).check();
}

#[test]
fn every_loss_is_that_of_the_tensors() {
    for loss in [Loss::Bpr, Loss::Softmax, Loss::Mse, Loss::Bce] {
        let params = Params {
            loss,
            temperature: 0.7,
            ..small()
        };
        let mut case = case(Kind::NEUMF, params);
        case.config.label_smoothing = 0.1;
        case.check();
    }
    let hardest = Params {
        loss: Loss::Bpr,
        hardest_negative: true,
        regularization: 0.1,
        ..small()
    };
    case(Kind::NEUMF, hardest).check();
}

#[test]
fn every_optimizer_and_clipping_are_those_of_the_tensors() {
    let kinds = [
        OptimizerKind::Adam,
        OptimizerKind::Adamw,
        OptimizerKind::Adagrad,
        OptimizerKind::Sgd,
    ];
    for optimizer in kinds {
        let mut case = case(Kind::NEUMF, small());
        case.config.optimizer = optimizer;
        case.config.learning_rate = 0.05;
        // Where a gradient is almost zero, Adam's step is not.
        case.config.epsilon = 1e-3;
        case.config.weight_decay = 0.01;
        case.config.gradient_clip = 0.05;
        case.check();
    }
}

#[test]
fn steps_have_the_same_bits_on_any_number_of_threads() {
    let params = Params {
        dropout: 0.2,
        ..small()
    };
    let case = case(Kind::NEUMF, params);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap().install(|| case.fused())
    };
    assert_eq!(on(1), on(3));
}

#[test]
fn catalogs_score_as_pairs_do() {
    for kind in [Kind::GMF, Kind::MLP, Kind::NEUMF] {
        let network = case(kind, small()).network();
        let users: Vec<u32> = (0..30).collect();
        let rows = network.user_tables().into_iter().map(|t| t.value());
        let mut scores = vec![f32::NAN; 30 * 25];
        network
            .score_rows(&rows.collect::<Vec<_>>(), &mut scores)
            .unwrap();
        let items: Vec<u32> = (0..30).flat_map(|_| 0..25).collect();
        let mut tape = Tape::inference(&Device::flex());
        let pairs = host(
            network
                .scores(&mut tape, &Ids::from(&users[..]), &Ids::from(&items[..]))
                .0,
        )
        .unwrap();
        for (a, b) in scores.iter().zip(&pairs) {
            assert!((a - b).abs() < 1e-4, "{kind:?}: {a} {b}");
        }
    }
}

#[test]
fn parameters_of_a_branch_that_is_not_there_are_refused_by_name() {
    let refused = |model: &str, params: &str, key: &str| {
        let error = crate::models::build(model, params.parse().unwrap());
        let error = format!("{:#}", error.err().unwrap());
        assert!(error.contains(&format!("`{key}`")), "{error}");
    };
    refused("gmf", "mlp_embedding_dim = 32", "mlp_embedding_dim");
    refused("gmf", "hidden = [32]", "hidden");
    refused("gmf", "dropout = 0.1", "dropout");
    refused("mlp", "embedding_dim = 32", "embedding_dim");
    let all = "embedding_dim = 32\nmlp_embedding_dim = 32\nhidden = [32]\ndropout = 0.1";
    assert!(crate::models::build("neumf", all.parse().unwrap()).is_ok());
}

/// A step over the catalog is one over all pairs.
#[test]
fn the_whole_catalog_is_all_pairs() {
    let params = Params {
        loss: Loss::FullSoftmax,
        regularization: 0.2,
        ..small()
    };
    let case = case(Kind::GMF, params);
    let (users, positives) = ([3u32, 17, 3, 9], [5u32, 0, 24, 5]);
    let rows = users.iter().zip(&positives);
    let items: Vec<u32> = rows
        .flat_map(|(_, &own)| [own].into_iter().chain((0..25).filter(move |i| *i != own)))
        .collect();
    let step = |catalog: bool| {
        let mut network = case.network();
        let mut tape = Tape::training(&Device::flex(), Updates::Rows);
        tape.begin(Seed(1).stream("dropout"));
        let loss = if catalog {
            let scores = network.catalog_scores(&mut tape, &users, &positives);
            let classes = tape.ints(&positives);
            losses::full_softmax(scores.unwrap().0, classes, 0.1)
        } else {
            let (users, items) = (Ids::from(&users[..]), Ids::from(&items[..]));
            losses::softmax(network.scores(&mut tape, &users, &items).0, 0.1)
        };
        let grads = loss.backward();
        let mut optimizer = Optimizer::new(case.config.optimizer_config());
        optimizer.step(network.params_mut(), tape.take_leaves(), &grads, 1.0);
        let params = network.params().into_iter();
        params.flat_map(|p| p.host().unwrap()).collect::<Vec<_>>()
    };
    for (a, b) in step(true).iter().zip(step(false)) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
    let network = case.network();
    let mut tape = Tape::inference(&Device::flex());
    let (_, of_catalog) = network
        .catalog_scores(&mut tape, &users, &positives)
        .unwrap();
    let (users, positives) = (Ids::from(&users[..]), Ids::from(&positives[..]));
    let (_, of_pairs) = network.scores(&mut tape, &users, &positives);
    let value = |penalty: Option<Tensor<1>>| host(penalty.unwrap()).unwrap()[0];
    assert!((value(of_catalog) - value(of_pairs)).abs() < 1e-5);
}

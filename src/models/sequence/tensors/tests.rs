//! What a GPU looks up by itself against what the host puts together.

use super::ids::BatchIds;
use super::windows::ids_on_device;
use super::{Batch, TapeStep};
use crate::data::interactions::Interactions;
use crate::kernels::catalog::Goal;
use crate::kernels::gpu::adapter;
use crate::kernels::layers::{Layers, Layout, Var};
use crate::kernels::windows::Source;
use crate::models::sequence::Body;
use crate::models::sequence::examples::Examples;
use crate::models::sequence::network::Network;
use crate::models::sequence::on_device::OnDevice;
use crate::models::sequence::part::{Clock, Part};
use crate::models::sequence::setup::{NegativesFor, Setup};
use crate::models::sequence::step::Negatives;
use crate::params::host;
use crate::sampling::{NegativeSampler, NegativeSampling};
use crate::seed::{Rng, Seed};
use crate::tape::{Ids, NO_ROW, Tape, Updates};
use burn::tensor::{Device, Int, Tensor};
use std::sync::Arc;

const ITEMS: usize = 40;
const NEGATIVES: usize = 3;
const LONGEST: usize = 24;

/// A network of no layers.
#[derive(Clone, Copy, Debug)]
struct Bare {
    cloze: Option<f64>,
    clock: Clock,
}

impl Body for Bare {
    fn forward(&self, _: &mut dyn Layers, items: Var) -> Var {
        items
    }

    fn cloze(&self) -> Option<f64> {
        self.cloze
    }

    fn clock(&self) -> Clock {
        self.clock
    }
}

/// Histories of all lengths, some with nearly all items.
fn log(rng: &mut Rng) -> Interactions {
    let mut log = Interactions {
        offsets: vec![0],
        num_items: ITEMS,
        ..Interactions::default()
    };
    let (mut times, mut time) = (Vec::new(), -(1i64 << 33));
    for user in 0..30 {
        let most = if user % 7 == 3 { ITEMS as u32 - 1 } else { 9 };
        let mut items: Vec<u32> = (0..most).collect();
        rng.shuffle(&mut items);
        let extra = rng.below(40);
        items.extend((0..extra).map(|_| rng.below(most)));
        items.truncate((2 + rng.below(50)) as usize);
        for item in items {
            log.items.push(item);
            times.push(time);
            time += 1i64 << rng.below(31);
        }
        log.offsets.push(log.items.len());
    }
    log.timestamps = Some(times.into());
    log
}

/// Windows in parts, at places of an epoch that 32 bits do not count.
fn parts(log: &Interactions, setup: &Setup, body: Bare, seed: Seed) -> (Examples, Vec<Part>) {
    let mut examples = Examples::new(log, setup, usize::from(body.cloze.is_none()));
    if body.clock != Clock::None {
        examples = examples.with_times(log.timestamps.clone().expect("it has some"));
    }
    examples.begin_epoch(seed, 1);
    let mut parts = vec![Part::default()];
    for example in examples.step(0..examples.len()) {
        let mut part = parts.pop().expect("there is always one");
        match body.cloze {
            None => part.push_next(&example, body.clock),
            Some(share) => part.push_masked(&example, share, ITEMS as u32, &examples.masks),
        }
        let full = part.len() > 60;
        parts.push(part);
        if full {
            parts.push(Part::default());
        }
    }
    parts.retain(|part| !part.is_empty());
    let mut rng = seed.stream("places");
    for origin in parts.iter_mut().flat_map(|part| &mut part.sequences) {
        let high = u64::from(rng.below(3));
        origin.place = (high << 32 | u64::from(rng.next_u32())) - u64::from(high > 1);
    }
    (examples, parts)
}

fn values(ids: &Tensor<1, Int>) -> Vec<u32> {
    let data = ids.clone().into_data();
    data.iter::<i32>().map(|id| id as u32).collect()
}

fn ids_of(ids: &Ids) -> Vec<u32> {
    match ids {
        Ids::Host(ids) => ids.clone(),
        Ids::Device(ids) => values(ids),
    }
}

fn assert_same(what: &str, step: &TapeStep<'_>, batches: &[Batch<'_>], gpu: &Device) {
    let log = step.on_device.log().expect("a GPU holds it");
    let drawn = ids_on_device(step, log, batches);
    let tape = Tape::training(&Device::flex(), Updates::Rows);
    let expected = step.ids_on_host(&tape, batches);
    assert_eq!(drawn.sizes, expected.sizes, "{what}");
    assert_eq!(ids_of(&drawn.all), ids_of(&expected.all), "{what}");
    let on_gpu = Tape::training(gpu, Updates::Rows);
    for ((drawn, expected), batch) in drawn.batches.iter().zip(&expected.batches).zip(batches) {
        for (drawn, expected) in drawn.pieces().zip(expected.pieces()) {
            assert_eq!(ids_of(drawn), ids_of(expected), "{what}");
            let present = host(on_gpu.present(drawn).inner()).unwrap();
            assert_eq!(present, host(tape.present(expected).inner()).unwrap());
        }
        let picks = [&drawn.picks, &expected.picks].map(|picks| picks.as_ref().map(values));
        assert_eq!(picks[0], picks[1], "{what}");
        let taken = |ids: &BatchIds| {
            let taken = ids.taken.as_ref()?;
            Some((taken.count, values(&taken.rows), values(&taken.places)))
        };
        assert_eq!(taken(drawn), taken(expected), "{what}");
        if let Some(buckets) = &drawn.buckets {
            let on_host = batch.buckets(&Device::flex());
            assert_eq!(values(buckets), values(&on_host), "{what}");
        }
        if let Some(ids) = &drawn.negatives {
            assert_expected(step, (&on_gpu, ids), (&tape, expected));
        }
    }
}

/// Where there are negatives, what is expected of them is the same.
fn assert_expected(step: &TapeStep<'_>, drawn: (&Tape, &Ids), on_host: (&Tape, &BatchIds)) {
    let ids = on_host.1.negatives.as_ref().expect("both draw some");
    let of = |tape: &Tape, ids: &Ids| {
        let expected = step.expected(tape, ids).expect("it is asked for");
        host(expected.inner()).unwrap()
    };
    let both = of(drawn.0, drawn.1).into_iter().zip(of(on_host.0, ids));
    for ((a, b), id) in both.zip(ids_of(ids)) {
        assert!(a == b || id == NO_ROW, "{id}: {a} {b}");
    }
}

#[test]
fn a_gpu_reads_and_draws_what_the_host_does() {
    let Some(gpu) = adapter() else {
        return;
    };
    let seed = Seed::fresh();
    let log = log(&mut seed.stream("log"));
    let sorted = Arc::new(log.sorted_by_item());
    let body = |cloze, clock| Bare { cloze, clock };
    let bodies = [
        body(None, Clock::None),
        body(None, Clock::Event),
        body(None, Clock::Request),
        body(Some(0.3), Clock::None),
        // Whole windows are masked.
        body(Some(1.0), Clock::None),
    ];
    for (number, body) in bodies.into_iter().enumerate() {
        let sampling = [NegativeSampling::Uniform, NegativeSampling::Popularity][number % 2];
        let sampler = NegativeSampler::new(sorted.clone(), sampling, 0.75).unwrap();
        for (goal, negatives_for) in [
            (None, NegativesFor::Position),
            (Some(Goal::Bpr), NegativesFor::Position),
            (Some(Goal::Bpr), NegativesFor::Sequence),
        ] {
            let setup = Setup {
                embedding_dim: 16,
                max_length: LONGEST,
                window_stride: 14,
                negatives_for,
                ..Setup::default()
            };
            let (examples, parts) = parts(&log, &setup, body, seed);
            let device = Device::flex();
            let layout = Layout::default();
            let network = Network::new(setup, Box::new(body), layout, ITEMS, None, &device);
            let log_expected = sampler.log_expected(NEGATIVES);
            let sampled = goal.map(|_| &sampler);
            let mut on_device = OnDevice::default();
            let (items, times) = examples.log();
            let source = || Source {
                items,
                times,
                num_items: ITEMS,
                sampler: sampled,
                log_expected: Some(&log_expected),
            };
            on_device.hold(source, &gpu);
            let step = TapeStep {
                network: &network,
                parts: &parts,
                goal,
                smoothing: 0.0,
                negatives: sampled.map(|sampler| Negatives {
                    sampler,
                    stream: &examples.negatives,
                    count: NEGATIVES,
                    log_expected: Some(&log_expected),
                }),
                on_device: &on_device,
            };
            let what = format!("{body:?}, {goal:?}, {negatives_for:?}, {sampling:?}");
            assert_same(&what, &step, &Batch::all(&parts, LONGEST), &gpu);
        }
    }
}

//! Examples that a GPU draws against those of the host.

use super::wgpu;
use burn::tensor::{Int, Tensor};
use recsys::data::Interactions;
use recsys::kernels::examples::DeviceExamples;
use recsys::sampling::{NegativeSampler, NegativeSampling};
use recsys::seed::{Permutation, Seed};
use std::sync::Arc;

/// Users with few items, and one with all but two.
fn log() -> Interactions {
    let mut rng = Seed(3).stream("log");
    let mut log = Interactions {
        offsets: vec![0],
        num_items: 31,
        ..Interactions::default()
    };
    for user in 0..20 {
        let items = (0..31).filter(|&item| match user {
            7 => item != 4 && item != 30,
            _ => rng.below(6) == 0,
        });
        log.items.extend(items);
        log.offsets.push(log.items.len());
    }
    log
}

fn values(ids: Tensor<1, Int>) -> Vec<u32> {
    ids.into_data().iter::<i32>().map(|id| id as u32).collect()
}

#[test]
fn a_gpu_draws_the_examples_and_negatives_of_the_host() {
    let Some(device) = wgpu() else {
        eprintln!("skipped: wgpu sees no adapter, not even a software one");
        return;
    };
    let log = Arc::new(log());
    let owners = log.user_column();
    for sampling in [NegativeSampling::Uniform, NegativeSampling::Popularity] {
        let sampler = NegativeSampler::new(log.clone(), sampling, 0.75).unwrap();
        let mut examples = DeviceExamples::new(&log, &sampler, 4, &device).unwrap();
        for epoch in 0..2 {
            let mut shuffle = Seed(5).indexed("shuffle", epoch);
            let order = Permutation::new(log.len() as u32, &mut shuffle);
            let stream = Seed(5).indexed("negatives", epoch);
            for places in [0..30, 60..log.len()] {
                let rows = places.clone().map(|place| order.at(place as u32) as usize);
                let rows: Vec<usize> = rows.collect();
                let users: Vec<u32> = rows.iter().map(|&row| owners[row]).collect();
                let mut items = vec![0; 4 * rows.len()];
                for (items, &row) in items.chunks_mut(4).zip(&rows) {
                    items[0] = log.items[row];
                }
                sampler.fill(&stream, places.start as u64, &users, &mut items);
                let drawn = examples.draw((&order, &stream), places);
                assert_eq!(values(drawn.0), users, "{sampling:?}");
                assert_eq!(values(drawn.1), items, "{sampling:?}");
            }
        }
    }
}

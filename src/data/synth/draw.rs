//! What one user takes, when, and where.

use super::World;
use super::world::sigmoid;
use crate::seed::{Rng, Seed};
use std::collections::HashSet;

/// 2020-01-01
const BEGIN: i64 = 1_577_836_800;
const DAY: i64 = 86_400;
/// Of a user's interactions, how many are on its own platform; the others are
/// on any.
const AT_HOME: f32 = 0.75;

/// Draws the ranks of the items that `user` takes, in order.
pub fn items(world: &World, user: u32, out: &mut [u32]) {
    let mut rng = Seed(world.config.seed).indexed("synth/choices", u64::from(user));
    let taste = world.taste(user);
    let mut seen = HashSet::new();
    // Walking past more than this costs more than weighing the whole catalog.
    let mut patience = 2 * world.config.items + 16 * out.len();
    let mut taken = 0;
    while taken < out.len() && patience > 0 {
        patience -= 1;
        let rank = world.propose(rng.uniform64());
        let liked = rng.uniform64() < sigmoid(world.logit(&taste, rank));
        if liked && (world.config.repeats || seen.insert(rank)) {
            out[taken] = rank;
            taken += 1;
        }
    }
    let rest = &mut out[taken..];
    if !rest.is_empty() {
        weigh(world, &taste, &seen, &mut rng, rest);
    }
}

/// Draws the rest from the weights of the whole catalog: the same
/// distribution, for users who have nearly all that they like.
fn weigh(world: &World, taste: &[f32], seen: &HashSet<u32>, rng: &mut Rng, rest: &mut [u32]) {
    let all = (0..world.config.items as u32).filter(|rank| !seen.contains(rank));
    let weights: Vec<(f64, u32)> = all
        .map(|rank| (world.log_preference(taste, rank), rank))
        .collect();
    let mut with_noise = |from: &[(f64, u32)]| -> Vec<(f64, u32)> {
        let gumbel = |rng: &mut Rng| -(-(1.0 - rng.uniform64()).ln()).ln();
        let noisy = from.iter().map(|&(w, rank)| (w + gumbel(rng), rank));
        let mut noisy: Vec<_> = noisy.collect();
        noisy.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        noisy
    };
    if world.config.repeats {
        for slot in rest {
            *slot = with_noise(&weights)[0].1;
        }
    } else {
        for (slot, (_, rank)) in rest.iter_mut().zip(with_noise(&weights)) {
            *slot = rank;
        }
    }
}

/// Draws a user's moments, ascending unix seconds within `days`.
pub fn times(world: &World, user: u32, days: u32, out: &mut [i64]) {
    let mut rng = Seed(world.config.seed).indexed("synth/times", u64::from(user));
    let span = (i64::from(days) * DAY) as f64;
    for time in &mut *out {
        *time = BEGIN + (rng.uniform64() * span) as i64;
    }
    out.sort_unstable();
}

/// Draws the platform of each of a user's interactions.
pub fn platforms(world: &World, user: u32, out: &mut [u8]) {
    let mut rng = Seed(world.config.seed).indexed("synth/platforms", u64::from(user));
    let count = world.config.platforms as u32;
    let home = rng.below(count);
    for platform in out {
        let chosen = if rng.uniform() < AT_HOME {
            home
        } else {
            rng.below(count)
        };
        *platform = chosen as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::super::SynthConfig;
    use super::super::tests::config;
    use super::*;

    #[test]
    fn walking_and_weighing_draw_from_the_formula() {
        let world = World::new(&SynthConfig {
            items: 6,
            interactions: 400,
            ..config()
        });
        let taste = world.taste(3);
        let weights: Vec<f64> = (0..6)
            .map(|r| world.log_preference(&taste, r).exp())
            .collect();
        let total: f64 = weights.iter().sum();
        let mut rng = Seed(1).stream("test");
        let (mut walked, mut weighed) = ([0.0; 6], [0.0; 6]);
        let draws = 20_000;
        for _ in 0..draws {
            let rank = loop {
                let rank = world.propose(rng.uniform64());
                if rng.uniform64() < sigmoid(world.logit(&taste, rank)) {
                    break rank;
                }
            };
            walked[rank as usize] += 1.0 / f64::from(draws);
            let mut one = [0];
            weigh(&world, &taste, &HashSet::new(), &mut rng, &mut one);
            weighed[one[0] as usize] += 1.0 / f64::from(draws);
        }
        for rank in 0..6 {
            let expected = weights[rank] / total;
            assert!(
                (walked[rank] - expected).abs() < 0.02,
                "{walked:?} {weights:?}"
            );
            assert!(
                (weighed[rank] - expected).abs() < 0.02,
                "{weighed:?} {weights:?}"
            );
        }
    }

    #[test]
    fn a_user_who_likes_next_to_nothing_still_gets_its_items() {
        let picky = SynthConfig {
            items: 40,
            interactions: 3_000,
            threshold: 4.0,
            noise: 0.01,
            ..config()
        };
        let world = World::new(&picky);
        let mut out = [0; 20];
        items(&world, 0, &mut out);
        let distinct: HashSet<u32> = out.iter().copied().collect();
        assert_eq!(distinct.len(), 20);
        let world = World::new(&SynthConfig {
            repeats: true,
            ..picky
        });
        items(&world, 0, &mut out);
        assert!(out.iter().all(|r| *r < 40));
    }
}

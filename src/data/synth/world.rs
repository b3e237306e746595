//! Tastes, characters, popularity and activity.

use super::SynthConfig;
use crate::seed::Seed;
use rayon::prelude::*;

/// Standard deviation of the logarithm of a user's activity.
const ACTIVITY_DEVIATION: f64 = 1.0;

/// Everything that is known before anybody takes an item. Items are in the
/// order of their popularity here, `rank` 0 first.
pub struct World {
    pub config: SynthConfig,
    /// `items x dimension`, by rank.
    characters: Vec<f32>,
    /// Which item has which rank.
    item_of_rank: Vec<u32>,
    /// Interactions of each user.
    counts: Vec<u32>,
    popularity: Popularity,
}

impl World {
    /// `config` is valid.
    pub(super) fn new(config: &SynthConfig) -> Self {
        let mut item_of_rank: Vec<u32> = (0..config.items as u32).collect();
        Seed(config.seed)
            .stream("synth/ranks")
            .shuffle(&mut item_of_rank);
        Self {
            config: config.clone(),
            characters: characters(config),
            item_of_rank,
            counts: activity(config),
            popularity: Popularity::new(config),
        }
    }

    /// Interactions of each user.
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// The item (from 0) of this rank.
    pub fn item(&self, rank: u32) -> u32 {
        self.item_of_rank[rank as usize]
    }

    /// The rank of each item.
    pub fn ranks(&self) -> Vec<u32> {
        let mut ranks = vec![0; self.item_of_rank.len()];
        for (rank, &item) in (0..).zip(&self.item_of_rank) {
            ranks[item as usize] = rank;
        }
        ranks
    }

    /// `p_u`, of length 1.
    pub fn taste(&self, user: u32) -> Vec<f32> {
        let mut rng = Seed(self.config.seed).indexed("synth/tastes", u64::from(user));
        let mut taste: Vec<f32> = (0..self.config.dimension).map(|_| rng.normal()).collect();
        let length = taste.iter().map(|x| x * x).sum::<f32>().sqrt();
        if length > 0.0 {
            taste.iter_mut().for_each(|x| *x /= length);
        }
        taste
    }

    /// `q_i` of the item of this rank.
    pub fn character(&self, rank: u32) -> &[f32] {
        let d = self.config.dimension;
        &self.characters[rank as usize * d..][..d]
    }

    /// `(a_ui - threshold) / noise`: the logit of liking the item.
    pub fn logit(&self, taste: &[f32], rank: u32) -> f64 {
        let affinity: f32 = taste
            .iter()
            .zip(self.character(rank))
            .map(|(p, q)| p * q)
            .sum();
        (f64::from(affinity) - self.config.threshold) / self.config.noise
    }

    /// `ln P` of the module's formula, up to a constant of the user.
    pub fn log_preference(&self, taste: &[f32], rank: u32) -> f64 {
        self.popularity.log_weight(rank) + log_sigmoid(self.logit(taste, rank))
    }

    /// A rank by popularity, from a uniform number.
    pub fn propose(&self, uniform: f64) -> u32 {
        self.popularity.rank(uniform)
    }
}

pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `ln(sigmoid(x))`, finite for every finite `x`.
fn log_sigmoid(x: f64) -> f64 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

fn characters(config: &SynthConfig) -> Vec<f32> {
    let stream = Seed(config.seed).stream("synth/characters");
    // A normal number takes two words of the stream's four in a block.
    let blocks = config.dimension.div_ceil(2) as u64;
    let mut all = vec![0.0; config.items * config.dimension];
    all.par_chunks_mut(config.dimension)
        .enumerate()
        .for_each(|(rank, character)| {
            let mut rng = stream.at(rank as u64 * blocks);
            character.iter_mut().for_each(|x| *x = rng.normal());
        });
    all
}

/// Popularity by rank, without a table: the rank of a number that is
/// distributed as `x^-skew` on `[1, items + 1]`, rounded down.
struct Popularity {
    /// `1 - skew`
    power: f64,
    items: usize,
    /// [`Self::primitive`] at `items + 1`.
    total: f64,
}

impl Popularity {
    fn new(config: &SynthConfig) -> Self {
        let mut popularity = Self {
            power: 1.0 - config.skew,
            items: config.items,
            total: 0.0,
        };
        popularity.total = popularity.primitive(config.items as f64 + 1.0);
        popularity
    }

    /// Integral of `x^-skew` from 1 to `x`.
    fn primitive(&self, x: f64) -> f64 {
        if self.is_logarithmic() {
            x.ln()
        } else {
            (self.power * x.ln()).exp_m1() / self.power
        }
    }

    fn is_logarithmic(&self) -> bool {
        self.power.abs() < 1e-9
    }

    fn rank(&self, uniform: f64) -> u32 {
        let area = uniform * self.total;
        let x = if self.is_logarithmic() {
            area.exp()
        } else {
            ((self.power * area).ln_1p() / self.power).exp()
        };
        // The edges may be missed by a rounding.
        ((x as usize).max(1) - 1).min(self.items - 1) as u32
    }

    fn log_weight(&self, rank: u32) -> f64 {
        // The interval [r, r + 1] is taken relative to r: the difference of
        // two primitives would lose its digits in a long tail.
        let r = f64::from(rank) + 1.0;
        let ratio = (1.0 / r).ln_1p();
        let relative = if self.is_logarithmic() {
            ratio
        } else {
            (self.power * ratio).exp_m1() / self.power
        };
        self.power * r.ln() + relative.ln()
    }
}

/// Interactions of each user: log-normal, at least 1, at most what the
/// catalog allows, and exactly as many together as were asked for.
fn activity(config: &SynthConfig) -> Vec<u32> {
    let stream = Seed(config.seed).stream("synth/activity");
    let most = config.most_per_user() as f64;
    let wish = |user: usize| {
        let normal = f64::from(stream.at(user as u64).normal());
        (ACTIVITY_DEVIATION * normal).exp()
    };
    let wishes: Vec<f64> = (0..config.users).into_par_iter().map(wish).collect();
    let count = |scale: f64, wish: f64| (scale * wish).floor().clamp(1.0, most) as u32;
    let total =
        |scale: f64| -> usize { wishes.par_iter().map(|w| count(scale, *w) as usize).sum() };
    // The largest scale that does not give too many.
    let (mut low, mut high) = (0.0, 1.0);
    while total(high) < config.interactions && high < 1e300 {
        high *= 2.0;
    }
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if total(middle) <= config.interactions {
            low = middle;
        } else {
            high = middle;
        }
    }
    let mut counts: Vec<u32> = wishes.iter().map(|w| count(low, *w)).collect();
    let mut missing = config.interactions - counts.iter().map(|c| *c as usize).sum::<usize>();
    while missing > 0 {
        for count in &mut counts {
            if missing > 0 && f64::from(*count) < most {
                *count += 1;
                missing -= 1;
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::super::tests::config;
    use super::*;

    #[test]
    fn weights_are_the_chances_of_being_proposed() {
        for skew in [0.0, 0.7, 1.0, 1.4] {
            let config = SynthConfig {
                skew,
                items: 5,
                ..config()
            };
            let popularity = Popularity::new(&config);
            let weights: Vec<f64> = (0..5).map(|r| popularity.log_weight(r).exp()).collect();
            let total: f64 = weights.iter().sum();
            let mut counts = [0.0; 5];
            let draws = 20_000;
            for i in 0..draws {
                counts[popularity.rank((f64::from(i) + 0.5) / f64::from(draws)) as usize] += 1.0;
            }
            for (count, weight) in counts.iter().zip(&weights) {
                let expected = weight / total;
                let share = count / f64::from(draws);
                assert!(
                    (share - expected).abs() < 1e-3,
                    "{skew}: {counts:?} {weights:?}"
                );
            }
        }
    }

    #[test]
    fn zipf_s_first_rank_has_the_integral_of_its_interval() {
        let config = SynthConfig {
            skew: 1.0,
            ..config()
        };
        let popularity = Popularity::new(&config);
        assert!((popularity.log_weight(0).exp() - 2f64.ln()).abs() < 1e-12);
        assert!((popularity.log_weight(9).exp() - (11.0f64 / 10.0).ln()).abs() < 1e-12);
    }

    #[test]
    fn affinities_are_standard_normal_for_every_user() {
        let world = World::new(&SynthConfig {
            items: 4_000,
            ..config()
        });
        for user in 0..5 {
            let taste = world.taste(user);
            let affinity = |r: u32| {
                let products = taste.iter().zip(world.character(r)).map(|(p, q)| p * q);
                f64::from(products.sum::<f32>())
            };
            let mean = (0..4_000).map(affinity).sum::<f64>() / 4_000.0;
            let variance = (0..4_000).map(|r| affinity(r).powi(2)).sum::<f64>() / 4_000.0;
            assert!(
                mean.abs() < 0.1 && (variance - 1.0).abs() < 0.15,
                "{mean} {variance}"
            );
        }
    }

    #[test]
    fn activity_is_uneven_and_adds_up() {
        let config = config();
        let counts = activity(&config);
        assert_eq!(
            counts.iter().map(|c| *c as usize).sum::<usize>(),
            config.interactions
        );
        let most = *counts.iter().max().unwrap() as usize;
        assert!(most > 3 * config.interactions / config.users && most <= config.items / 2);
        assert!(counts.iter().all(|c| *c >= 1));
        // Everybody has the most that is allowed.
        let full = SynthConfig {
            interactions: 200 * 50,
            items: 100,
            ..config
        };
        assert!(activity(&full).iter().all(|c| *c == 50));
    }
}

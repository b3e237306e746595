//! Synthetic interactions of any size, drawn from preferences that are known.
//!
//! User `u` has a taste `p_u`, uniform on the unit sphere of `dimension`
//! dimensions, item `i` a character `q_i` with independent standard normal
//! components, so that the affinity `a_ui = p_u . q_i` is standard normal for
//! every user. Item popularity falls with its rank `r = 1, 2, ...` as `w_i =
//! integral of x^-skew over [r, r + 1]`. A user walks past items by
//! popularity and takes one with the chance that it is liked, so that
//!
//! ```text
//! P(u takes i) ~ w_i * sigmoid((a_ui - threshold) / noise)
//! ```
//!
//! over the items that `u` does not have yet. Drawing so one after the other
//! without replacement is the same as taking the largest of `ln P + Gumbel
//! noise`, so no model can rank what comes next better than by `P` itself:
//! [`crate::ceiling`] measures how good that is. The chance of a proposal to
//! be taken does not depend on the size of the catalog, so neither does the
//! cost of an interaction.
//!
//! A user's interactions lie at sorted uniform moments, in the order in which
//! they were drawn. Activity over users is log-normal. Everything follows from
//! the seed, at any number of threads.

mod draw;
mod features;
mod toml;
mod world;
mod write;

pub use world::World;
pub use write::generate;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// File names inside the folder of a synthetic data set.
pub const CONFIG: &str = "config.toml";
pub const SETTINGS: &str = "synth.json";
pub const CEILING: &str = "ceiling.json";

/// What to make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SynthConfig {
    pub seed: u64,
    pub users: usize,
    pub items: usize,
    pub interactions: usize,
    /// Of tastes and characters.
    pub dimension: usize,
    /// Exponent of the popularity: 0 is even, 1 is Zipf's law.
    pub skew: f64,
    /// The affinity, in standard deviations over the catalog, at which a user
    /// takes half of what it walks past.
    pub threshold: f64,
    /// How gradually the chance rises around the threshold, in the same unit.
    pub noise: f64,
    /// Over how many days the timestamps lie; `None` writes none.
    pub days: Option<u32>,
    /// Number of platforms, one file each with shared ids; 1 names none.
    pub platforms: usize,
    /// Whether to write user and item features.
    pub features: bool,
    /// Whether a user may take an item again.
    pub repeats: bool,
}

impl SynthConfig {
    /// # Errors
    /// Names the flag at fault and what it may be.
    pub fn validate(&self) -> Result<()> {
        for (name, count, least) in [
            ("users", self.users, 1),
            // The config beside the data asks for lists of 20.
            ("items", self.items, 20),
            ("dimension", self.dimension, 1),
            ("platforms", self.platforms, 1),
        ] {
            ensure!(count >= least, "--{name} must be at least {least}");
        }
        let limit = 1 << 31;
        ensure!(
            self.users < limit && self.items < limit,
            "--users and --items must be below 2^31"
        );
        ensure!(
            self.interactions < u32::MAX as usize,
            "--interactions must be below 2^32"
        );
        ensure!(
            self.interactions >= self.users,
            "--interactions must be at least --users ({}): every user has one",
            self.users
        );
        let most = self.users.saturating_mul(self.most_per_user());
        ensure!(
            self.interactions <= most,
            "{} users can take at most {most} of {} items without filling half of the catalog \
             each; give more --items or --users, or allow --repeats",
            self.users,
            self.items
        );
        ensure!(
            (0.0..=4.0).contains(&self.skew),
            "--skew must be between 0 and 4"
        );
        ensure!(
            (-4.0..=4.0).contains(&self.threshold),
            "--threshold must be between -4 and 4"
        );
        ensure!(
            (0.01..=100.0).contains(&self.noise),
            "--noise must be between 0.01 and 100"
        );
        ensure!(self.days != Some(0), "--days must be at least 1");
        ensure!(self.platforms <= 256, "--platforms must be at most 256");
        Ok(())
    }

    /// Half of the catalog, so that there is always something left to like.
    fn most_per_user(&self) -> usize {
        if self.repeats {
            u32::MAX as usize
        } else {
            self.items.div_ceil(2)
        }
    }
}

#[cfg(test)]
mod tests;

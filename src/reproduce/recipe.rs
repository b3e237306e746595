//! The list of recipes, and the configs that they train.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Deviations from the mean that a value may lie away.
const DEVIATIONS: f64 = 3.0;
/// Figures have four digits, and processors round differently.
const LEAST_TOLERANCE: f64 = 0.0005;

/// All configs that ship, by name.
const CONFIGS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/configs.rs"));

const RECIPES: &str = include_str!("recipes.toml");

/// A config with what it reaches.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// That of the config, e.g. `ml-100k/ease`.
    pub name: String,
    /// The data set, as `recsys data fetch` names it.
    pub data: String,
    /// The table that it belongs to.
    pub protocol: String,
    /// That were measured.
    #[serde(default)]
    pub seeds: Vec<u64>,
    /// Overrides of each run whose mean is judged.
    #[serde(default)]
    pub runs: Vec<Vec<String>>,
    /// Where the published figures come from.
    #[serde(default)]
    pub source: Option<String>,
    /// SHA-256 of the files of each run, one after the other.
    #[serde(default)]
    pub data_sha256: Vec<String>,
    pub metrics: BTreeMap<String, Metric>,
}

/// What a metric is expected to be.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    pub expected: f64,
    #[serde(default)]
    pub deviation: Option<f64>,
    #[serde(default)]
    tolerance: Option<f64>,
    #[serde(default)]
    pub published: Option<f64>,
    /// Of the first seed alone, for models without random steps.
    #[serde(default)]
    pub first: Option<f64>,
}

impl Metric {
    /// How far from what is expected a value may lie.
    pub fn tolerance(&self) -> f64 {
        let by_seeds = DEVIATIONS * self.deviation.unwrap_or(0.0);
        self.tolerance.unwrap_or(by_seeds).max(LEAST_TOLERANCE)
    }

    /// What is expected, and how far from it a value may lie: of the mean, or
    /// of the first seed alone.
    pub fn target(&self, all_seeds: bool) -> (f64, f64) {
        match self.first.filter(|_| !all_seeds) {
            Some(first) => (first, LEAST_TOLERANCE),
            None => (self.expected, self.tolerance()),
        }
    }
}

impl Recipe {
    /// Whether figures were measured on files of this content; of a recipe
    /// that does not say, on any.
    pub fn knows_data(&self, sha256: &str) -> bool {
        self.data_sha256.is_empty() || self.data_sha256.iter().any(|s| s == sha256)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    recipe: Vec<Recipe>,
}

/// All recipes, in the order of their tables.
///
/// # Errors
/// A list that cannot be read: the program is at fault.
pub fn all() -> Result<Vec<Recipe>> {
    let file: File = toml::from_str(RECIPES).context("the list of recipes")?;
    Ok(file.recipe)
}

/// The recipes of that name, or below it: `ml-100k` are all of
/// `ml-100k/...`.
///
/// # Errors
/// None of them; offers the nearest.
pub fn select(name: &str) -> Result<Vec<Recipe>> {
    let recipes = all()?;
    let prefix = format!("{}/", name.trim_end_matches('/'));
    let is_meant = |r: &&Recipe| r.name == name || r.name.starts_with(&prefix);
    let found: Vec<Recipe> = recipes.iter().filter(is_meant).cloned().collect();
    if found.is_empty() {
        let names: Vec<&str> = recipes.iter().map(|r| r.name.as_str()).collect();
        bail!(
            "no recipe `{name}`{} (see `recsys reproduce --list`)",
            crate::suggest::did_you_mean(name, &names)
        );
    }
    Ok(found)
}

/// The text of a config that ships.
///
/// # Errors
/// There is none of that name.
pub fn config_text(name: &str) -> Result<&'static str> {
    let found = CONFIGS.iter().find(|(n, _)| *n == name);
    found
        .map(|(_, text)| *text)
        .with_context(|| format!("no config `{name}` ships with this program"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::data::fetch;
    use crate::metrics::MetricSpec;
    use std::collections::HashSet;

    #[test]
    fn every_recipe_has_a_config_that_reports_its_metrics_on_data_that_can_be_fetched() {
        let recipes = all().unwrap();
        assert!(recipes.len() > 30);
        let names: HashSet<_> = recipes.iter().map(|r| &r.name).collect();
        assert_eq!(names.len(), recipes.len(), "a name stands twice");
        for recipe in recipes {
            let config = Config::parse(config_text(&recipe.name).unwrap(), &recipe.name, &[]);
            let config = config.unwrap();
            fetch::find(&recipe.data).unwrap();
            let specs = config.evaluation.specs().unwrap();
            let reported: Vec<String> = specs.iter().map(MetricSpec::to_string).collect();
            for (name, metric) in &recipe.metrics {
                assert!(reported.contains(name), "{}: {name}", recipe.name);
                assert!(
                    metric.tolerance() < 0.1 * metric.expected,
                    "{}: {name}",
                    recipe.name
                );
            }
            for sets in &recipe.runs {
                Config::parse(config_text(&recipe.name).unwrap(), "", sets).unwrap();
            }
        }
    }

    #[test]
    fn a_folder_means_all_below_it_and_a_misspelling_is_answered() {
        assert_eq!(select("ml-100k/ease").unwrap().len(), 1);
        assert!(select("ml-100k").unwrap().len() > 5);
        let error = select("ml-100k/eas").unwrap_err().to_string();
        assert!(error.contains("did you mean `ml-100k/ease`?"), "{error}");
    }
}

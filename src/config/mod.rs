//! The whole configuration: composes what each module owns, loads it and
//! checks it before any work begins.

mod applies;
mod explain;
mod set;

use crate::data::DataConfig;
use crate::data::split::SplitConfig;
use crate::device::DeviceChoice;
use crate::evaluation::EvaluationConfig;
use crate::metrics::MetricSpec;
use crate::training::TrainingConfig;
use crate::{fsio, models};
use anyhow::{Context, Result, ensure};
use explain::Source;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A config file: what to train on what, and how to judge it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Every random choice follows from it.
    pub seed: u64,
    pub device: DeviceChoice,
    pub data: DataConfig,
    pub split: SplitConfig,
    pub model: ModelConfig,
    pub training: TrainingConfig,
    pub evaluation: EvaluationConfig,
}

/// `[model]`: a name of the registry, and that model's parameters beside it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    #[serde(default)]
    pub name: String,
    #[serde(flatten)]
    pub params: toml::Table,
}

impl Config {
    /// Reads a config file and applies `--set` overrides (`a.b=value`) in
    /// their order. The result is checked and has every default filled in, so
    /// that a mistake ends the program before any data are read.
    ///
    /// # Errors
    /// Names the file, the line and the key at fault, and the nearest key that
    /// there is; also a key of `[training]` that would change nothing.
    pub fn load(path: &Path, sets: &[String]) -> Result<Self> {
        let text = fsio::read_text(path)?;
        let name = path.display().to_string();
        let config = Self::parse(&text, &name, sets)?;
        let source = Source {
            text: &text,
            name: &name,
        };
        applies::check(&source, sets, &config.unused_training_keys()?)?;
        Ok(config)
    }

    /// [`Self::load`] for work that needs no model: a config may hold `[data]`
    /// alone.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_without_model(path: &Path, sets: &[String]) -> Result<Self> {
        let text = fsio::read_text(path)?;
        let name = path.display().to_string();
        Self::typed(
            &Source {
                text: &text,
                name: &name,
            },
            sets,
        )
    }

    /// [`Self::load`] for text at hand; `name` stands for the file in errors.
    /// Keys that would change nothing pass: earlier versions wrote them.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(text: &str, name: &str, sets: &[String]) -> Result<Self> {
        let source = Source { text, name };
        Self::typed(&source, sets)?.checked(&source)
    }

    fn typed(source: &Source<'_>, sets: &[String]) -> Result<Self> {
        // From the text first: only there do errors know their line.
        let read: Self = toml::from_str(source.text).map_err(|e| source.explain(&e))?;
        if sets.is_empty() {
            return Ok(read);
        }
        set::apply(source.table()?, sets)
    }

    /// The config as a file, with every default that counts written out.
    ///
    /// # Errors
    /// A value that TOML cannot hold, or a model that there is not.
    pub fn to_toml(&self) -> Result<String> {
        let what = "cannot write the config as TOML";
        let table = toml::Table::try_from(self).context(what)?;
        let unused = self.unused_training_keys()?;
        toml::to_string(&applies::without(table, &unused)).context(what)
    }

    /// Keys of `[training]` that do not count for this model, and why.
    fn unused_training_keys(&self) -> Result<Vec<(String, String)>> {
        let entry = models::find(&self.model.name)?;
        let spec = models::build(entry.name, self.model.params.clone())?;
        Ok(applies::unused(&self.training, entry, spec.as_ref()))
    }

    fn checked(mut self, source: &Source<'_>) -> Result<Self> {
        ensure!(
            !self.model.name.is_empty(),
            "{}: no model: add `[model]` with a `name` (see `recsys models`)",
            source.name
        );
        let entry = models::find(&self.model.name).map_err(|e| source.at(&["model", "name"], e))?;
        let mut params = (entry.defaults)();
        params.extend(self.model.params);
        models::build(entry.name, params.clone()).map_err(|e| source.explain_model(&e))?;
        self.model.params = params;
        self.evaluation
            .specs()
            .map_err(|e| source.at(&["evaluation", "metrics"], e))?;
        self.training
            .validate()
            .map_err(|e| source.at(&["training"], e))?;
        // By its proper name, under which it is looked up later.
        self.training.validation_metric = MetricSpec::parse(&self.training.validation_metric)
            .map_err(|e| source.at(&["training", "validation_metric"], e))?
            .to_string();
        Ok(self)
    }
}

#[cfg(test)]
mod tests;

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
use crate::mlflow::TrackingConfig;
use crate::training::TrainingConfig;
use crate::tune::TuneConfig;
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
    #[serde(skip_serializing_if = "TrackingConfig::is_default")]
    pub tracking: TrackingConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tune: Option<TuneConfig>,
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
        Self::parse_without_model(&text, &path.display().to_string(), sets)
    }

    /// [`Self::load_without_model`] for text at hand.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse_without_model(text: &str, name: &str, sets: &[String]) -> Result<Self> {
        Self::typed(&Source { text, name }, sets)
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

    /// The value of a key (`training.epochs`), where the config has one.
    ///
    /// # Errors
    /// A value that TOML cannot hold.
    pub fn get(&self, key: &str) -> Result<Option<toml::Value>> {
        let mut at = toml::Value::try_from(self).context("cannot write the config as TOML")?;
        for part in key.split('.') {
            match at {
                toml::Value::Table(mut table) => match table.remove(part) {
                    Some(value) => at = value,
                    None => return Ok(None),
                },
                _ => return Ok(None),
            }
        }
        Ok(Some(at))
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
        self.evaluation
            .baselines
            .iter()
            .try_for_each(|name| check_baseline(name))
            .map_err(|e| source.at(&["evaluation", "baselines"], e))?;
        self.training
            .validate()
            .map_err(|e| source.at(&["training"], e))?;
        self.tracking
            .validate()
            .map_err(|e| source.at(&["tracking"], e))?;
        self.tune
            .iter()
            .try_for_each(TuneConfig::validate)
            .map_err(|e| source.at(&["tune"], e))?;
        // By its proper name, under which it is looked up later.
        self.training.validation_metric = MetricSpec::parse(&self.training.validation_metric)
            .map_err(|e| source.at(&["training", "validation_metric"], e))?
            .to_string();
        Ok(self)
    }
}

/// A baseline must be there before the model is trained for hours, and must
/// need no `[training]` of its own.
fn check_baseline(name: &str) -> Result<()> {
    ensure!(
        !models::find(name)?.gradient,
        "the baseline `{name}` is trained in epochs; train it by itself and use `recsys compare`"
    );
    Ok(())
}

#[cfg(test)]
mod tests;

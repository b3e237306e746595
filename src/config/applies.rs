//! Keys of `[training]` that are written but would change nothing: a mistake,
//! or a hope that would be disappointed in silence.

use super::{Source, set};
use crate::model::ModelSpec;
use crate::models::ModelEntry;
use crate::optim::{OptimizerKind, Schedule};
use crate::sampling::NegativeSampling;
use crate::training::TrainingConfig;
use anyhow::{Result, anyhow};
use toml::{Table, Value};

/// Keys of `[training]` that do not count, and why.
pub(super) fn unused(
    training: &TrainingConfig,
    entry: &ModelEntry,
    spec: &dyn ModelSpec,
) -> Vec<(String, String)> {
    if !entry.gradient {
        let why = format!("model `{}` is not trained in epochs", entry.name);
        let keys = TrainingConfig::keys_but(&[]).into_iter();
        return keys.map(|key| (key, why.clone())).collect();
    }
    let adaptive = matches!(
        training.optimizer,
        OptimizerKind::Adam | OptimizerKind::Adamw
    );
    let sgd = training.optimizer == OptimizerKind::Sgd;
    let step = training.schedule == Schedule::Step;
    let popularity = training.negative_sampling == NegativeSampling::Popularity;
    let companions = [
        (sgd, "momentum", "it is of `optimizer = \"sgd\"`"),
        (adaptive, "beta1", "it is of adam and adamw"),
        (adaptive, "beta2", "it is of adam and adamw"),
        (!sgd, "epsilon", "it is not of `optimizer = \"sgd\"`"),
        (step, "decay_epochs", "it is of `schedule = \"step\"`"),
        (step, "decay_factor", "it is of `schedule = \"step\"`"),
        (
            popularity,
            "popularity_alpha",
            "it is of `negative_sampling = \"popularity\"`",
        ),
    ];
    let companions = companions.into_iter().filter(|(counts, ..)| !counts);
    let by_model = spec.unused_training_keys().into_iter();
    by_model
        .map(|key| {
            (
                key,
                format!("model `{}` does not use it as it is set up", entry.name),
            )
        })
        .chain(companions.map(|(_, key, why)| (key.to_string(), why.to_string())))
        .collect()
}

/// # Errors
/// The first key of the file, or of the overrides, that does not count. Where
/// the overrides change the model, what the file says is for another one, and
/// only they are looked at.
pub(super) fn check(
    source: &Source<'_>,
    sets: &[String],
    unused: &[(String, String)],
) -> Result<()> {
    let of_sets = set::changed(Table::new(), sets)?;
    let model_of_sets = of_sets
        .get("model")
        .and_then(|model| model.get("name"))
        .and_then(Value::as_str);
    let file = source.table()?;
    let model_of_file = file
        .get("model")
        .and_then(|model| model.get("name"))
        .and_then(Value::as_str);
    let changes = model_of_sets.is_some() && model_of_sets != model_of_file;
    let written = |table: &Table, key: &str| {
        let training = table.get("training").and_then(Value::as_table);
        training.is_some_and(|training| training.contains_key(key))
    };
    for (key, why) in unused {
        if written(&of_sets, key) || (!changes && written(&file, key)) {
            let message = format!("`training.{key}` does not apply: {why}; leave it out");
            return Err(source.at(&["training", key], anyhow!(message)));
        }
    }
    Ok(())
}

/// The config without these keys of `[training]`.
pub(super) fn without(mut config: Table, unused: &[(String, String)]) -> Table {
    if let Some(Value::Table(training)) = config.get_mut("training") {
        training.retain(|key, _| unused.iter().all(|(name, _)| name != key));
        if training.is_empty() {
            config.remove("training");
        }
    }
    config
}

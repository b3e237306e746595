//! From files to a [`Dataset`].

mod cell;
mod features;
mod fields;
pub(crate) mod files;
mod int_index;
mod log;
mod negatives;
mod parquet;
mod records;
mod scan;
mod schema;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod vocabulary;

pub(crate) use cell::parse_iso;
pub(crate) use features::Repeats;
pub(crate) use scan::{Count, Place, Scan, Sighting, scan, scan_features};

use crate::data::clean::{clean, count};
use crate::data::config::{DataConfig, FeaturesConfig, Paths};
use crate::data::dataset::{CleaningStep, Dataset, Part};
use crate::data::features::FeatureTable;
use crate::event::{Event, Observer};
use anyhow::{Context, Result, ensure};
use features::Entity;
use log::LogBuilder;
use source::Source;
use std::path::{Path, PathBuf};
use vocabulary::Vocabulary;

/// Share of rows with empty cells that is worth a warning.
const MANY_NULLS: f64 = 0.1;

/// Changes when the same input gives another data set, so that what earlier
/// versions cached is not taken for it.
const READER_VERSION: u32 = 1;

/// Reads, cleans and encodes what `config` names. A relative path is looked
/// for in the current directory and then in `base`, the config file's
/// directory.
///
/// # Errors
/// A missing file or column, malformed rows (file, line, how many more), and
/// cleaning that leaves nothing; each says where and what to do.
pub fn read(config: &DataConfig, base: &Path, observer: &mut dyn Observer) -> Result<Dataset> {
    let inputs = Inputs::find(config, base)?;
    let hash = inputs.hash(config)?;
    read_inputs(config, &inputs, hash, observer)
}

/// SHA-256 over the content alone of the files that a config names.
///
/// # Errors
/// A file that is not there.
pub fn content_hash(config: &DataConfig, base: &Path) -> Result<String> {
    let inputs = Inputs::find(config, base)?;
    files::hash(&inputs.all(), "")
}

/// The files that a config names.
pub(crate) struct Inputs {
    /// Index of the source, part and path, in reading order.
    log: Vec<(usize, Option<Part>, PathBuf)>,
    user_features: Vec<PathBuf>,
    item_features: Vec<PathBuf>,
    negatives: Option<PathBuf>,
}

impl Inputs {
    /// # Errors
    /// A path that is not there, or no path at all.
    pub(crate) fn find(config: &DataConfig, base: &Path) -> Result<Self> {
        let own = [
            &config.path,
            &config.train,
            &config.validation,
            &config.test,
        ];
        ensure!(
            config.source.is_empty() || own.iter().all(|p| p.is_empty()),
            "give the files in [data] or in [[data.source]], not in both"
        );
        let key = if config.source.is_empty() {
            "data"
        } else {
            "data.source"
        };
        let mut log = Vec::new();
        for (i, source) in config.sources().iter().enumerate() {
            let given = [
                ("path", None, &source.path),
                ("train", Some(Part::Train), &source.train),
                ("validation", Some(Part::Validation), &source.validation),
                ("test", Some(Part::Test), &source.test),
            ];
            for (name, part, paths) in given {
                let found = files::resolve(&format!("{key}.{name}"), paths.as_slice(), base)?;
                log.extend(found.into_iter().map(|f| (i, part, f)));
            }
        }
        ensure!(
            !log.is_empty(),
            "data.path is not set: name the file with the interactions"
        );
        let has = |part: Option<Part>| log.iter().any(|(_, p, _)| *p == part);
        if log.iter().any(|(_, p, _)| p.is_some()) {
            ensure!(
                !has(None),
                "{key}.path and a given split ({key}.train, .validation, .test) exclude each other"
            );
            ensure!(
                has(Some(Part::Train)),
                "{key}.train is missing beside the given test or validation files"
            );
        }
        let table = |key: &str, features: &Option<FeaturesConfig>| -> Result<Vec<PathBuf>> {
            let Some(features) = features else {
                return Ok(Vec::new());
            };
            let found = files::resolve(key, features.path.as_slice(), base)?;
            ensure!(!found.is_empty(), "{key} is not set");
            Ok(found)
        };
        let negatives = config.negatives.clone().map(Paths::One);
        let negatives = negatives.map_or(Ok(Vec::new()), |p| {
            files::resolve("data.negatives", p.as_slice(), base)
        })?;
        Ok(Self {
            log,
            user_features: table("data.user_features.path", &config.user_features)?,
            item_features: table("data.item_features.path", &config.item_features)?,
            negatives: negatives.into_iter().next(),
        })
    }

    fn all(&self) -> Vec<PathBuf> {
        let log = self.log.iter().map(|(_, _, path)| path);
        let others = self.user_features.iter().chain(&self.item_features);
        log.chain(others).chain(&self.negatives).cloned().collect()
    }

    /// SHA-256 over the files' content and the config.
    pub(crate) fn hash(&self, config: &DataConfig) -> Result<String> {
        let text = serde_json::to_string(config).context("cannot hash the data config")?;
        files::hash(&self.all(), &format!("{READER_VERSION} {text}"))
    }
}

pub(crate) fn read_inputs(
    config: &DataConfig,
    inputs: &Inputs,
    hash: String,
    observer: &mut dyn Observer,
) -> Result<Dataset> {
    let mut builder = LogBuilder::new();
    let sources = config.sources();
    for (i, part, path) in &inputs.log {
        observer.on(&Event::Stage(format!("reading {}", path.display())));
        let source = Source::new(&sources[*i], config)?;
        builder.add_file(path, &source, *part)?;
    }
    let cleaning = count_and_clean(config, &mut builder, observer)?;
    let LogBuilder {
        mut users,
        mut items,
        mut log,
        platforms,
        ..
    } = builder;
    users.compact(&mut log.users);
    items.compact(&mut log.items);
    let negatives = match &inputs.negatives {
        None => None,
        Some(path) => {
            let (negatives, unknown) = negatives::read(path, &users, &mut items)?;
            warn_some(
                observer,
                unknown,
                &format!(
                    "lines of {} are of users that the data does not have",
                    path.display()
                ),
            );
            Some(negatives)
        }
    };
    let mut features =
        |entity, features: &Option<FeaturesConfig>, files: &[PathBuf], ids: &Vocabulary| {
            features
                .as_ref()
                .map(|f| read_features(entity, f, files, config, ids, observer))
                .transpose()
        };
    let user_features = features(
        Entity::User,
        &config.user_features,
        &inputs.user_features,
        &users,
    )?;
    let item_features = features(
        Entity::Item,
        &config.item_features,
        &inputs.item_features,
        &items,
    )?;
    Ok(Dataset {
        negatives: negatives.map(|n| n.into_interactions(users.len(), items.len())),
        users: users.into_id_map(),
        items: items.into_id_map(),
        log,
        user_features,
        item_features,
        platforms,
        cleaning,
        hash,
    })
}

/// The counts of what was read, and the cleaning steps.
fn count_and_clean(
    config: &DataConfig,
    builder: &mut LogBuilder,
    observer: &mut dyn Observer,
) -> Result<Vec<CleaningStep>> {
    let rows = builder.rows + builder.malformed;
    ensure!(rows > 0, "the files of data.path hold no interactions");
    let mut steps = vec![CleaningStep {
        name: "read".into(),
        rows,
        users: builder.users.len(),
        items: builder.items.len(),
    }];
    let dropped = [
        (builder.malformed, "malformed"),
        (builder.nulls, "with an empty cell"),
        (builder.weightless, "of an event with weight 0"),
    ];
    let dropped: Vec<String> = dropped
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if !dropped.is_empty() {
        let name = format!("drop rows: {}", dropped.join(", "));
        count(name, &builder.log, &mut steps)?;
    }
    let share = builder.nulls as f64 / builder.rows.max(1) as f64;
    if share > MANY_NULLS {
        observer.on(&Event::Warning(format!(
            "{} of {} rows ({:.0}%) have an empty cell in a column that is read and were dropped",
            builder.nulls,
            builder.rows,
            100.0 * share
        )));
    }
    clean(&mut builder.log, &config.clean, &mut steps)?;
    Ok(steps)
}

fn read_features(
    entity: Entity,
    features: &FeaturesConfig,
    files: &[PathBuf],
    config: &DataConfig,
    ids: &Vocabulary,
    observer: &mut dyn Observer,
) -> Result<FeatureTable> {
    for file in files {
        observer.on(&Event::Stage(format!("reading {}", file.display())));
    }
    let (table, found) = features::read(entity, features, files, config.clean.malformed, ids)?;
    let shown: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
    let shown = shown.join(", ");
    warn_some(
        observer,
        found.malformed,
        &format!("malformed rows of {shown} were dropped"),
    );
    if features.duplicates.is_none() {
        let what = format!(
            "rows of {shown} repeat an id; its first row counts ({}.duplicates = \"last\": the last)",
            entity.key()
        );
        warn_some(observer, found.repeated, &what);
    }
    ensure!(
        found.matched > 0,
        "{shown}: no id is one of the data; is the id column another?"
    );
    if found.matched * 2 < ids.len() {
        observer.on(&Event::Warning(format!(
            "{shown}: only {} of {} ids of the data have a row",
            found.matched,
            ids.len()
        )));
    }
    Ok(table)
}

fn warn_some(observer: &mut dyn Observer, count: usize, what: &str) {
    if count > 0 {
        observer.on(&Event::Warning(format!("{count} {what}")));
    }
}

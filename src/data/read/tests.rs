//! Whole files through the reader.

mod formats;
mod mistakes;
mod parallel;
mod real_data;

use super::read;
use crate::data::config::DataConfig;
use crate::data::dataset::Dataset;
use crate::event::{Event, Observer};
use anyhow::Result;

/// Keeps what it hears.
#[derive(Default)]
struct Listener {
    warnings: Vec<String>,
}

impl Observer for Listener {
    fn on(&mut self, event: &Event) {
        if let Event::Warning(text) = event {
            self.warnings.push(text.clone());
        }
    }
}

/// Reads files of this content with this `[data]` section.
fn try_read(files: &[(&str, &[u8])], config: &str) -> Result<(Dataset, Vec<String>)> {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    let config: DataConfig = toml::from_str(config).unwrap();
    let mut listener = Listener::default();
    let dataset = read(&config, dir.path(), &mut listener)?;
    Ok((dataset, listener.warnings))
}

fn read_files(files: &[(&str, &[u8])], config: &str) -> Dataset {
    try_read(files, config).unwrap().0
}

fn failure(files: &[(&str, &[u8])], config: &str) -> String {
    format!("{:#}", try_read(files, config).map(|_| ()).unwrap_err())
}

/// The interactions with their external ids.
fn pairs(dataset: &Dataset) -> Vec<(String, String)> {
    let log = &dataset.log;
    let id = |(u, i): (&u32, &u32)| {
        (
            dataset.users.external(*u).into_owned(),
            dataset.items.external(*i).into_owned(),
        )
    };
    log.users.iter().zip(&log.items).map(id).collect()
}

/// `a-x b-y` as pairs.
fn of(text: &str) -> Vec<(String, String)> {
    text.split_whitespace()
        .filter_map(|p| p.split_once('-'))
        .map(|(u, i)| (u.to_string(), i.to_string()))
        .collect()
}

//! The encoded data set on disk, so that a second start skips parsing.

mod columns;
mod encoding;

use crate::data::config::DataConfig;
use crate::data::dataset::Dataset;
use crate::data::read::{Inputs, read_inputs};
use crate::event::{Event, Observer};
use crate::tensors::NamedTensors;
use anyhow::{Context, Result};
use std::path::Path;

/// [`crate::data::read`], or its result from an earlier time when neither
/// the files nor the config have changed since. The cache is one file in
/// `cache_dir`, named after the hash of both.
///
/// # Errors
/// As [`crate::data::read`]; a cache that is corrupt or cannot be written is
/// a warning.
pub fn read_cached(
    config: &DataConfig,
    base: &Path,
    cache_dir: &Path,
    observer: &mut dyn Observer,
) -> Result<Dataset> {
    let inputs = Inputs::find(config, base)?;
    let hash = inputs.hash(config)?;
    let path = cache_dir.join(format!("data-{}.bpk", &hash[..16]));
    if path.exists() {
        observer.on(&Event::Stage(format!("reading {}", path.display())));
        match load(&path, &hash) {
            Ok(dataset) => return Ok(dataset),
            Err(e) => observer.on(&Event::Warning(format!(
                "the cached data set is rebuilt: {e:#}"
            ))),
        }
    }
    let dataset = read_inputs(config, &inputs, hash, observer)?;
    let (dataset, saved) = save(&path, cache_dir, dataset)?;
    if let Err(e) = saved {
        observer.on(&Event::Warning(format!(
            "the data set is not cached: {e:#}"
        )));
    }
    Ok(dataset)
}

fn load(path: &Path, hash: &str) -> Result<Dataset> {
    let packed = NamedTensors::load_burnpack(path)?;
    encoding::check(&packed, hash)
        .and_then(|()| encoding::decode(packed))
        .with_context(|| format!("cannot use {}", path.display()))
}

/// Takes the data set apart for the file and puts it together again: it may
/// fill most of the memory, and a copy would not fit.
fn save(path: &Path, cache_dir: &Path, dataset: Dataset) -> Result<(Dataset, Result<()>)> {
    let made = std::fs::create_dir_all(cache_dir)
        .with_context(|| format!("cannot create {}", cache_dir.display()));
    if made.is_err() {
        return Ok((dataset, made));
    }
    let (packed, written) = encoding::encode(dataset)?.stream_burnpack(path);
    Ok((encoding::decode(packed)?, written))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Silent;

    struct Listener(Vec<String>);

    impl Observer for Listener {
        fn on(&mut self, event: &Event) {
            self.0.push(format!("{event:?}"));
        }
    }

    fn config() -> DataConfig {
        DataConfig {
            path: "log.csv".into(),
            ..DataConfig::default()
        }
    }

    #[test]
    fn the_second_start_reads_the_cache_and_a_changed_file_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("cache");
        std::fs::write(dir.path().join("log.csv"), "user_id,item_id\n1,a\n2,b\n").unwrap();
        let first = read_cached(&config(), dir.path(), &cache, &mut Silent).unwrap();
        let mut listener = Listener(Vec::new());
        let second = read_cached(&config(), dir.path(), &cache, &mut listener).unwrap();
        assert_eq!(second.hash, first.hash);
        assert_eq!(second.log.items, first.log.items);
        assert_eq!(second.items.external(1), "b");
        assert!(listener.0[0].contains("data-"), "{:?}", listener.0);
        assert_eq!(listener.0.len(), 1);
        std::fs::write(dir.path().join("log.csv"), "user_id,item_id\n1,a\n").unwrap();
        let third = read_cached(&config(), dir.path(), &cache, &mut Silent).unwrap();
        assert_eq!(third.log.len(), 1);
    }

    #[test]
    fn a_corrupt_cache_is_rebuilt_with_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("log.csv"), "user_id,item_id\n1,a\n2,b\n").unwrap();
        read_cached(&config(), dir.path(), dir.path(), &mut Silent).unwrap();
        let file = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().path())
            .find(|p| p.extension().is_some_and(|e| e == "bpk"))
            .unwrap();
        let whole = std::fs::read(&file).unwrap();
        let mut flipped = whole.clone();
        let last = flipped.len() - 1;
        flipped[last] ^= 1;
        for broken in [&whole[..whole.len() / 2], &flipped[..], b""] {
            std::fs::write(&file, broken).unwrap();
            let mut listener = Listener(Vec::new());
            let again = read_cached(&config(), dir.path(), dir.path(), &mut listener).unwrap();
            assert_eq!(again.log.users, [0, 1]);
            let warned = listener.0.iter().any(|e| e.contains("rebuilt"));
            assert!(warned, "{:?}", listener.0);
            assert_eq!(std::fs::read(&file).unwrap(), whole);
        }
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log.csv");
        std::fs::write(&log, "user_id,item_id\n1,a\n").unwrap();
        let mut listener = Listener(Vec::new());
        // A file where the directory should be.
        let dataset = read_cached(&config(), dir.path(), &log, &mut listener).unwrap();
        assert_eq!(dataset.log.len(), 1);
        assert!(listener.0.iter().any(|e| e.contains("not cached")));
    }
}

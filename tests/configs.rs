//! Every config that ships must load and build its model, and must say where
//! its data come from.

use recsys::config::Config;
use recsys::data::fetch;
use std::path::{Path, PathBuf};

fn configs(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            configs(&path, found);
        } else if path.extension().is_some_and(|e| e == "toml") {
            found.push(path);
        }
    }
}

#[test]
fn every_config_loads_and_its_data_ship_or_can_be_fetched() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    configs(&root.join("configs"), &mut found);
    configs(&root.join("scripts/bench"), &mut found);
    assert!(found.len() >= 10, "only {} configs", found.len());
    for path in found {
        let config = Config::load(&path, &[]).unwrap_or_else(|e| panic!("{e:#}"));
        let data = &config.data;
        let files = [&data.path, &data.train, &data.validation, &data.test];
        for file in files.iter().flat_map(|p| p.as_slice()) {
            let name = file
                .strip_prefix("datasets/")
                .and_then(|f| f.split('/').next());
            let known = name.is_some_and(|n| n == "nycflights" || fetch::find(n).is_ok());
            assert!(known, "{}: where does {file} come from?", path.display());
        }
    }
}

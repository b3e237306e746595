//! `--set a.b=value`: overrides from the command line.

use super::Config;
use super::explain::plain;
use anyhow::{Context, Result, anyhow, bail, ensure};
use toml::{Table, Value};

/// Applies the overrides in order. Each is checked by itself, so that an
/// error names the one at fault.
pub(super) fn apply(mut table: Table, sets: &[String]) -> Result<Config> {
    let mut config = None;
    for set in sets {
        config = Some(
            apply_one(&mut table, set)
                .and_then(|()| typed(&table))
                .with_context(|| format!("--set {set}"))?,
        );
    }
    config.map_or_else(|| typed(&table), Ok)
}

/// The table after the overrides.
pub(super) fn changed(mut table: Table, sets: &[String]) -> Result<Table> {
    for set in sets {
        apply_one(&mut table, set)?;
    }
    Ok(table)
}

fn typed(table: &Table) -> Result<Config> {
    // Toml's own words end in the path of the key; what comes first is what
    // needs translating.
    table.clone().try_into().map_err(|e: toml::de::Error| {
        let whole = e.to_string();
        let place = whole
            .trim_end()
            .rsplit_once("\nin `")
            .map(|(_, key)| key.trim_end_matches('`'));
        match place {
            Some(key) => anyhow!("`{key}`: {}", plain(e.message())),
            None => anyhow!("{}", plain(e.message())),
        }
    })
}

fn apply_one(table: &mut Table, set: &str) -> Result<()> {
    let (path, value) = set
        .split_once('=')
        .context("expected `key=value`, e.g. `training.epochs=5`")?;
    let path: Vec<&str> = path.trim().split('.').collect();
    ensure!(
        path.iter().all(|p| !p.is_empty()),
        "the key has an empty part"
    );
    let (last, sections) = path.split_last().context("the key is empty")?;
    let mut root = Value::Table(std::mem::take(table));
    let result = sections
        .iter()
        .try_fold(&mut root, |at, part| enter(at, part))
        .and_then(|at| put(at, last, parse(value.trim())));
    if let Value::Table(changed) = root {
        *table = changed;
    }
    result
}

/// A TOML value where it reads as one, and a string otherwise, so that words
/// need no quotes.
fn parse(text: &str) -> Value {
    format!("value = {text}")
        .parse::<Table>()
        .ok()
        .filter(|t| t.len() == 1)
        .and_then(|mut t| t.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_string()))
}

/// One step down; a table that is not there yet comes to be.
fn enter<'a>(at: &'a mut Value, part: &str) -> Result<&'a mut Value> {
    match at {
        Value::Table(table) => Ok(table
            .entry(part.to_string())
            .or_insert_with(|| Value::Table(Table::new()))),
        Value::Array(values) => {
            let len = values.len();
            part.parse()
                .ok()
                .and_then(|i: usize| values.get_mut(i))
                .with_context(|| format!("`{part}` is not a position in a list of {len}"))
        }
        _ => bail!("nothing can be set inside a single value"),
    }
}

fn put(at: &mut Value, part: &str, value: Value) -> Result<()> {
    match at {
        Value::Table(table) => {
            table.insert(part.to_string(), value);
            Ok(())
        }
        list => enter(list, part).map(|slot| *slot = value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str, set: &str) -> Result<String> {
        let mut table: Table = text.parse()?;
        apply_one(&mut table, set)?;
        Ok(table.to_string())
    }

    #[test]
    fn values_are_toml_and_words_are_strings() {
        assert_eq!(set("", "seed=3").unwrap(), "seed = 3\n");
        assert_eq!(set("", "device=wgpu:0").unwrap(), "device = \"wgpu:0\"\n");
        assert_eq!(
            set("[a]\nb = 1\nc = 2\n", "a.b=[1, 2]").unwrap(),
            "[a]\nb = [1, 2]\nc = 2\n"
        );
    }

    #[test]
    fn lists_are_entered_by_position() {
        assert_eq!(set("a = [1, 2]", "a.1=5").unwrap(), "a = [1, 5]\n");
        let error = set("a = [1, 2]", "a.2=5").unwrap_err().to_string();
        assert!(error.contains("list of 2"), "{error}");
    }

    #[test]
    fn a_failed_override_says_what_it_expected() {
        let error = set("", "training.epochs").unwrap_err().to_string();
        assert!(error.contains("training.epochs=5"), "{error}");
        assert!(set("", "a..b=1").is_err());
        assert!(set("a = 1", "a.b=1").is_err());
    }
}

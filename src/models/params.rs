//! A model's parameters, from and to the `[model]` table.

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Parses a parameter table. The struct should be
/// `#[serde(deny_unknown_fields, default)]`, so that a misspelled parameter is
/// an error that names the ones there are, and a missing one its default.
///
/// # Errors
/// An unknown parameter, or a value of the wrong type; names the parameter.
pub fn parse<T: DeserializeOwned>(table: toml::Table) -> Result<T> {
    // Taken apart key by key where it fails as a whole, because toml's error
    // on a table that is not text no longer knows the key of a wrong value.
    match table.clone().try_into() {
        Ok(params) => Ok(params),
        Err(whole) => {
            let at_fault = table.into_iter().find_map(|(key, value)| {
                let one: toml::Table = [(key.clone(), value)].into_iter().collect();
                one.try_into::<T>().err().map(|error| (key, error))
            });
            match at_fault {
                Some((key, error)) => Err(plain(&error)).context(format!("parameter `{key}`")),
                None => Err(plain(&whole)),
            }
        }
    }
}

/// The default parameters as a table. An `Option` that is `None` has no entry.
///
/// # Panics
/// When the defaults are not a table: the struct is at fault.
pub fn defaults<T: Default + Serialize>() -> toml::Table {
    toml::Table::try_from(T::default()).expect("the default parameters of a model form a table")
}

/// The error on one line, without toml's trailing line break.
fn plain(error: &toml::de::Error) -> anyhow::Error {
    anyhow::anyhow!("{}", error.message().trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Params {
        neighbors: usize,
        shrinkage: f64,
    }

    fn table(text: &str) -> toml::Table {
        text.parse().unwrap()
    }

    #[test]
    fn missing_parameters_take_their_default() {
        let params: Params = parse(table("neighbors = 3")).unwrap();
        assert_eq!(params.neighbors, 3);
        assert_eq!(params.shrinkage, 0.0);
        assert_eq!(
            parse::<Params>(table("shrinkage = 1")).unwrap().shrinkage,
            1.0
        );
    }

    #[test]
    fn errors_name_the_parameter() {
        let error = |text| format!("{:#}", parse::<Params>(table(text)).unwrap_err());
        let unknown = error("neighbours = 3");
        assert!(unknown.contains("unknown field `neighbours`") && unknown.contains("`neighbors`"));
        let wrong = error("shrinkage = 1.0\nneighbors = \"three\"");
        assert!(
            wrong.starts_with("parameter `neighbors`: invalid type"),
            "{wrong}"
        );
    }

    #[test]
    fn defaults_round_trip() {
        assert_eq!(
            parse::<Params>(defaults::<Params>()).unwrap(),
            Params::default()
        );
    }
}

//! A model's parameters, from and to the `[model]` table.

use anyhow::{Context, Result, bail};
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

/// Takes the parameters of `T` out of a table that has those of others, too,
/// among `all` of them.
///
/// # Errors
/// As [`parse`]; an unknown parameter is one that is not in `all`.
pub fn take<T>(table: &mut toml::Table, all: &toml::Table) -> Result<T>
where
    T: Default + Serialize + DeserializeOwned,
{
    if let Some(key) = table.keys().find(|key| !all.contains_key(*key)) {
        let known: Vec<_> = all.keys().map(|key| format!("`{key}`")).collect();
        bail!(
            "parameter `{key}`: unknown field `{key}`, expected one of {}",
            known.join(", ")
        );
    }
    let own = defaults::<T>();
    let own = own.keys().filter_map(|key| table.remove_entry(key));
    parse(own.collect())
}

/// A parameter's name and what it means.
pub type Parameter = (&'static str, &'static str);

/// One list after another; `N` is how many there are.
pub const fn joined<const N: usize>(first: &[Parameter], second: &[Parameter]) -> [Parameter; N] {
    assert!(
        N == first.len() + second.len(),
        "all parameters, and no more"
    );
    let mut all = [("", ""); N];
    let mut at = 0;
    while at < N {
        all[at] = if at < first.len() {
            first[at]
        } else {
            second[at - first.len()]
        };
        at += 1;
    }
    all
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
    fn parameters_of_several_come_out_of_one_table() {
        let all = table("neighbors = 1\nshrinkage = 1.0\nother = 2");
        let mut both = table("other = 3\nneighbors = 7");
        assert_eq!(take::<Params>(&mut both, &all).unwrap().neighbors, 7);
        assert_eq!(both, table("other = 3"));
        let error = take::<Params>(&mut table("others = 3"), &all).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("unknown field `others`") && error.contains("`other`"));
    }

    #[test]
    fn defaults_round_trip() {
        assert_eq!(
            parse::<Params>(defaults::<Params>()).unwrap(),
            Params::default()
        );
    }
}

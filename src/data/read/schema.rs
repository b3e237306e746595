//! Which column of a file is which.

use crate::data::config::Column;
use crate::suggest::did_you_mean;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// What a file says of its own columns.
#[derive(Clone, Debug, Default)]
pub struct Header {
    pub path: PathBuf,
    /// The number of columns.
    pub width: usize,
    pub names: Option<Vec<String>>,
    /// RecBole's types (`token`, `float_seq`, ...), one for each name.
    pub types: Option<Vec<String>>,
}

/// Usual names, compared without case and signs: `userId`, `USER_ID`.
pub const USER_NAMES: &[&str] = &["userid", "user", "uid", "customerid", "visitorid"];
pub const ITEM_NAMES: &[&str] = &[
    "itemid",
    "item",
    "iid",
    "movieid",
    "productid",
    "articleid",
    "bookid",
    "asin",
    "sku",
];
pub const RATING_NAMES: &[&str] = &["rating"];
pub const TIMESTAMP_NAMES: &[&str] = &["timestamp"];

impl Header {
    pub fn new(path: &Path, width: usize) -> Self {
        Self {
            path: path.to_path_buf(),
            width,
            ..Self::default()
        }
    }

    /// Takes the fields of the first line for names, and for types, too,
    /// where the file is RecBole's.
    pub fn named(path: &Path, fields: &[&str], typed: bool) -> Self {
        let mut header = Self::new(path, fields.len());
        let split = |f: &&str| {
            let (name, kind) = if typed {
                f.rsplit_once(':').unwrap_or((f, "token"))
            } else {
                (*f, "")
            };
            (name.trim().to_string(), kind.trim().to_string())
        };
        let (names, types): (Vec<_>, Vec<_>) = fields.iter().map(split).unzip();
        header.names = Some(names);
        header.types = typed.then_some(types);
        header
    }

    /// Index of a column that the config names under `key`; `None` when the
    /// config says that there is no such column.
    ///
    /// # Errors
    /// It is not there; lists those that are.
    pub fn find(&self, key: &str, column: &Column) -> Result<Option<usize>> {
        let file = self.path.display();
        match column {
            Column::Name(name) if name.is_empty() => Ok(None),
            Column::Name(name) => {
                let Some(names) = &self.names else {
                    bail!(
                        "{key}: {file} has no header, so `{name}` cannot be found; give the \
                         column by its position (1 to {})",
                        self.width
                    );
                };
                match names.iter().position(|n| n == name) {
                    Some(i) => Ok(Some(i)),
                    None => {
                        let known: Vec<&str> = names.iter().map(String::as_str).collect();
                        bail!(
                            "{key}: no column `{name}` in {file}{} (its columns: {})",
                            did_you_mean(name, &known),
                            known.join(", ")
                        )
                    }
                }
            }
            Column::Position(0) => bail!("{key}: positions of columns start at 1"),
            Column::Position(p) if *p > self.width => {
                bail!("{key}: no column {p} in {file}, it has {}", self.width)
            }
            Column::Position(p) => Ok(Some(p - 1)),
        }
    }

    /// As [`Self::find`] where the config gives a column; otherwise the
    /// column with one of the usual names, where there is one.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn find_or_guess(
        &self,
        key: &str,
        column: Option<&Column>,
        usual: &[&str],
    ) -> Result<Option<usize>> {
        match column {
            Some(column) => self.find(key, column),
            None => Ok(self.guess(usual)),
        }
    }

    fn guess(&self, usual: &[&str]) -> Option<usize> {
        let names: Vec<String> = self.names.iter().flatten().map(|n| normal(n)).collect();
        usual.iter().find_map(|u| names.iter().position(|n| n == u))
    }

    /// As [`Self::find_or_guess`] for a column that must be there: without a
    /// header it stands at `position`, from 0.
    ///
    /// # Errors
    /// As [`Self::find`], and when no name is a usual one.
    pub fn require(
        &self,
        key: &str,
        column: Option<&Column>,
        usual: &[&str],
        position: usize,
    ) -> Result<usize> {
        if let Some(i) = self.find_or_guess(key, column, usual)? {
            return Ok(i);
        }
        let file = self.path.display();
        match &self.names {
            _ if column.is_some() => bail!("{key} must name a column"),
            Some(names) => bail!(
                "{key}: no usual name ({}) in {file}; set {key} to one of its columns: {}",
                usual.join(", "),
                names.join(", ")
            ),
            None if position < self.width => Ok(position),
            None => bail!(
                "{key}: {file} has only {} column: is its delimiter another?",
                self.width
            ),
        }
    }
}

/// Whether a first line is a header when the config does not say so.
pub fn looks_like_header(fields: &[&str], usual: &[&[&str]]) -> bool {
    let names: Vec<String> = fields.iter().map(|f| normal(f)).collect();
    usual
        .iter()
        .any(|group| group.iter().any(|u| names.iter().any(|n| n == u)))
}

fn normal(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header::named(Path::new("f.csv"), &["userId", "movieId", "rating"], false)
    }

    #[test]
    fn a_missing_column_lists_those_that_are_there() {
        let error = header()
            .find("data.item", &Column::Name("movieid".into()))
            .unwrap_err()
            .to_string();
        for part in [
            "data.item",
            "f.csv",
            "did you mean `movieId`",
            "userId, movieId, rating",
        ] {
            assert!(error.contains(part), "{error}");
        }
        let error = header()
            .find("data.item", &Column::Position(4))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no column 4") && error.contains('3'),
            "{error}"
        );
        assert!(header().find("data.item", &Column::Position(0)).is_err());
    }

    #[test]
    fn usual_names_are_found_in_any_spelling() {
        assert_eq!(
            header().require("data.user", None, USER_NAMES, 0).unwrap(),
            0
        );
        assert!(header().require("data.item", None, &["sku"], 1).is_err());
        let none = Column::Name(String::new());
        let rating = header().find_or_guess("data.rating", Some(&none), RATING_NAMES);
        assert_eq!(rating.unwrap(), None);
    }

    #[test]
    fn without_a_header_positions_are_the_default() {
        let plain = Header::new(Path::new("f"), 2);
        assert_eq!(plain.require("data.item", None, ITEM_NAMES, 1).unwrap(), 1);
        let error = plain
            .find("data.user", &Column::Name("user".into()))
            .unwrap_err();
        assert!(error.to_string().contains("no header"), "{error}");
    }

    #[test]
    fn recbole_headers_carry_types() {
        let header = Header::named(Path::new("f"), &["user_id:token", "x:y:float"], true);
        assert_eq!(header.names.unwrap(), ["user_id", "x:y"]);
        assert_eq!(header.types.unwrap(), ["token", "float"]);
    }

    #[test]
    fn a_header_is_known_by_user_or_item() {
        let usual: &[&[&str]] = &[USER_NAMES, ITEM_NAMES];
        assert!(looks_like_header(&["user_id", "x", "Item-ID"], usual));
        assert!(!looks_like_header(&["1", "2"], usual));
        assert!(looks_like_header(&["user_id", "sku"], usual));
    }
}

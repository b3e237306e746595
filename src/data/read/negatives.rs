//! Given negatives in the format of NCF (He et al., "Neural Collaborative
//! Filtering", WWW 2017): `(user,item)<tab>negative<tab>negative...`.

use crate::data::config::Encoding;
use crate::data::interactions::{Interactions, RowColumns};
use crate::data::read::cell::Id;
use crate::data::read::fields::Splitter;
use crate::data::read::records::Records;
use crate::data::read::vocabulary::Vocabulary;
use anyhow::{Result, bail, ensure};
use std::path::Path;

/// The negatives of each user, in the order of the file. An item that only
/// stands here joins the catalog; lines of unknown users are counted.
///
/// # Errors
/// A malformed line, or no line of a known user.
pub fn read(path: &Path, users: &Vocabulary, items: &mut Vocabulary) -> Result<(Negatives, usize)> {
    let mut records = Records::open(path, Encoding::Utf8, Splitter::Whitespace)?;
    let mut negatives = Negatives::default();
    let mut unknown = 0;
    while let Some(row) = records.advance()? {
        let place = || format!("{} line {}", path.display(), records.line());
        if let Err(what) = row {
            bail!("{}: {what}", place());
        }
        let Some(user) = user_of(records.field(0)) else {
            bail!(
                "{}: `{}` where `(user,item)` is expected",
                place(),
                records.field(0)
            );
        };
        let Some(user) = users.get(Id::parse(user)) else {
            unknown += 1;
            continue;
        };
        for item in records.fields().skip(1) {
            negatives.users.push(user);
            negatives.items.push(items.encode(Id::parse(item))?);
        }
    }
    ensure!(
        !negatives.users.is_empty(),
        "data.negatives: {} has no line of a user of the data",
        path.display()
    );
    Ok((negatives, unknown))
}

fn user_of(pair: &str) -> Option<&str> {
    let (user, _) = pair.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
    Some(user)
}

/// Pairs of user and item.
#[derive(Default)]
pub struct Negatives {
    users: Vec<u32>,
    items: Vec<u32>,
}

impl Negatives {
    pub fn into_interactions(self, num_users: usize, num_items: usize) -> Interactions {
        let order: Vec<u32> = (0..self.users.len() as u32).collect();
        let rows = RowColumns {
            users: &self.users,
            items: &self.items,
            weights: None,
            timestamps: None,
        };
        Interactions::from_rows(&order, &rows, num_users, num_items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::UserIdx;

    #[test]
    fn lines_become_rows_of_their_user() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n");
        std::fs::write(&path, "(5,1)\t9\t2\n(7,1)\t1\n(4,4)\t3\n").unwrap();
        let (mut users, mut items) = (Vocabulary::new("user"), Vocabulary::new("item"));
        for user in ["7", "5"] {
            users.encode(Id::parse(user)).unwrap();
        }
        for item in ["1", "2"] {
            items.encode(Id::parse(item)).unwrap();
        }
        let (negatives, unknown) = read(&path, &users, &mut items).unwrap();
        assert_eq!((unknown, items.len()), (1, 3));
        let table = negatives.into_interactions(2, 3);
        assert_eq!(table.items_of(UserIdx(1)), [2, 1]);
        assert_eq!(table.items_of(UserIdx(0)), [0]);
        std::fs::write(&path, "5,1\t9\n").unwrap();
        let error = read(&path, &users, &mut items).err().unwrap().to_string();
        assert!(
            error.contains("line 1") && error.contains("(user,item)"),
            "{error}"
        );
    }
}

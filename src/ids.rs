//! Dense, typed indices and the map between them and the ids of the input.
//!
//! External ids stop at [`crate::data`] and come back only in
//! [`crate::recommend`] and [`crate::report`].

use std::borrow::Cow;
use std::collections::HashMap;

/// Dense index of a user, `0..num_users`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserIdx(pub u32);

/// Dense index of an item, `0..num_items`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemIdx(pub u32);

/// External ids in the order of their dense indices: integers where every id
/// of the column is one, strings otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternalIds {
    Int(Vec<i64>),
    Str(Vec<String>),
}

/// External id <-> dense index, for one kind of entity.
#[derive(Clone, Debug)]
pub struct IdMap {
    ids: ExternalIds,
    index: Index,
}

#[derive(Clone, Debug)]
enum Index {
    Int(HashMap<i64, u32>),
    Str(HashMap<String, u32>),
}

impl IdMap {
    /// Builds the map; `ids[i]` is the external id of dense index `i`.
    ///
    /// # Panics
    /// When an id stands twice: the encoder that made the list is at fault.
    pub fn new(ids: ExternalIds) -> Self {
        let (len, index) = match &ids {
            ExternalIds::Int(v) => {
                let map: HashMap<_, _> = v.iter().copied().zip(0u32..).collect();
                (map.len(), Index::Int(map))
            }
            ExternalIds::Str(v) => {
                let map: HashMap<_, _> = v.iter().cloned().zip(0u32..).collect();
                (map.len(), Index::Str(map))
            }
        };
        let map = Self { ids, index };
        assert_eq!(len, map.len(), "external ids must be distinct");
        map
    }

    pub fn len(&self) -> usize {
        match &self.ids {
            ExternalIds::Int(v) => v.len(),
            ExternalIds::Str(v) => v.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn external_ids(&self) -> &ExternalIds {
        &self.ids
    }

    /// Dense index of an external id, as a person would type it.
    pub fn get(&self, id: &str) -> Option<u32> {
        let id = id.trim();
        match &self.index {
            Index::Int(map) => map.get(&id.parse().ok()?).copied(),
            Index::Str(map) => map.get(id).copied(),
        }
    }

    /// External id of a dense index.
    ///
    /// # Panics
    /// When `idx` is not below [`Self::len`].
    pub fn external(&self, idx: u32) -> Cow<'_, str> {
        match &self.ids {
            ExternalIds::Int(v) => Cow::Owned(v[idx as usize].to_string()),
            ExternalIds::Str(v) => Cow::Borrowed(&v[idx as usize]),
        }
    }

    /// The `n` known ids most like a mistyped one, best first: by numeric
    /// distance where both are integers, by edit distance otherwise.
    pub fn nearest(&self, id: &str, n: usize) -> Vec<String> {
        let typed = id.trim();
        let distance = |i: u32| -> (u64, u32) {
            let d = match (&self.ids, typed.parse::<i64>()) {
                (ExternalIds::Int(v), Ok(t)) => v[i as usize].abs_diff(t),
                _ => strsim::damerau_levenshtein(&self.external(i), typed) as u64,
            };
            (d, i)
        };
        let mut order: Vec<_> = (0..self.len() as u32).map(distance).collect();
        let n = n.min(order.len());
        if n < order.len() {
            order.select_nth_unstable(n);
        }
        order.truncate(n);
        order.sort_unstable();
        order
            .into_iter()
            .map(|(_, i)| self.external(i).into_owned())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nearest_integer_ids_are_near_in_value() {
        let map = IdMap::new(ExternalIds::Int(vec![10, 500, 43, 41]));
        assert_eq!(map.nearest("42", 2), ["43", "41"]);
    }

    #[test]
    fn nearest_string_ids_are_near_in_spelling() {
        let map = IdMap::new(ExternalIds::Str(vec!["alice".into(), "bob".into()]));
        assert_eq!(map.nearest("alcie", 5), ["alice", "bob"]);
    }

    #[test]
    fn unknown_and_non_numeric_ids_are_none() {
        let map = IdMap::new(ExternalIds::Int(vec![1]));
        assert_eq!(map.get("2"), None);
        assert_eq!(map.get("x"), None);
        assert_eq!(map.get(" 1 "), Some(0));
    }

    proptest! {
        #[test]
        fn round_trips(ids in proptest::collection::btree_set("[a-z0-9 ]{1,8}", 1..40)) {
            let trimmed: std::collections::BTreeSet<_> = ids.iter().map(|s| s.trim().to_string()).collect();
            let list: Vec<String> = trimmed.into_iter().collect();
            let map = IdMap::new(ExternalIds::Str(list.clone()));
            for (i, id) in list.iter().enumerate() {
                prop_assert_eq!(map.get(id), Some(i as u32));
                prop_assert_eq!(map.external(i as u32), id.as_str());
            }
        }
    }
}

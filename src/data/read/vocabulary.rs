//! From external ids to dense codes, in order of first appearance.

use crate::data::read::cell::Id;
use crate::data::read::int_index::IntIndex;
use crate::ids::{ExternalIds, IdMap};
use anyhow::{Result, bail};
use polars::prelude::PlHashMap;

/// Devices index with signed 32-bit integers.
const MAX_IDS: usize = 1 << 31;

/// The ids of one kind of entity that were seen so far: integers until the
/// first one that is none.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    /// What the ids name, for errors: `user` or `item`.
    what: &'static str,
    index: Index,
}

#[derive(Clone, Debug)]
enum Index {
    Int(IntIndex),
    Str(PlHashMap<Box<str>, u32>),
}

impl Vocabulary {
    pub fn new(what: &'static str) -> Self {
        Self {
            what,
            index: Index::Int(IntIndex::default()),
        }
    }

    pub fn len(&self) -> usize {
        match &self.index {
            Index::Int(map) => map.len(),
            Index::Str(map) => map.len(),
        }
    }

    /// The code of an id, a new one when it was not seen before.
    ///
    /// # Errors
    /// More than 2^31 different ids.
    pub fn encode(&mut self, id: Id<'_>) -> Result<u32> {
        if let Some(code) = self.get(id) {
            return Ok(code);
        }
        let next = self.len();
        if next >= MAX_IDS {
            bail!("more than 2^31 different {} ids", self.what);
        }
        if let (Index::Int(_), Id::Str(_)) = (&self.index, id) {
            self.widen();
        }
        let code = next as u32;
        match (&mut self.index, id) {
            (Index::Int(map), Id::Int(i)) => map.insert(i, code),
            (Index::Int(_), Id::Str(_)) => unreachable!("widened above"),
            (Index::Str(map), id) => {
                map.insert(id.to_string().into(), code);
            }
        }
        Ok(code)
    }

    /// The code of an id that was seen.
    pub fn get(&self, id: Id<'_>) -> Option<u32> {
        match (&self.index, id) {
            (Index::Int(map), Id::Int(i)) => map.get(i),
            (Index::Int(_), Id::Str(_)) => None,
            (Index::Str(map), Id::Str(s)) => map.get(s).copied(),
            (Index::Str(map), Id::Int(i)) => map.get(i.to_string().as_str()).copied(),
        }
    }

    /// Takes over the ids of another vocabulary in the order of their codes;
    /// their codes here.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn absorb(&mut self, other: Self) -> Result<Vec<u32>> {
        match other.index {
            Index::Int(map) => {
                let ids = map.in_order().into_iter();
                ids.map(|id| self.encode(Id::Int(id))).collect()
            }
            Index::Str(map) => {
                let ids = in_order(map).into_iter();
                // Some may be integers that became text over there.
                ids.map(|id| self.encode(Id::parse(&id))).collect()
            }
        }
    }

    /// Turns integers into the same ids as text.
    fn widen(&mut self) {
        if let Index::Int(map) = &self.index {
            let ids = map.in_order().into_iter();
            let text = ids.map(|i| i.to_string().into()).zip(0..);
            self.index = Index::Str(text.collect());
        }
    }

    /// Keeps only the ids that `codes` use, renumbered in order of their
    /// first appearance there; `codes` are rewritten.
    pub fn compact(&mut self, codes: &mut [u32]) {
        const UNUSED: u32 = u32::MAX;
        let mut renumbered = vec![UNUSED; self.len()];
        let mut next = 0;
        for code in codes {
            let new = &mut renumbered[*code as usize];
            if *new == UNUSED {
                *new = next;
                next += 1;
            }
            *code = *new;
        }
        let new = |code: u32| Some(renumbered[code as usize]).filter(|c| *c != UNUSED);
        match &mut self.index {
            Index::Int(map) => map.recode(new),
            Index::Str(map) => map.retain(|_, code| match new(*code) {
                Some(c) => {
                    *code = c;
                    true
                }
                None => false,
            }),
        }
    }

    pub fn into_id_map(self) -> IdMap {
        IdMap::new(match self.index {
            Index::Int(map) => ExternalIds::Int(map.in_order()),
            Index::Str(map) => {
                ExternalIds::Str(in_order(map).into_iter().map(Into::into).collect())
            }
        })
    }
}

fn in_order(map: PlHashMap<Box<str>, u32>) -> Vec<Box<str>> {
    let mut list: Vec<(Box<str>, u32)> = map.into_iter().collect();
    list.sort_unstable_by_key(|(_, code)| *code);
    list.into_iter().map(|(id, _)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(ids: &[&str]) -> (Vocabulary, Vec<u32>) {
        let mut vocabulary = Vocabulary::new("user");
        let codes = ids
            .iter()
            .map(|id| vocabulary.encode(Id::parse(id)).unwrap())
            .collect();
        (vocabulary, codes)
    }

    #[test]
    fn codes_follow_the_first_appearance() {
        let (vocabulary, codes) = encode(&["9", "3", "9", "5"]);
        assert_eq!(codes, [0, 1, 0, 2]);
        assert_eq!(
            vocabulary.into_id_map().external_ids(),
            &ExternalIds::Int(vec![9, 3, 5])
        );
    }

    #[test]
    fn one_id_that_is_no_integer_makes_all_of_them_text() {
        let (vocabulary, codes) = encode(&["10", "0155", "10", "x"]);
        assert_eq!(codes, [0, 1, 0, 2]);
        let ids = ["10", "0155", "x"].map(String::from).to_vec();
        assert_eq!(
            vocabulary.into_id_map().external_ids(),
            &ExternalIds::Str(ids)
        );
    }

    #[test]
    fn compacting_drops_and_renumbers() {
        let (mut vocabulary, _) = encode(&["a", "b", "c"]);
        let mut codes = [2, 0, 2];
        vocabulary.compact(&mut codes);
        assert_eq!(codes, [0, 1, 0]);
        let ids = vocabulary.into_id_map();
        assert_eq!((ids.len(), ids.get("c"), ids.get("b")), (2, Some(0), None));
    }

    proptest! {
        #[test]
        fn parts_make_the_same_vocabulary_as_the_whole(
            parts in proptest::collection::vec(proptest::collection::vec("[0-9a]{1,2}", 0..20), 1..5),
        ) {
            let all: Vec<&str> = parts.iter().flatten().map(String::as_str).collect();
            let (whole, codes) = encode(&all);
            let mut joined = Vocabulary::new("user");
            let mut found = Vec::new();
            for part in &parts {
                let refs: Vec<&str> = part.iter().map(String::as_str).collect();
                let (part, codes) = encode(&refs);
                let new = joined.absorb(part).unwrap();
                found.extend(codes.into_iter().map(|c| new[c as usize]));
            }
            prop_assert_eq!(found, codes);
            let (joined, whole) = (joined.into_id_map(), whole.into_id_map());
            prop_assert_eq!(joined.external_ids(), whole.external_ids());
        }

        #[test]
        fn every_id_comes_back(ids in proptest::collection::vec("[0-9a]{1,3}", 1..60)) {
            let refs: Vec<&str> = ids.iter().map(String::as_str).collect();
            let (vocabulary, codes) = encode(&refs);
            let map = vocabulary.into_id_map();
            for (id, code) in ids.iter().zip(codes) {
                prop_assert_eq!(map.external(code), id.as_str());
            }
        }
    }
}

//! Integer ids to codes: a plain table where the ids are dense, which most
//! are, and a hash map for the others. Lookups are most of the time that
//! reading takes; the table answers with one memory access of four bytes.

use polars::prelude::PlHashMap;

const NONE: u32 = u32::MAX;
/// The table is at most this many times as long as there are ids.
const SPARSITY: usize = 16;
const FIRST: usize = 1 << 16;

#[derive(Clone, Debug, Default)]
pub struct IntIndex {
    /// Code of each small id, or [`NONE`].
    table: Vec<u32>,
    others: PlHashMap<i64, u32>,
    len: usize,
}

impl IntIndex {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn get(&self, id: i64) -> Option<u32> {
        let small = usize::try_from(id).ok().and_then(|i| self.table.get(i));
        match small {
            Some(&code) if code != NONE => Some(code),
            _ if self.others.is_empty() => None,
            _ => self.others.get(&id).copied(),
        }
    }

    /// Adds an id that is not there.
    pub fn insert(&mut self, id: i64, code: u32) {
        let limit = FIRST + SPARSITY * self.len;
        self.len += 1;
        match usize::try_from(id) {
            Ok(i) if i < limit => {
                if i >= self.table.len() {
                    self.table.resize(i + 1, NONE);
                }
                self.table[i] = code;
            }
            _ => {
                self.others.insert(id, code);
            }
        }
    }

    /// Rewrites the codes; an id whose new code is `None` is dropped.
    pub fn recode(&mut self, new: impl Fn(u32) -> Option<u32>) {
        for code in &mut self.table {
            if *code != NONE {
                *code = new(*code).unwrap_or(NONE);
            }
        }
        self.others.retain(|_, code| match new(*code) {
            Some(c) => {
                *code = c;
                true
            }
            None => false,
        });
        let small = self.table.iter().filter(|c| **c != NONE).count();
        self.len = small + self.others.len();
    }

    /// The ids in the order of their codes, which are `0..len`.
    pub fn in_order(&self) -> Vec<i64> {
        let mut ids = vec![0; self.len];
        for (id, &code) in (0..).zip(&self.table) {
            if code != NONE {
                ids[code as usize] = id;
            }
        }
        for (&id, &code) in &self.others {
            ids[code as usize] = id;
        }
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_a_map(ids in proptest::collection::vec(
            prop_oneof![-3i64..40, 60_000i64..70_000, proptest::num::i64::ANY], 0..80,
        )) {
            let mut index = IntIndex::default();
            let mut order = Vec::new();
            for &id in &ids {
                let position = order.iter().position(|o| *o == id).map(|p| p as u32);
                prop_assert_eq!(index.get(id), position);
                if position.is_none() {
                    index.insert(id, order.len() as u32);
                    order.push(id);
                }
            }
            prop_assert_eq!(index.in_order(), order.clone());
            // Every second one goes.
            index.recode(|c| (c % 2 == 0).then_some(c / 2));
            let kept: Vec<i64> = order.iter().step_by(2).copied().collect();
            prop_assert_eq!(index.len(), kept.len());
            prop_assert_eq!(index.in_order(), kept);
        }
    }
}

//! Which places of a batch look up which row.

use super::simd::prefetch_at;
use super::table::zeros;
use rayon::prelude::*;

/// How many places ahead a stamp is asked for.
const AHEAD: usize = 16;

/// Where more than one in so many rows of a table are looked up, a walk over
/// all of them is faster than a sort.
const SORTED_SHARE: usize = 16;

/// The places of a batch, gathered by the row that they look up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Groups {
    /// Distinct rows, in the order of their first appearance.
    pub rows: Vec<u32>,
    /// `starts[g]..starts[g + 1]` are the places of `rows[g]`.
    pub starts: Vec<u32>,
    /// Ascending inside each row.
    pub places: Vec<u32>,
}

impl Groups {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The places of the `group`-th row.
    #[inline(always)]
    pub fn places_of(&self, group: usize) -> &[u32] {
        &self.places[self.starts[group] as usize..self.starts[group + 1] as usize]
    }
}

/// Gathers in time proportional to the batch: the stamps of earlier batches
/// are outdated by a new generation, never cleared.
#[derive(Clone, Debug, Default)]
pub struct Grouper {
    generation: u32,
    /// Of each row: the generation that it was last seen in, and its group.
    stamps: Vec<(u32, u32)>,
    /// The group of each place.
    groups: Vec<u32>,
}

impl Grouper {
    /// For tables of `rows` rows.
    pub fn new(rows: usize) -> Self {
        Self {
            stamps: zeros(rows),
            ..Self::default()
        }
    }

    /// Gathers the places of `looked_up`, whose rows the table has, into
    /// `into`, whose memory is used again.
    pub fn group(&mut self, looked_up: &[u32], into: &mut Groups) {
        if self.generation == u32::MAX {
            self.stamps.fill((0, 0));
            self.generation = 0;
        }
        self.generation += 1;
        into.rows.clear();
        into.starts.clear();
        self.groups.clear();
        // First the sizes, from the second slot on.
        into.starts.push(0);
        for (i, &row) in looked_up.iter().enumerate() {
            if let Some(&later) = looked_up.get(i + AHEAD) {
                prefetch_at(self.stamps.as_ptr().wrapping_add(later as usize));
            }
            let stamp = &mut self.stamps[row as usize];
            if stamp.0 != self.generation {
                *stamp = (self.generation, into.rows.len() as u32);
                into.rows.push(row);
                into.starts.push(0);
            }
            self.groups.push(stamp.1);
            into.starts[stamp.1 as usize + 1] += 1;
        }
        let mut end = 0;
        for start in &mut into.starts {
            end += *start;
            *start = end;
        }
        into.places.clear();
        into.places.resize(looked_up.len(), 0);
        // Each start moves to its group's end, which is the next one's start.
        for (&group, place) in self.groups.iter().zip(0u32..) {
            let slot = &mut into.starts[group as usize];
            into.places[*slot as usize] = place;
            *slot += 1;
        }
        into.starts.rotate_right(1);
        into.starts[0] = 0;
    }

    /// The groups that [`Self::group`] has just found, each as row and group,
    /// by row.
    pub fn by_row(&self, groups: &Groups, into: &mut Vec<(u32, u32)>) {
        into.clear();
        if groups.len() * SORTED_SHARE < self.stamps.len() {
            into.extend(groups.rows.iter().copied().zip(0..));
            into.par_sort_unstable();
        } else {
            let stamps = self.stamps.iter().zip(0..);
            let found = stamps.filter(|(stamp, _)| stamp.0 == self.generation);
            into.extend(found.map(|(stamp, row)| (row, stamp.1)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn places_are_gathered_by_row() {
        let mut groups = Groups::default();
        let mut grouper = Grouper::new(10);
        grouper.group(&[7, 2, 7, 9, 2, 7], &mut groups);
        assert_eq!(groups.rows, [7, 2, 9]);
        assert_eq!(groups.places_of(0), [0, 2, 5]);
        assert_eq!(groups.places_of(1), [1, 4]);
        assert_eq!(groups.places_of(2), [3]);
        grouper.group(&[], &mut groups);
        assert!(groups.is_empty());
    }

    proptest! {
        #[test]
        fn every_place_stands_in_its_row(
            batches in proptest::collection::vec(proptest::collection::vec(0u32..12, 0..40), 1..4),
            // Of tables whose rows are walked, and sorted.
            rows in prop_oneof![Just(12), Just(5000)],
        ) {
            let mut grouper = Grouper::new(rows);
            let mut groups = Groups::default();
            let mut by_row = Vec::new();
            for batch in batches {
                grouper.group(&batch, &mut groups);
                prop_assert_eq!(groups.places.len(), batch.len());
                let mut seen = 0;
                for group in 0..groups.len() {
                    let places = groups.places_of(group);
                    prop_assert!(places.windows(2).all(|w| w[0] < w[1]));
                    prop_assert!(places.iter().all(|&p| batch[p as usize] == groups.rows[group]));
                    seen += places.len();
                }
                prop_assert_eq!(seen, batch.len());
                grouper.by_row(&groups, &mut by_row);
                let mut expected: Vec<_> = groups.rows.iter().copied().zip(0..).collect();
                expected.sort_unstable();
                prop_assert_eq!(&by_row, &expected);
            }
        }
    }
}

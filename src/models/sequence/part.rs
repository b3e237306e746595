//! The sequences of a step, in parts that go through the network together.

use super::examples::Example;
use crate::seed::Rng;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Sequences of a cloze task of which one has its last item masked, as it is
/// when a history is served, and no other.
const LAST_ALONE: u32 = 11;

/// What a row of a sequence knows of the moment at which it is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// When its own item happened.
    #[default]
    Event,
    /// When the next one does: the moment of the request.
    Request,
    /// Nothing.
    None,
}

/// Of the rows of some sequences, in unix seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowTimes {
    pub happened: Vec<i64>,
    pub asked: Vec<i64>,
}

impl RowTimes {
    /// Adds a sequence; `next` is the moment after its last item, where it is
    /// known.
    pub fn push(&mut self, times: impl Iterator<Item = i64>, next: Option<i64>, clock: Clock) {
        let first = self.happened.len();
        self.happened.extend(times);
        let times = &self.happened[first..];
        match (clock, times.last()) {
            (Clock::Request, Some(&last)) => {
                self.asked.extend(&times[1..]);
                self.asked.push(next.unwrap_or(last));
            }
            _ => self.asked.extend(times),
        }
    }
}

/// Where a sequence comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    pub user: u32,
    /// Position of its first item in the log.
    pub first: usize,
    /// The epoch's place of its first prediction.
    pub place: u64,
    /// Predictions.
    pub count: usize,
}

/// Some sequences that go through the network in one graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// Items that the network reads.
    pub inputs: Vec<u32>,
    /// When each of them happened and when each is asked what follows, for
    /// models that want to know.
    pub times: Option<RowTimes>,
    /// Where each sequence begins, and where the last one ends.
    pub bounds: Vec<usize>,
    /// Rows that predict, and what.
    pub rows: Vec<u32>,
    pub targets: Vec<u32>,
    pub sequences: Vec<Origin>,
}

impl Part {
    pub fn is_empty(&self) -> bool {
        self.sequences.is_empty()
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    pub fn predictions(&self) -> usize {
        self.targets.len()
    }

    /// Adds a sequence of which every place predicts the next item.
    pub fn push_next(&mut self, example: &Example<'_>, clock: Clock) {
        let count = example.items.len() - 1;
        let first = self.len() as u32;
        self.inputs.extend_from_slice(&example.items[..count]);
        if let Some(times) = example.times {
            let rows = self.times.get_or_insert_default();
            rows.push(times.iter().take(count), times.iter().last(), clock);
        }
        self.targets.extend_from_slice(&example.items[1..]);
        self.rows.extend(first..first + count as u32);
        self.end(example, count);
    }

    /// Adds a sequence with a share of its items masked, at least one, each
    /// of which its place predicts; once in [`LAST_ALONE`] sequences the last
    /// item alone (Sun et al., CIKM 2019).
    pub fn push_masked(&mut self, example: &Example<'_>, share: f64, mask: u32, stream: &Rng) {
        // A block of the stream belongs to each place: four words, where one
        // is needed.
        let mut rng = stream.at(example.place);
        let last = example.items.len() - 1;
        let last_alone = rng.below(LAST_ALONE) == 0;
        let mut masked: Vec<bool> = (0..=last)
            .map(|_| !last_alone && f64::from(rng.uniform()) < share)
            .collect();
        masked[last] |= last_alone || !masked.contains(&true);
        let first = self.len() as u32;
        let mut count = 0;
        for ((row, &item), masked) in (first..).zip(example.items).zip(masked) {
            self.inputs.push(if masked { mask } else { item });
            if masked {
                self.rows.push(row);
                self.targets.push(item);
                count += 1;
            }
        }
        self.end(example, count);
    }

    fn end(&mut self, example: &Example<'_>, count: usize) {
        if self.bounds.is_empty() {
            self.bounds.push(0);
        }
        self.bounds.push(self.inputs.len());
        self.sequences.push(Origin {
            user: example.user,
            first: example.first,
            place: example.place,
            count,
        });
    }
}

/// Runs of parts with about as many rows each.
pub fn divide(parts: &[Part], segments: usize) -> Vec<Range<usize>> {
    let total: usize = parts.iter().map(Part::len).sum();
    let (mut from, mut held) = (0, 0);
    let mut shares = Vec::with_capacity(segments);
    for segment in 1..=segments {
        let mut to = from;
        while to < parts.len() && (segment == segments || held * segments < total * segment) {
            held += parts[to].len();
            to += 1;
        }
        shares.push(from..to);
        from = to;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_knows_its_own_moment_or_that_of_the_next() {
        let push = |clock, next| {
            let mut rows = RowTimes::default();
            rows.push([3].into_iter(), Some(4), clock);
            rows.push([10, 20, 30].into_iter(), next, clock);
            assert_eq!(rows.happened, [3, 10, 20, 30]);
            rows.asked
        };
        assert_eq!(push(Clock::Event, Some(50)), [3, 10, 20, 30]);
        assert_eq!(push(Clock::Request, Some(50)), [4, 20, 30, 50]);
        assert_eq!(push(Clock::Request, None), [4, 20, 30, 30]);
    }
}

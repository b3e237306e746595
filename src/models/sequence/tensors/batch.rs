//! Sequences side by side, padded on the left, so that all of them end in one
//! column.

use crate::models::sequence::part::{Origin, Part};
use crate::tape::NO_ROW;
use std::collections::BTreeMap;

/// The fewest columns of a batch.
const SHORTEST: usize = 16;

/// A batch of a smaller share of a step's places is not worth its own
/// launches of kernels: it goes with the next longer sequences.
const LEAST_SHARE: usize = 8;

/// A sequence of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    pub part: usize,
    /// Among those of the part.
    pub number: usize,
    /// Its first row in the part.
    pub start: usize,
    pub len: usize,
    /// Its first prediction in the part, and how many there are.
    pub first: usize,
    pub count: usize,
}

/// Sequences of about one length.
pub struct Batch<'a> {
    pub parts: &'a [Part],
    pub sequences: Vec<Sequence>,
    /// Columns.
    pub length: usize,
    /// Columns of predictions. Where every place predicts they are the places;
    /// otherwise a sequence's predictions begin in column 0.
    pub predictions: usize,
    pub all_predict: bool,
}

impl<'a> Batch<'a> {
    /// The sequences of some parts by length, none of which is above `longest`.
    pub fn all(parts: &'a [Part], longest: usize) -> Vec<Self> {
        let mut classes: BTreeMap<usize, Vec<Sequence>> = BTreeMap::new();
        for sequence in sequences(parts) {
            let class = sequence.len.next_power_of_two().max(SHORTEST);
            classes
                .entry(class.min(longest.max(sequence.len)))
                .or_default()
                .push(sequence);
        }
        let places = |length: usize, sequences: &[Sequence]| length * sequences.len();
        let total: usize = classes.iter().map(|(&l, s)| places(l, s)).sum();
        let mut batches = Vec::new();
        let mut carried = Vec::new();
        let mut classes = classes.into_iter().peekable();
        while let Some((length, own)) = classes.next() {
            carried.extend(own);
            let few = places(length, &carried) * LEAST_SHARE < total;
            if !few || classes.peek().is_none() {
                batches.push(Self::new(parts, std::mem::take(&mut carried), length));
            }
        }
        batches
    }

    fn new(parts: &'a [Part], sequences: Vec<Sequence>, length: usize) -> Self {
        let all_predict = sequences.iter().all(|s| s.count == s.len);
        let most = sequences.iter().map(|s| s.count).max().unwrap_or(0);
        Self {
            parts,
            sequences,
            length,
            predictions: if all_predict { length } else { most },
            all_predict,
        }
    }

    pub fn len(&self) -> usize {
        self.sequences.len()
    }

    /// Where a sequence comes from.
    pub fn origin(&self, sequence: &Sequence) -> Origin {
        self.parts[sequence.part].sequences[sequence.number]
    }

    /// Values of the places, with `empty` where there is none:
    /// `[sequences, length]`.
    pub fn places<T: Copy>(&self, empty: T, of: impl Fn(&Part) -> &[T]) -> Vec<T> {
        let mut all = vec![empty; self.len() * self.length];
        let rows = all.chunks_exact_mut(self.length.max(1));
        for (row, sequence) in rows.zip(&self.sequences) {
            let values = &of(&self.parts[sequence.part])[sequence.start..][..sequence.len];
            row[self.length - sequence.len..].copy_from_slice(values);
        }
        all
    }

    /// Items that the network reads.
    pub fn inputs(&self) -> Vec<u32> {
        self.places(NO_ROW, |part| &part.inputs)
    }

    /// The column of a sequence's first prediction.
    pub fn first_slot(&self, sequence: &Sequence) -> usize {
        if self.all_predict {
            self.length - sequence.count
        } else {
            0
        }
    }

    /// Values of the predictions, with `empty` where there is none:
    /// `[sequences, predictions]`.
    pub fn slots<T: Copy>(&self, empty: T, of: impl Fn(&Sequence, usize) -> T) -> Vec<T> {
        let mut all = vec![empty; self.len() * self.predictions];
        let rows = all.chunks_exact_mut(self.predictions.max(1));
        for (row, sequence) in rows.zip(&self.sequences) {
            let slots = row[self.first_slot(sequence)..].iter_mut();
            for (number, slot) in slots.take(sequence.count).enumerate() {
                *slot = of(sequence, number);
            }
        }
        all
    }

    /// Items to predict.
    pub fn targets(&self) -> Vec<u32> {
        self.slots(NO_ROW, |sequence, number| {
            self.parts[sequence.part].targets[sequence.first + number]
        })
    }

    /// Where the predictions are among `[sequences, predictions]`.
    pub fn taken(&self) -> Vec<u32> {
        let taken = self.slots(false, |_, _| true).into_iter();
        let places = (0..).zip(taken).filter(|place| place.1);
        places.map(|place| place.0).collect()
    }

    /// Places of a sequence that predict, counted from its first one.
    #[cfg(feature = "wgpu")]
    pub fn masked(&self, sequence: &Sequence) -> Vec<u32> {
        let rows = &self.parts[sequence.part].rows[sequence.first..][..sequence.count];
        rows.iter().map(|row| row - sequence.start as u32).collect()
    }

    /// The column of each prediction's place, -1 where there is no
    /// prediction: `[sequences, predictions]`.
    pub fn picks(&self) -> Vec<i32> {
        self.slots(-1, |sequence, number| {
            let place = self.parts[sequence.part].rows[sequence.first + number] as usize;
            (self.length - sequence.len + place - sequence.start) as i32
        })
    }
}

fn sequences(parts: &[Part]) -> impl Iterator<Item = Sequence> + '_ {
    parts.iter().enumerate().flat_map(|(number, part)| {
        let ends = part.bounds.windows(2).zip(&part.sequences).enumerate();
        ends.scan(0, move |first, (own, (bounds, sequence))| {
            let before = *first;
            *first += sequence.count;
            Some(Sequence {
                part: number,
                number: own,
                start: bounds[0],
                len: bounds[1] - bounds[0],
                first: before,
                count: sequence.count,
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    fn part(lengths: &[usize], masked: bool) -> Part {
        let mut part = Part {
            bounds: vec![0],
            ..Part::default()
        };
        for &len in lengths {
            let start = part.inputs.len() as u32;
            part.inputs
                .extend((0..len as u32).map(|i| 100 * len as u32 + i));
            part.bounds.push(part.inputs.len());
            let rows = start + u32::from(masked)..start + len as u32;
            part.targets.extend(rows.clone().map(|row| row + 7));
            part.sequences.push(Origin {
                count: rows.len(),
                ..Origin::default()
            });
            part.rows.extend(rows);
        }
        part
    }

    #[test]
    fn sequences_end_in_one_column() {
        let parts = [part(&[2, 3], false)];
        let batches = Batch::all(&parts, 4);
        assert_eq!(batches.len(), 1);
        let none = NO_ROW;
        assert_eq!(
            batches[0].inputs(),
            [none, none, 200, 201, none, 300, 301, 302]
        );
        assert_eq!(batches[0].targets(), [none, none, 7, 8, none, 9, 10, 11]);
        assert_eq!(batches[0].taken(), [2, 3, 5, 6, 7]);
    }

    #[test]
    fn masked_places_are_picked() {
        let parts = [part(&[2, 3], true)];
        let batch = &Batch::all(&parts, 4)[0];
        assert_eq!(batch.targets(), [8, NO_ROW, 10, 11]);
        assert_eq!(batch.taken(), [0, 2, 3]);
        assert_eq!(batch.picks(), [3, -1, 2, 3]);
    }

    #[test]
    fn batches_are_of_sequences_of_about_one_length() {
        let parts = [part(&[70, 3, 16, 30], false), part(&[64; 3], false)];
        let batches = Batch::all(&parts, 100);
        let shapes: Vec<_> = batches
            .iter()
            .map(|b| (b.length, b.sequences.iter().map(|s| s.len).collect()))
            .collect();
        // What is too few goes with the longer ones.
        let expected = [
            (32, vec![3, 16, 30]),
            (64, vec![64, 64, 64]),
            (100, vec![70]),
        ];
        assert_eq!(shapes, expected);
    }
}

//! Windows of histories in the order of an epoch.

use super::setup::Setup;
use crate::data::interactions::Interactions;
use crate::data::times::{Times, TimesView};
use crate::ids::UserIdx;
use crate::seed::{Rng, Seed};
use std::ops::Range;

/// Items in a row of one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub user: u32,
    /// Position of the first item in the log.
    first: usize,
    len: usize,
}

/// A window of a step.
#[derive(Clone, Copy, Debug)]
pub struct Example<'a> {
    pub user: u32,
    /// Position of the first item in the log.
    pub first: usize,
    pub items: &'a [u32],
    /// When each of them happened, for models that want to know.
    pub times: Option<TimesView<'a>>,
    /// The epoch's place of its first predicted item.
    pub place: u64,
}

/// All windows, in an order of their own in each epoch. Places of the epoch
/// are items to predict, and a window belongs to the step in which its first
/// place lies, so that `batch_size` counts predicted items as for any other
/// model.
pub struct Examples {
    items: Vec<u32>,
    times: Option<Times>,
    windows: Vec<Window>,
    /// Items of a window that are not predicted: the first, in a causal model.
    given: usize,
    order: Vec<u32>,
    /// Place of each window in `order`.
    places: Vec<usize>,
    total: usize,
    /// Of the epoch.
    pub negatives: Rng,
    pub masks: Rng,
}

impl Examples {
    /// `train` is in time order. `given` is 1 for models that predict the next
    /// item, 0 for those that fill gaps.
    pub fn new(train: &Interactions, setup: &Setup, given: usize) -> Self {
        let mut windows = Vec::new();
        let longest = setup.max_length + given;
        for user in 0..train.num_users() as u32 {
            let Range { start, end } = train.range(UserIdx(user));
            let mut last = end;
            while last - start > 1 {
                let first = start.max(last.saturating_sub(longest));
                windows.push(Window {
                    user,
                    first,
                    len: last - first,
                });
                if first == start || setup.window_stride == 0 {
                    break;
                }
                last -= setup.window_stride;
            }
        }
        let total = windows.iter().map(|w| w.len - given).sum();
        Self {
            items: train.items.clone(),
            times: None,
            order: (0..windows.len() as u32).collect(),
            places: vec![0; windows.len()],
            windows,
            given,
            total,
            negatives: Seed(0).stream("negatives"),
            masks: Seed(0).stream("masks"),
        }
    }

    /// Lets each example tell the times of its items, too.
    pub fn with_times(self, times: Times) -> Self {
        Self {
            times: Some(times),
            ..self
        }
    }

    /// The log that the windows are of, in the order of time inside each user,
    /// and the times of its items where examples tell them.
    #[cfg(feature = "wgpu")]
    pub fn log(&self) -> (&[u32], Option<&Times>) {
        (&self.items, self.times.as_ref())
    }

    /// Items to predict in an epoch.
    pub fn len(&self) -> usize {
        self.total
    }

    pub fn begin_epoch(&mut self, seed: Seed, epoch: usize) {
        let epoch = epoch as u64;
        self.order = (0..self.windows.len() as u32).collect();
        seed.indexed("shuffle", epoch).shuffle(&mut self.order);
        self.negatives = seed.indexed("negatives", epoch);
        self.masks = seed.indexed("masks", epoch);
        let mut place = 0;
        for (to, &window) in self.places.iter_mut().zip(&self.order) {
            *to = place;
            place += self.windows[window as usize].len - self.given;
        }
    }

    /// The windows of a step.
    pub fn step(&self, places: Range<usize>) -> impl Iterator<Item = Example<'_>> {
        let from = self.places.partition_point(|&p| p < places.start);
        let to = self.places.partition_point(|&p| p < places.end);
        (from..to).map(|at| {
            let window = self.windows[self.order[at] as usize];
            let places = window.first..window.first + window.len;
            Example {
                user: window.user,
                first: window.first,
                times: self.times.as_ref().map(|t| t.view(places.clone())),
                items: &self.items[places],
                place: self.places[at] as u64,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Interactions {
        Interactions {
            offsets: vec![0, 7, 8, 10],
            items: vec![0, 1, 2, 3, 4, 5, 6, 0, 8, 9],
            num_items: 10,
            ..Interactions::default()
        }
    }

    fn windows(stride: usize) -> Vec<(u32, Vec<u32>)> {
        let setup = Setup {
            max_length: 3,
            window_stride: stride,
            ..Setup::default()
        };
        let examples = Examples::new(&log(), &setup, 1);
        let places = 0..examples.len();
        let steps = examples.step(places);
        steps.map(|e| (e.user, e.items.to_vec())).collect()
    }

    #[test]
    fn the_newest_window_or_all_of_them() {
        assert_eq!(windows(0), [(0, vec![3, 4, 5, 6]), (2, vec![8, 9])]);
        let all = [
            (0, vec![3, 4, 5, 6]),
            (0, vec![0, 1, 2, 3]),
            (2, vec![8, 9]),
        ];
        assert_eq!(windows(3), all);
    }

    #[test]
    fn steps_divide_an_epoch() {
        let setup = Setup {
            max_length: 3,
            window_stride: 3,
            ..Setup::default()
        };
        let mut examples = Examples::new(&log(), &setup, 1);
        examples.begin_epoch(Seed(1), 3);
        assert_eq!(examples.len(), 7);
        let mut seen = Vec::new();
        for start in 0..7 {
            seen.extend(examples.step(start..start + 1).map(|e| e.place));
        }
        let whole: Vec<u64> = examples.step(0..7).map(|e| e.place).collect();
        assert_eq!(seen, whole);
        assert_eq!(whole.len(), 3);
    }
}

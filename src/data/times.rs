//! A column of timestamps in half the memory.

use rayon::prelude::*;

/// Unix seconds of each interaction, as four bytes beyond the earliest where
/// they lie within 136 years, and as eight otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    base: i64,
    offsets: Offsets,
}

/// The values of [`Times`] as they lie in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offsets {
    /// Seconds beyond the base.
    Narrow(Vec<u32>),
    /// Unix seconds.
    Wide(Vec<i64>),
}

impl Times {
    /// `times[rows[0]], times[rows[1]], ...`
    pub fn gather(times: &[i64], rows: &[u32]) -> Self {
        let (base, last) = range(times);
        let at = |row: &u32| times[*row as usize];
        let rows = rows.par_iter().with_min_len(1 << 12);
        Self {
            base,
            offsets: if fits(base, last) {
                Offsets::Narrow(rows.map(|r| at(r).wrapping_sub(base) as u32).collect())
            } else {
                Offsets::Wide(rows.map(at).collect())
            },
        }
    }

    /// Puts together what [`Self::parts`] showed.
    pub fn of_parts(base: i64, offsets: Offsets) -> Self {
        Self { base, offsets }
    }

    /// The base, and what lies beyond it: how they are kept on disk.
    pub fn parts(&self) -> (i64, &Offsets) {
        (self.base, &self.offsets)
    }

    /// [`Self::parts`], taken apart.
    pub fn into_parts(self) -> (i64, Offsets) {
        (self.base, self.offsets)
    }

    pub fn len(&self) -> usize {
        match &self.offsets {
            Offsets::Narrow(v) => v.len(),
            Offsets::Wide(v) => v.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// # Panics
    /// When `i` is not below [`Self::len`].
    pub fn at(&self, i: usize) -> i64 {
        match &self.offsets {
            Offsets::Narrow(v) => self.base.wrapping_add(i64::from(v[i])),
            Offsets::Wide(v) => v[i],
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = i64> + '_ {
        (0..self.len()).map(|i| self.at(i))
    }

    /// Those in a range of places.
    ///
    /// # Panics
    /// When the range ends beyond [`Self::len`].
    pub fn view(&self, range: std::ops::Range<usize>) -> TimesView<'_> {
        assert!(range.end <= self.len(), "times that there are");
        TimesView {
            times: self,
            first: range.start,
            len: range.len(),
        }
    }

    /// Those of the values for which `keep` says so; `len` of them.
    pub fn filter(&self, len: usize, keep: impl Fn(usize) -> bool) -> Self {
        Self {
            base: self.base,
            offsets: match &self.offsets {
                Offsets::Narrow(v) => Offsets::Narrow(filter(v, len, keep)),
                Offsets::Wide(v) => Offsets::Wide(filter(v, len, keep)),
            },
        }
    }
}

/// Consecutive ones of [`Times`].
#[derive(Clone, Copy, Debug)]
pub struct TimesView<'a> {
    times: &'a Times,
    first: usize,
    len: usize,
}

impl<'a> TimesView<'a> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = i64> + use<'a> {
        let times = self.times;
        (self.first..self.first + self.len).map(|i| times.at(i))
    }

    /// The last `len` of them, or all.
    pub fn newest(&self, len: usize) -> Self {
        let len = len.min(self.len);
        Self {
            first: self.first + self.len - len,
            len,
            ..*self
        }
    }
}

/// Those of the values for whose place `keep` says so; `len` of them.
pub fn filter<T: Copy>(values: &[T], len: usize, keep: impl Fn(usize) -> bool) -> Vec<T> {
    let mut kept = Vec::with_capacity(len);
    kept.extend((0..values.len()).filter(|&i| keep(i)).map(|i| values[i]));
    kept
}

fn range(times: &[i64]) -> (i64, i64) {
    let first = times.par_iter().copied().min().unwrap_or(0);
    (first, times.par_iter().copied().max().unwrap_or(0))
}

fn fits(first: i64, last: i64) -> bool {
    last.wrapping_sub(first) as u64 <= u64::from(u32::MAX)
}

impl From<Vec<i64>> for Times {
    fn from(times: Vec<i64>) -> Self {
        let (base, last) = range(&times);
        let offsets = if fits(base, last) {
            let offset = |t: &i64| t.wrapping_sub(base) as u32;
            Offsets::Narrow(times.iter().map(offset).collect())
        } else {
            Offsets::Wide(times)
        };
        Self { base, offsets }
    }
}

impl FromIterator<i64> for Times {
    fn from_iter<I: IntoIterator<Item = i64>>(times: I) -> Self {
        times.into_iter().collect::<Vec<_>>().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn near_times_take_four_bytes_and_far_ones_eight() {
        let near = Times::from(vec![-5, i64::from(u32::MAX) - 5]);
        assert_eq!(near.parts(), (-5, &Offsets::Narrow(vec![0, u32::MAX])));
        let far = Times::from(vec![i64::MIN, i64::MAX]);
        assert!(matches!(far.parts().1, Offsets::Wide(_)));
    }

    proptest! {
        #[test]
        fn they_are_a_column(
            times in proptest::collection::vec(prop_oneof![any::<i64>(), -9i64..9_000], 0..40),
            narrow in any::<bool>(),
        ) {
            let times: Vec<i64> = times.into_iter().map(|t| if narrow { t % 10_000 } else { t }).collect();
            let column = Times::from(times.clone());
            prop_assert_eq!(column.iter().collect::<Vec<_>>(), times.clone());
            let rows: Vec<u32> = (0..times.len() as u32).rev().collect();
            let reversed: Vec<i64> = times.iter().rev().copied().collect();
            let gathered = Times::gather(&times, &rows);
            prop_assert_eq!(gathered.iter().collect::<Vec<_>>(), reversed);
            let odd = column.filter(times.len() / 2, |i| i % 2 == 1);
            let expected: Vec<i64> = times.iter().skip(1).step_by(2).copied().collect();
            prop_assert_eq!(odd.iter().collect::<Vec<_>>(), expected);
        }
    }
}

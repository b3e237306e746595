//! How old each item is when a later place is asked, in buckets of about a
//! third of an octave each, as the public code of HSTU has them:
//! `floor(ln(max(seconds, 1)) / 0.301)`.

use std::sync::LazyLock;

/// Buckets that there are; the last begins after six years.
pub const BUCKETS: usize = 64;

/// `ln` of the ratio of a bucket's end to its beginning.
const WIDTH: f64 = 0.301;

/// Of a sequence: for each place, the buckets of the keys up to it.
pub struct Ages {
    len: usize,
    buckets: Vec<u8>,
}

impl Ages {
    /// Both ascending. An item that happens after the question has no age.
    pub fn new(happened: &[i64], asked: &[i64]) -> Self {
        let (len, starts) = (happened.len(), &*STARTS);
        let mut buckets = vec![0; len * len];
        for (place, (row, asked)) in buckets.chunks_exact_mut(len.max(1)).zip(asked).enumerate() {
            // Ages rise from the newest key to the oldest.
            let mut bucket = 0;
            for (to, happened) in row[..=place].iter_mut().zip(happened).rev() {
                let age = asked - happened;
                while bucket + 1 < BUCKETS && starts[bucket + 1] <= age {
                    bucket += 1;
                }
                *to = bucket as u8;
            }
        }
        Self { len, buckets }
    }

    /// Buckets of the keys that a place sees under a causal mask.
    pub fn row(&self, place: usize) -> &[u8] {
        &self.buckets[place * self.len..][..=place]
    }
}

/// The least age of each bucket but the first, which has all that are below.
pub fn bucket_starts() -> &'static [i64; BUCKETS] {
    &STARTS
}

/// The least age of each bucket.
static STARTS: LazyLock<[i64; BUCKETS]> = LazyLock::new(|| {
    std::array::from_fn(|bucket| match bucket {
        0 => i64::MIN,
        _ => (WIDTH * bucket as f64).exp().ceil() as i64,
    })
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_their_formula() {
        let happened: Vec<i64> = vec![-400_000_000_000, 0, 5, 5, 90, 4000, 1 << 20, 1 << 28];
        let asked: Vec<i64> = happened[1..].iter().copied().chain([1 << 29]).collect();
        let ages = Ages::new(&happened, &asked);
        for (place, asked) in asked.iter().enumerate() {
            for (key, bucket) in ages.row(place).iter().enumerate() {
                let age = (asked - happened[key]).max(1) as f64;
                let formula = (age.ln() / 0.301).floor().min(BUCKETS as f64 - 1.0);
                assert_eq!(f64::from(*bucket), formula, "age {age}");
            }
        }
    }

    #[test]
    fn what_is_still_to_come_has_no_age() {
        let ages = Ages::new(&[10, 20], &[5, 15]);
        assert_eq!((ages.row(0), ages.row(1)), (&[0][..], &[5, 0][..]));
    }
}

//! AUC = share of the pairs (held-out item, other unseen item) that the scores
//! put in the right order; a tie counts half.
//!
//! Averaged over users. A user for whom every unseen item is held out has no
//! pair and no value.
//!
//! Rendle et al.: "BPR: Bayesian personalized ranking from implicit feedback",
//! UAI 2009.

use super::{Direction, Kind, MetricEntry};

pub static ENTRY: MetricEntry = MetricEntry {
    name: "auc",
    aliases: &[],
    summary: "Share of (held-out, other) pairs in the right order",
    definition: "per user over unseen items, ties count half",
    citation: "Rendle et al.: BPR: Bayesian personalized ranking from implicit feedback, UAI 2009",
    direction: Direction::HigherIsBetter,
    kind: Kind::Scores(of),
};

/// Up to so many held-out items, comparing each with all others is faster than
/// looking each other one up among them: it is a loop of vector instructions.
const FEW: usize = 32;

/// One user's value, in O((m + n) log m) for m held-out and n other items.
///
/// ```
/// use recsys::metrics::auc;
/// // 0.5 beats 0.1, ties with 0.5 and loses to 0.9: (1 + 1/2 + 0) / 3.
/// assert_eq!(auc::of(&[0.5], &[0.1, 0.5, 0.9]), Some(0.5));
/// assert_eq!(auc::of(&[0.5], &[]), None);
/// ```
pub fn of(relevant: &[f32], others: &[f32]) -> Option<f64> {
    let pairs = relevant.len() as u64 * others.len() as u64;
    if pairs == 0 {
        return None;
    }
    let twice = if relevant.len() <= FEW {
        relevant.iter().map(|&r| twice_won(r, others)).sum()
    } else {
        twice_won_by_all(relevant, others)
    };
    Some(twice as f64 / (2 * pairs) as f64)
}

/// Twice the pairs that one item wins, so that half points stay integers.
fn twice_won(score: f32, others: &[f32]) -> u64 {
    // Two a place at most, so that a block fits into the sum.
    let blocks = others.chunks(1 << 30);
    let won = |&other: &f32| u32::from(score > other) + u32::from(score >= other);
    blocks
        .map(|block| u64::from(block.iter().map(won).sum::<u32>()))
        .sum()
}

/// The sum of [`twice_won`] over many items.
fn twice_won_by_all(relevant: &[f32], others: &[f32]) -> u64 {
    let mut sorted = relevant.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let won = |&score: &f32| {
        let not_above = sorted.partition_point(|&r| r <= score);
        let below = sorted.partition_point(|&r| r < score);
        (2 * (sorted.len() - not_above) + (not_above - below)) as u64
    };
    others.iter().map(won).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_count_over_all_pairs(
            relevant in proptest::collection::vec(-3i8..3, 1..6),
            others in proptest::collection::vec(-3i8..3, 1..9),
        ) {
            let mut points = 0.0;
            for r in &relevant {
                for o in &others {
                    points += if r > o { 1.0 } else if r == o { 0.5 } else { 0.0 };
                }
            }
            let pairs = (relevant.len() * others.len()) as f64;
            let floats = |v: &[i8]| v.iter().map(|&x| f32::from(x)).collect::<Vec<_>>();
            prop_assert_eq!(of(&floats(&relevant), &floats(&others)), Some(points / pairs));
            let by_all = twice_won_by_all(&floats(&relevant), &floats(&others));
            prop_assert_eq!(by_all as f64, 2.0 * points);
        }
    }
}

//! The signed-rank test of whether paired differences lie around zero.
//!
//! Wilcoxon: Individual Comparisons by Ranking Methods, Biometrics Bulletin
//! 1945; effect size: Kerby: The Simple Difference Formula, Comprehensive
//! Psychology 2014 (matched-pairs rank-biserial correlation).
//!
//! As scipy's `wilcoxon` with its defaults: differences of zero are left out
//! (Wilcoxon's own way), equal absolute differences share their mean rank, the
//! test is two-sided. Up to [`EXACT`] differences, none zero and no two of the
//! same size, the p-value is exact, and so it is for up to [`EXACT_TIED`] of
//! any kind; otherwise the normal approximation with the variance corrected
//! for ties, without continuity correction.

/// The most differences for which the null distribution is counted out.
pub const EXACT: usize = 50;

/// The same where some are zero or of the same size: the count that scipy's
/// permutations reach.
pub const EXACT_TIED: usize = 13;

/// What the test says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignedRanks {
    /// Sums of the ranks of positive and of negative differences.
    pub positive: f64,
    pub negative: f64,
    /// Two-sided; 1 where all differences are zero.
    pub p_value: f64,
    /// `(positive - negative) / (positive + negative)`: from -1 (every
    /// difference is negative) to 1; 0 where all are zero.
    pub rank_biserial: f64,
}

/// The signed-rank test over differences; NaN is left out.
pub fn signed_ranks(differences: &[f64]) -> SignedRanks {
    let present: Vec<f64> = differences
        .iter()
        .copied()
        .filter(|d| !d.is_nan())
        .collect();
    let mut nonzero: Vec<f64> = present.iter().copied().filter(|d| *d != 0.0).collect();
    nonzero.sort_unstable_by(|a, b| a.abs().total_cmp(&b.abs()));
    let ranks = Ranks::of(&nonzero);
    let total = ranks.positive + ranks.negative;
    let plain = nonzero.len() == present.len() && ranks.ties == 0.0;
    let p_value = if nonzero.is_empty() {
        1.0
    } else if present.len() <= if plain { EXACT } else { EXACT_TIED } {
        exact(&ranks)
    } else {
        approximate(nonzero.len() as f64, &ranks)
    };
    SignedRanks {
        positive: ranks.positive,
        negative: ranks.negative,
        p_value,
        rank_biserial: if total > 0.0 {
            (ranks.positive - ranks.negative) / total
        } else {
            0.0
        },
    }
}

struct Ranks {
    positive: f64,
    negative: f64,
    /// All ranks times two, which makes whole numbers of means.
    doubled: Vec<usize>,
    /// Sum of `t^3 - t` over groups of `t` equal sizes.
    ties: f64,
}

impl Ranks {
    /// From differences by ascending size, none zero.
    fn of(sorted: &[f64]) -> Self {
        let mut ranks = Self {
            positive: 0.0,
            negative: 0.0,
            doubled: Vec::with_capacity(sorted.len()),
            ties: 0.0,
        };
        let mut below = 0.0;
        for group in sorted.chunk_by(|a, b| a.abs() == b.abs()) {
            let size = group.len() as f64;
            let rank = below + (size + 1.0) / 2.0;
            let positive = group.iter().filter(|d| **d > 0.0).count() as f64;
            ranks.positive += rank * positive;
            ranks.negative += rank * (size - positive);
            ranks
                .doubled
                .extend(group.iter().map(|_| (2.0 * rank) as usize));
            ranks.ties += size * size * size - size;
            below += size;
        }
        ranks
    }
}

/// Twice the smaller tail at the sum of positive ranks, over all `2^n` signs.
fn exact(ranks: &Ranks) -> f64 {
    let most: usize = ranks.doubled.iter().sum();
    // Ways to reach each sum; below 2^53, so that they are exact.
    let mut ways = vec![0.0f64; most + 1];
    ways[0] = 1.0;
    for &rank in &ranks.doubled {
        for sum in (rank..=most).rev() {
            ways[sum] += ways[sum - rank];
        }
    }
    let all = (ranks.doubled.len() as f64).exp2();
    let statistic = (2.0 * ranks.positive) as usize;
    let low: f64 = ways[..=statistic].iter().sum();
    let high: f64 = ways[statistic..].iter().sum();
    (2.0 * low.min(high) / all).min(1.0)
}

fn approximate(n: f64, ranks: &Ranks) -> f64 {
    let mean = n * (n + 1.0) / 4.0;
    let variance = (n * (n + 1.0) * (2.0 * n + 1.0) - ranks.ties / 2.0) / 24.0;
    let z = (ranks.positive - mean) / variance.sqrt();
    // Twice the upper tail of the normal distribution.
    libm::erfc(z.abs() / std::f64::consts::SQRT_2)
}

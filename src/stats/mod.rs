//! Whether a difference is real: paired tests over users.
//!
//! Everything here works on differences, one a user; NaN where a user has
//! none, who is then left out.

mod bootstrap;
mod wilcoxon;

pub use bootstrap::{LEVEL, NORMAL, mean_intervals, resamples};
pub use wilcoxon::{SignedRanks, signed_ranks};

/// The mean of the values that are there; NaN without any.
pub fn mean(values: &[f64]) -> f64 {
    let (sum, count) = sum_and_count(values);
    sum / count
}

/// The standard deviation over the values that are there, with Bessel's
/// correction; `None` for fewer than two.
pub fn deviation(values: &[f64]) -> Option<f64> {
    let (sum, count) = sum_and_count(values);
    let mean = sum / count;
    let present = values.iter().filter(|v| !v.is_nan());
    let squares: f64 = present.map(|v| (v - mean).powi(2)).sum();
    (count >= 2.0).then(|| (squares / (count - 1.0)).sqrt())
}

fn sum_and_count(values: &[f64]) -> (f64, f64) {
    let present = values.iter().filter(|v| !v.is_nan());
    present.fold((0.0, 0.0), |(sum, count), v| (sum + v, count + 1.0))
}

/// Cohen's d for paired samples: the mean difference in units of the
/// differences' standard deviation. 0 where all differences are 0, `None`
/// where they are all the same otherwise.
///
/// Cohen: Statistical Power Analysis for the Behavioral Sciences, 1988 (`d_z`).
pub fn cohens_dz(differences: &[f64]) -> Option<f64> {
    let (mean, deviation) = (mean(differences), deviation(differences)?);
    match (mean == 0.0, deviation == 0.0) {
        (true, _) => Some(0.0),
        (false, true) => None,
        (false, false) => Some(mean / deviation),
    }
}

/// Holm's step-down adjustment of p-values that are judged together: with the
/// smallest of m times m, the next times m - 1, and so on, none smaller than
/// the one before and none above 1. What then lies below alpha is significant
/// with a chance of at most alpha of any false alarm among all m.
///
/// Holm: A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian
/// Journal of Statistics 1979.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![f64::NAN; p_values.len()];
    let mut largest: f64 = 0.0;
    for (rank, &i) in order.iter().enumerate() {
        let factor = (p_values.len() - rank) as f64;
        largest = largest.max((p_values[i] * factor).min(1.0));
        adjusted[i] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests;

//! The observed pairs, from either side.

use crate::data::interactions::Interactions;
use crate::kernels::als::Pairs;
use crate::linalg::Sparse;
use anyhow::{Result, bail, ensure};

/// Each distinct pair once, by user and by item, and the mean of their
/// confidences: 1, or the sum of a pair's weights.
///
/// # Errors
/// Weights that are asked for and not there, or not above 0.
pub fn both(train: &Interactions, weighted: bool) -> Result<(Pairs, Pairs, f32)> {
    ensure!(
        !weighted || train.weights.is_some(),
        "weighted = true needs a rating or weight column, which this data does not have: \
         set weighted = false"
    );
    let by_user = Sparse::from_interactions(train, weighted);
    if weighted
        && let Some(sum) = by_user
            .values
            .iter()
            .find(|&&sum| !(sum > 0.0 && sum.is_finite()))
    {
        bail!("weighted = true needs weights above 0, and a pair has {sum}");
    }
    let total: f64 = by_user.values.iter().map(|&sum| f64::from(sum)).sum();
    let mean = if weighted && !by_user.is_empty() {
        total / by_user.len() as f64
    } else {
        1.0
    };
    let by_item = by_user.transposed(train.num_items);
    let pairs = |matrix: Sparse| Pairs {
        offsets: matrix.offsets,
        others: matrix.columns,
        roots: weighted.then(|| matrix.values.into_iter().map(f32::sqrt).collect()),
    };
    Ok((pairs(by_user), pairs(by_item), mean as f32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn train() -> Interactions {
        Interactions {
            offsets: vec![0, 3, 3, 5],
            items: vec![2, 0, 2, 1, 2],
            weights: Some(vec![1.0, 4.0, 3.0, 9.0, 1.0]),
            num_items: 4,
            ..Interactions::default()
        }
    }

    #[test]
    fn repeated_pairs_become_one() {
        let (by_user, by_item, mean) = both(&train(), false).unwrap();
        assert_eq!(by_user.offsets, [0, 2, 2, 4]);
        assert_eq!(by_user.others, [0, 2, 1, 2]);
        assert_eq!(by_item.offsets, [0, 1, 2, 4, 4]);
        assert_eq!(by_item.others, [0, 2, 0, 2]);
        assert!(by_user.roots.is_none() && by_item.roots.is_none() && mean == 1.0);
    }

    #[test]
    fn weights_of_a_pair_add_up() {
        let (by_user, by_item, mean) = both(&train(), true).unwrap();
        assert_eq!(by_user.roots, Some(vec![2.0, 2.0, 3.0, 1.0]));
        assert_eq!(by_item.roots, Some(vec![2.0, 3.0, 2.0, 1.0]));
        assert_eq!(mean, 18.0 / 4.0);
        let none = Interactions {
            weights: None,
            ..train()
        };
        let error = both(&none, true).unwrap_err().to_string();
        assert!(error.contains("weighted = false"), "{error}");
        let negative = Interactions {
            weights: Some(vec![-1.0; 5]),
            ..train()
        };
        assert!(both(&negative, true).is_err());
    }
}

//! The observed pairs, from either side.

use crate::data::interactions::Interactions;
use crate::kernels::als::Pairs;
use anyhow::{Result, ensure};

/// Each distinct pair once, by user and by item, and the mean of their
/// confidences: 1, or the sum of a pair's weights.
///
/// # Errors
/// Weights that are asked for and not there, or not above 0.
pub fn both(train: &Interactions, weighted: bool) -> Result<(Pairs, Pairs, f32)> {
    let weights = train.weights.as_deref().filter(|_| weighted);
    ensure!(
        !weighted || weights.is_some(),
        "weighted = true needs a rating or weight column, which this data does not have: \
         set weighted = false"
    );
    let mut by_user = Pairs {
        offsets: vec![0],
        others: Vec::with_capacity(train.len()),
        roots: weighted.then(|| Vec::with_capacity(train.len())),
    };
    let mut total = 0.0;
    let mut row: Vec<(u32, f32)> = Vec::new();
    for ends in train.offsets.windows(2) {
        let weight = |position: usize| weights.map_or(1.0, |w| w[position]);
        row.clear();
        row.extend((ends[0]..ends[1]).map(|p| (train.items[p], weight(p))));
        row.sort_by_key(|&(item, _)| item);
        for same in row.chunk_by(|a, b| a.0 == b.0) {
            by_user.others.push(same[0].0);
            if let Some(roots) = &mut by_user.roots {
                let sum: f32 = same.iter().map(|&(_, w)| w).sum();
                ensure!(
                    sum > 0.0 && sum.is_finite(),
                    "weighted = true needs weights above 0, and a pair has {sum}"
                );
                total += f64::from(sum);
                roots.push(sum.sqrt());
            }
        }
        by_user.offsets.push(by_user.others.len());
    }
    let mean = if weighted && !by_user.is_empty() {
        total / by_user.len() as f64
    } else {
        1.0
    };
    let by_item = transposed(&by_user, train.num_items);
    Ok((by_user, by_item, mean as f32))
}

fn transposed(pairs: &Pairs, num_others: usize) -> Pairs {
    let mut offsets = vec![0usize; num_others + 1];
    for &other in &pairs.others {
        offsets[other as usize + 1] += 1;
    }
    for row in 0..num_others {
        offsets[row + 1] += offsets[row];
    }
    let mut next = offsets.clone();
    let mut others = vec![0; pairs.len()];
    let mut roots = pairs.roots.as_ref().map(|_| vec![0.0; pairs.len()]);
    for (row, ends) in (0..).zip(pairs.offsets.windows(2)) {
        for position in ends[0]..ends[1] {
            let place = &mut next[pairs.others[position] as usize];
            others[*place] = row;
            if let (Some(to), Some(from)) = (&mut roots, &pairs.roots) {
                to[*place] = from[position];
            }
            *place += 1;
        }
    }
    Pairs {
        offsets,
        others,
        roots,
    }
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

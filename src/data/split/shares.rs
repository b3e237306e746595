//! How many of `total` belong to each part.

/// Train, validation and test counts by the rule of RecBole
/// (`Dataset._calcu_split_ids`): validation and test are rounded down and
/// train takes the rest; then a part that has a share but would stay empty,
/// because its share is worth less than one, takes one from train, test
/// before validation, as long as train keeps one.
///
/// ```
/// use recsys::data::split::share_counts;
/// assert_eq!(share_counts(20, [0.8, 0.1, 0.1]), [16, 2, 2]);
/// assert_eq!(share_counts(19, [0.8, 0.1, 0.1]), [17, 1, 1]);
/// assert_eq!(share_counts(5, [0.8, 0.1, 0.1]), [3, 1, 1]);
/// assert_eq!(share_counts(2, [0.8, 0.1, 0.1]), [1, 0, 1]);
/// assert_eq!(share_counts(1, [0.8, 0.1, 0.1]), [1, 0, 0]);
/// ```
pub fn share_counts(total: usize, ratios: [f64; 3]) -> [usize; 3] {
    let worth = |part: usize| ratios[part] * total as f64;
    let mut counts = [0, worth(1) as usize, worth(2) as usize];
    counts[0] = total.saturating_sub(counts[1] + counts[2]);
    for part in [2, 1] {
        if counts[0] <= 1 {
            break;
        }
        if worth(part) > 0.0 && worth(part) < 1.0 {
            counts[part] += 1;
            counts[0] -= 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counts_add_up_and_train_is_never_empty(total in 1usize..500, v in 0.0f64..0.4, t in 0.01f64..0.5) {
            let counts = share_counts(total, [1.0 - v - t, v, t]);
            prop_assert_eq!(counts.iter().sum::<usize>(), total);
            prop_assert!(counts[0] >= 1);
            prop_assert!(total < 2 || counts[2] >= 1);
        }
    }
}

//! The items that are ranked where not all are: given or sampled.

use super::EvaluationTask;
use super::roster::{Case, sorted};
use crate::seed::Rng;
use anyhow::{Result, ensure};

/// The held-out items of a user and the candidates beside them, distinct and
/// ascending; `None` ranks the whole catalog. A given list that holds the
/// user's own held-out item (156 do in the NCF data) counts it once.
///
/// Given candidates are ranked as they are, seen or not. Sampled ones are
/// neither seen nor held out; they depend on the seed and the user alone.
///
/// # Errors
/// A user without given candidates.
pub fn of(task: &EvaluationTask<'_>, case: &Case<'_>) -> Result<Option<Vec<u32>>> {
    let mut items = match (&task.set.candidates, task.options.sampled_negatives) {
        (Some(given), _) => {
            let given = given.items_of(case.user);
            ensure!(
                !given.is_empty(),
                "user index {} has held-out items and no given candidates",
                case.user.0
            );
            given.to_vec()
        }
        (None, Some(n)) => {
            let mut taken = sorted(case.query.history);
            taken.extend(&case.relevant);
            taken.sort_unstable();
            taken.dedup();
            let mut rng = task.seed.indexed("evaluation", u64::from(case.user.0));
            sample(&mut rng, &taken, task.set.targets.num_items as u32, n)
        }
        (None, None) => return Ok(None),
    };
    items.extend(&case.relevant);
    items.sort_unstable();
    items.dedup();
    Ok(Some(items))
}

/// `n` distinct items that are not `taken` (ascending, distinct), or all of
/// them where there are fewer.
fn sample(rng: &mut Rng, taken: &[u32], num_items: u32, n: usize) -> Vec<u32> {
    let free = num_items as usize - taken.len();
    if n >= free {
        return untaken(taken, num_items);
    }
    // Drawing until it fits takes at most a few tries an item while most of
    // the catalog is free and most of that stays free.
    if 2 * n > free || 2 * free < num_items as usize {
        let mut items = untaken(taken, num_items);
        rng.shuffle(&mut items);
        items.truncate(n);
        return items;
    }
    let mut drawn = std::collections::HashSet::with_capacity(n);
    let mut items = Vec::with_capacity(n);
    while items.len() < n {
        let item = rng.below(num_items);
        if taken.binary_search(&item).is_err() && drawn.insert(item) {
            items.push(item);
        }
    }
    items
}

fn untaken(taken: &[u32], num_items: u32) -> Vec<u32> {
    let free = |item: &u32| taken.binary_search(item).is_err();
    (0..num_items).filter(free).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn samples_are_distinct_untaken_and_as_many_as_there_are(
            taken in proptest::collection::btree_set(0u32..30, 0..30),
            n in 1usize..40,
            seed: u64,
        ) {
            let taken: Vec<u32> = taken.into_iter().collect();
            let mut rng = Seed(seed).stream("evaluation");
            let mut items = sample(&mut rng, &taken, 30, n);
            prop_assert_eq!(items.len(), n.min(30 - taken.len()));
            prop_assert!(items.iter().all(|i| *i < 30 && !taken.contains(i)));
            items.sort_unstable();
            items.dedup();
            prop_assert_eq!(items.len(), n.min(30 - taken.len()));
        }
    }

    #[test]
    fn samples_are_uniform_over_free_items() {
        let mut counts = [0u32; 10];
        for seed in 0..3000 {
            let mut rng = Seed(seed).stream("evaluation");
            for item in sample(&mut rng, &[2, 7], 10, 2) {
                counts[item as usize] += 1;
            }
        }
        assert_eq!((counts[2], counts[7]), (0, 0));
        let rest = counts.iter().filter(|c| **c > 0);
        assert!(rest.clone().all(|c| (660..840).contains(c)), "{counts:?}");
    }
}

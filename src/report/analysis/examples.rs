//! A few users with what they liked and what they are recommended.

use super::{Material, Subject};
use crate::evaluation::relevant_of;
use crate::ids::UserIdx;
use crate::metrics::MetricSpec;
use serde::{Deserialize, Serialize};

/// A user by the names of things.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// External id.
    pub user: String,
    /// Of the metric that stands for the others.
    pub value: Option<f64>,
    /// The latest items, the latest first.
    pub history: Vec<String>,
    pub history_length: usize,
    pub recommended: Vec<Listed>,
    pub held_out: Vec<HeldOut>,
    pub held_out_length: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    pub title: String,
    pub hit: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    pub title: String,
    /// Its rank in the list, 1-based; absent where the list ends before it.
    pub rank: Option<usize>,
}

const USERS: usize = 10;
const TITLES: usize = 10;

/// Users that are drawn from those with kept lists; the same for every model
/// on the same split.
pub fn examples(
    material: &Material<'_>,
    of_model: &Subject<'_>,
    headline: Option<MetricSpec>,
) -> Vec<Example> {
    let lists = of_model.lists;
    let mut numbers: Vec<usize> = (0..lists.places.len()).collect();
    material.seed.stream("examples").shuffle(&mut numbers);
    numbers.truncate(USERS);
    let example = |number: usize| {
        let place = lists.places[number] as usize;
        let name = headline.map(|m| m.to_string()).unwrap_or_default();
        Example {
            value: of_model.column(&name).map(|values| values[place]),
            ..user(material, material.evaluated[place], &lists.items[number])
        }
    };
    numbers.into_iter().map(example).collect()
}

fn user(material: &Material<'_>, user: UserIdx, list: &[u32]) -> Example {
    let history = material.set.history.items_of(user);
    let (relevant, _) = relevant_of(material.set, user, material.mask_seen);
    let latest = history.iter().rev().take(TITLES);
    let listed = |&item: &u32| Listed {
        title: material.item_name(item),
        hit: relevant.binary_search(&item).is_ok(),
    };
    let mut held_out: Vec<HeldOut> = relevant
        .iter()
        .map(|item| HeldOut {
            title: material.item_name(*item),
            rank: list.iter().position(|i| i == item).map(|rank| rank + 1),
        })
        .collect();
    held_out.sort_by_key(|h| h.rank.unwrap_or(usize::MAX));
    held_out.truncate(TITLES);
    Example {
        user: material.users.external(user.0).into_owned(),
        value: None,
        history: latest.map(|&item| material.item_name(item)).collect(),
        history_length: history.len(),
        recommended: list.iter().take(TITLES).map(listed).collect(),
        held_out,
        held_out_length: relevant.len(),
    }
}

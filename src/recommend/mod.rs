//! From external user ids or histories to ranked external item ids.
//!
//! All that a run knows of a user counts as history here, the held-out
//! interactions too: a recommendation is for tomorrow, not for the test.

mod filter;

pub use filter::{Filter, allowed};

use crate::data::interactions::Interactions;
use crate::data::split::Split;
use crate::data::times::Times;
use crate::ids::UserIdx;
use crate::model::Query;
use crate::ranking::{Ranker, RankingOptions, Request, TILE_BYTES};
use crate::run_dir::RunData;
use anyhow::{Context, Result, bail};
use rayon::prelude::*;

/// How many ids to offer for one that is unknown.
const NEAREST: usize = 3;

/// One line of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Recommendation {
    /// 1-based.
    pub rank: usize,
    pub item_id: String,
    pub title: Option<String>,
    pub score: f32,
}

/// Somebody to recommend to, and by which name to call them.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    /// External id; absent for a history that was typed in.
    pub user_id: Option<String>,
    pub user: Option<UserIdx>,
    /// Whose features count, of somebody the data name.
    pub profile: Option<UserIdx>,
    /// Dense item indices, the latest last.
    pub history: Vec<u32>,
    /// When each of them happened, where that is known.
    pub times: Option<Times>,
}

/// What holds for all lists of one call.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    pub model_name: &'a str,
    pub k: usize,
    /// Whether items of the history may be recommended again.
    pub include_seen: bool,
    /// Unix seconds of the request; without them, that of the last item.
    pub at: Option<i64>,
    /// One flag for each item of the catalog.
    pub allowed: &'a [bool],
}

/// What a run knows of its users.
pub struct Known<'a> {
    data: &'a RunData,
    histories: Interactions,
}

impl<'a> Known<'a> {
    pub fn new(data: &'a RunData) -> Self {
        Self {
            data,
            histories: all_known(&data.split),
        }
    }

    /// A user by external id.
    ///
    /// # Errors
    /// An unknown id, with the nearest ones.
    pub fn user(&self, id: &str) -> Result<Person> {
        let users = &self.data.users;
        let Some(idx) = users.get(id) else {
            bail!(
                "unknown user `{id}`; the nearest ids are {}. For somebody whom the training \
                 never saw, use --history",
                users.nearest(id, NEAREST).join(", ")
            );
        };
        Ok(self.person(UserIdx(idx)))
    }

    /// Every user.
    pub fn users(&self) -> Vec<Person> {
        (0..self.data.users.len() as u32)
            .map(|u| self.person(UserIdx(u)))
            .collect()
    }

    fn person(&self, user: UserIdx) -> Person {
        let trained = !self.data.split.train.items_of(user).is_empty();
        Person {
            user_id: Some(self.data.users.external(user.0).into_owned()),
            user: trained.then_some(user),
            profile: Some(user),
            history: self.histories.items_of(user).to_vec(),
            times: self.histories.times_of(user).map(|t| t.iter().collect()),
        }
    }

    /// Somebody known only by the items they liked, the latest last, and
    /// what to tell about the items that are unknown.
    ///
    /// # Errors
    /// No known item among them.
    pub fn history(&self, ids: &[impl AsRef<str>]) -> Result<(Person, Vec<String>)> {
        let items = &self.data.items;
        let mut history = Vec::new();
        let mut unknown = Vec::new();
        for id in ids.iter().map(AsRef::as_ref) {
            match items.get(id) {
                Some(idx) => history.push(idx),
                None => unknown.push(format!(
                    "unknown item `{id}`; the nearest ids are {}",
                    items.nearest(id, NEAREST).join(", ")
                )),
            }
        }
        if history.is_empty() {
            bail!("the history has no known item: {}", unknown.join("; "));
        }
        let person = Person {
            user_id: None,
            user: None,
            profile: None,
            history,
            times: None,
        };
        Ok((person, unknown))
    }

    /// Ranks items for each person.
    ///
    /// # Errors
    /// Somebody new with a model that serves only known users.
    pub fn recommend(
        &self,
        ranker: &Ranker<'_>,
        people: &[Person],
        options: &Options<'_>,
    ) -> Result<Vec<Vec<Recommendation>>> {
        if let Some(new) = people.iter().find(|p| p.user.is_none()) {
            ranker
                .model()
                .serves_new_users()
                .with_context(|| match &new.user_id {
                    Some(id) => format!("user `{id}` has no training interactions"),
                    None => "a history alone is not enough here".to_string(),
                })?;
        }
        let requests: Vec<_> = people.iter().map(|p| request(p, options)).collect();
        let ranking = RankingOptions {
            model_name: options.model_name,
            k: options.k,
            allowed: Some(options.allowed),
            seen: None,
            tile_bytes: TILE_BYTES,
        };
        let lists = ranker.rank(&requests, &ranking)?;
        Ok(lists
            .par_iter()
            .map(|list| {
                let lines = list.items.iter().zip(&list.scores).zip(1..);
                let line = |((item, score), rank): ((&u32, &f32), usize)| Recommendation {
                    rank,
                    item_id: self.data.items.external(*item).into_owned(),
                    title: self.data.item_title(*item).map(str::to_string),
                    score: *score,
                };
                lines.map(line).collect()
            })
            .collect())
    }
}

fn request<'a>(person: &'a Person, options: &Options<'_>) -> Request<'a> {
    Request {
        query: Query {
            user: person.user,
            history: &person.history,
            times: person.times.as_ref().map(|t| t.view(0..t.len())),
            at: options.at,
            profile: person.profile,
        },
        masked: if options.include_seen {
            &[]
        } else {
            person.history.as_slice()
        },
    }
}

/// Each user's interactions of all parts, in time order where there is time.
fn all_known(split: &Split) -> Interactions {
    let (before, held_out) = (&*split.test.history, &split.test.targets);
    let mut all = Interactions {
        offsets: vec![0],
        num_items: before.num_items,
        ..Interactions::default()
    };
    let timed = before.timestamps.is_some() && held_out.timestamps.is_some();
    let mut times = Vec::new();
    for user in (0..before.num_users() as u32).map(UserIdx) {
        let rows = [before, held_out].into_iter().flat_map(|log| {
            let range = log.range(user);
            range.map(|i| (log.timestamps.as_ref().map_or(0, |t| t.at(i)), log.items[i]))
        });
        let mut rows: Vec<(i64, u32)> = rows.collect();
        rows.sort_by_key(|(time, _)| *time);
        all.items.extend(rows.iter().map(|(_, item)| item));
        all.offsets.push(all.items.len());
        if timed {
            times.extend(rows.iter().map(|(time, _)| time));
        }
    }
    all.timestamps = timed.then(|| times.into());
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::split::{EvalSet, SplitProtocol};

    #[test]
    fn what_is_known_is_in_time_order_over_all_parts() {
        let log = |offsets: &[usize], items: &[u32], times: &[i64]| Interactions {
            offsets: offsets.to_vec(),
            items: items.to_vec(),
            timestamps: Some(times.to_vec().into()),
            num_items: 9,
            ..Interactions::default()
        };
        let split = Split {
            train: log(&[0, 1, 1], &[4], &[10]).into(),
            validation: None,
            test: EvalSet {
                history: log(&[0, 2, 2], &[4, 5], &[10, 30]).into(),
                targets: log(&[0, 1, 2], &[6, 7], &[20, 1]),
                candidates: None,
            },
            protocol: SplitProtocol::default(),
        };
        let all = all_known(&split);
        assert_eq!(all.items_of(UserIdx(0)), [4, 6, 5]);
        assert_eq!(all.items_of(UserIdx(1)), [7]);
    }
}

//! A metric by groups of users.

use super::groups::{Division, Group, Grouping};
use super::intervals::Moments;
use super::{Material, Subject};
use crate::ids::UserIdx;

/// By activity, by whether the training knew them, and by each feature.
pub fn groupings(material: &Material<'_>, subjects: &[Subject<'_>], metric: &str) -> Vec<Grouping> {
    let users = material.evaluated;
    let columns: Vec<_> = subjects
        .iter()
        .map(|s| s.column(metric).filter(|v| v.len() == users.len()))
        .collect();
    let mut divisions = vec![activity(material, users), known(material)];
    divisions.extend(Division::by_table(material.user_features));
    let grouped = divisions.iter().map(|division| Grouping {
        title: division.title.clone(),
        measure: metric.to_string(),
        unit: "users".to_string(),
        groups: groups(division, users, &columns),
    });
    grouped.collect()
}

fn activity(material: &Material<'_>, users: &[UserIdx]) -> Division {
    let history = &material.set.history;
    let count = |u: u32| history.range(UserIdx(u)).len() as f64;
    let counts: Vec<f64> = (0..history.num_users() as u32).map(count).collect();
    Division::quantiles(
        "activity (items in history)",
        &counts,
        users.iter().map(|u| u.0),
    )
}

fn known(material: &Material<'_>) -> Division {
    let train = material.train;
    let bit = |u: u32| 1 << usize::from(train.range(UserIdx(u)).is_empty());
    let groups = (0..train.num_users() as u32).map(bit).collect();
    let labels = ["in training", "new (cold)"];
    Division::new("known or new", &labels, groups)
}

/// The groups that anybody belongs to.
fn groups(division: &Division, users: &[UserIdx], columns: &[Option<&[f64]>]) -> Vec<Group> {
    let mut counts = vec![0; division.labels.len()];
    let mut moments = vec![vec![Moments::default(); columns.len()]; counts.len()];
    for (place, user) in users.iter().enumerate() {
        for group in division.of(user.0) {
            counts[group] += 1;
            for (moments, column) in moments[group].iter_mut().zip(columns) {
                moments.add(column.map_or(f64::NAN, |c| c[place]));
            }
        }
    }
    let made = division.labels.iter().zip(counts).zip(moments);
    made.filter(|((_, count), _)| *count > 0)
        .map(|((label, count), moments)| {
            let interval = moments[0].interval();
            Group {
                label: label.clone(),
                count,
                values: moments.iter().map(Moments::mean).collect(),
                low: interval.map(|[low, _]| low),
                high: interval.map(|[_, high]| high),
            }
        })
        .collect()
}

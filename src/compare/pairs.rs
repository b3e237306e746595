//! Differences of users between two entries.

use super::entry::{Entry, RunScores};
use crate::ids::ExternalIds;
use crate::metrics::MetricSpec;
use crate::stats;
use anyhow::{Result, ensure};
use std::collections::HashMap;

/// One column a metric, one row a user.
pub struct Differences {
    pub columns: Vec<Vec<f64>>,
    /// Of each metric, the mean over users of the second entry and of the
    /// first, over the users that have a value in both.
    pub means: Vec<(f64, f64)>,
}

impl Differences {
    /// `entry` less `against`.
    ///
    /// # Errors
    /// Runs on one split that were judged on different users.
    pub fn new(against: &Entry, entry: &Entry, metrics: &[MetricSpec]) -> Result<Self> {
        let mut table = Table::default();
        for split in against.splits() {
            let of = |e: &Entry| -> Result<Scored> {
                let runs = e.runs.iter().filter(|r| r.exam.is(split)).cloned();
                Scored::mean_of(&runs.collect::<Vec<_>>(), metrics)
            };
            let (first, second) = (of(against)?, of(entry)?);
            ensure!(
                first.users == second.users && first.held_out == second.held_out,
                "{} and {} were judged on different users",
                against.name,
                entry.name
            );
            table.add(&first, &second);
        }
        Ok(table.finish(metrics.len()))
    }

    pub fn users(&self) -> usize {
        self.columns.first().map_or(0, Vec::len)
    }
}

/// Users' scores by runs on one split, averaged.
struct Scored {
    users: ExternalIds,
    held_out: Vec<u32>,
    columns: Vec<Vec<f64>>,
}

impl Scored {
    fn mean_of(runs: &[RunScores], metrics: &[MetricSpec]) -> Result<Self> {
        let first = &runs[0].scores;
        for run in &runs[1..] {
            ensure!(
                run.scores.users == first.users && run.scores.held_out == first.held_out,
                "{} and {} were judged on different users",
                runs[0].path.display(),
                run.path.display()
            );
        }
        let column = |metric: &MetricSpec| {
            let name = metric.to_string();
            let of_runs: Vec<&[f64]> = runs.iter().filter_map(|r| r.scores.get(&name)).collect();
            let value = |user: usize| {
                let sum: f64 = of_runs.iter().map(|c| c[user]).sum();
                sum / of_runs.len() as f64
            };
            (0..first.held_out.len()).map(value).collect()
        };
        Ok(Self {
            columns: metrics.iter().map(column).collect(),
            users: first.users.clone(),
            held_out: first.held_out.clone(),
        })
    }

    fn id(&self, user: usize) -> String {
        match &self.users {
            ExternalIds::Int(ids) => ids[user].to_string(),
            ExternalIds::Str(ids) => ids[user].clone(),
        }
    }
}

/// Sums over splits: one row a user, in the order of their first appearance.
#[derive(Default)]
struct Table {
    rows: HashMap<String, usize>,
    /// Of each user and metric: scores of the first and of the second entry,
    /// and on how many splits there were both.
    cells: Vec<Vec<(f64, f64, f64)>>,
}

impl Table {
    fn add(&mut self, first: &Scored, second: &Scored) {
        for user in 0..first.held_out.len() {
            let next = self.rows.len();
            let row = *self.rows.entry(first.id(user)).or_insert(next);
            if row == self.cells.len() {
                self.cells.push(vec![(0.0, 0.0, 0.0); first.columns.len()]);
            }
            let columns = first.columns.iter().zip(&second.columns);
            for (cell, (a, b)) in self.cells[row].iter_mut().zip(columns) {
                let (a, b) = (a[user], b[user]);
                if !a.is_nan() && !b.is_nan() {
                    *cell = (cell.0 + a, cell.1 + b, cell.2 + 1.0);
                }
            }
        }
    }

    fn finish(&self, metrics: usize) -> Differences {
        let column = |m: usize, of: fn(&(f64, f64, f64)) -> f64| -> Vec<f64> {
            self.cells.iter().map(|row| of(&row[m])).collect()
        };
        // 0 / 0 is NaN: a user without a value.
        let columns = (0..metrics).map(|m| column(m, |c| (c.1 - c.0) / c.2));
        let means = (0..metrics).map(|m| {
            let (first, second) = (column(m, |c| c.0 / c.2), column(m, |c| c.1 / c.2));
            (stats::mean(&second), stats::mean(&first))
        });
        Differences {
            columns: columns.collect(),
            means: means.collect(),
        }
    }
}

//! `--fail-below`: what figures must reach, for checks that run by themselves.

use super::Entry;
use crate::metrics::{Direction, MetricSpec};
use anyhow::{Context, Result, ensure};
use std::fmt;
use std::str::FromStr;

/// `ndcg@10=0.3`: every run that is compared with the first (or the only one)
/// must reach that mean. `ndcg@10=-2%`: it must not fall short of the first
/// by more. For metrics of which less is better, reaching is staying below.
#[derive(Clone, Debug)]
pub struct Limit {
    metric: MetricSpec,
    bound: Bound,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    Value(f64),
    /// Share of the first's value by which it may be worse.
    Loss(f64),
}

impl FromStr for Limit {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (metric, bound) = text.split_once('=').context(
            "expected METRIC=VALUE or METRIC=-PERCENT%, e.g. `ndcg@10=0.3` or `ndcg@10=-2%`",
        )?;
        let number = |text: &str| -> Result<f64> {
            let number: f64 = text
                .trim()
                .parse()
                .with_context(|| format!("`{text}` is no number"))?;
            ensure!(number.is_finite(), "`{text}` is no limit");
            Ok(number)
        };
        let bound = match bound.trim().strip_suffix('%') {
            None => Bound::Value(number(bound)?),
            Some(percent) => {
                let percent = number(percent)?;
                ensure!(
                    percent <= 0.0,
                    "a share of the first run is a loss that is allowed: write `-2%`, not `{percent}%`"
                );
                Bound::Loss(-percent / 100.0)
            }
        };
        Ok(Self {
            metric: MetricSpec::parse(metric)?,
            bound,
        })
    }
}

/// A figure that falls short.
#[derive(Clone, Debug, PartialEq)]
pub struct Unmet {
    pub entry: String,
    pub metric: String,
    pub value: f64,
    pub limit: f64,
    direction: Direction,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.direction {
            Direction::HigherIsBetter => "below",
            Direction::LowerIsBetter => "above",
        };
        write!(
            f,
            "{}: {} {:.4} is {side} the limit {:.4}",
            self.entry, self.metric, self.value, self.limit
        )
    }
}

impl Limit {
    /// What falls short among the entries after the first (or the only one).
    ///
    /// # Errors
    /// A metric that a report lacks; a share of the first run without another.
    pub fn unmet(&self, entries: &[Entry]) -> Result<Vec<Unmet>> {
        let metric = self.metric.to_string();
        let value = |entry: &Entry| {
            entry.mean(&metric).with_context(|| {
                format!(
                    "the report of {} has no `{metric}` to hold against a limit",
                    entry.name
                )
            })
        };
        let judged = if entries.len() > 1 {
            &entries[1..]
        } else {
            entries
        };
        let direction = self.metric.direction();
        let limit = match self.bound {
            Bound::Value(value) => value,
            Bound::Loss(share) => {
                ensure!(
                    entries.len() > 1,
                    "a limit in % needs a first run to compare with"
                );
                let first = value(&entries[0])?;
                match direction {
                    Direction::HigherIsBetter => first - share * first.abs(),
                    Direction::LowerIsBetter => first + share * first.abs(),
                }
            }
        };
        let mut unmet = Vec::new();
        for entry in judged {
            let value = value(entry)?;
            if direction.is_better(limit, value) {
                unmet.push(Unmet {
                    entry: entry.name.clone(),
                    metric: metric.clone(),
                    value,
                    limit,
                    direction,
                });
            }
        }
        Ok(unmet)
    }
}

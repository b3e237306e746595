//! The values behind the means, user by user, as Parquet: what tests of
//! significance work on, here and in other tools.

use crate::evaluation::PerUser;
use crate::fsio;
use crate::ids::{ExternalIds, IdMap};
use anyhow::{Context, Result, bail, ensure};
use polars::prelude::*;
use std::path::Path;

/// Names of the columns before those of the metrics.
const USER: &str = "user";
const HELD_OUT: &str = "held_out";

/// One row a user, in the order of dense indices.
#[derive(Clone, Debug, PartialEq)]
pub struct UserScores {
    pub users: ExternalIds,
    /// Number of held-out items of each user.
    pub held_out: Vec<u32>,
    /// Of each metric with a value a user; NaN (null in the file) where a
    /// user has none.
    pub metrics: Vec<(String, Vec<f64>)>,
}

impl UserScores {
    pub fn new(scores: &PerUser, ids: &IdMap) -> Self {
        let rows = scores.users.iter().map(|u| u.0 as usize);
        let users = match ids.external_ids() {
            ExternalIds::Int(all) => ExternalIds::Int(rows.map(|u| all[u]).collect()),
            ExternalIds::Str(all) => ExternalIds::Str(rows.map(|u| all[u].clone()).collect()),
        };
        Self {
            users,
            held_out: scores.held_out.clone(),
            metrics: scores.values.clone(),
        }
    }

    /// The values of a metric.
    pub fn get(&self, metric: &str) -> Option<&[f64]> {
        let found = self.metrics.iter().find(|(name, _)| name == metric);
        found.map(|(_, values)| values.as_slice())
    }

    /// These columns, and those of an earlier evaluation of the same users
    /// that this one did not compute.
    pub fn with_columns_of(mut self, earlier: Self) -> Self {
        if earlier.users == self.users && earlier.held_out == self.held_out {
            let new = |(name, _): &(String, Vec<f64>)| self.get(name).is_none();
            let kept: Vec<_> = earlier.metrics.into_iter().filter(new).collect();
            self.metrics.extend(kept);
        }
        self
    }

    /// # Errors
    /// A disk that is full or not writable.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut columns = vec![match &self.users {
            ExternalIds::Int(ids) => Column::new(USER.into(), ids),
            ExternalIds::Str(ids) => Column::new(USER.into(), ids),
        }];
        columns.push(Column::new(HELD_OUT.into(), &self.held_out));
        for (name, values) in &self.metrics {
            let values: Float64Chunked =
                values.iter().map(|v| (!v.is_nan()).then_some(*v)).collect();
            columns.push(values.with_name(name.as_str().into()).into_column());
        }
        let mut frame = DataFrame::new(self.held_out.len(), columns)?;
        fsio::write_atomic(path, |w| {
            ParquetWriter::new(w).finish(&mut frame)?;
            Ok(())
        })
    }

    /// # Errors
    /// A file that is missing, damaged or of another kind.
    pub fn read(path: &Path) -> Result<Self> {
        let read = || -> Result<Self> {
            let frame = ParquetReader::new(std::fs::File::open(path)?).finish()?;
            let mut scores = Self {
                users: ids(frame.column(USER)?)?,
                held_out: frame.column(HELD_OUT)?.u32()?.into_no_null_iter().collect(),
                metrics: Vec::new(),
            };
            for column in frame.columns() {
                let name = column.name().as_str();
                if name != USER && name != HELD_OUT {
                    let values = column.f64()?.iter().map(|v| v.unwrap_or(f64::NAN));
                    scores.metrics.push((name.to_string(), values.collect()));
                }
            }
            Ok(scores)
        };
        read().with_context(|| format!("cannot read {}", path.display()))
    }
}

fn ids(column: &Column) -> Result<ExternalIds> {
    ensure!(column.null_count() == 0, "a user id is missing");
    Ok(match column.dtype() {
        DataType::Int64 => ExternalIds::Int(column.i64()?.into_no_null_iter().collect()),
        DataType::String => {
            ExternalIds::Str(column.str()?.iter().flatten().map(str::to_string).collect())
        }
        other => bail!("ids of type {other} are not known here"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::UserIdx;

    fn scores(metric: &str) -> UserScores {
        let per_user = PerUser {
            users: vec![UserIdx(0), UserIdx(2)],
            held_out: vec![3, 1],
            values: vec![(metric.to_string(), vec![0.1 + 0.2, f64::NAN])],
        };
        let ids = IdMap::new(ExternalIds::Str(vec!["a".into(), "b".into(), "ü".into()]));
        UserScores::new(&per_user, &ids)
    }

    #[test]
    fn scores_come_back_to_the_bit_and_nothing_stays_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("test.parquet");
        scores("ndcg@10").write(&path).unwrap();
        let back = UserScores::read(&path).unwrap();
        assert_eq!(back.users, ExternalIds::Str(vec!["a".into(), "ü".into()]));
        assert_eq!(back.held_out, [3, 1]);
        let values = back.get("ndcg@10").unwrap();
        assert_eq!(values[0].to_bits(), (0.1f64 + 0.2).to_bits());
        assert!(values[1].is_nan());
        std::fs::write(&path, "half").unwrap();
        let error = format!("{:#}", UserScores::read(&path).unwrap_err());
        assert!(error.contains("test.parquet"), "{error}");
    }

    #[test]
    fn columns_of_the_same_users_are_kept() {
        let both = scores("auc").with_columns_of(scores("ndcg@10"));
        assert!(both.get("auc").is_some() && both.get("ndcg@10").is_some());
        let mut others = scores("ndcg@10");
        others.held_out[0] = 9;
        assert!(
            scores("auc")
                .with_columns_of(others)
                .get("ndcg@10")
                .is_none()
        );
    }
}

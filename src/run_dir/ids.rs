//! External ids as Parquet, for this program and for others.

use crate::data::features::FeatureTable;
use crate::fsio;
use crate::ids::{ExternalIds, IdMap};
use anyhow::{Context, Result, bail, ensure};
use polars::prelude::*;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

fn file(run: &Path, kind: &str) -> PathBuf {
    run.join(format!("{kind}.parquet"))
}

/// Writes `id` and, where there is one, `title`; row `i` is dense index `i`.
pub(super) fn write(
    run: &Path,
    kind: &str,
    ids: &IdMap,
    features: Option<&FeatureTable>,
) -> Result<()> {
    let id = match ids.external_ids() {
        ExternalIds::Int(v) => Column::new("id".into(), v),
        ExternalIds::Str(v) => Column::new("id".into(), v),
    };
    let mut columns = vec![id];
    if let Some(table) = features.filter(|f| f.title.is_some()) {
        let titles: Vec<Option<&str>> = (0..ids.len() as u32).map(|i| table.title_of(i)).collect();
        columns.push(Column::new("title".into(), titles));
    }
    let mut frame = DataFrame::new(ids.len(), columns)?;
    fsio::write_atomic(&file(run, kind), |w| {
        ParquetWriter::new(w).finish(&mut frame)?;
        Ok(())
    })
}

pub(super) fn read(run: &Path, kind: &str) -> Result<IdMap> {
    let path = file(run, kind);
    let read = || -> Result<IdMap> {
        let frame = ParquetReader::new(std::fs::File::open(&path)?)
            .with_columns(Some(vec!["id".into()]))
            .finish()?;
        let column = frame.column("id")?;
        ensure!(column.null_count() == 0, "an id is missing");
        Ok(IdMap::new(distinct(values(column)?)?))
    };
    read().with_context(|| format!("cannot read {}", path.display()))
}

fn values(column: &Column) -> Result<ExternalIds> {
    Ok(match column.dtype() {
        DataType::Int64 => ExternalIds::Int(column.i64()?.into_no_null_iter().collect()),
        DataType::String => {
            ExternalIds::Str(column.str()?.iter().flatten().map(str::to_string).collect())
        }
        other => bail!("ids of type {other} are not known here"),
    })
}

/// What a damaged file could hold twice must not reach the map, which takes
/// that for a mistake of ours.
fn distinct(ids: ExternalIds) -> Result<ExternalIds> {
    let (len, distinct) = match &ids {
        ExternalIds::Int(v) => (v.len(), v.iter().collect::<HashSet<_>>().len()),
        ExternalIds::Str(v) => (v.len(), v.iter().collect::<HashSet<_>>().len()),
    };
    ensure!(len == distinct, "an id stands there twice");
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for ids in [
            ExternalIds::Int(vec![7, -1, 3]),
            ExternalIds::Str(vec!["b".into(), "ä".into()]),
        ] {
            write(dir.path(), "users", &IdMap::new(ids.clone()), None).unwrap();
            assert_eq!(read(dir.path(), "users").unwrap().external_ids(), &ids);
        }
    }

    #[test]
    fn a_truncated_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let ids = IdMap::new(ExternalIds::Int((0..100).collect()));
        write(dir.path(), "users", &ids, None).unwrap();
        let path = file(dir.path(), "users");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let error = format!("{:#}", read(dir.path(), "users").unwrap_err());
        assert!(error.contains("users.parquet"), "{error}");
    }
}

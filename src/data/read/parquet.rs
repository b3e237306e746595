//! Parquet through polars, a slice of rows at a time.

use crate::data::clean::Malformed;
use crate::data::read::cell::Cell;
use crate::data::read::schema::Header;
use crate::data::read::table::{BadRows, RowSink};
use anyhow::{Context, Result, bail};
use polars::prelude::*;
use std::fs::File;
use std::path::Path;

/// Bounds what is decoded at a time.
const SLICE: usize = 1 << 22;

/// Reads a Parquet file into `sink`; the number of malformed rows that were
/// dropped.
///
/// # Errors
/// As [`super::table::read_table`], with 1-based rows instead of lines.
pub fn read(path: &Path, malformed: Malformed, sink: &mut dyn RowSink) -> Result<usize> {
    let inner = || -> Result<(Header, usize)> {
        let mut reader = ParquetReader::new(File::open(path)?);
        let schema = reader.schema()?;
        let names: Vec<String> = schema.iter_names().map(ToString::to_string).collect();
        let mut header = Header::new(path, names.len());
        header.names = Some(names);
        Ok((header, reader.num_rows()?))
    };
    let (header, rows) = inner().with_context(|| format!("cannot read {}", path.display()))?;
    let wanted = sink.begin(&header)?;
    let mut bad = BadRows::new(path, malformed, "row");
    let names = header.names.unwrap_or_default();
    let selected: Vec<String> = wanted.iter().map(|&i| names[i].clone()).collect();
    for start in (0..rows).step_by(SLICE) {
        let frame = slice(path, &selected, start)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let columns: Vec<Values> = selected
            .iter()
            .map(|name| Values::new(frame.column(name)?.as_materialized_series()))
            .collect::<Result<_>>()
            .with_context(|| format!("cannot read {}", path.display()))?;
        let mut cells = vec![Cell::Null; columns.len()];
        for row in 0..frame.height() {
            for (cell, column) in cells.iter_mut().zip(&columns) {
                *cell = column.cell(row);
            }
            bad.note(start + row + 1, sink.row(&cells)?);
        }
    }
    bad.finish()
}

fn slice(path: &Path, columns: &[String], start: usize) -> Result<DataFrame> {
    let mut distinct = columns.to_vec();
    distinct.sort();
    distinct.dedup();
    Ok(ParquetReader::new(File::open(path)?)
        .with_columns(Some(distinct))
        .with_slice(Some((start, SLICE)))
        .finish()?)
}

/// A column in one of the forms that a cell has.
enum Values {
    Int(Int64Chunked),
    Float(Float64Chunked),
    Seconds(Int64Chunked),
    Str(StringChunked),
    Null,
}

impl Values {
    fn new(series: &Series) -> Result<Self> {
        let name = series.name();
        let values = match series.dtype() {
            DataType::Null => Self::Null,
            dtype if dtype.is_integer() => match series.strict_cast(&DataType::Int64) {
                Ok(s) => Self::Int(s.i64()?.rechunk().into_owned()),
                Err(_) => Self::text(series)?,
            },
            DataType::Boolean => {
                Self::Int(series.cast(&DataType::Int64)?.i64()?.rechunk().into_owned())
            }
            dtype if dtype.is_float() => Self::Float(
                series
                    .cast(&DataType::Float64)?
                    .f64()?
                    .rechunk()
                    .into_owned(),
            ),
            DataType::Date => Self::seconds(series, 1, 86_400)?,
            DataType::Datetime(unit, _) => Self::seconds(series, per_second(*unit), 1)?,
            DataType::String | DataType::Categorical(..) => Self::text(series)?,
            other => {
                bail!("column `{name}` has type {other}, which is no id, number, time or text")
            }
        };
        Ok(values)
    }

    fn text(series: &Series) -> Result<Self> {
        let text = series.cast(&DataType::String)?;
        Ok(Self::Str(text.str()?.rechunk().into_owned()))
    }

    fn seconds(series: &Series, divisor: i64, factor: i64) -> Result<Self> {
        let raw = series.to_physical_repr().cast(&DataType::Int64)?;
        let seconds = raw
            .i64()?
            .rechunk()
            .apply_values(|v| v.div_euclid(divisor) * factor);
        Ok(Self::Seconds(seconds))
    }

    fn cell(&self, row: usize) -> Cell<'_> {
        let cell = match self {
            Self::Int(v) => v.get(row).map(Cell::Int),
            Self::Float(v) => v.get(row).map(Cell::Float),
            Self::Seconds(v) => v.get(row).map(Cell::Seconds),
            Self::Str(v) => v.get(row).map(Cell::Str),
            Self::Null => None,
        };
        cell.unwrap_or(Cell::Null)
    }
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Milliseconds => 1_000,
        TimeUnit::Microseconds => 1_000_000,
        TimeUnit::Nanoseconds => 1_000_000_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::config::DataConfig;
    use crate::event::Silent;

    fn write(dir: &Path, columns: Vec<Column>) {
        let height = columns[0].len();
        let mut frame = DataFrame::new(height, columns).unwrap();
        let file = File::create(dir.join("l.parquet")).unwrap();
        ParquetWriter::new(file).finish(&mut frame).unwrap();
    }

    fn read(dir: &Path, config: &str) -> Result<crate::data::Dataset> {
        let config: DataConfig = toml::from_str(config).unwrap();
        crate::data::read(&config, dir, &mut Silent)
    }

    #[test]
    fn typed_columns_become_ids_weights_and_times() {
        let dir = tempfile::tempdir().unwrap();
        let seconds = Series::new("timestamp".into(), [1_000_000i64, 2_500_000, -1])
            .cast(&DataType::Datetime(TimeUnit::Microseconds, None))
            .unwrap();
        write(
            dir.path(),
            vec![
                Column::new("item_id".into(), ["a", "b", "a"]),
                Column::new("unused".into(), [0.5f32; 3]),
                Column::new("user_id".into(), [7i32, 7, 9]),
                Column::new("rating".into(), [Some(4.5f64), Some(1.0), None]),
                seconds.into(),
            ],
        );
        let d = read(dir.path(), "path = 'l.parquet'").unwrap();
        assert_eq!(d.log.users, [0, 0]);
        assert_eq!(d.users.external(0), "7");
        assert_eq!(d.items.external(1), "b");
        assert_eq!(d.log.weights, Some(vec![4.5, 1.0]));
        assert_eq!(d.log.timestamps, Some(vec![1, 2]));
        assert!(d.cleaning[1].name.contains("1 with an empty cell"));
        let all = read(dir.path(), "path = 'l.parquet'\nrating = ''").unwrap();
        assert_eq!(all.log.timestamps, Some(vec![1, 2, -1]));
    }

    #[test]
    fn a_missing_column_and_a_broken_file_are_named() {
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            vec![
                Column::new("user_id".into(), [1i64]),
                Column::new("sku".into(), [1i64]),
            ],
        );
        let error = format!("{:#}", read(dir.path(), "path = 'l.parquet'").unwrap_err());
        assert!(error.contains("user_id, sku"), "{error}");
        std::fs::write(dir.path().join("l.parquet"), "no").unwrap();
        let error = format!("{:#}", read(dir.path(), "path = 'l.parquet'").unwrap_err());
        assert!(error.contains("l.parquet"), "{error}");
    }

    #[test]
    fn times_before_1970_are_rounded_down() {
        let days = Series::new("d".into(), [-1i32, 1])
            .cast(&DataType::Date)
            .unwrap();
        let values = Values::new(&days).unwrap();
        assert_eq!(values.cell(0), Cell::Seconds(-86_400));
        assert_eq!(values.cell(1), Cell::Seconds(86_400));
    }
}

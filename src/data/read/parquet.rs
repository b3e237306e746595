//! Parquet through polars, a slice of rows at a time.

use crate::data::clean::Malformed;
use crate::data::read::cell::Cell;
use crate::data::read::schema::Header;
use crate::data::read::table::{BadRows, Parallel, RowSink};
use anyhow::{Context, Result, bail};
use polars::prelude::*;
use rayon::prelude::*;
use std::fs::File;
use std::path::Path;

/// Rows that are decoded at a time, and the first of them.
const SLICE: usize = 1 << 18;
const FIRST: usize = 1 << 10;
/// Bounds the slices in memory on machines of many cores.
const MOST: usize = 16;

/// Reads a Parquet file into `sink`; the number of malformed rows that were
/// dropped.
///
/// # Errors
/// As [`super::table::read_table`], with 1-based rows instead of lines.
pub fn read(path: &Path, malformed: Malformed, sink: &mut dyn RowSink) -> Result<usize> {
    let (table, rows) = Table::open(path, sink)?;
    let mut bad = BadRows::new(path, malformed, "row");
    for start in (0..rows).step_by(SLICE) {
        table.deliver(start, SLICE.min(rows - start), &mut bad, sink)?;
    }
    bad.finish()
}

/// [`read`] on all cores; what comes of it is the same.
///
/// # Errors
/// As [`read`].
pub fn read_parallel<S: Parallel>(
    path: &Path,
    malformed: Malformed,
    sink: &mut S,
) -> Result<usize> {
    let (table, rows) = Table::open(path, sink)?;
    let mut bad = BadRows::new(path, malformed, "row");
    let mut start = 0;
    let mut len = FIRST;
    while start < rows {
        let mut parts = Vec::new();
        while parts.len() < rayon::current_num_threads().min(MOST) && start < rows {
            let Some(part) = sink.part().filter(|_| start > 0) else {
                break;
            };
            // Slices end where groups of rows usually do.
            len = (SLICE - start % SLICE).min(rows - start);
            parts.push((start, len, part));
            start += len;
        }
        if parts.is_empty() {
            len = len.min(rows - start);
            table.deliver(start, len, &mut bad, sink)?;
            start += len;
            continue;
        }
        let parse = |(start, len, mut part): (usize, usize, S::Part)| -> Result<_> {
            let mut bad = BadRows::new(path, malformed, "row");
            table.deliver(start, len, &mut bad, &mut part)?;
            Ok((part, bad))
        };
        let parsed: Vec<Result<_>> = parts.into_par_iter().map(parse).collect();
        for parsed in parsed {
            let (part, found) = parsed?;
            sink.join(part)?;
            bad.absorb(found, 0);
        }
    }
    bad.finish()
}

/// A file and the columns that are read of it.
struct Table<'a> {
    path: &'a Path,
    columns: Vec<String>,
}

impl<'a> Table<'a> {
    /// The table, and its number of rows.
    fn open(path: &'a Path, sink: &mut dyn RowSink) -> Result<(Self, usize)> {
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
        let names = header.names.unwrap_or_default();
        let columns = wanted.iter().map(|&i| names[i].clone()).collect();
        Ok((Self { path, columns }, rows))
    }

    /// Decodes some rows and gives them to `sink`.
    fn deliver(
        &self,
        start: usize,
        len: usize,
        bad: &mut BadRows<'_>,
        sink: &mut dyn RowSink,
    ) -> Result<()> {
        let decode = || -> Result<(usize, Vec<Values>)> {
            let frame = self.slice(start, len)?;
            let values = |name: &String| Values::new(frame.column(name)?.as_materialized_series());
            let columns = self.columns.iter().map(values).collect::<Result<_>>()?;
            Ok((frame.height(), columns))
        };
        let (height, columns) =
            decode().with_context(|| format!("cannot read {}", self.path.display()))?;
        let mut cells = vec![Cell::Null; columns.len()];
        for row in 0..height {
            for (cell, column) in cells.iter_mut().zip(&columns) {
                *cell = column.cell(row);
            }
            sink.at(start + row + 1);
            bad.note(start + row + 1, sink.row(&cells)?);
        }
        Ok(())
    }

    fn slice(&self, start: usize, len: usize) -> Result<DataFrame> {
        let mut distinct = self.columns.clone();
        distinct.sort();
        distinct.dedup();
        Ok(ParquetReader::new(File::open(self.path)?)
            .with_columns(Some(distinct))
            .with_slice(Some((start, len)))
            .finish()?)
    }
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
                Column::new("ware".into(), [1i64]),
            ],
        );
        let error = format!("{:#}", read(dir.path(), "path = 'l.parquet'").unwrap_err());
        assert!(error.contains("user_id, ware"), "{error}");
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

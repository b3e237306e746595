//! Any file as a table: a header, and rows of cells for whoever asked.

mod bad_rows;
mod blocks;

pub use bad_rows::BadRows;

use crate::data::clean::Malformed;
use crate::data::config::{Encoding, Format};
use crate::data::read::cell::Cell;
use crate::data::read::fields::{Quoted, Splitter};
use crate::data::read::records::Records;
use crate::data::read::schema::{Header, looks_like_header};
use crate::data::read::{files, parquet};
use anyhow::{Context, Result, bail, ensure};
use std::io::BufRead;
use std::path::Path;

/// How the config says that a file is laid out.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    pub format: Option<Format>,
    pub delimiter: Option<String>,
    pub header: Option<bool>,
    pub quote: Option<bool>,
    pub escape: Option<char>,
    pub encoding: Encoding,
    /// Whether the config names any column: then there must be a header.
    pub columns_by_name: bool,
    /// A first line with one of these names is a header.
    pub usual_names: Vec<&'static [&'static str]>,
    pub malformed: Malformed,
}

/// Takes the rows of one file.
pub trait RowSink {
    /// Chooses the columns that it wants, in the order that it wants them.
    ///
    /// # Errors
    /// A column is not there.
    fn begin(&mut self, header: &Header) -> Result<Vec<usize>>;

    /// Says at which line (or row) of the file the next row stands, to a sink
    /// that names places.
    fn at(&mut self, _line: usize) {}

    /// Takes one row; the inner result says what is wrong with it.
    ///
    /// # Errors
    /// What no other row can mend.
    fn row(&mut self, cells: &[Cell<'_>]) -> Result<Result<(), String>>;
}

/// A sink that can take the parts of a file side by side.
pub trait Parallel: RowSink + Sized {
    type Part: RowSink + Send;

    /// One that takes rows of the same file on its own; `None` as long as the
    /// rows so far do not say how to read the others.
    fn part(&self) -> Option<Self::Part>;

    /// Takes over what a part took, in the order of the file.
    ///
    /// # Errors
    /// What no other row can mend.
    fn join(&mut self, part: Self::Part) -> Result<()>;
}

/// [`read_table`] on all cores; what comes of it is the same.
///
/// # Errors
/// As [`read_table`].
pub fn read_table_parallel(
    path: &Path,
    layout: &Layout,
    sink: &mut impl Parallel,
) -> Result<usize> {
    let format = match layout.format {
        Some(format) => Some(format),
        None => guess_format(path)?,
    };
    match format {
        Some(Format::Parquet) => parquet::read_parallel(path, layout.malformed, sink),
        Some(Format::UserItems) => read_table(path, layout, sink),
        _ => {
            let mut table = Delimited::open(path, layout, format)?;
            let wanted = table.begin(sink)?;
            blocks::read(&mut table, &wanted, sink)?;
            table.bad.finish()
        }
    }
}

/// Reads a file into `sink`; the number of malformed rows that were dropped.
///
/// # Errors
/// The file, a column, or (where they are errors) a malformed row: file,
/// line, what is wrong, and how many more there are.
pub fn read_table(path: &Path, layout: &Layout, sink: &mut dyn RowSink) -> Result<usize> {
    let format = match layout.format {
        Some(format) => Some(format),
        None => guess_format(path)?,
    };
    if format == Some(Format::Parquet) {
        return parquet::read(path, layout.malformed, sink);
    }
    if format == Some(Format::UserItems) {
        let splitter = splitter(path, layout, format)?;
        let mut records = Records::open(path, layout.encoding, splitter)?;
        let mut bad = BadRows::new(path, layout.malformed, "line");
        read_user_items(path, &mut records, &mut bad, sink)?;
        return bad.finish();
    }
    let mut table = Delimited::open(path, layout, format)?;
    let wanted = table.begin(sink)?;
    table.rest(&wanted, sink)?;
    table.bad.finish()
}

/// Whether a line without usual names is more likely a header than data, which
/// nearly always have a number somewhere.
fn may_be_header(fields: &[&str], format: Option<Format>) -> bool {
    let number = |field: &&str| field.contains(|c: char| c.is_ascii_digit());
    format != Some(Format::Pairs) && fields.len() > 1 && !fields.iter().any(number)
}

fn guess_format(path: &Path) -> Result<Option<Format>> {
    Ok(match files::extension(path).as_str() {
        "parquet" | "pq" => Some(Format::Parquet),
        "inter" | "user" | "item" => {
            let first = first_line(path)?;
            // MovieLens has a `u.user` and a `u.item`, too.
            let recbole = first.split('\t').all(is_recbole_column);
            recbole.then_some(Format::Recbole)
        }
        _ => None,
    })
}

fn is_recbole_column(field: &str) -> bool {
    let kind = field.rsplit_once(':').map(|(_, kind)| kind.trim());
    kind.is_some_and(|k| ["token", "token_seq", "float", "float_seq"].contains(&k))
}

fn first_line(path: &Path) -> Result<String> {
    let mut line = Vec::new();
    files::open(path)?
        .read_until(b'\n', &mut line)
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&line).trim_end().to_string())
}

fn splitter(path: &Path, layout: &Layout, format: Option<Format>) -> Result<Splitter> {
    let delimiter = match (&layout.delimiter, format) {
        (Some(d), _) if d.is_empty() => bail!("an empty delimiter separates nothing"),
        (Some(d), _) => d.clone(),
        (None, Some(Format::UserItems | Format::Pairs)) => return Ok(Splitter::Whitespace),
        (None, Some(Format::Tsv | Format::Recbole)) => "\t".into(),
        (None, Some(_)) => ",".into(),
        (None, None) => sniff_delimiter(path)?,
    };
    let mut chars = delimiter.chars();
    let single = chars.next().filter(|_| chars.next().is_none());
    let csv = match format {
        Some(format) => format == Format::Csv,
        None => matches!(single, Some(',' | ';')),
    };
    match (single, layout.quote.unwrap_or(csv && single.is_some())) {
        (Some(delimiter), true) => Ok(Splitter::Quoted(Quoted {
            delimiter,
            escape: layout.escape,
        })),
        (None, true) => bail!("quote = true needs a delimiter of one character"),
        (_, false) => Ok(Splitter::Delimiter(delimiter)),
    }
}

/// The delimiter that the first line shows.
fn sniff_delimiter(path: &Path) -> Result<String> {
    let line = first_line(path)?;
    ensure!(
        !line.is_empty(),
        "{} is empty, or its first line is",
        path.display()
    );
    // The most frequent one; of equals the first.
    let found = ["::", "\t", ";", ",", "|"]
        .into_iter()
        .rev()
        .filter(|d| line.contains(d))
        .max_by_key(|d| line.matches(d).count());
    match found {
        Some(delimiter) => Ok(delimiter.to_string()),
        None if line.contains(' ') => Ok(" ".into()),
        None => bail!(
            "cannot tell the format of {} from its first line; set `format` or `delimiter`",
            path.display()
        ),
    }
}

/// A file of delimited text.
struct Delimited<'a> {
    path: &'a Path,
    layout: &'a Layout,
    recbole: bool,
    records: Records,
    /// The number of columns.
    width: usize,
    bad: BadRows<'a>,
}

impl<'a> Delimited<'a> {
    fn open(path: &'a Path, layout: &'a Layout, format: Option<Format>) -> Result<Self> {
        let splitter = splitter(path, layout, format)?;
        Ok(Self {
            path,
            layout,
            recbole: format == Some(Format::Recbole),
            records: Records::open(path, layout.encoding, splitter)?,
            width: 0,
            bad: BadRows::new(path, layout.malformed, "line"),
        })
    }

    /// Reads the first line; the columns that `sink` wants.
    fn begin(&mut self, sink: &mut dyn RowSink) -> Result<Vec<usize>> {
        let (path, layout, format) = (self.path, self.layout, self.layout.format);
        let records = &mut self.records;
        let Some(first) = records.advance()? else {
            bail!("{} is empty", path.display());
        };
        if let Err(what) = first {
            bail!("{} line {}: {what}", path.display(), records.line());
        }
        let fields: Vec<&str> = records.fields().collect();
        let has_header = layout.header.unwrap_or_else(|| {
            self.recbole
                || layout.columns_by_name
                || looks_like_header(&fields, &layout.usual_names)
        });
        ensure!(
            has_header || layout.header.is_some() || !may_be_header(&fields, format),
            "{}: is its first line ({}) a header? It has no number and no usual name: name the \
             columns of the user and the item (user = ..., item = ...), or set header = false \
             where that line is data, too",
            path.display(),
            fields.join(", ")
        );
        let header = if has_header {
            Header::named(path, &fields, self.recbole)
        } else {
            Header::new(path, fields.len())
        };
        self.width = header.width;
        let wanted = sink.begin(&header)?;
        if !has_header {
            sink.at(records.line());
            let row = deliver(records, self.width, &wanted, sink)?;
            self.bad.note(records.line(), row);
        }
        Ok(wanted)
    }

    /// Reads all rows that are left.
    fn rest(&mut self, wanted: &[usize], sink: &mut dyn RowSink) -> Result<()> {
        deliver_all(&mut self.records, self.width, wanted, &mut self.bad, sink)
    }
}

fn deliver_all(
    records: &mut Records,
    width: usize,
    wanted: &[usize],
    bad: &mut BadRows<'_>,
    sink: &mut dyn RowSink,
) -> Result<()> {
    while let Some(row) = records.advance()? {
        sink.at(records.line());
        let row = match row {
            Ok(()) => deliver(records, width, wanted, sink)?,
            Err(what) => Err(what),
        };
        bad.note(records.line(), row);
    }
    Ok(())
}

fn deliver(
    records: &Records,
    width: usize,
    wanted: &[usize],
    sink: &mut dyn RowSink,
) -> Result<Result<(), String>> {
    if records.len() != width {
        return Ok(Err(format!(
            "{} fields where {width} are expected",
            records.len()
        )));
    }
    let mut cells = [Cell::Null; 8];
    if wanted.len() <= cells.len() {
        // No allocation for a row of the usual kind.
        for (cell, &i) in cells.iter_mut().zip(wanted) {
            *cell = Cell::Str(records.field(i));
        }
        return sink.row(&cells[..wanted.len()]);
    }
    let cells: Vec<Cell<'_>> = wanted
        .iter()
        .map(|&i| Cell::Str(records.field(i)))
        .collect();
    sink.row(&cells)
}

/// `user item item ...`: as many rows as there are items.
fn read_user_items(
    path: &Path,
    records: &mut Records,
    bad: &mut BadRows<'_>,
    sink: &mut dyn RowSink,
) -> Result<()> {
    let wanted = sink.begin(&Header::new(path, 2))?;
    ensure!(
        wanted == [0, 1],
        "{}: one line for each user has no columns but user and item",
        path.display()
    );
    while let Some(row) = records.advance()? {
        if let Err(what) = row {
            bad.note(records.line(), Err(what));
            continue;
        }
        sink.at(records.line());
        let user = records.field(0);
        for item in records.fields().skip(1) {
            let row = sink.row(&[Cell::Str(user), Cell::Str(item)])?;
            bad.note(records.line(), row);
        }
    }
    Ok(())
}

//! Any file as a table: a header, and rows of cells for whoever asked.

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

    /// Takes one row; the inner result says what is wrong with it.
    ///
    /// # Errors
    /// What no other row can mend.
    fn row(&mut self, cells: &[Cell<'_>]) -> Result<Result<(), String>>;
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
    let splitter = splitter(path, layout, format)?;
    let mut records = Records::open(path, layout.encoding, splitter)?;
    let mut bad = BadRows::new(path, layout.malformed, "line");
    if format == Some(Format::UserItems) {
        read_user_items(path, &mut records, &mut bad, sink)?;
    } else {
        read_delimited(path, layout, format, &mut records, &mut bad, sink)?;
    }
    bad.finish()
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

fn read_delimited(
    path: &Path,
    layout: &Layout,
    format: Option<Format>,
    records: &mut Records,
    bad: &mut BadRows<'_>,
    sink: &mut dyn RowSink,
) -> Result<()> {
    let Some(first) = records.advance()? else {
        bail!("{} is empty", path.display());
    };
    if let Err(what) = first {
        bail!("{} line {}: {what}", path.display(), records.line());
    }
    let recbole = format == Some(Format::Recbole);
    let fields: Vec<&str> = records.fields().collect();
    let has_header = layout.header.unwrap_or_else(|| {
        recbole || layout.columns_by_name || looks_like_header(&fields, &layout.usual_names)
    });
    let header = if has_header {
        Header::named(path, &fields, recbole)
    } else {
        Header::new(path, fields.len())
    };
    let wanted = sink.begin(&header)?;
    if !has_header {
        let row = deliver(records, header.width, &wanted, sink)?;
        bad.note(records.line(), row);
    }
    while let Some(row) = records.advance()? {
        let row = match row {
            Ok(()) => deliver(records, header.width, &wanted, sink)?,
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
        let user = records.field(0);
        for item in records.fields().skip(1) {
            let row = sink.row(&[Cell::Str(user), Cell::Str(item)])?;
            bad.note(records.line(), row);
        }
    }
    Ok(())
}

/// The malformed rows of one file.
pub struct BadRows<'a> {
    path: &'a Path,
    policy: Malformed,
    /// What rows are counted in: `line` or `row`.
    unit: &'static str,
    first: Option<(usize, String)>,
    count: usize,
}

impl<'a> BadRows<'a> {
    pub fn new(path: &'a Path, policy: Malformed, unit: &'static str) -> Self {
        Self {
            path,
            policy,
            unit,
            first: None,
            count: 0,
        }
    }

    /// Keeps count; reading goes on, so that the error can say how many more
    /// rows are bad.
    pub fn note(&mut self, line: usize, row: Result<(), String>) {
        if let Err(what) = row {
            self.count += 1;
            self.first.get_or_insert((line, what));
        }
    }

    /// The number of bad rows, where they may be dropped.
    ///
    /// # Errors
    /// Names the first bad row and counts the others.
    pub fn finish(self) -> Result<usize> {
        match self.first {
            Some((line, what)) if self.policy == Malformed::Error => {
                let more = match self.count - 1 {
                    0 => String::new(),
                    1 => " (and 1 more malformed row)".into(),
                    n => format!(" (and {n} more malformed rows)"),
                };
                bail!(
                    "{} {} {line}: {what}{more}; mend the file or set data.clean.malformed = \"drop\"",
                    self.path.display(),
                    self.unit
                )
            }
            _ => Ok(self.count),
        }
    }
}

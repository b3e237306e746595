//! From rows of cells to the dense columns of a [`Log`].

use crate::data::dataset::{Log, Part};
use crate::data::read::cell::{Cell, Id, TimeReader};
use crate::data::read::schema::Header;
use crate::data::read::source::{Slots, Source};
use crate::data::read::table::{Parallel, RowSink, read_table_parallel};
use crate::data::read::vocabulary::Vocabulary;
use crate::suggest::did_you_mean;
use anyhow::{Context, Result, bail, ensure};
use std::borrow::BorrowMut;
use std::collections::BTreeMap;
use std::path::Path;

/// All that was read so far.
pub struct LogBuilder {
    pub users: Vocabulary,
    pub items: Vocabulary,
    pub log: Log,
    pub platforms: Vec<String>,
    /// Well-formed rows, with those that were dropped for another reason.
    pub rows: usize,
    pub malformed: usize,
    pub nulls: usize,
    /// Rows whose event type has weight 0.
    pub weightless: usize,
    /// The first file, and whether it has timestamps; all must agree.
    timed: Option<(String, bool)>,
}

impl LogBuilder {
    pub fn new() -> Self {
        Self {
            users: Vocabulary::new("user"),
            items: Vocabulary::new("item"),
            log: Log::default(),
            platforms: Vec::new(),
            rows: 0,
            malformed: 0,
            nulls: 0,
            weightless: 0,
            timed: None,
        }
    }

    /// Adds the rows of one file of `source`; `part` where the files give a
    /// split, for all of them or for none.
    ///
    /// # Errors
    /// As [`read_table_parallel`].
    pub fn add_file(&mut self, path: &Path, source: &Source<'_>, part: Option<Part>) -> Result<()> {
        let start = self.log.len();
        let time = TimeReader::new(source.config.timestamp_unit.unwrap_or_default());
        let mut sink = FileSink {
            builder: &mut *self,
            source,
            part,
            slots: Slots::default(),
            platform: None,
            time,
        };
        let malformed = read_table_parallel(path, &source.layout, &mut sink)?;
        let divisor = sink.time.divisor();
        self.malformed += malformed;
        if let Some(times) = &mut self.log.timestamps
            && divisor != 1
        {
            times[start..]
                .iter_mut()
                .for_each(|t| *t = t.div_euclid(divisor));
        }
        ensure!(
            self.log.len() <= u32::MAX as usize,
            "more than 2^32 interactions"
        );
        Ok(())
    }

    /// Makes the columns fit a file with these.
    fn prepare(&mut self, header: &Header, slots: &Slots, part: Option<Part>) -> Result<()> {
        let file = header.path.display().to_string();
        let has_time = slots.timestamp.is_some();
        match &self.timed {
            Some((first, timed)) if *timed != has_time => {
                let (with, without) = if *timed {
                    (first, &file)
                } else {
                    (&file, first)
                };
                bail!(
                    "{with} has timestamps and {without} has none; name the column for both \
                     or leave it out with timestamp = \"\""
                )
            }
            Some(_) => {}
            None => {
                self.timed = Some((file, has_time));
                self.log.timestamps = has_time.then(Vec::new);
                self.log.parts = part.map(|_| Vec::new());
            }
        }
        if slots.weighted() && self.log.weights.is_none() {
            // Rows of files without ratings count once.
            self.log.weights = Some(vec![1.0; self.log.len()]);
        }
        if slots.labeled() && self.log.platforms.is_none() {
            ensure!(
                self.log.is_empty(),
                "{file}: every source needs a name or a platform column when one has it",
                file = header.path.display()
            );
            self.log.platforms = Some(Vec::new());
        }
        Ok(())
    }

    /// Without rows, for those of the same file as the last of these.
    fn part(&self) -> Self {
        let log = &self.log;
        Self {
            log: Log {
                users: Vec::new(),
                items: Vec::new(),
                weights: log.weights.as_ref().map(|_| Vec::new()),
                timestamps: log.timestamps.as_ref().map(|_| Vec::new()),
                platforms: log.platforms.as_ref().map(|_| Vec::new()),
                parts: log.parts.as_ref().map(|_| Vec::new()),
            },
            ..Self::new()
        }
    }

    /// Takes over the rows of a part.
    fn join(&mut self, part: Self) -> Result<()> {
        let users = self.users.absorb(part.users)?;
        let items = self.items.absorb(part.items)?;
        let names = part.platforms.iter();
        let platforms: Vec<u16> = names.map(|n| self.platform(n)).collect::<Result<_>>()?;
        let (log, new) = (&mut self.log, part.log);
        log.users
            .extend(new.users.iter().map(|c| users[*c as usize]));
        log.items
            .extend(new.items.iter().map(|c| items[*c as usize]));
        append(&mut log.weights, new.weights);
        append(&mut log.timestamps, new.timestamps);
        let codes = new.platforms.map(|codes| {
            let codes = codes.into_iter();
            codes.map(|c| platforms[c as usize]).collect()
        });
        append(&mut log.platforms, codes);
        append(&mut log.parts, new.parts);
        self.rows += part.rows;
        self.nulls += part.nulls;
        self.weightless += part.weightless;
        Ok(())
    }

    fn platform(&mut self, name: &str) -> Result<u16> {
        let known = self.platforms.iter().position(|p| p == name);
        let code = known.unwrap_or_else(|| {
            self.platforms.push(name.to_string());
            self.platforms.len() - 1
        });
        u16::try_from(code).context("more than 65536 platforms: is it the right column?")
    }
}

fn append<T>(column: &mut Option<Vec<T>>, new: Option<Vec<T>>) {
    if let (Some(column), Some(mut new)) = (column, new) {
        column.append(&mut new);
    }
}

/// `B` is a [`LogBuilder`] of its own, for a part of the file, or borrowed.
struct FileSink<'a, B> {
    builder: B,
    source: &'a Source<'a>,
    part: Option<Part>,
    slots: Slots,
    platform: Option<u16>,
    time: TimeReader,
}

/// What a row says beside its ids.
struct Values {
    weight: Option<f32>,
    timestamp: Option<i64>,
}

impl<B: BorrowMut<LogBuilder>> RowSink for FileSink<'_, B> {
    fn begin(&mut self, header: &Header) -> Result<Vec<usize>> {
        let mut wanted = Vec::new();
        self.slots = self.source.slots(header, &mut wanted)?;
        let builder = self.builder.borrow_mut();
        builder.prepare(header, &self.slots, self.part)?;
        if self.source.labeled
            && let Some(name) = &self.source.config.name
        {
            self.platform = Some(builder.platform(name)?);
        }
        Ok(wanted)
    }

    fn row(&mut self, cells: &[Cell<'_>]) -> Result<Result<(), String>> {
        let values = match self.values(cells) {
            Ok(values) => values,
            Err(what) => return Ok(Err(what)),
        };
        let (source, builder) = (self.source, self.builder.borrow_mut());
        builder.rows += 1;
        let user = encode(&mut builder.users, cells[0], source.user_prefix.as_deref())?;
        let item = encode(&mut builder.items, cells[1], source.item_prefix.as_deref())?;
        let empty_platform = self.slots.platform.is_some_and(|i| cells[i].is_null());
        let (Some(user), Some(item), Some(values), false) = (user, item, values, empty_platform)
        else {
            builder.nulls += 1;
            return Ok(Ok(()));
        };
        if self.slots.event.is_some() && values.weight == Some(0.0) {
            builder.weightless += 1;
            return Ok(Ok(()));
        }
        self.push(user, item, &values, cells)?;
        Ok(Ok(()))
    }
}

impl<'a> Parallel for FileSink<'a, &mut LogBuilder> {
    type Part = FileSink<'a, LogBuilder>;

    fn part(&self) -> Option<Self::Part> {
        if self.slots.timestamp.is_some() && !self.time.is_settled() {
            return None;
        }
        let mut builder = self.builder.part();
        let platform = self.platform.map(|code| {
            builder.platforms = vec![self.builder.platforms[usize::from(code)].clone()];
            0
        });
        Some(FileSink {
            builder,
            source: self.source,
            part: self.part,
            slots: self.slots,
            platform,
            time: self.time,
        })
    }

    fn join(&mut self, part: Self::Part) -> Result<()> {
        self.time.absorb(&part.time);
        self.builder.join(part.builder)
    }
}

impl<B: BorrowMut<LogBuilder>> FileSink<'_, B> {
    /// `None` where a cell is empty.
    fn values(&mut self, cells: &[Cell<'_>]) -> Result<Option<Values>, String> {
        let mut weight = None;
        if let Some(i) = self.slots.rating {
            let Some(rating) = cells[i].number().map_err(|e| format!("rating {e}"))? else {
                return Ok(None);
            };
            weight = Some(rating as f32);
        }
        if let Some(i) = self.slots.event {
            let mut scratch = String::new();
            let Some(name) = cells[i].id(&mut scratch) else {
                return Ok(None);
            };
            let factor = match name {
                Id::Str(name) => self.event_weight(name)?,
                Id::Int(number) => self.event_weight(&number.to_string())?,
            };
            weight = Some(weight.unwrap_or(1.0) * factor);
        }
        let mut timestamp = None;
        if let Some(i) = self.slots.timestamp {
            timestamp = self
                .time
                .read(cells[i])
                .map_err(|e| format!("timestamp {e}"))?;
            if timestamp.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(Values { weight, timestamp }))
    }

    fn event_weight(&self, name: &str) -> Result<f32, String> {
        let weights = self.source.config.event_weights.as_ref();
        let weight = weights.and_then(|w| w.get(name)).copied();
        weight.ok_or_else(|| {
            let known = weights.into_iter().flat_map(BTreeMap::keys);
            let known: Vec<&str> = known.map(String::as_str).collect();
            format!(
                "event `{name}` is not in event_weights ({}){}",
                known.join(", "),
                did_you_mean(name, &known)
            )
        })
    }

    fn push(&mut self, user: u32, item: u32, values: &Values, cells: &[Cell<'_>]) -> Result<()> {
        let platform = match self.slots.platform.map(|i| cells[i]) {
            Some(Cell::Str(name)) => Some(self.builder.borrow_mut().platform(name.trim())?),
            Some(Cell::Int(n)) => Some(self.builder.borrow_mut().platform(&n.to_string())?),
            Some(other) => bail!("{other:?} is no name of a platform"),
            None => self.platform,
        };
        let log = &mut self.builder.borrow_mut().log;
        log.users.push(user);
        log.items.push(item);
        if let Some(weights) = &mut log.weights {
            weights.push(values.weight.unwrap_or(1.0));
        }
        if let (Some(times), Some(time)) = (&mut log.timestamps, values.timestamp) {
            times.push(time);
        }
        if let Some(platforms) = &mut log.platforms {
            let Some(code) = platform else {
                bail!("every source needs a name or a platform column when one has it");
            };
            platforms.push(code);
        }
        if let (Some(parts), Some(part)) = (&mut log.parts, self.part) {
            parts.push(part);
        }
        Ok(())
    }
}

/// The code of the id in a cell; `None` where there is none.
fn encode(
    vocabulary: &mut Vocabulary,
    cell: Cell<'_>,
    prefix: Option<&str>,
) -> Result<Option<u32>> {
    let mut scratch = String::new();
    let Some(id) = cell.id(&mut scratch) else {
        return Ok(None);
    };
    let code = match prefix {
        None => vocabulary.encode(id),
        Some(prefix) => vocabulary.encode(Id::Str(&format!("{prefix}{id}"))),
    };
    code.map(Some)
}

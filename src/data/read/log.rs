//! From rows of cells to the dense columns of a [`Log`].

use crate::data::config::{Column, DataConfig, Shared, SourceConfig};
use crate::data::dataset::{Log, Part};
use crate::data::read::cell::{Cell, Id, TimeReader};
use crate::data::read::schema::{Header, ITEM_NAMES, RATING_NAMES, TIMESTAMP_NAMES, USER_NAMES};
use crate::data::read::table::{Layout, RowSink, read_table};
use crate::data::read::vocabulary::Vocabulary;
use crate::suggest::did_you_mean;
use anyhow::{Context, Result, bail, ensure};
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
    /// As [`read_table`].
    pub fn add_file(&mut self, path: &Path, source: &Source<'_>, part: Option<Part>) -> Result<()> {
        let start = self.log.len();
        let time = TimeReader::new(source.config.timestamp_unit.unwrap_or_default());
        let mut sink = FileSink {
            builder: self,
            source,
            part,
            slots: Slots::default(),
            platform: None,
            time,
            event_weights: source.config.event_weights.clone().unwrap_or_default(),
        };
        let malformed = read_table(path, &source.layout, &mut sink)?;
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

    fn platform(&mut self, name: &str) -> Result<u16> {
        let known = self.platforms.iter().position(|p| p == name);
        let code = known.unwrap_or_else(|| {
            self.platforms.push(name.to_string());
            self.platforms.len() - 1
        });
        u16::try_from(code).context("more than 65536 platforms: is it the right column?")
    }
}

/// A source, ready to be read.
pub struct Source<'a> {
    pub config: &'a SourceConfig,
    pub layout: Layout,
    /// `data` or `data.source`, for messages.
    key: &'static str,
    /// Whether the rows are labeled with the name of the source.
    labeled: bool,
    /// Set before the ids that are not shared with other sources.
    user_prefix: Option<String>,
    item_prefix: Option<String>,
}

impl<'a> Source<'a> {
    pub fn new(config: &'a SourceConfig, data: &DataConfig) -> Result<Self> {
        let several = data.source.len() > 1;
        ensure!(
            !several || config.name.is_some(),
            "each [[data.source]] needs a name when there are several"
        );
        let prefix = |own: bool| {
            let name = config.name.as_ref().filter(|_| several && own);
            name.map(|n| format!("{n}:"))
        };
        let columns = [
            &config.user,
            &config.item,
            &config.rating,
            &config.timestamp,
            &config.event,
            &config.platform,
        ];
        let by_name = |c: &&Option<Column>| matches!(c, Some(Column::Name(n)) if !n.is_empty());
        Ok(Self {
            config,
            layout: Layout {
                format: config.format,
                delimiter: config.delimiter.clone(),
                header: config.header,
                quote: config.quote,
                escape: config.escape,
                encoding: config.encoding.unwrap_or_default(),
                columns_by_name: columns.iter().any(by_name),
                usual_names: vec![USER_NAMES, ITEM_NAMES],
                malformed: data.clean.malformed,
            },
            key: if data.source.is_empty() {
                "data"
            } else {
                "data.source"
            },
            labeled: several && config.platform.is_none(),
            user_prefix: prefix(data.shared == Shared::Items),
            item_prefix: prefix(data.shared == Shared::Users),
        })
    }

    fn slots(&self, header: &Header, wanted: &mut Vec<usize>) -> Result<Slots> {
        let (c, key) = (self.config, self.key);
        let named = |column: &str| format!("{key}.{column}");
        let mut slot = |column: Option<usize>| {
            column.map(|i| {
                wanted.push(i);
                wanted.len() - 1
            })
        };
        let optional = |column: &str, given: &Option<Column>, usual: &[&str]| {
            header.find_or_guess(&named(column), given.as_ref(), usual)
        };
        slot(Some(header.require(
            &named("user"),
            c.user.as_ref(),
            USER_NAMES,
            0,
        )?));
        slot(Some(header.require(
            &named("item"),
            c.item.as_ref(),
            ITEM_NAMES,
            1,
        )?));
        let event = slot(optional("event", &c.event, &[])?);
        let rating_names = if event.is_some() { &[] } else { RATING_NAMES };
        let slots = Slots {
            event,
            rating: slot(optional("rating", &c.rating, rating_names)?),
            timestamp: slot(optional("timestamp", &c.timestamp, TIMESTAMP_NAMES)?),
            platform: slot(optional("platform", &c.platform, &[])?),
            labeled: self.labeled,
        };
        ensure!(
            slots.event.is_none() || c.event_weights.as_ref().is_some_and(|w| !w.is_empty()),
            "{key}.event needs {key}.event_weights, e.g. {{ view = 1, cart = 2, purchase = 4 }}"
        );
        Ok(slots)
    }
}

/// Where each value stands among the cells of a row; user and item are the
/// first two.
#[derive(Clone, Copy, Default)]
struct Slots {
    event: Option<usize>,
    rating: Option<usize>,
    timestamp: Option<usize>,
    platform: Option<usize>,
    labeled: bool,
}

impl Slots {
    fn weighted(&self) -> bool {
        self.rating.is_some() || self.event.is_some()
    }

    fn labeled(&self) -> bool {
        self.labeled || self.platform.is_some()
    }
}

struct FileSink<'a> {
    builder: &'a mut LogBuilder,
    source: &'a Source<'a>,
    part: Option<Part>,
    slots: Slots,
    platform: Option<u16>,
    time: TimeReader,
    event_weights: BTreeMap<String, f32>,
}

/// What a row says beside its ids.
struct Values {
    weight: Option<f32>,
    timestamp: Option<i64>,
}

impl RowSink for FileSink<'_> {
    fn begin(&mut self, header: &Header) -> Result<Vec<usize>> {
        let mut wanted = Vec::new();
        self.slots = self.source.slots(header, &mut wanted)?;
        self.builder.prepare(header, &self.slots, self.part)?;
        if self.source.labeled
            && let Some(name) = &self.source.config.name
        {
            self.platform = Some(self.builder.platform(name)?);
        }
        Ok(wanted)
    }

    fn row(&mut self, cells: &[Cell<'_>]) -> Result<Result<(), String>> {
        let values = match self.values(cells) {
            Ok(values) => values,
            Err(what) => return Ok(Err(what)),
        };
        let (source, builder) = (self.source, &mut *self.builder);
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

impl FileSink<'_> {
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
        self.event_weights.get(name).copied().ok_or_else(|| {
            let known: Vec<&str> = self.event_weights.keys().map(String::as_str).collect();
            format!(
                "event `{name}` is not in event_weights ({}){}",
                known.join(", "),
                did_you_mean(name, &known)
            )
        })
    }

    fn push(&mut self, user: u32, item: u32, values: &Values, cells: &[Cell<'_>]) -> Result<()> {
        let platform = match self.slots.platform.map(|i| cells[i]) {
            Some(Cell::Str(name)) => Some(self.builder.platform(name.trim())?),
            Some(Cell::Int(n)) => Some(self.builder.platform(&n.to_string())?),
            Some(other) => bail!("{other:?} is no name of a platform"),
            None => self.platform,
        };
        let log = &mut self.builder.log;
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

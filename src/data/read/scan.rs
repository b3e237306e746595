//! A second look at the input as it is written: what reading passes over, and
//! where in the files rows stand.

use crate::data::config::{DataConfig, FeaturesConfig};
use crate::data::dataset::Part;
use crate::data::read::Inputs;
use crate::data::read::cell::{Cell, TimeReader};
use crate::data::read::features::{self, Entity, Repeats};
use crate::data::read::schema::Header;
use crate::data::read::source::{Slots, Source};
use crate::data::read::table::{RowSink, read_table};
use crate::event::{Event, Observer};
use crate::ids::IdMap;
use anyhow::Result;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Lines that are kept of one pair: a robot may have repeated it a million
/// times.
const MOST_OF_A_PAIR: usize = 1000;
/// Places that are kept of what is only counted.
const MOST_PLACES: usize = 3;

/// A line of a file, or a row of a Parquet file; from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: Arc<PathBuf>,
    pub line: usize,
}

/// A line with a pair that was looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    pub place: Place,
    /// Unix seconds.
    pub timestamp: Option<i64>,
    pub part: Option<Part>,
}

/// Something that was counted, and where it was first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Count {
    pub count: usize,
    /// The text at fault beside its place.
    pub first: Vec<(Place, String)>,
}

impl Count {
    pub(super) fn add(&mut self, place: impl Fn() -> Place, text: &str) {
        self.count += 1;
        if self.first.len() < MOST_PLACES {
            self.first.push((place(), text.to_string()));
        }
    }
}

/// What [`scan`] saw.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    pub rows: usize,
    /// Empty cells by column (`user`, `item`, `rating`, ...).
    pub empty: Vec<(&'static str, Count)>,
    /// User and item ids with blanks around them, which reading takes away.
    pub padded: [Count; 2],
    /// The lines of each wanted pair (user id, item id) in input order.
    pub pairs: HashMap<(String, String), Vec<Sighting>>,
}

/// Reads the files of the interactions once more, one row after the other;
/// `wanted` are pairs of external ids, as [`crate::ids::IdMap`] names them.
///
/// # Errors
/// As [`super::read`].
pub fn scan(
    config: &DataConfig,
    base: &Path,
    wanted: HashSet<(String, String)>,
    observer: &mut dyn Observer,
) -> Result<Scan> {
    let inputs = Inputs::find(config, base)?;
    let sources = config.sources();
    let mut scan = Scan::default();
    let users: HashSet<&str> = wanted.iter().map(|(user, _)| user.as_str()).collect();
    for (i, part, path) in &inputs.log {
        observer.on(&Event::Stage(format!("looking at {}", path.display())));
        let source = Source::new(&sources[*i], config)?;
        let mut sink = ScanSink {
            scan: &mut scan,
            users: &users,
            wanted: &wanted,
            source: &source,
            slots: Slots::default(),
            names: Vec::new(),
            part: *part,
            file: Arc::new(path.clone()),
            line: 0,
            time: TimeReader::new(source.config.timestamp_unit.unwrap_or_default()),
            found: HashMap::new(),
        };
        read_table(path, &source.layout, &mut sink)?;
        let (divisor, found) = (sink.time.divisor(), sink.found);
        for (pair, mut lines) in found {
            for line in &mut lines {
                line.timestamp = line.timestamp.map(|t| t.div_euclid(divisor));
            }
            scan.pairs.entry(pair).or_default().extend(lines);
        }
    }
    Ok(scan)
}

/// Ids with more than one row in the files of user and of item features.
///
/// # Errors
/// As [`super::read`].
pub fn scan_features(
    config: &DataConfig,
    base: &Path,
    users: &IdMap,
    items: &IdMap,
    observer: &mut dyn Observer,
) -> Result<[Repeats; 2]> {
    let inputs = Inputs::find(config, base)?;
    let mut look = |entity, features: &Option<FeaturesConfig>, files: &[PathBuf], ids: &IdMap| {
        let Some(features) = features else {
            return Ok(Repeats::default());
        };
        for file in files {
            observer.on(&Event::Stage(format!("looking at {}", file.display())));
        }
        features::repeats(entity, features, files, config.clean.malformed, ids)
    };
    let (of_users, of_items) = (&config.user_features, &config.item_features);
    Ok([
        look(Entity::User, of_users, &inputs.user_features, users)?,
        look(Entity::Item, of_items, &inputs.item_features, items)?,
    ])
}

struct ScanSink<'a> {
    scan: &'a mut Scan,
    users: &'a HashSet<&'a str>,
    wanted: &'a HashSet<(String, String)>,
    source: &'a Source<'a>,
    slots: Slots,
    /// What each cell of a row is.
    names: Vec<&'static str>,
    part: Option<Part>,
    file: Arc<PathBuf>,
    line: usize,
    time: TimeReader,
    /// Of this file; times as they are written.
    found: HashMap<(String, String), Vec<Sighting>>,
}

impl RowSink for ScanSink<'_> {
    fn begin(&mut self, header: &Header) -> Result<Vec<usize>> {
        let mut columns = Vec::new();
        self.slots = self.source.slots(header, &mut columns)?;
        self.names = vec!["user", "item"];
        self.names.resize(columns.len(), "");
        let slots = &self.slots;
        let named = [
            (slots.rating, "rating"),
            (slots.event, "event"),
            (slots.timestamp, "timestamp"),
            (slots.platform, "platform"),
        ];
        for (slot, name) in named {
            if let Some(slot) = slot {
                self.names[slot] = name;
            }
        }
        Ok(columns)
    }

    fn at(&mut self, line: usize) {
        self.line = line;
    }

    fn row(&mut self, cells: &[Cell<'_>]) -> Result<Result<(), String>> {
        let (file, line) = (&self.file, self.line);
        let place = || Place {
            file: Arc::clone(file),
            line,
        };
        self.scan.rows += 1;
        for (cell, name) in cells.iter().zip(&self.names) {
            if cell.is_null() {
                let empty = &mut self.scan.empty;
                let known = empty.iter().position(|(n, _)| n == name);
                let i = known.unwrap_or_else(|| {
                    empty.push((name, Count::default()));
                    empty.len() - 1
                });
                empty[i].1.add(place, "");
            }
        }
        for (cell, padded) in cells.iter().zip(&mut self.scan.padded) {
            if let Cell::Str(text) = cell
                && text.trim().len() != text.len()
                && !cell.is_null()
            {
                padded.add(place, text);
            }
        }
        // Also where the pair is not wanted: the unit shows in all of them.
        let timestamp = match self.slots.timestamp.map(|i| self.time.read(cells[i])) {
            Some(Err(what)) => return Ok(Err(format!("timestamp {what}"))),
            Some(Ok(time)) => time,
            None => None,
        };
        self.look(cells, timestamp);
        Ok(Ok(()))
    }
}

impl ScanSink<'_> {
    fn look(&mut self, cells: &[Cell<'_>], timestamp: Option<i64>) {
        if self.users.is_empty() {
            return;
        }
        let Some(user) = id_of(cells[0], self.source.user_prefix.as_deref()) else {
            return;
        };
        if !self.users.contains(user.as_str()) {
            return;
        }
        let Some(item) = id_of(cells[1], self.source.item_prefix.as_deref()) else {
            return;
        };
        let pair = (user, item);
        if !self.wanted.contains(&pair) {
            return;
        }
        let lines = self.found.entry(pair).or_default();
        if lines.len() < MOST_OF_A_PAIR {
            let place = Place {
                file: Arc::clone(&self.file),
                line: self.line,
            };
            lines.push(Sighting {
                place,
                timestamp,
                part: self.part,
            });
        }
    }
}

/// An id as the id map has it.
pub(super) fn id_of(cell: Cell<'_>, prefix: Option<&str>) -> Option<String> {
    let mut scratch = String::new();
    let id = cell.id(&mut scratch)?;
    Some(format!("{}{id}", prefix.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Silent;

    #[test]
    fn places_are_lines_and_what_reading_passes_over_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let text = "user,item,timestamp\n1, a,5000\n1,a,6000\n,b,1574553618000\n2,a,\n";
        std::fs::write(dir.path().join("f.csv"), text).unwrap();
        let config = DataConfig {
            path: "f.csv".into(),
            ..DataConfig::default()
        };
        let wanted = HashSet::from([("1".to_string(), "a".to_string())]);
        let scan = scan(&config, dir.path(), wanted, &mut Silent).unwrap();
        assert_eq!(scan.rows, 4);
        let lines: Vec<_> = scan.pairs[&("1".into(), "a".into())]
            .iter()
            .map(|s| (s.place.line, s.timestamp))
            .collect();
        // The third row says that all are milliseconds.
        assert_eq!(lines, [(2, Some(5)), (3, Some(6))]);
        let empty: Vec<_> = scan.empty.iter().map(|(n, c)| (*n, c.count)).collect();
        assert_eq!(empty, [("user", 1), ("timestamp", 1)]);
        assert_eq!((scan.padded[0].count, scan.padded[1].count), (0, 1));
        assert_eq!(scan.padded[1].first[0].1, " a");
    }
}

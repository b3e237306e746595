//! Ids that have more than one row in a feature file.

use super::columns::choose;
use super::{Entity, layout};
use crate::data::clean::Malformed;
use crate::data::config::FeaturesConfig;
use crate::data::read::cell::Cell;
use crate::data::read::scan::{Count, Place, id_of};
use crate::data::read::schema::Header;
use crate::data::read::table::{RowSink, read_table};
use crate::ids::IdMap;
use anyhow::Result;
use std::hash::{DefaultHasher, Hasher};
use std::path::PathBuf;
use std::sync::Arc;

/// Rows of an id that had one before, among those of ids that the data have.
#[derive(Clone, Debug, Default)]
pub struct Repeats {
    pub rows: usize,
    /// Rows equal to the first one of their id, in all that is read.
    pub same: Count,
    /// Rows that say something else.
    pub other: Count,
}

/// Looks at the files a second time; beside `ids` it takes 24 bytes an id.
///
/// # Errors
/// As [`super::read`].
pub fn repeats(
    entity: Entity,
    config: &FeaturesConfig,
    files: &[PathBuf],
    malformed: Malformed,
    ids: &IdMap,
) -> Result<Repeats> {
    let layout = layout(entity, config, malformed);
    let mut sink = RepeatSink {
        entity,
        config,
        ids,
        file: Arc::default(),
        line: 0,
        first: vec![None; ids.len()],
        files: Vec::new(),
        found: Repeats::default(),
    };
    for file in files {
        sink.file = Arc::new(file.clone());
        sink.files.push(Arc::clone(&sink.file));
        read_table(file, &layout, &mut sink)?;
    }
    Ok(sink.found)
}

/// The first row of an id.
#[derive(Clone, Copy)]
struct First {
    file: u32,
    line: u32,
    /// Of its values.
    hash: u64,
}

struct RepeatSink<'a> {
    entity: Entity,
    config: &'a FeaturesConfig,
    ids: &'a IdMap,
    file: Arc<PathBuf>,
    line: usize,
    first: Vec<Option<First>>,
    files: Vec<Arc<PathBuf>>,
    found: Repeats,
}

impl RowSink for RepeatSink<'_> {
    fn begin(&mut self, header: &Header) -> Result<Vec<usize>> {
        Ok(choose(self.entity, self.config, header)?.indices())
    }

    fn at(&mut self, line: usize) {
        self.line = line;
    }

    fn row(&mut self, cells: &[Cell<'_>]) -> Result<Result<(), String>> {
        let id = id_of(cells[0], None);
        let known = id.as_ref().and_then(|id| self.ids.get(id));
        let (Some(id), Some(idx)) = (id, known) else {
            return Ok(Ok(()));
        };
        self.found.rows += 1;
        let hash = hash(&cells[1..]);
        let Some(first) = self.first[idx as usize] else {
            self.first[idx as usize] = Some(First {
                file: (self.files.len() - 1) as u32,
                line: self.line as u32,
                hash,
            });
            return Ok(Ok(()));
        };
        let there = &self.files[first.file as usize];
        let there = match *there == self.file {
            true => format!("line {}", first.line),
            false => format!("{}:{}", there.display(), first.line),
        };
        let what = match self.entity {
            Entity::User => "user",
            Entity::Item => "item",
        };
        let place = || Place {
            file: Arc::clone(&self.file),
            line: self.line,
        };
        match first.hash == hash {
            true => {
                let text = format!("{what} {id}, as in {there}");
                self.found.same.add(place, &text);
            }
            false => {
                let text = format!("{what} {id}, unlike {there}");
                self.found.other.add(place, &text);
            }
        }
        Ok(Ok(()))
    }
}

/// Text counts without outer blanks, as when it is read.
fn hash(cells: &[Cell<'_>]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for cell in cells {
        match cell {
            Cell::Int(i) | Cell::Seconds(i) => hasher.write_i64(*i),
            Cell::Float(x) => hasher.write_u64(x.to_bits()),
            Cell::Str(text) if !cell.is_null() => {
                hasher.write(text.trim().as_bytes());
                // Ends a text as no UTF-8 does.
                hasher.write_u8(0xff);
            }
            Cell::Str(_) | Cell::Null => hasher.write_u8(0),
        }
    }
    hasher.finish()
}

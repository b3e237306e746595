//! Synthetic data as Parquet files, a group of rows at a time.

use super::{CONFIG, SETTINGS, SynthConfig, World, draw, features, toml};
use crate::event::{Event, Observer};
use crate::fsio;
use anyhow::{Context, Result};
use polars::io::parquet::write::BatchedWriter;
use polars::prelude::*;
use rayon::prelude::*;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

/// Interactions in memory at a time, more when one user has more.
const GROUP: usize = 1 << 20;

/// Draws a data set and writes it into the new folder `dir`: interactions,
/// features, a config that reads them, and the settings. The folder appears
/// whole or not at all.
///
/// # Errors
/// Settings that contradict each other, a folder that is there and not empty,
/// a full disk.
pub fn generate(config: &SynthConfig, dir: &Path, observer: &mut dyn Observer) -> Result<World> {
    config.validate()?;
    fsio::write_folder(dir, |folder| {
        observer.on(&Event::Stage(format!(
            "drawing tastes of {} users and characters of {} items",
            config.users, config.items
        )));
        let world = World::new(config);
        observer.on(&Event::Stage(format!(
            "drawing {} interactions",
            config.interactions
        )));
        interactions(&world, folder)?;
        if config.features {
            features::write(&world, folder)?;
        }
        fsio::write_atomic_bytes(&folder.join(CONFIG), toml::text(config).as_bytes())?;
        let settings = serde_json::to_string_pretty(config)? + "\n";
        fsio::write_atomic_bytes(&folder.join(SETTINGS), settings.as_bytes())?;
        Ok(world)
    })
}

/// A Parquet file under way.
pub(super) struct Table {
    writer: BatchedWriter<BufWriter<File>>,
    file: File,
    path: PathBuf,
}

impl Table {
    pub fn create(path: &Path, schema: &Schema) -> Result<Self> {
        let create = || -> Result<Self> {
            let file = File::create(path)?;
            let writer = ParquetWriter::new(BufWriter::new(file.try_clone()?))
                .with_compression(ParquetCompression::Snappy)
                .batched(schema)?;
            Ok(Self {
                writer,
                file,
                path: path.to_path_buf(),
            })
        };
        create().with_context(|| failed(path))
    }

    /// Adds a group of rows.
    pub fn push(&mut self, height: usize, columns: Vec<Column>) -> Result<()> {
        if height == 0 {
            return Ok(());
        }
        let push = || -> Result<()> {
            let frame = DataFrame::new(height, columns)?;
            Ok(self.writer.write_batch(&frame)?)
        };
        push().with_context(|| failed(&self.path))
    }

    pub fn finish(self) -> Result<()> {
        let Self { writer, file, path } = self;
        let finish = || -> Result<()> {
            writer.finish()?;
            drop(writer);
            Ok(file.sync_all()?)
        };
        finish().with_context(|| failed(&path))
    }
}

fn failed(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

/// The rows of some users, one after the other.
struct Group {
    users: Vec<u32>,
    /// Ranks while they are drawn, then ids.
    items: Vec<u32>,
    times: Option<Vec<i64>>,
    platforms: Option<Vec<u8>>,
}

fn interactions(world: &World, folder: &Path) -> Result<()> {
    let config = &world.config;
    let mut schema = Schema::from_iter([
        Field::new("user_id".into(), DataType::UInt32),
        Field::new("item_id".into(), DataType::UInt32),
    ]);
    if config.days.is_some() {
        schema.insert("timestamp".into(), DataType::Int64);
    }
    let names = toml::files(config);
    let mut tables = names
        .iter()
        .map(|name| Table::create(&folder.join(name), &schema))
        .collect::<Result<Vec<_>>>()?;
    let mut first = 0;
    while first < world.counts().len() {
        let end = group_end(world.counts(), first);
        let group = draw_group(world, first, end);
        for (platform, table) in tables.iter_mut().enumerate() {
            let (height, columns) = group.columns(platform as u8);
            table.push(height, columns)?;
        }
        first = end;
    }
    tables.into_iter().try_for_each(Table::finish)
}

/// The user after the last whose rows still belong to the group of `first`.
fn group_end(counts: &[u32], first: usize) -> usize {
    let mut rows = 0;
    let mut end = first;
    while end < counts.len() && (end == first || rows + counts[end] as usize <= GROUP) {
        rows += counts[end] as usize;
        end += 1;
    }
    end
}

/// Draws the rows of the users `first..end`.
fn draw_group(world: &World, first: usize, end: usize) -> Group {
    let counts = &world.counts()[first..end];
    let rows = counts.iter().map(|c| *c as usize).sum();
    let mut group = Group {
        users: vec![0; rows],
        items: vec![0; rows],
        times: world.config.days.map(|_| vec![0; rows]),
        platforms: (world.config.platforms > 1).then(|| vec![0; rows]),
    };
    let users = split(&mut group.users, counts);
    let items = split(&mut group.items, counts);
    let jobs: Vec<_> = (first as u32..).zip(users).zip(items).collect();
    jobs.into_par_iter().for_each(|((user, users), items)| {
        users.fill(user + 1);
        draw::items(world, user, items);
        items.iter_mut().for_each(|r| *r = world.item(*r) + 1);
    });
    if let (Some(times), Some(days)) = (&mut group.times, world.config.days) {
        let jobs: Vec<_> = (first as u32..).zip(split(times, counts)).collect();
        jobs.into_par_iter()
            .for_each(|(user, times)| draw::times(world, user, days, times));
    }
    if let Some(platforms) = &mut group.platforms {
        let jobs: Vec<_> = (first as u32..).zip(split(platforms, counts)).collect();
        jobs.into_par_iter()
            .for_each(|(user, platforms)| draw::platforms(world, user, platforms));
    }
    group
}

/// Cuts a column into the rows of each user.
fn split<'a, T>(mut column: &'a mut [T], counts: &[u32]) -> Vec<&'a mut [T]> {
    let mut parts = Vec::with_capacity(counts.len());
    for &count in counts {
        let (part, rest) = column.split_at_mut(count as usize);
        parts.push(part);
        column = rest;
    }
    parts
}

impl Group {
    /// The rows on one platform.
    fn columns(&self, platform: u8) -> (usize, Vec<Column>) {
        let is_here = |row: usize| self.platforms.as_ref().is_none_or(|p| p[row] == platform);
        let rows: Vec<usize> = (0..self.users.len()).filter(|&r| is_here(r)).collect();
        let pick = |column: &[u32]| -> Vec<u32> { rows.iter().map(|&r| column[r]).collect() };
        let mut columns = vec![
            Column::new("user_id".into(), pick(&self.users)),
            Column::new("item_id".into(), pick(&self.items)),
        ];
        if let Some(times) = &self.times {
            let times: Vec<i64> = rows.iter().map(|&r| times[r]).collect();
            columns.push(Column::new("timestamp".into(), times));
        }
        (rows.len(), columns)
    }
}

//! Event files that TensorBoard reads.
//!
//! A file is a row of records, each an `Event` message in protocol buffers
//! (`tensorflow/core/util/event.proto`, `.../framework/summary.proto`) in the
//! frame of TensorFlow's record files. Records are appended, so that a reader
//! follows a training while it runs; one that a crash cut short fails its
//! checksum and is passed over.
//!
//! Every session of a training writes a file of its own, whose name sorts
//! after those before it. It begins with a session log of its first step: what
//! earlier files hold from that step on was trained again, and readers drop it.

mod message;
mod record;

use anyhow::{Context, Result};
use message::{Message, Status};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What readers look for in a file's name.
const PREFIX: &str = "events.out.tfevents";

/// One event file, open for more.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: File,
}

impl EventWriter {
    /// A new file in `folder`, after those that are there; `first_step` is the
    /// first that this session trains.
    ///
    /// # Errors
    /// A disk that is full or not writable.
    pub fn create(folder: &Path, first_step: u64) -> Result<Self> {
        let seconds = seconds(SystemTime::now()) as u64;
        let name = format!("{PREFIX}.{seconds:010}.recsys.{:04}", files(folder)?.len());
        let path = folder.join(name);
        let file = OpenOptions::new().append(true).create_new(true).open(&path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        let mut writer = Self { path, file };
        writer.append(&[
            event(0, |m| m.text(message::FILE_VERSION, "brain.Event:2")),
            event(first_step, |m| message::session(m, Status::Start)),
        ])?;
        Ok(writer)
    }

    /// Adds a value to each named curve.
    ///
    /// # Errors
    /// A disk that is full.
    pub fn scalars(&mut self, step: u64, values: &[(String, f64)]) -> Result<()> {
        let event = event(step, |m| message::scalars(m, values));
        self.append(&[event])
    }

    /// Adds a text, which readers show as Markdown.
    ///
    /// # Errors
    /// A disk that is full.
    pub fn text(&mut self, tag: &str, markdown: &str) -> Result<()> {
        let event = event(0, |m| message::markdown(m, tag, markdown));
        self.append(&[event])
    }

    /// One write for all, so that a reader sees whole records.
    fn append(&mut self, events: &[Message]) -> Result<()> {
        let mut bytes = Vec::new();
        for event in events {
            record::frame(&mut bytes, event.bytes());
        }
        let written = self.file.write_all(&bytes);
        written.with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// The event files of a folder, in the order of their sessions.
///
/// # Errors
/// A folder that cannot be read.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if name.to_string_lossy().starts_with(PREFIX) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn event(step: u64, fill: impl FnOnce(&mut Message)) -> Message {
    let mut event = Message::default();
    event.double(message::WALL_TIME, seconds(SystemTime::now()));
    event.number(message::STEP, step);
    fill(&mut event);
    event
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

#[cfg(test)]
mod tests;

//! From rows of the log to lines of the files.

use super::Data;
use super::finding::{Draft, Example, Finding};
use crate::data::dataset::Part;
use crate::data::read::{Place, Scan, Sighting};
use crate::data::stats::iso;
use std::collections::HashSet;

/// The pairs whose lines shall be looked for.
pub fn wanted(data: &Data<'_>, drafts: &[Draft]) -> HashSet<(String, String)> {
    let rows = drafts.iter().flat_map(|d| &d.rows);
    rows.map(|&row| pair(data, row)).collect()
}

/// A finding with the places of its rows.
pub fn resolve(data: &Data<'_>, draft: Draft, seen: &Scan) -> Finding {
    let Draft { mut finding, rows } = draft;
    let mut taken: Vec<&Place> = Vec::new();
    let mut shown = HashSet::new();
    for row in rows.into_iter().filter(|row| shown.insert(*row)) {
        let lines = seen.pairs.get(&pair(data, row));
        let mut lines = lines.into_iter().flatten();
        // Two rows of one pair have two lines.
        let line = lines.find(|s| is_of(data, row, s) && !taken.contains(&&s.place));
        taken.extend(line.map(|s| &s.place));
        finding.examples.push(Example {
            file: line.map(|s| s.place.file.display().to_string()),
            line: line.map(|s| s.place.line),
            text: text(data, row),
        });
    }
    finding
}

fn is_of(data: &Data<'_>, row: u32, sighting: &Sighting) -> bool {
    let log = &data.dataset.log;
    let row = row as usize;
    let time = log.timestamps.as_ref().map(|t| t[row]);
    let part = log.parts.as_ref().map(|p| p[row]);
    (time.is_none() || time == sighting.timestamp) && (part.is_none() || part == sighting.part)
}

fn pair(data: &Data<'_>, row: u32) -> (String, String) {
    let (dataset, row) = (data.dataset, row as usize);
    let user = dataset.users.external(dataset.log.users[row]);
    let item = dataset.items.external(dataset.log.items[row]);
    (user.into_owned(), item.into_owned())
}

/// A row as a person reads it.
fn text(data: &Data<'_>, row: u32) -> String {
    let log = &data.dataset.log;
    let (user, item) = pair(data, row);
    let mut text = format!("user {user}, item {item}");
    let row = row as usize;
    if let Some(weights) = &log.weights {
        text += &format!(", rating {}", weights[row]);
    }
    if let Some(times) = &log.timestamps {
        text += &format!(", {}", iso(times[row]));
    }
    if let Some(parts) = &log.parts {
        let part = match parts[row] {
            Part::Train => "train",
            Part::Validation => "validation",
            Part::Test => "test",
        };
        text += &format!(" ({part})");
    }
    text
}

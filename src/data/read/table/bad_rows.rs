//! The count of what could not be read.

use crate::data::clean::Malformed;
use anyhow::{Result, bail};
use std::path::Path;

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

    /// Adds the bad rows of a part of the file, which counted from 1 after
    /// `before` others.
    pub fn absorb(&mut self, part: BadRows<'_>, before: usize) {
        self.count += part.count;
        if let (None, Some((line, what))) = (&self.first, part.first) {
            self.first = Some((before + line, what));
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

//! Delimited text in blocks of lines, parsed side by side.

use super::{BadRows, Delimited, Layout, Parallel, deliver_all};
use crate::data::read::fields::Splitter;
use crate::data::read::records::{Block, Records};
use anyhow::Result;
use rayon::prelude::*;
use std::path::Path;

/// Bytes of a block, and of the first, which one core reads alone.
const BLOCK: usize = 1 << 22;
const FIRST: usize = 1 << 14;
/// Bounds the blocks in memory on machines of many cores.
const MOST: usize = 16;

/// Reads the rows that are left. From the first block on in which a quoted
/// field may span lines, one after the other: only the text before tells what
/// a line belongs to.
pub(super) fn read<S: Parallel>(
    table: &mut Delimited<'_>,
    wanted: &[usize],
    sink: &mut S,
) -> Result<()> {
    let mut size = FIRST;
    loop {
        let mut parts = Vec::new();
        let mut spanning = None;
        while parts.len() < rayon::current_num_threads().min(MOST) {
            let block = table.records.take_block(size)?;
            if block.bytes.is_empty() {
                break;
            }
            let part = sink
                .part()
                .filter(|_| !table.records.may_span_lines(&block));
            let Some(part) = part else {
                spanning = Some(block);
                break;
            };
            size = BLOCK;
            parts.push((block, part));
        }
        let is_end = parts.is_empty() && spanning.is_none();
        join(table, wanted, parts, sink)?;
        match spanning {
            None if is_end => return Ok(()),
            None => {}
            Some(block) if sink.part().is_some() => {
                table.records.give_back(block);
                return table.rest(wanted, sink);
            }
            Some(block) => alone(table, wanted, block, sink)?,
        }
    }
}

/// A block that is parsed before any other can be.
fn alone<S: Parallel>(
    table: &mut Delimited<'_>,
    wanted: &[usize],
    block: Block,
    sink: &mut S,
) -> Result<()> {
    if table.records.may_span_lines(&block) {
        table.records.give_back(block);
        return table.rest(wanted, sink);
    }
    let (mut records, mut bad, before) = Form::of(table).open(block);
    deliver_all(&mut records, table.width, wanted, &mut bad, sink)?;
    table.bad.absorb(bad, before);
    Ok(())
}

fn join<S: Parallel>(
    table: &mut Delimited<'_>,
    wanted: &[usize],
    parts: Vec<(Block, S::Part)>,
    sink: &mut S,
) -> Result<()> {
    let form = Form::of(table);
    let parse = |(block, mut part): (Block, S::Part)| -> Result<_> {
        let (mut records, mut bad, before) = form.open(block);
        deliver_all(&mut records, form.width, wanted, &mut bad, &mut part)?;
        Ok((part, bad, before))
    };
    let parsed: Vec<Result<_>> = parts.into_par_iter().map(parse).collect();
    for parsed in parsed {
        let (part, bad, before) = parsed?;
        sink.join(part)?;
        table.bad.absorb(bad, before);
    }
    Ok(())
}

/// What all blocks of a file have in common.
struct Form<'a> {
    path: &'a Path,
    layout: &'a Layout,
    splitter: Splitter,
    width: usize,
}

impl<'a> Form<'a> {
    fn of(table: &Delimited<'a>) -> Self {
        Self {
            path: table.path,
            layout: table.layout,
            splitter: table.records.splitter().clone(),
            width: table.width,
        }
    }

    /// The records of a block, a count for its bad rows, and how many lines
    /// are before it.
    fn open(&self, block: Block) -> (Records, BadRows<'a>, usize) {
        let (path, layout) = (self.path, self.layout);
        let splitter = self.splitter.clone();
        let records = Records::of_block(block.bytes, path, layout.encoding, splitter);
        (
            records,
            BadRows::new(path, layout.malformed, "line"),
            block.first,
        )
    }
}

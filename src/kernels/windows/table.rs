//! What a step tells a GPU of its windows, in a few words each.

use crate::kernels::examples::draw::STREAM;
use crate::seed::Rng;

/// A window of the log.
#[derive(Clone, Debug, Default)]
pub struct Window {
    pub user: u32,
    /// Position of its first item in the log.
    pub first: usize,
    /// Items that are read.
    pub len: usize,
    /// The epoch's place of its first prediction.
    pub place: u64,
    pub predictions: usize,
    /// Which of its items are masked and predicted, ascending; `None` where
    /// each item predicts the next one.
    pub masked: Option<Vec<u32>>,
}

/// Windows side by side, all of which end in one column.
#[derive(Clone, Debug)]
pub struct Block {
    pub windows: Vec<Window>,
    /// Columns of what is read.
    pub length: usize,
    /// Columns of predictions.
    pub predictions: usize,
    /// Whether predictions end in the last column; otherwise they begin in the
    /// first one.
    pub to_right: bool,
}

/// How negatives are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Draws<'a> {
    /// Of the epoch.
    pub stream: &'a Rng,
    /// For each prediction, or each window.
    pub count: usize,
    /// Whether the predictions of a window have the same ones.
    pub shared: bool,
}

/// Words of a window, and what they are.
pub const WINDOW: usize = 8;
pub const FIRST: usize = 0;
pub const LEN: usize = 1;
pub const USER: usize = 2;
pub const PLACE_LOW: usize = 3;
pub const PLACE_HIGH: usize = 4;
pub const COUNT: usize = 5;
/// Predictions of earlier windows of its block.
pub const BEFORE: usize = 6;
/// Where its masked items are in the table; 0 where it has none.
pub const MASKED: usize = 7;

/// Words of a piece, and what they are.
pub const PIECE: usize = 7;
/// Ids of this piece and of those before it.
pub const END: usize = 0;
pub const KIND: usize = 1;
/// Columns of a window, and ids of a column.
pub const SLOTS: usize = 2;
pub const PER: usize = 3;
/// Where the words of the first window are.
pub const WINDOWS: usize = 4;
pub const TO_RIGHT: usize = 5;
pub const LENGTH: usize = 6;

/// What the ids of a piece are.
pub const INPUTS: u32 = 0;
pub const TARGETS: u32 = 1;
pub const NEGATIVES: u32 = 2;
pub const SHARED_NEGATIVES: u32 = 3;
pub const PICKS: u32 = 4;

/// Ids of a block, of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// Where its words are.
    pub at: usize,
    pub len: usize,
}

/// A block as launches know it.
#[derive(Clone, Copy, Debug)]
pub struct Side {
    /// Where the words of its windows are.
    pub windows_at: usize,
    pub windows: usize,
    pub length: usize,
    pub slots: usize,
    pub to_right: bool,
    /// Predictions.
    pub taken: usize,
    pub picks: Piece,
}

/// What is uploaded: a stream where [`STREAM`] says, then pieces, windows, and
/// what is masked of them.
pub struct Table {
    pub words: Vec<u32>,
    /// Of what a step looks up.
    pub pieces: Vec<Piece>,
    pub sides: Vec<Side>,
}

/// A piece before it has its place.
struct Plan {
    block: usize,
    kind: u32,
    slots: usize,
    per: usize,
}

impl Table {
    pub fn new(blocks: &[Block], draws: Option<&Draws<'_>>) -> Self {
        let mut words = vec![0; STREAM + 4];
        if let Some(draws) = draws {
            words[STREAM..].copy_from_slice(&draws.stream.words());
        }
        let all = (0..).zip(blocks);
        let looked_up = all.clone().flat_map(|(at, block)| plans(at, block, draws));
        let picked = all.map(|(block, of)| Plan {
            block,
            kind: PICKS,
            slots: of.predictions,
            per: 1,
        });
        let (looked_up, picked): (Vec<_>, Vec<_>) = (looked_up.collect(), picked.collect());
        let windows = words.len() + PIECE * (looked_up.len() + picked.len());
        let ends = blocks.iter().scan(windows, |end, block| {
            let at = *end;
            *end += WINDOW * block.windows.len();
            Some(at)
        });
        let places: Vec<usize> = ends.collect();
        let mut pieces = Vec::new();
        let mut end = 0;
        for plan in &looked_up {
            let block = &blocks[plan.block];
            pieces.push(plan.put(block, places[plan.block], &mut end, &mut words));
        }
        let mut sides = Vec::new();
        for plan in &picked {
            let (block, at) = (&blocks[plan.block], places[plan.block]);
            // Picks are written block by block.
            let picks = plan.put(block, at, &mut 0, &mut words);
            sides.push(Side::new(block, at, picks));
        }
        put_windows(blocks, &mut words);
        Self {
            words,
            pieces,
            sides,
        }
    }
}

/// What is looked up of a block.
fn plans(at: usize, block: &Block, draws: Option<&Draws<'_>>) -> Vec<Plan> {
    let plan = |kind, slots, per| Plan {
        block: at,
        kind,
        slots,
        per,
    };
    let mut plans = vec![
        plan(INPUTS, block.length, 1),
        plan(TARGETS, block.predictions, 1),
    ];
    plans.extend(draws.map(|draws| match draws.shared {
        true => plan(SHARED_NEGATIVES, 1, draws.count),
        false => plan(NEGATIVES, block.predictions, draws.count),
    }));
    plans
}

impl Plan {
    /// Adds the piece's words; `windows` is where those of its block are, and
    /// `end` the number of ids so far.
    fn put(&self, block: &Block, windows: usize, end: &mut usize, to: &mut Vec<u32>) -> Piece {
        let (at, len) = (to.len(), block.windows.len() * self.slots * self.per);
        *end += len;
        let mut words = [0; PIECE];
        words[END] = *end as u32;
        words[KIND] = self.kind;
        words[SLOTS] = self.slots as u32;
        words[PER] = self.per as u32;
        words[WINDOWS] = windows as u32;
        words[TO_RIGHT] = u32::from(block.to_right);
        words[LENGTH] = block.length as u32;
        to.extend(words);
        Piece { at, len }
    }
}

impl Side {
    fn new(block: &Block, windows_at: usize, picks: Piece) -> Self {
        Self {
            windows_at,
            windows: block.windows.len(),
            length: block.length,
            slots: block.predictions,
            to_right: block.to_right,
            taken: block.windows.iter().map(|w| w.predictions).sum(),
            picks,
        }
    }
}

/// Adds the words of all windows, then their masked items.
fn put_windows(blocks: &[Block], to: &mut Vec<u32>) {
    let windows: usize = blocks.iter().map(|block| block.windows.len()).sum();
    let end = to.len() + WINDOW * windows;
    let mut masked: Vec<u32> = Vec::new();
    for block in blocks {
        let mut before = 0;
        for window in &block.windows {
            let mut words = [0; WINDOW];
            words[FIRST] = window.first as u32;
            words[LEN] = window.len as u32;
            words[USER] = window.user;
            words[PLACE_LOW] = window.place as u32;
            words[PLACE_HIGH] = (window.place >> 32) as u32;
            words[COUNT] = window.predictions as u32;
            words[BEFORE] = before as u32;
            if let Some(own) = &window.masked {
                words[MASKED] = (end + masked.len()) as u32;
                masked.extend(own);
            }
            to.extend(words);
            before += window.predictions;
        }
    }
    to.extend(masked);
}

//! Row numbers of a batch, and which of them are distinct.

use super::{Tape, Updates, ints};
#[cfg(feature = "wgpu")]
use crate::kernels::rows::Chains;
use crate::kernels::rows::{self, Segments};
#[cfg(feature = "wgpu")]
use burn::tensor::Device;
use burn::tensor::{Int, Tensor};

/// Stands for no row in an index: what is read is some row, and no gradient
/// reaches it.
pub const NO_ROW: u32 = u32::MAX;

/// Row numbers that a step is told to look up.
#[derive(Clone, Debug)]
pub enum Ids {
    Host(Vec<u32>),
    /// Drawn on the device, of rows that there are; [`NO_ROW`] is -1 there.
    Device(Box<Tensor<1, Int>>),
}

impl From<Vec<u32>> for Ids {
    fn from(ids: Vec<u32>) -> Self {
        Self::Host(ids)
    }
}

impl From<&[u32]> for Ids {
    fn from(ids: &[u32]) -> Self {
        Self::Host(ids.to_vec())
    }
}

impl From<Tensor<1, Int>> for Ids {
    fn from(ids: Tensor<1, Int>) -> Self {
        Self::Device(Box::new(ids))
    }
}

impl Ids {
    pub fn len(&self) -> usize {
        match self {
            Self::Host(ids) => ids.len(),
            Self::Device(ids) => ids.dims()[0],
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Row numbers of a batch, ready for [`Tape::lookup`].
pub struct Index {
    /// As they were given, on the device.
    pub(super) all: Tensor<1, Int>,
    pub(super) distinct: Option<Distinct>,
}

impl Index {
    pub fn len(&self) -> usize {
        self.all.dims()[0]
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The distinct row numbers of an index.
pub(super) enum Distinct {
    /// For the kernels of [`rows`].
    Segments(Segments),
    /// As those, whose sums are wanted for all rows of the table, touched or
    /// not.
    Whole(Segments),
    /// For plain operations: each row once, and for each index its place
    /// among them.
    Rows {
        rows: Tensor<1, Int>,
        inverse: Tensor<1, Int>,
    },
}

/// Finds distinct values in time proportional to the batch: the stamps of
/// earlier batches are outdated by a new generation, never cleared.
#[derive(Default)]
pub(super) struct Dedup {
    generation: u32,
    stamps: Vec<(u32, u32)>,
}

impl Dedup {
    /// The distinct values in order of first appearance, and for each value
    /// its place among them.
    fn find(&mut self, all: &[u32], rows: usize) -> (Vec<u32>, Vec<u32>) {
        if self.stamps.len() < rows || self.generation == u32::MAX {
            self.stamps = vec![(0, 0); rows];
            self.generation = 0;
        }
        self.generation += 1;
        let mut unique = Vec::new();
        let mut inverse = Vec::with_capacity(all.len());
        for &row in all {
            if row == NO_ROW {
                inverse.push(NO_ROW);
                continue;
            }
            let stamp = &mut self.stamps[row as usize];
            if stamp.0 != self.generation {
                *stamp = (self.generation, unique.len() as u32);
                unique.push(row);
            }
            inverse.push(stamp.1);
        }
        (unique, inverse)
    }
}

impl Tape {
    /// Prepares row numbers for [`Self::lookup`] in tables of `rows` rows.
    ///
    /// # Panics
    /// When a row number is not below `rows`: a GPU would read whatever lies
    /// there.
    pub fn index(&mut self, ids: Vec<u32>, rows: usize) -> Index {
        check(&ids, rows);
        if !self.training || self.updates == Updates::Dense {
            return Index {
                all: self.ints(&readable(ids)),
                distinct: None,
            };
        }
        let (unique, inverse) = self.dedup.find(&ids, rows);
        let plain = self.device.clone().inner();
        let ids = readable(ids);
        let distinct = if rows::supported(&plain) {
            Distinct::Segments(Segments::new(&unique, &inverse, &plain))
        } else {
            Distinct::Rows {
                rows: ints(&unique, &plain),
                inverse: self.ints(&readable(inverse)),
            }
        };
        Index {
            all: ints(&ids, &plain),
            distinct: Some(distinct),
        }
    }

    /// As [`Self::index`], of row numbers wherever they are.
    ///
    /// # Panics
    /// As [`Self::index`]; and on numbers from a device other than a GPU.
    pub fn index_of(&mut self, ids: &Ids, rows: usize) -> Index {
        match ids {
            Ids::Host(ids) => self.index(ids.clone(), rows),
            Ids::Device(ids) => self.index_on_device(Tensor::clone(ids), rows),
        }
    }

    fn index_on_device(&mut self, ids: Tensor<1, Int>, rows: usize) -> Index {
        if !self.training || self.updates == Updates::Dense {
            return self.plain_index(ids);
        }
        let segments = self.chained(ids.clone(), rows);
        Index {
            all: ids.clamp_min(0),
            distinct: Some(Distinct::Segments(segments)),
        }
    }

    /// Of a table that is read as a whole.
    fn plain_index(&self, ids: Tensor<1, Int>) -> Index {
        let ids = ids.clamp_min(0);
        Index {
            all: if self.training {
                Tensor::from_inner(ids)
            } else {
                ids
            },
            distinct: None,
        }
    }

    #[cfg(feature = "wgpu")]
    fn chained(&mut self, ids: Tensor<1, Int>, rows: usize) -> Segments {
        let device = ids.device();
        self.chains_of(rows, &device).find(ids)
    }

    /// What finds occurrences in tables of so many rows.
    #[cfg(feature = "wgpu")]
    pub(super) fn chains_of(&mut self, rows: usize, device: &Device) -> &mut Chains {
        let chains = self.chains.entry(rows);
        chains.or_insert_with(|| Chains::new(rows, device))
    }

    #[cfg(not(feature = "wgpu"))]
    fn chained(&mut self, _: Tensor<1, Int>, _: usize) -> Segments {
        unreachable!("only a GPU draws row numbers by itself")
    }

    /// As [`Self::index_of`], of a table that is updated in all of its rows, as
    /// where [`Self::param`] reads it, too.
    ///
    /// # Panics
    /// As [`Self::index_of`].
    pub fn index_of_whole(&mut self, ids: &Ids, rows: usize) -> Index {
        match ids {
            Ids::Host(ids) => self.whole_of_host(ids, rows),
            Ids::Device(ids) if !self.training => self.plain_index(Tensor::clone(ids)),
            Ids::Device(ids) => Index {
                all: Tensor::clone(ids).clamp_min(0),
                distinct: Some(Distinct::Whole(self.chained(Tensor::clone(ids), rows))),
            },
        }
    }

    fn whole_of_host(&mut self, ids: &[u32], rows: usize) -> Index {
        check(ids, rows);
        let plain = self.device.clone().inner();
        let readable = readable(ids.to_vec());
        if !self.training || !rows::supported(&plain) {
            return Index {
                all: self.ints(&readable),
                distinct: None,
            };
        }
        let (unique, inverse) = self.dedup.find(ids, rows);
        let segments = Segments::new(&unique, &inverse, &plain);
        Index {
            all: ints(&readable, &plain),
            distinct: Some(Distinct::Whole(segments)),
        }
    }

    /// 1 where there is a row, 0 for [`NO_ROW`]: `[ids.len()]`.
    pub fn present(&self, ids: &Ids) -> Tensor<1> {
        match ids {
            Ids::Host(ids) => {
                let present = ids.iter().map(|&id| f32::from(u8::from(id != NO_ROW)));
                self.floats(present.collect(), [ids.len()])
            }
            Ids::Device(ids) => self.constant_of(Tensor::clone(ids).greater_equal_elem(0).float()),
        }
    }
}

fn check(ids: &[u32], rows: usize) {
    assert!(
        ids.iter().all(|&id| id == NO_ROW || (id as usize) < rows),
        "a table of {rows} rows has fewer than what is looked up"
    );
}

/// With some row in place of no row.
fn readable(mut ids: Vec<u32>) -> Vec<u32> {
    ids.iter_mut()
        .filter(|id| **id == NO_ROW)
        .for_each(|id| *id = 0);
    ids
}

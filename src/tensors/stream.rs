//! Values on their way to disk, without a copy of them all.

use super::{HostTensor, NamedTensors, unpacked};
use anyhow::Result;
use burn_pack::{Bytes, DType, Error};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Values that lie somewhere else.
#[derive(Clone, Copy, Debug)]
pub enum Slice<'a> {
    F32(&'a [f32]),
    U32(&'a [u32]),
    I64(&'a [i64]),
    /// Stored as `i64`.
    Offsets(&'a [usize]),
}

impl Slice<'_> {
    pub(super) fn bytes(self) -> Vec<u8> {
        match self {
            Self::F32(v) => pack(v, |x| x.to_le_bytes()),
            Self::U32(v) => pack(v, |x| x.to_le_bytes()),
            Self::I64(v) => pack(v, |x| x.to_le_bytes()),
            Self::Offsets(v) => pack(v, |x| (x as i64).to_le_bytes()),
        }
    }

    pub(super) fn len(self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::U32(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::Offsets(v) => v.len(),
        }
    }

    pub(super) fn dtype(self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::U32(_) => DType::U32,
            Self::I64(_) | Self::Offsets(_) => DType::I64,
        }
    }

    pub(super) fn byte_len(self) -> usize {
        self.len() * self.dtype().size()
    }
}

fn pack<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    let mut packed = vec![0; N * values.len()];
    for (slot, value) in packed.as_chunks_mut::<N>().0.iter_mut().zip(values) {
        *slot = bytes(*value);
    }
    packed
}

/// Tensors on their way into a burnpack file. Their values stay where they
/// are; when their turn comes, the bytes of one are in memory beside them.
#[derive(Default)]
pub struct Stream {
    tensors: Vec<burn_pack::Tensor>,
    pub metadata: BTreeMap<String, String>,
}

impl Stream {
    /// Adds a tensor of one dimension: what `pick` finds in `owner`.
    pub fn add<T: Send + Sync + 'static>(
        &mut self,
        name: &str,
        owner: &Arc<T>,
        pick: impl Fn(&T) -> Slice<'_> + Send + Sync + 'static,
    ) {
        let shape = vec![pick(owner).len()];
        self.add_shaped(name, shape, owner, pick);
    }

    /// Adds tensors, not their metadata, under names with this prefix.
    pub fn add_named(&mut self, prefix: &str, owner: &Arc<NamedTensors>) {
        for (name, tensor) in &owner.tensors {
            let key = name.clone();
            let (name, shape) = (format!("{prefix}{name}"), tensor.shape.clone());
            self.add_shaped(&name, shape, owner, move |named| {
                named.tensors[&key].slice()
            });
        }
    }

    fn add_shaped<T: Send + Sync + 'static>(
        &mut self,
        name: &str,
        shape: Vec<usize>,
        owner: &Arc<T>,
        pick: impl Fn(&T) -> Slice<'_> + Send + Sync + 'static,
    ) {
        let values = pick(owner);
        let (dtype, len) = (values.dtype(), values.byte_len());
        let owner = Arc::clone(owner);
        let bytes = move || Ok(Bytes::from_bytes_vec(pick(&owner).bytes()));
        let name = name.to_string();
        self.tensors.push(burn_pack::Tensor::deferred(
            name, dtype, shape, None, len, bytes,
        ));
    }

    /// Adds a tensor of floats that is read from wherever it is when its turn
    /// comes.
    pub fn add_read(
        &mut self,
        name: &str,
        shape: &[usize],
        read: impl Fn() -> Result<Vec<f32>> + Send + Sync + 'static,
    ) {
        let len = shape.iter().product::<usize>() * DType::F32.size();
        let bytes = move || {
            let values = read().map_err(|e| Error::IoError(format!("{e:#}")))?;
            Ok(Bytes::from_bytes_vec(Slice::F32(&values).bytes()))
        };
        let (name, shape) = (name.to_string(), shape.to_vec());
        self.tensors.push(burn_pack::Tensor::deferred(
            name,
            DType::F32,
            shape,
            None,
            len,
            bytes,
        ));
    }

    /// Writes the file, atomically.
    ///
    /// # Errors
    /// Names the path.
    pub fn save(self, path: &Path) -> Result<()> {
        write(self.tensors, &self.metadata, path)
    }

    /// All of them in memory.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn into_named(self) -> Result<NamedTensors> {
        let named = self.tensors.into_iter().map(unpacked);
        Ok(NamedTensors {
            tensors: named.collect::<Result<BTreeMap<String, HostTensor>>>()?,
            metadata: self.metadata,
        })
    }
}

pub(super) fn write(
    tensors: Vec<burn_pack::Tensor>,
    metadata: &BTreeMap<String, String>,
    path: &Path,
) -> Result<()> {
    let mut writer = burn_pack::Writer::new(tensors);
    for (key, value) in metadata {
        writer = writer.with_metadata(key, value);
    }
    writer
        .write_to_file(path)
        .map_err(|e| anyhow::anyhow!("cannot write {}: {e}", path.display()))
}

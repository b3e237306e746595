//! Named tensors on the host: the form in which models, optimizer states and
//! histories go to disk (burnpack, with metadata) and to other tools
//! (safetensors).

mod stream;

pub use stream::{Slice, Stream};

use crate::fsio;
use anyhow::{Context, Result, bail, ensure};
use burn_pack::{Bytes, DType};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use stream::write;

/// The values of a tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    F32(Vec<f32>),
    U32(Vec<u32>),
    I64(Vec<i64>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    pub shape: Vec<usize>,
    pub values: Values,
}

/// Tensors and metadata by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NamedTensors {
    pub tensors: BTreeMap<String, HostTensor>,
    pub metadata: BTreeMap<String, String>,
}

impl HostTensor {
    fn slice(&self) -> Slice<'_> {
        match &self.values {
            Values::F32(v) => Slice::F32(v),
            Values::U32(v) => Slice::U32(v),
            Values::I64(v) => Slice::I64(v),
        }
    }

    fn from_bytes(dtype: DType, shape: Vec<usize>, bytes: &[u8]) -> Result<Self> {
        let values = match dtype {
            DType::F32 => Values::F32(words(bytes).map(f32::from_le_bytes).collect()),
            DType::U32 => Values::U32(words(bytes).map(u32::from_le_bytes).collect()),
            DType::I64 => Values::I64(words(bytes).map(i64::from_le_bytes).collect()),
            other => bail!("unexpected element type {other:?}"),
        };
        Ok(Self { shape, values })
    }
}

/// A tensor of a burnpack file with its values in memory.
fn unpacked(tensor: burn_pack::Tensor) -> Result<(String, HostTensor)> {
    let (name, dtype, shape, _, bytes) = tensor.into_parts().map_err(|e| anyhow::anyhow!("{e}"))?;
    let tensor = HostTensor::from_bytes(dtype, shape.to_vec(), &bytes)
        .with_context(|| format!("tensor `{name}`"))?;
    Ok((name, tensor))
}

fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    bytes.as_chunks::<N>().0.iter().copied()
}

impl NamedTensors {
    pub fn insert_f32(&mut self, name: &str, shape: &[usize], values: Vec<f32>) {
        self.insert(name, shape, Values::F32(values));
    }

    pub fn insert_u32(&mut self, name: &str, values: Vec<u32>) {
        self.insert(name, &[values.len()], Values::U32(values));
    }

    pub fn insert_i64(&mut self, name: &str, values: Vec<i64>) {
        self.insert(name, &[values.len()], Values::I64(values));
    }

    fn insert(&mut self, name: &str, shape: &[usize], values: Values) {
        let shape = shape.to_vec();
        self.tensors
            .insert(name.to_string(), HostTensor { shape, values });
    }

    fn get(&self, name: &str) -> Result<&HostTensor> {
        self.tensors.get(name).with_context(|| {
            let known: Vec<_> = self.tensors.keys().map(String::as_str).collect();
            format!(
                "tensor `{name}` is missing (there are: {})",
                known.join(", ")
            )
        })
    }

    /// A tensor of this shape.
    ///
    /// # Errors
    /// Missing, of another type, or of another shape.
    pub fn f32(&self, name: &str, shape: &[usize]) -> Result<&[f32]> {
        let tensor = self.get(name)?;
        ensure!(
            tensor.shape == shape,
            "tensor `{name}` has shape {:?}, expected {shape:?}",
            tensor.shape
        );
        match &tensor.values {
            Values::F32(v) => Ok(v),
            _ => bail!("tensor `{name}` is not f32"),
        }
    }

    /// # Errors
    /// Missing or of another type.
    pub fn u32(&self, name: &str) -> Result<&[u32]> {
        match &self.get(name)?.values {
            Values::U32(v) => Ok(v),
            _ => bail!("tensor `{name}` is not u32"),
        }
    }

    /// # Errors
    /// Missing or of another type.
    pub fn i64(&self, name: &str) -> Result<&[i64]> {
        match &self.get(name)?.values {
            Values::I64(v) => Ok(v),
            _ => bail!("tensor `{name}` is not i64"),
        }
    }

    /// The values of a tensor, which is gone from here then.
    ///
    /// # Errors
    /// Missing.
    pub fn take(&mut self, name: &str) -> Result<Values> {
        self.get(name)?;
        let taken = self.tensors.remove(name).map(|t| t.values);
        taken.context("found just now")
    }

    /// Writes a burnpack file, atomically.
    ///
    /// # Errors
    /// Names the path.
    pub fn save_burnpack(&self, path: &Path) -> Result<()> {
        let tensors = self.tensors.iter().map(|(name, t)| {
            let bytes = Bytes::from_bytes_vec(t.slice().bytes());
            burn_pack::Tensor::new(
                name.clone(),
                t.slice().dtype(),
                t.shape.clone(),
                None,
                bytes,
            )
        });
        write(tensors.collect(), &self.metadata, path)
    }

    /// Writes a burnpack file, atomically, with no more in memory than the
    /// bytes of one tensor beside the tensors themselves, which come back.
    ///
    /// # Errors
    /// The second value names the path.
    pub fn stream_burnpack(self, path: &Path) -> (Self, Result<()>) {
        let shared = Arc::new(self);
        let mut stream = Stream::default();
        stream.metadata.clone_from(&shared.metadata);
        stream.add_named("", &shared);
        let written = stream.save(path);
        (Arc::unwrap_or_clone(shared), written)
    }

    /// Reads a burnpack file.
    ///
    /// # Errors
    /// Missing, truncated or not burnpack; names the path.
    pub fn load_burnpack(path: &Path) -> Result<Self> {
        let read = || -> Result<Self> {
            // The values of each tensor are read when their turn comes.
            let reader = burn_pack::Reader::from_file_exact(path)
                .map_err(|e| anyhow::anyhow!("not a whole burnpack file: {e}"))?;
            let metadata = reader.metadata().clone();
            let parts = reader.into_tensors().map_err(|e| anyhow::anyhow!("{e}"))?;
            let tensors = parts.into_iter().map(unpacked).collect::<Result<_>>()?;
            Ok(Self { tensors, metadata })
        };
        read().with_context(|| format!("cannot read {}", path.display()))
    }

    /// Writes a safetensors file for other tools, atomically.
    ///
    /// # Errors
    /// Names the path.
    pub fn save_safetensors(&self, path: &Path) -> Result<()> {
        let views = self.tensors.iter().map(|(name, t)| (name.as_str(), t));
        let metadata = self.metadata.clone().into_iter().collect();
        let scratch = path.with_extension("safetensors.part");
        let write = || -> Result<()> {
            safetensors::serialize_to_file(views, Some(metadata), &scratch)?;
            fsio::replace(&scratch, path)
        };
        let written = write();
        if written.is_err() {
            // What is half written helps nobody.
            let _ = std::fs::remove_file(&scratch);
        }
        written.with_context(|| format!("cannot write {}", path.display()))
    }
}

/// One tensor's bytes at a time.
impl safetensors::View for &HostTensor {
    fn dtype(&self) -> safetensors::Dtype {
        match self.values {
            Values::F32(_) => safetensors::Dtype::F32,
            Values::U32(_) => safetensors::Dtype::U32,
            Values::I64(_) => safetensors::Dtype::I64,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.slice().bytes())
    }

    fn data_len(&self) -> usize {
        self.slice().byte_len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> NamedTensors {
        let mut named = NamedTensors::default();
        named.insert_f32("w", &[2, 2], vec![1.0, -2.5, f32::MIN_POSITIVE, 4.0]);
        named.insert_u32("rows", vec![0, u32::MAX]);
        named.insert_i64("time", vec![-1, i64::MAX]);
        named.metadata.insert("model".into(), "mf".into());
        named
    }

    #[test]
    fn burnpack_round_trips() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.bpk");
        sample().save_burnpack(&path).unwrap();
        assert_eq!(NamedTensors::load_burnpack(&path).unwrap(), sample());
        let streamed = dir.path().join("s.bpk");
        let (back, written) = sample().stream_burnpack(&streamed);
        written.unwrap();
        assert_eq!(back, sample());
        assert_eq!(
            std::fs::read(&streamed).unwrap(),
            std::fs::read(&path).unwrap()
        );
        let (back, written) = back.stream_burnpack(&dir.path().join("none/s.bpk"));
        assert!(written.unwrap_err().to_string().contains("none"));
        assert_eq!(back, sample());
    }

    #[test]
    fn a_truncated_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.bpk");
        sample().save_burnpack(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let error = format!("{:#}", NamedTensors::load_burnpack(&path).unwrap_err());
        assert!(error.contains("m.bpk"), "{error}");
    }

    #[test]
    fn safetensors_holds_the_same_values() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.safetensors");
        sample().save_safetensors(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(read.tensor("w").unwrap().shape(), [2, 2]);
        let names = std::fs::read_dir(dir.path()).unwrap();
        assert_eq!(names.count(), 1);
        assert_eq!(
            read.tensor("w").unwrap().data(),
            sample().tensors["w"].slice().bytes()
        );
    }

    #[test]
    fn a_wrong_shape_is_an_error() {
        let error = sample().f32("w", &[4]).unwrap_err().to_string();
        assert!(error.contains("[2, 2]") && error.contains("[4]"), "{error}");
    }
}

//! A split as one burnpack file.

use crate::data::interactions::Interactions;
use crate::data::split::{EvalSet, Split};
use crate::data::times::{Offsets, Times};
use crate::tensors::{NamedTensors, Slice, Stream, Values};
use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn file(run: &Path) -> PathBuf {
    run.join("split.bpk")
}

pub(super) fn write(run: &Path, split: &Split) -> Result<()> {
    let mut out = Stream::default();
    put(&mut out, "train", &split.train);
    put(&mut out, "test.history", &split.test.history);
    put_set(&mut out, "test", &split.test);
    if let Some(validation) = &split.validation {
        if !Arc::ptr_eq(&validation.history, &split.train) {
            put(&mut out, "validation.history", &validation.history);
        }
        put_set(&mut out, "validation", validation);
    }
    let protocol = serde_json::to_string(&split.protocol).context("cannot write the protocol")?;
    out.metadata.insert("protocol".into(), protocol);
    out.save(&file(run))
}

fn put_set(out: &mut Stream, part: &str, set: &EvalSet) {
    put(
        out,
        &format!("{part}.targets"),
        &Arc::new(set.targets.clone()),
    );
    if let Some(candidates) = &set.candidates {
        let candidates = Arc::new(candidates.clone());
        put(out, &format!("{part}.candidates"), &candidates);
    }
}

fn put(out: &mut Stream, name: &str, log: &Arc<Interactions>) {
    let key = |column: &str| format!("{name}.{column}");
    out.add(&key("offsets"), log, |l| Slice::Offsets(&l.offsets));
    out.add(&key("items"), log, |l| Slice::U32(&l.items));
    if log.weights.is_some() {
        out.add(&key("weights"), log, |l| {
            Slice::F32(l.weights.as_deref().unwrap_or_default())
        });
    }
    if let Some(times) = &log.timestamps {
        let (base, _) = times.parts();
        out.metadata.insert(key("time_base"), base.to_string());
        out.add(&key("timestamps"), log, |l| {
            match l.timestamps.as_ref().map(Times::parts) {
                Some((_, Offsets::Narrow(v))) => Slice::U32(v),
                Some((_, Offsets::Wide(v))) => Slice::I64(v),
                None => Slice::I64(&[]),
            }
        });
    }
}

/// Of the file: the same content is always written as the same bytes.
pub(super) fn sha256(run: &Path) -> Result<String> {
    let path = file(run);
    let hash = || -> Result<String> {
        let mut digest = Sha256::new();
        std::io::copy(&mut std::fs::File::open(&path)?, &mut digest)?;
        Ok(format!("{:x}", digest.finalize()))
    };
    hash().with_context(|| format!("cannot read {}", path.display()))
}

/// Reads the split of a run and checks it against the counts of its ids.
pub(super) fn read(run: &Path, num_users: usize, num_items: usize) -> Result<Split> {
    let path = file(run);
    let mut reader = Reader {
        named: NamedTensors::load_burnpack(&path)?,
        num_users,
        num_items,
    };
    reader
        .split()
        .with_context(|| format!("{} is damaged", path.display()))
}

struct Reader {
    named: NamedTensors,
    num_users: usize,
    num_items: usize,
}

impl Reader {
    fn split(&mut self) -> Result<Split> {
        let protocol = self.named.metadata.get("protocol");
        let protocol = serde_json::from_str(protocol.context("the protocol is missing")?)?;
        let train = Arc::new(self.log("train")?);
        let history = match self.has("validation.history") {
            true => Arc::new(self.log("validation.history")?),
            false => Arc::clone(&train),
        };
        Ok(Split {
            train,
            validation: self
                .has("validation.targets")
                .then(|| self.set("validation", history))
                .transpose()?,
            test: {
                let history = Arc::new(self.log("test.history")?);
                self.set("test", history)?
            },
            protocol,
        })
    }

    fn has(&self, name: &str) -> bool {
        self.named.tensors.contains_key(&format!("{name}.offsets"))
    }

    fn set(&mut self, part: &str, history: Arc<Interactions>) -> Result<EvalSet> {
        let candidates = format!("{part}.candidates");
        Ok(EvalSet {
            history,
            targets: self.log(&format!("{part}.targets"))?,
            candidates: self
                .has(&candidates)
                .then(|| self.log(&candidates))
                .transpose()?,
        })
    }

    /// Takes a column over; `None` where there is none.
    fn column(&mut self, name: &str) -> Result<Option<Values>> {
        let there = self.named.tensors.contains_key(name);
        there.then(|| self.named.take(name)).transpose()
    }

    fn log(&mut self, name: &str) -> Result<Interactions> {
        let key = |column: &str| format!("{name}.{column}");
        let Values::U32(items) = self.named.take(&key("items"))? else {
            bail!("the items of `{name}` are no indices");
        };
        let weights = match self.column(&key("weights"))? {
            None => None,
            Some(Values::F32(weights)) => Some(weights),
            Some(_) => bail!("the weights of `{name}` are no numbers"),
        };
        let timestamps = match self.column(&key("timestamps"))? {
            None => None,
            Some(Values::I64(times)) => Some(Times::from(times)),
            Some(Values::U32(beyond)) => {
                let base = self.named.metadata.get(&key("time_base"));
                let base = base.context("the first timestamp is missing")?.parse()?;
                Some(Times::of_parts(base, Offsets::Narrow(beyond)))
            }
            Some(Values::F32(_)) => bail!("the timestamps of `{name}` are no integers"),
        };
        let len = items.len();
        let log = Interactions {
            offsets: self.offsets(&key("offsets"), len)?,
            items,
            weights,
            timestamps,
            num_items: self.num_items,
        };
        ensure!(
            log.items.iter().all(|i| (*i as usize) < self.num_items),
            "`{name}` names an item beyond the {} of the run",
            self.num_items
        );
        ensure!(
            log.timestamps.as_ref().is_none_or(|t| t.len() == len)
                && log.weights.as_ref().is_none_or(|w| w.len() == len),
            "`{name}` has another number of timestamps or weights than of items"
        );
        Ok(log)
    }

    fn offsets(&self, name: &str, len: usize) -> Result<Vec<usize>> {
        let offsets: Vec<usize> = self
            .named
            .i64(name)?
            .iter()
            .map(|o| usize::try_from(*o).context("an offset is negative"))
            .collect::<Result<_>>()?;
        ensure!(
            offsets.len() == self.num_users + 1
                && offsets.is_sorted()
                && offsets.first() == Some(&0)
                && offsets.last() == Some(&len),
            "`{name}` does not fit {} users and {len} interactions",
            self.num_users
        );
        Ok(offsets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::split::SplitProtocol;

    fn log(offsets: &[usize], items: &[u32]) -> Interactions {
        Interactions {
            offsets: offsets.to_vec(),
            items: items.to_vec(),
            weights: Some(items.iter().map(|i| *i as f32 + 0.5).collect()),
            timestamps: Some(items.iter().map(|i| 7 * i64::from(*i) - 9).collect()),
            num_items: 4,
        }
    }

    fn sample() -> Split {
        let set = EvalSet {
            history: log(&[0, 1, 2], &[0, 1]).into(),
            targets: log(&[0, 1, 1], &[2]),
            candidates: Some(log(&[0, 1, 1], &[3])),
        };
        Split {
            train: log(&[0, 1, 2], &[0, 1]).into(),
            validation: None,
            test: set,
            protocol: SplitProtocol {
                description: "by hand".into(),
                ..SplitProtocol::default()
            },
        }
    }

    #[test]
    fn a_split_round_trips() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &sample()).unwrap();
        let hash = sha256(dir.path()).unwrap();
        write(dir.path(), &sample()).unwrap();
        assert_eq!(sha256(dir.path()).unwrap(), hash);
        let back = read(dir.path(), 2, 4).unwrap();
        assert_eq!(back.train, sample().train);
        assert_eq!(back.test.targets, sample().test.targets);
        assert_eq!(back.test.candidates, sample().test.candidates);
        assert_eq!(back.protocol, sample().protocol);
        assert!(back.validation.is_none());
    }

    #[test]
    fn a_validation_history_is_shared_with_training_or_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let train = sample().train;
        for history in [Arc::clone(&train), log(&[0, 1, 1], &[3]).into()] {
            let validation = EvalSet {
                history: Arc::clone(&history),
                targets: log(&[0, 0, 1], &[1]),
                candidates: None,
            };
            let split = Split {
                train: Arc::clone(&train),
                validation: Some(validation),
                ..sample()
            };
            write(dir.path(), &split).unwrap();
            let back = read(dir.path(), 2, 4).unwrap();
            let validation = back.validation.unwrap();
            assert_eq!(validation.history, history);
            assert_eq!(validation.targets.items, [1]);
            let shared = Arc::ptr_eq(&history, &train);
            assert_eq!(Arc::ptr_eq(&validation.history, &back.train), shared);
        }
    }

    #[test]
    fn a_split_of_other_ids_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &sample()).unwrap();
        assert!(read(dir.path(), 3, 4).is_err());
        let error = format!("{:#}", read(dir.path(), 2, 3).unwrap_err());
        assert!(error.contains("split.bpk is damaged"), "{error}");
    }
}

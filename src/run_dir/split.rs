//! A split as one burnpack file.

use crate::data::interactions::Interactions;
use crate::data::split::{EvalSet, Split};
use crate::tensors::NamedTensors;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

fn file(run: &Path) -> PathBuf {
    run.join("split.bpk")
}

pub(super) fn write(run: &Path, split: &Split) -> Result<()> {
    let mut out = NamedTensors::default();
    put(&mut out, "train", &split.train);
    put_set(&mut out, "test", &split.test);
    if let Some(validation) = &split.validation {
        put_set(&mut out, "validation", validation);
    }
    let protocol = serde_json::to_string(&split.protocol).context("cannot write the protocol")?;
    out.metadata.insert("protocol".into(), protocol);
    out.save_burnpack(&file(run))
}

fn put_set(out: &mut NamedTensors, part: &str, set: &EvalSet) {
    put(out, &format!("{part}.history"), &set.history);
    put(out, &format!("{part}.targets"), &set.targets);
    if let Some(candidates) = &set.candidates {
        put(out, &format!("{part}.candidates"), candidates);
    }
}

fn put(out: &mut NamedTensors, name: &str, log: &Interactions) {
    let offsets = log.offsets.iter().map(|o| *o as i64).collect();
    out.insert_i64(&format!("{name}.offsets"), offsets);
    out.insert_u32(&format!("{name}.items"), log.items.clone());
    if let Some(weights) = &log.weights {
        out.insert_f32(
            &format!("{name}.weights"),
            &[weights.len()],
            weights.clone(),
        );
    }
    if let Some(timestamps) = &log.timestamps {
        out.insert_i64(&format!("{name}.timestamps"), timestamps.clone());
    }
}

/// Reads the split of a run and checks it against the counts of its ids.
pub(super) fn read(run: &Path, num_users: usize, num_items: usize) -> Result<Split> {
    let path = file(run);
    let named = NamedTensors::load_burnpack(&path)?;
    let reader = Reader {
        named: &named,
        num_users,
        num_items,
    };
    reader
        .split()
        .with_context(|| format!("{} is damaged", path.display()))
}

struct Reader<'a> {
    named: &'a NamedTensors,
    num_users: usize,
    num_items: usize,
}

impl Reader<'_> {
    fn split(&self) -> Result<Split> {
        let protocol = self.named.metadata.get("protocol");
        Ok(Split {
            train: self.log("train")?,
            validation: self
                .has("validation.targets")
                .then(|| self.set("validation"))
                .transpose()?,
            test: self.set("test")?,
            protocol: serde_json::from_str(protocol.context("the protocol is missing")?)?,
        })
    }

    fn has(&self, name: &str) -> bool {
        self.named.tensors.contains_key(&format!("{name}.offsets"))
    }

    fn set(&self, part: &str) -> Result<EvalSet> {
        let candidates = format!("{part}.candidates");
        Ok(EvalSet {
            history: self.log(&format!("{part}.history"))?,
            targets: self.log(&format!("{part}.targets"))?,
            candidates: self
                .has(&candidates)
                .then(|| self.log(&candidates))
                .transpose()?,
        })
    }

    fn log(&self, name: &str) -> Result<Interactions> {
        let key = |column: &str| format!("{name}.{column}");
        let there = |column: &str| self.named.tensors.contains_key(&key(column));
        let items = self.named.u32(&key("items"))?.to_vec();
        let len = items.len();
        let weights = there("weights")
            .then(|| self.named.f32(&key("weights"), &[len]))
            .transpose()?;
        let timestamps = there("timestamps")
            .then(|| self.named.i64(&key("timestamps")))
            .transpose()?;
        let log = Interactions {
            offsets: self.offsets(&key("offsets"), len)?,
            items,
            weights: weights.map(<[f32]>::to_vec),
            timestamps: timestamps.map(<[i64]>::to_vec),
            num_items: self.num_items,
        };
        ensure!(
            log.items.iter().all(|i| (*i as usize) < self.num_items),
            "`{name}` names an item beyond the {} of the run",
            self.num_items
        );
        ensure!(
            log.timestamps.as_ref().is_none_or(|t| t.len() == len),
            "`{name}` has another number of timestamps than of items"
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
            timestamps: None,
            num_items: 4,
        }
    }

    fn sample() -> Split {
        let set = EvalSet {
            history: log(&[0, 1, 2], &[0, 1]),
            targets: log(&[0, 1, 1], &[2]),
            candidates: Some(log(&[0, 1, 1], &[3])),
        };
        Split {
            train: log(&[0, 1, 2], &[0, 1]),
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
        let back = read(dir.path(), 2, 4).unwrap();
        assert_eq!(back.train, sample().train);
        assert_eq!(back.test.targets, sample().test.targets);
        assert_eq!(back.test.candidates, sample().test.candidates);
        assert_eq!(back.protocol, sample().protocol);
        assert!(back.validation.is_none());
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

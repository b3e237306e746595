//! A data set as named tensors, and back.

use super::columns::{
    TableMeta, put_strings, put_table, put_u32, take_f32, take_i64, take_strings, take_table,
    take_u32,
};
use crate::data::dataset::{CleaningStep, Dataset, Log, Part};
use crate::data::interactions::Interactions;
use crate::data::times::{Offsets, Times};
use crate::ids::{ExternalIds, IdMap};
use crate::tensors::{NamedTensors, Values};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Changes with the layout.
const LAYOUT: &str = "recsys data 2";

/// What is not a tensor.
#[derive(Serialize, Deserialize)]
struct Meta {
    hash: String,
    platforms: Vec<String>,
    cleaning: Vec<CleaningStep>,
    integer_ids: [bool; 2],
    has_weights: bool,
    /// What the timestamps are counted from.
    time_base: Option<i64>,
    has_platforms: bool,
    has_parts: bool,
    has_negatives: bool,
    user_features: Option<TableMeta>,
    item_features: Option<TableMeta>,
}

/// # Errors
/// Metadata that cannot be written as JSON.
pub(super) fn encode(dataset: Dataset) -> Result<NamedTensors> {
    let mut out = NamedTensors::default();
    let mut log = dataset.log;
    let time_base = log.timestamps.take().map(|t| put_times(&mut out, t));
    let meta = Meta {
        hash: dataset.hash,
        platforms: dataset.platforms,
        cleaning: dataset.cleaning,
        integer_ids: [
            put_ids(&mut out, "users", &dataset.users)?,
            put_ids(&mut out, "items", &dataset.items)?,
        ],
        has_weights: log.weights.is_some(),
        time_base,
        has_platforms: log.platforms.is_some(),
        has_parts: log.parts.is_some(),
        has_negatives: dataset.negatives.is_some(),
        user_features: put_table(&mut out, "user_features", dataset.user_features.as_ref())?,
        item_features: put_table(&mut out, "item_features", dataset.item_features.as_ref())?,
    };
    put_log(&mut out, log);
    if let Some(n) = dataset.negatives {
        let offsets = n.offsets.iter().map(|o| *o as i64).collect();
        out.insert_i64("negatives.offsets", offsets);
        put_u32(&mut out, "negatives.items", n.items);
    }
    let meta = serde_json::to_string(&meta)?;
    out.metadata.insert("layout".into(), LAYOUT.into());
    out.metadata.insert("digest".into(), digest(&out, &meta));
    out.metadata.insert("meta".into(), meta);
    Ok(out)
}

fn put_log(out: &mut NamedTensors, log: Log) {
    put_u32(out, "log.users", log.users);
    put_u32(out, "log.items", log.items);
    if let Some(w) = log.weights {
        out.insert_f32("log.weights", &[w.len()], w);
    }
    if let Some(p) = log.platforms {
        put_u32(out, "log.platforms", p.into_iter().map(u32::from).collect());
    }
    if let Some(p) = log.parts {
        put_u32(out, "log.parts", p.into_iter().map(|p| p as u32).collect());
    }
}

/// In half the bytes where they lie near each other; what they count from.
fn put_times(out: &mut NamedTensors, times: Vec<i64>) -> i64 {
    let (base, offsets) = Times::from(times).into_parts();
    match offsets {
        Offsets::Narrow(v) => put_u32(out, "log.timestamps", v),
        Offsets::Wide(v) => out.insert_i64("log.timestamps", v),
    }
    base
}

fn take_times(packed: &mut NamedTensors, base: i64) -> Result<Vec<i64>> {
    match packed.take("log.timestamps")? {
        Values::U32(v) => Ok(v.iter().map(|t| base.wrapping_add(i64::from(*t))).collect()),
        Values::I64(v) => Ok(v),
        Values::F32(_) => bail!("`log.timestamps` has another type"),
    }
}

/// Whether a cache can be used.
///
/// # Errors
/// Another layout, other input, or content that is not what was written.
pub(super) fn check(packed: &NamedTensors, hash: &str) -> Result<()> {
    let layout = metadata(packed, "layout")?;
    ensure!(layout == LAYOUT, "it is from another version ({layout})");
    let text = metadata(packed, "meta")?;
    ensure!(
        metadata(packed, "digest")? == digest(packed, text),
        "it is damaged"
    );
    let meta: Meta = serde_json::from_str(text).context("its description is damaged")?;
    ensure!(meta.hash == hash, "it is of other data");
    Ok(())
}

fn metadata<'a>(packed: &'a NamedTensors, key: &str) -> Result<&'a str> {
    let value = packed.metadata.get(key);
    value
        .map(String::as_str)
        .with_context(|| format!("it has no `{key}`"))
}

/// # Errors
/// Tensors that [`encode`] did not make.
pub(super) fn decode(mut packed: NamedTensors) -> Result<Dataset> {
    let meta: Meta =
        serde_json::from_str(metadata(&packed, "meta")?).context("its description is damaged")?;
    let packed = &mut packed;
    let users = take_ids(packed, "users", meta.integer_ids[0])?;
    let items = take_ids(packed, "items", meta.integer_ids[1])?;
    let wanted = |has: bool, name: &'static str| has.then_some(name);
    let log = Log {
        users: take_u32(packed, "log.users")?,
        items: take_u32(packed, "log.items")?,
        weights: wanted(meta.has_weights, "log.weights")
            .map(|n| take_f32(packed, n))
            .transpose()?,
        timestamps: meta.time_base.map(|b| take_times(packed, b)).transpose()?,
        platforms: wanted(meta.has_platforms, "log.platforms")
            .map(|n| Ok::<_, anyhow::Error>(narrow(&take_u32(packed, n)?)))
            .transpose()?,
        parts: wanted(meta.has_parts, "log.parts")
            .map(|n| take_u32(packed, n)?.into_iter().map(part).collect())
            .transpose()?,
    };
    let negatives = match meta.has_negatives {
        true => Some(Interactions {
            offsets: take_i64(packed, "negatives.offsets")?
                .into_iter()
                .map(|o| o as usize)
                .collect(),
            items: take_u32(packed, "negatives.items")?,
            weights: None,
            timestamps: None,
            num_items: items.len(),
        }),
        false => None,
    };
    Ok(Dataset {
        user_features: take_table(packed, "user_features", meta.user_features)?,
        item_features: take_table(packed, "item_features", meta.item_features)?,
        users,
        items,
        log,
        platforms: meta.platforms,
        negatives,
        cleaning: meta.cleaning,
        hash: meta.hash,
    })
}

fn narrow(codes: &[u32]) -> Vec<u16> {
    codes.iter().map(|c| *c as u16).collect()
}

fn part(code: u32) -> Result<Part> {
    [Part::Train, Part::Validation, Part::Test]
        .into_iter()
        .find(|p| *p as u32 == code)
        .with_context(|| format!("there is no part {code}"))
}

/// Of all tensors and the description.
fn digest(packed: &NamedTensors, meta: &str) -> String {
    let mut sha = Sha256::new();
    for (name, tensor) in &packed.tensors {
        sha.update(name);
        match &tensor.values {
            Values::F32(v) => update(&mut sha, v, |x| x.to_le_bytes()),
            Values::U32(v) => update(&mut sha, v, |x| x.to_le_bytes()),
            Values::I64(v) => update(&mut sha, v, |x| x.to_le_bytes()),
        }
    }
    sha.update(meta);
    crate::data::read::files::hex(&sha.finalize())
}

fn update<T: Copy, const N: usize>(sha: &mut Sha256, values: &[T], bytes: impl Fn(T) -> [u8; N]) {
    let mut buffer = Vec::with_capacity(N * 4096);
    for chunk in values.chunks(4096) {
        buffer.clear();
        buffer.extend(chunk.iter().flat_map(|x| bytes(*x)));
        sha.update(&buffer);
    }
}

/// Whether the ids are integers.
fn put_ids(out: &mut NamedTensors, name: &str, ids: &IdMap) -> Result<bool> {
    match ids.external_ids() {
        ExternalIds::Int(v) => {
            out.insert_i64(name, v.clone());
            Ok(true)
        }
        ExternalIds::Str(v) => {
            put_strings(out, name, v)?;
            Ok(false)
        }
    }
}

fn take_ids(packed: &mut NamedTensors, name: &str, integers: bool) -> Result<IdMap> {
    Ok(IdMap::new(if integers {
        ExternalIds::Int(take_i64(packed, name)?)
    } else {
        ExternalIds::Str(take_strings(packed, name)?)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::features::{FeatureColumn, FeatureTable, FeatureValues};

    fn sample() -> Dataset {
        let column = |name: &str, values| FeatureColumn {
            name: name.into(),
            values,
        };
        Dataset {
            users: IdMap::new(ExternalIds::Int(vec![-5, 7])),
            items: IdMap::new(ExternalIds::Str(vec![
                "é".into(),
                String::new(),
                "c".into(),
            ])),
            log: Log {
                users: vec![0, 1, 1],
                items: vec![2, 1, 0],
                weights: Some(vec![1.5, 0.0, -2.0]),
                timestamps: Some(vec![1, i64::MAX, -1]),
                platforms: Some(vec![0, 1, 0]),
                parts: Some(vec![Part::Train, Part::Test, Part::Validation]),
            },
            user_features: None,
            item_features: Some(FeatureTable {
                columns: vec![
                    column(
                        "kind",
                        FeatureValues::Categorical {
                            labels: vec!["x".into()],
                            codes: vec![None, Some(0), None],
                        },
                    ),
                    column("size", FeatureValues::Numeric(vec![1.0, 2.0, 3.0])),
                    column(
                        "tags",
                        FeatureValues::List {
                            labels: vec!["p".into(), "q".into()],
                            codes: vec![vec![], vec![1, 0], vec![0]],
                        },
                    ),
                    column("title", FeatureValues::Text(vec![String::new(); 3])),
                ],
                title: Some("title".into()),
            }),
            platforms: vec!["web".into(), "app".into()],
            negatives: Some(Interactions {
                offsets: vec![0, 1, 3],
                items: vec![0, 2, 1],
                weights: None,
                timestamps: None,
                num_items: 3,
            }),
            cleaning: vec![CleaningStep {
                name: "read".into(),
                rows: 3,
                users: 2,
                items: 3,
            }],
            hash: "abc".into(),
        }
    }

    #[test]
    fn everything_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.bpk");
        encode(sample()).unwrap().stream_burnpack(&path).1.unwrap();
        let packed = NamedTensors::load_burnpack(&path).unwrap();
        check(&packed, "abc").unwrap();
        let back = decode(packed).unwrap();
        let (a, b) = (sample(), back);
        assert_eq!(a.users.external_ids(), b.users.external_ids());
        assert_eq!(a.items.external_ids(), b.items.external_ids());
        assert_eq!(a.log.users, b.log.users);
        assert_eq!(a.log.items, b.log.items);
        assert_eq!(a.log.weights, b.log.weights);
        assert_eq!(a.log.timestamps, b.log.timestamps);
        assert_eq!(a.log.platforms, b.log.platforms);
        assert_eq!(a.log.parts, b.log.parts);
        assert_eq!(a.item_features, b.item_features);
        assert_eq!(b.user_features, None);
        assert_eq!(a.negatives, b.negatives);
        assert_eq!((a.platforms, a.cleaning), (b.platforms, b.cleaning));
    }

    #[test]
    fn another_hash_and_changed_values_are_refused() {
        let packed = encode(sample()).unwrap();
        let error = check(&packed, "def").unwrap_err().to_string();
        assert!(error.contains("other data"), "{error}");
        let mut changed = packed;
        changed.insert_u32("log.users", vec![0, 0, 1]);
        let error = check(&changed, "abc").unwrap_err().to_string();
        assert!(error.contains("damaged"), "{error}");
    }
}

//! A metric as a person writes it: `ndcg@10`, `auc`.

use super::{Direction, MetricEntry, REGISTRY};
use crate::suggest::did_you_mean;
use anyhow::{Context, Result, bail, ensure};
use std::fmt;

/// A metric with its cutoff.
#[derive(Clone, Copy, Debug)]
pub struct MetricSpec {
    pub entry: &'static MetricEntry,
    /// Present exactly for metrics of lists.
    pub cutoff: Option<usize>,
}

impl MetricSpec {
    /// Parses one metric with its cutoff.
    ///
    /// ```
    /// use recsys::metrics::MetricSpec;
    /// let spec = MetricSpec::parse("hit@5").unwrap();
    /// assert_eq!(spec.to_string(), "hit_rate@5");
    /// assert!(MetricSpec::parse("ndgc@5").is_err());
    /// ```
    ///
    /// # Errors
    /// An unknown metric (offers the nearest one and lists all), a cutoff that
    /// is no positive number, one that is missing, or one too many.
    pub fn parse(text: &str) -> Result<Self> {
        let (entry, cutoff) = split(text)?;
        ensure!(
            cutoff.is_some() || !entry.has_cutoff(),
            "metric `{text}` needs a cutoff, e.g. `{}@10`",
            entry.name
        );
        Ok(Self { entry, cutoff })
    }

    /// Parses a list of metrics; one that needs a cutoff and has none is taken
    /// at every one of `cutoffs`. Keeps the order and drops repetitions.
    ///
    /// ```
    /// use recsys::metrics::MetricSpec;
    /// let specs = MetricSpec::expand(&["recall", "mrr@5", "auc"], &[10, 20]).unwrap();
    /// let names: Vec<_> = specs.iter().map(ToString::to_string).collect();
    /// assert_eq!(names, ["recall@10", "recall@20", "mrr@5", "auc"]);
    /// ```
    ///
    /// # Errors
    /// As [`Self::parse`]; no metrics at all, or a metric that needs a cutoff
    /// while `cutoffs` is empty.
    pub fn expand(texts: &[impl AsRef<str>], cutoffs: &[usize]) -> Result<Vec<Self>> {
        ensure!(!texts.is_empty(), "no metrics are asked for");
        ensure!(!cutoffs.contains(&0), "a cutoff must be at least 1");
        let mut specs: Vec<Self> = Vec::new();
        for text in texts {
            let (entry, cutoff) = split(text.as_ref())?;
            let cutoffs: Vec<_> = if cutoff.is_some() || !entry.has_cutoff() {
                vec![cutoff]
            } else {
                ensure!(
                    !cutoffs.is_empty(),
                    "metric `{}` needs a cutoff",
                    entry.name
                );
                cutoffs.iter().copied().map(Some).collect()
            };
            for cutoff in cutoffs {
                let spec = Self { entry, cutoff };
                if !specs.contains(&spec) {
                    specs.push(spec);
                }
            }
        }
        Ok(specs)
    }

    pub fn direction(&self) -> Direction {
        self.entry.direction
    }
}

impl fmt::Display for MetricSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cutoff {
            Some(k) => write!(f, "{}@{k}", self.entry.name),
            None => f.write_str(self.entry.name),
        }
    }
}

impl PartialEq for MetricSpec {
    fn eq(&self, other: &Self) -> bool {
        self.entry.name == other.entry.name && self.cutoff == other.cutoff
    }
}

impl Eq for MetricSpec {}

fn split(text: &str) -> Result<(&'static MetricEntry, Option<usize>)> {
    let (name, cutoff) = match text.trim().split_once('@') {
        Some((name, cutoff)) => (name, Some(cutoff)),
        None => (text.trim(), None),
    };
    let entry = find(name)?;
    let Some(cutoff) = cutoff else {
        return Ok((entry, None));
    };
    ensure!(
        entry.has_cutoff(),
        "metric `{}` takes no cutoff: write `{}` in place of `{text}`",
        entry.name,
        entry.name
    );
    let cutoff: usize = cutoff
        .parse()
        .with_context(|| format!("the cutoff of `{text}` is no whole number"))?;
    ensure!(cutoff > 0, "the cutoff of `{text}` must be at least 1");
    Ok((entry, Some(cutoff)))
}

fn find(name: &str) -> Result<&'static MetricEntry> {
    let typed = name.to_lowercase();
    let matches = |e: &&&MetricEntry| e.name == typed || e.aliases.contains(&typed.as_str());
    if let Some(entry) = REGISTRY.iter().find(matches) {
        return Ok(entry);
    }
    let names: Vec<_> = REGISTRY.iter().map(|e| e.name).collect();
    bail!(
        "unknown metric `{name}`{} (there are: {})",
        did_you_mean(name, &names),
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        format!("{:#}", MetricSpec::parse(text).unwrap_err())
    }

    #[test]
    fn every_metric_parses_as_it_prints() {
        for entry in REGISTRY {
            let cutoff = entry.has_cutoff().then_some(7);
            let spec = MetricSpec { entry, cutoff };
            assert_eq!(MetricSpec::parse(&spec.to_string()).unwrap(), spec);
        }
    }

    #[test]
    fn mistakes_are_named_and_a_way_out_is_shown() {
        assert!(message("ndgc@10").contains("did you mean `ndcg`?"));
        assert!(message("ndcg").contains("e.g. `ndcg@10`"));
        assert!(message("auc@10").contains("takes no cutoff"));
        assert!(message("ndcg@ten").contains("no whole number"));
        assert!(message("ndcg@0").contains("at least 1"));
        let none: [&str; 0] = [];
        assert!(MetricSpec::expand(&none, &[10]).is_err());
        assert!(MetricSpec::expand(&["ndcg"], &[]).is_err());
    }

    #[test]
    fn repetitions_are_dropped() {
        let specs = MetricSpec::expand(&["hit@10", "hit_rate", "HIT_RATE"], &[10]).unwrap();
        assert_eq!(specs.len(), 1);
    }
}

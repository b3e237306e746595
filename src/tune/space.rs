//! The keys that are tuned and where their values may lie.

use crate::seed::Rng;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use toml::{Table, Value};

/// All keys that are tuned, in the order of their names.
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    pub dimensions: Vec<Dimension>,
}

/// A key with its range.
#[derive(Clone, Debug, PartialEq)]
pub struct Dimension {
    /// As `--set` takes it, e.g. `training.learning_rate`.
    pub key: String,
    pub range: Range,
}

/// Where a value may lie; both ends belong to it.
#[derive(Clone, Debug, PartialEq)]
pub enum Range {
    Int { low: i64, high: i64, log: bool },
    Float { low: f64, high: f64, log: bool },
    Choice(Vec<Value>),
}

/// A range as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    int: Option<[i64; 2]>,
    float: Option<[f64; 2]>,
    choice: Option<Vec<Value>>,
    /// Even steps of the logarithm.
    #[serde(default)]
    log: bool,
}

impl Space {
    /// From `[tune.space]`, keys quoted or not.
    ///
    /// # Errors
    /// Names the key whose range is none.
    pub fn parse(table: &Table) -> Result<Self> {
        let mut dimensions = Vec::new();
        collect(table, "", &mut dimensions)?;
        dimensions.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { dimensions })
    }
}

fn collect(table: &Table, prefix: &str, dimensions: &mut Vec<Dimension>) -> Result<()> {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        let Value::Table(inner) = value else {
            bail!(
                "tune.space.{key}: expected a range such as `{{ int = [16, 256] }}`, \
                 `{{ float = [1e-4, 1e-1], log = true }}` or `{{ choice = [\"a\", \"b\"] }}`"
            );
        };
        // A range holds numbers and lists; a section holds tables.
        if inner.values().any(Value::is_table) {
            collect(inner, &format!("{key}."), dimensions)?;
            continue;
        }
        let range = range(inner).with_context(|| format!("tune.space.{key}"))?;
        dimensions.push(Dimension { key, range });
    }
    Ok(())
}

fn range(table: &Table) -> Result<Range> {
    let written: Written = table
        .clone()
        .try_into()
        .map_err(|e: toml::de::Error| anyhow::anyhow!("{}", e.message().trim_end()))?;
    let log = written.log;
    let range = match (written.int, written.float, written.choice) {
        (Some([low, high]), None, None) => {
            ensure!(low < high, "int = [{low}, {high}] is empty");
            ensure!(!log || low > 0, "log = true needs a range above 0");
            Range::Int { low, high, log }
        }
        (None, Some([low, high]), None) => {
            ensure!(
                low < high && low.is_finite() && high.is_finite(),
                "float = [{low}, {high}] is no range"
            );
            ensure!(!log || low > 0.0, "log = true needs a range above 0");
            Range::Float { low, high, log }
        }
        (None, None, Some(values)) => {
            ensure!(values.len() > 1, "choice needs at least two values");
            ensure!(!log, "log does not apply to choice");
            Range::Choice(values)
        }
        _ => bail!("expected one of int, float and choice"),
    };
    Ok(range)
}

impl Range {
    /// The ends of the line on which a number is drawn and estimated: even
    /// steps on it are as likely. Each whole number has a unit of it around
    /// itself. `None` for choices.
    pub fn line(&self) -> Option<[f64; 2]> {
        match *self {
            Self::Int { low, high, log } => {
                let ends = [low as f64 - 0.5, high as f64 + 0.5];
                Some(if log { ends.map(f64::ln) } else { ends })
            }
            Self::Float { low, high, log } => {
                let ends = [low, high];
                Some(if log { ends.map(f64::ln) } else { ends })
            }
            Self::Choice(_) => None,
        }
    }

    /// The value at a place on the line.
    pub fn value_at(&self, place: f64) -> Value {
        match *self {
            Self::Int { low, high, log } => {
                let number = if log { place.exp() } else { place };
                Value::Integer((number.round() as i64).clamp(low, high))
            }
            Self::Float { low, high, log } => {
                let number = if log { place.exp() } else { place };
                Value::Float(rounded(number).clamp(low, high))
            }
            Self::Choice(ref values) => values[(place as usize).min(values.len() - 1)].clone(),
        }
    }

    /// Where a value lies on the line, moved to its nearer end from beyond, or
    /// the number of a choice; `None` for what is neither.
    pub fn place_of(&self, value: &Value) -> Option<f64> {
        if let Self::Choice(values) = self {
            return values.iter().position(|v| v == value).map(|at| at as f64);
        }
        let number = match value {
            Value::Integer(n) => *n as f64,
            Value::Float(x) => *x,
            _ => return None,
        };
        let [low, high] = self.line()?;
        let log = matches!(
            self,
            Self::Int { log: true, .. } | Self::Float { log: true, .. }
        );
        let place = if log { number.ln() } else { number };
        Some(if place.is_nan() {
            low
        } else {
            place.clamp(low, high)
        })
    }

    /// A place drawn evenly.
    pub fn draw(&self, rng: &mut Rng) -> f64 {
        match (self, self.line()) {
            (Self::Choice(values), _) => f64::from(rng.below(values.len() as u32)),
            (_, Some([low, high])) => low + (high - low) * rng.uniform64(),
            (_, None) => 0.0,
        }
    }

    /// Values that stand for the rest when it is checked whether they may be:
    /// both ends, or all choices.
    pub fn samples(&self) -> Vec<Value> {
        match *self {
            Self::Int { low, high, .. } => vec![Value::Integer(low), Value::Integer(high)],
            Self::Float { low, high, .. } => vec![Value::Float(low), Value::Float(high)],
            Self::Choice(ref values) => values.clone(),
        }
    }
}

/// To six digits: enough to tune, and short enough to be read by people and
/// to come back from any file to the bit.
fn rounded(number: f64) -> f64 {
    format!("{number:.5e}").parse().unwrap_or(number)
}

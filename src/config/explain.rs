//! Turns serde's errors into ones that a person can act on: file, line, key,
//! and the nearest key that there is.

use crate::suggest;
use anyhow::{Result, anyhow};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The text of a config file under its name.
pub(super) struct Source<'a> {
    pub text: &'a str,
    pub name: &'a str,
}

impl Source<'_> {
    /// The text as a table.
    pub fn table(&self) -> Result<toml::Table> {
        self.text.parse().map_err(|e| self.explain(&e))
    }

    /// An error of parsing [`Self::text`].
    pub fn explain(&self, error: &toml::de::Error) -> anyhow::Error {
        let message = plain(error.message());
        let Some(span) = error.span() else {
            return anyhow!("{}: {message}", self.name);
        };
        let line = self.line(&span);
        match self.key_at(&span) {
            Some(key) if !message.starts_with("unknown key") => {
                anyhow!("{}:{line}: `{key}`: {message}", self.name)
            }
            Some(key) if key.contains('.') => {
                let section = key.rsplit_once('.').map_or("", |(s, _)| s);
                anyhow!("{}:{line}: in [{section}]: {message}", self.name)
            }
            _ => anyhow!("{}:{line}: {message}", self.name),
        }
    }

    /// An error of building the model from `[model]`.
    pub fn explain_model(&self, error: &anyhow::Error) -> anyhow::Error {
        let message = plain(&format!("{error:#}"));
        // Both halves name the key when it is unknown.
        let message = match (message.find("parameter `"), message.find("unknown key `")) {
            (Some(start), Some(end)) if start < end => {
                format!("{}{}", &message[..start], &message[end..])
            }
            _ => message,
        };
        let key = message
            .split_once("unknown key `")
            .or_else(|| message.split_once("parameter `"))
            .and_then(|(_, rest)| rest.split_once('`'))
            .map(|(key, _)| key.to_string());
        let path: Vec<&str> = std::iter::once("model").chain(key.as_deref()).collect();
        self.at(&path, anyhow!("{message}"))
    }

    /// Puts the file, and the line of a key where the file has that key,
    /// before an error.
    pub fn at(&self, path: &[&str], error: anyhow::Error) -> anyhow::Error {
        let line = DeTable::parse(self.text)
            .ok()
            .and_then(|root| find(root.get_ref(), path))
            .map_or_else(String::new, |span| format!(":{}", self.line(&span)));
        anyhow!("{}{line}: {error:#}", self.name)
    }

    /// 1-based.
    fn line(&self, span: &Range<usize>) -> usize {
        let end = span.start.min(self.text.len());
        1 + self.text.as_bytes()[..end]
            .iter()
            .filter(|b| **b == b'\n')
            .count()
    }

    /// The dotted key whose name or value stands at `span`.
    fn key_at(&self, span: &Range<usize>) -> Option<String> {
        let root = DeTable::parse(self.text).ok()?;
        let mut path = Vec::new();
        key_at(root.get_ref(), span, &mut path).then(|| path.join("."))
    }
}

fn key_at(table: &DeTable<'_>, span: &Range<usize>, path: &mut Vec<String>) -> bool {
    table.iter().any(|(key, value)| {
        path.push(key.get_ref().to_string());
        let found = key.span() == *span || value_at(value, span, path) || value.span() == *span;
        if !found {
            path.pop();
        }
        found
    })
}

fn value_at(value: &Spanned<DeValue<'_>>, span: &Range<usize>, path: &mut Vec<String>) -> bool {
    match value.get_ref() {
        DeValue::Table(table) => key_at(table, span, path),
        DeValue::Array(values) => values
            .iter()
            .any(|v| v.span() == *span || value_at(v, span, path)),
        _ => false,
    }
}

fn find(table: &DeTable<'_>, path: &[&str]) -> Option<Range<usize>> {
    let (first, rest) = path.split_first()?;
    let (key, value) = table.iter().find(|(k, _)| k.get_ref() == *first)?;
    let inside = match value.get_ref() {
        DeValue::Table(inner) if !rest.is_empty() => find(inner, rest),
        _ => None,
    };
    inside.or_else(|| Some(key.span()))
}

/// Serde's words in ours, with the nearest name offered.
pub(super) fn plain(message: &str) -> String {
    let message = message.trim_end();
    for (theirs, ours) in [
        ("unknown field", "unknown key"),
        ("unknown variant", "unknown value"),
    ] {
        if let Some((before, rest)) = message.split_once(theirs) {
            // A name is between backticks: the typed one first, then those
            // that there are.
            let mut names = rest.split('`').skip(1).step_by(2);
            let typed = names.next().unwrap_or_default();
            let known: Vec<_> = names.collect();
            let hint = suggest::did_you_mean(typed, &known);
            return format!(
                "{before}{ours} `{typed}`{hint} (there are: {})",
                known.join(", ")
            );
        }
    }
    RUST_TYPES
        .iter()
        .find_map(|(theirs, ours)| Some(format!("{}{ours}", message.strip_suffix(theirs)?)))
        .unwrap_or_else(|| message.to_string())
}

/// What serde expects, and how a person calls that.
const RUST_TYPES: [(&str, &str); 7] = [
    ("expected usize", "expected a whole number"),
    ("expected u64", "expected a whole number"),
    ("expected u32", "expected a whole number"),
    ("expected i64", "expected a whole number"),
    ("expected f64", "expected a number"),
    ("expected f32", "expected a number"),
    ("expected a boolean", "expected true or false"),
];

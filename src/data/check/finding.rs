//! What a check has to say.

use serde::Serialize;

/// Examples of one finding.
pub const MOST_EXAMPLES: usize = 3;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know when reading the figures.
    Info,
    /// Likely a mistake in the data, or a way to worse models.
    Warning,
    /// Figures made of these data are wrong.
    Error,
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// All that was found, the worst first.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    pub interactions: usize,
    pub users: usize,
    pub items: usize,
    pub findings: Vec<Finding>,
    /// Of the data set.
    pub hash: String,
}

impl CheckReport {
    pub fn count(&self, severity: Severity) -> usize {
        let findings = self.findings.iter();
        findings.filter(|f| f.severity == severity).count()
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Its name, e.g. `duplicates`.
    pub check: &'static str,
    pub severity: Severity,
    /// How many, and of how many.
    pub count: usize,
    pub of: usize,
    pub message: String,
    pub examples: Vec<Example>,
    /// The config line that mends it, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<Mend>,
    /// What to do where no line of a config mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// A row or a value that shows a finding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Example {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// From 1; the row in a Parquet file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    pub text: String,
}

impl Example {
    pub fn of(text: impl Into<String>) -> Self {
        Self {
            file: None,
            line: None,
            text: text.into(),
        }
    }
}

/// A line of a config, and the section that it belongs to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mend {
    /// E.g. `data.clean`.
    pub section: String,
    /// E.g. `duplicates = "last"`.
    pub line: String,
}

impl Mend {
    pub fn new(section: &str, line: impl Into<String>) -> Self {
        Self {
            section: section.into(),
            line: line.into(),
        }
    }
}

/// A finding whose rows have no places yet.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub finding: Finding,
    /// Rows of the log that become examples.
    pub rows: Vec<u32>,
}

impl Draft {
    pub fn new(check: &'static str, severity: Severity, count: usize, of: usize) -> Self {
        Self {
            finding: Finding {
                check,
                severity,
                count,
                of,
                message: String::new(),
                examples: Vec::new(),
                mend: None,
                advice: None,
            },
            rows: Vec::new(),
        }
    }

    pub fn says(mut self, message: impl Into<String>) -> Self {
        self.finding.message = message.into();
        self
    }

    pub fn rows(mut self, rows: Vec<u32>) -> Self {
        self.rows = rows;
        self
    }

    pub fn examples(mut self, examples: impl IntoIterator<Item = Example>) -> Self {
        let examples = examples.into_iter().take(MOST_EXAMPLES);
        self.finding.examples.extend(examples);
        self
    }

    pub fn mend(mut self, section: &str, line: impl Into<String>) -> Self {
        self.finding.mend = Some(Mend::new(section, line));
        self
    }

    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.finding.advice = Some(advice.into());
        self
    }
}

/// `12.3%`; never 0% of something.
pub(super) fn percent(count: usize, of: usize) -> String {
    let share = 100.0 * count as f64 / of.max(1) as f64;
    match share {
        s if s >= 10.0 => format!("{s:.0}%"),
        s if s >= 0.01 => format!("{s:.2}%"),
        _ => "less than 0.01%".into(),
    }
}

/// `1 user`, `2 users`; names both forms where an `s` does not do.
pub(super) fn many(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

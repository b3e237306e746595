//! `--split`

use crate::report::EvaluatedPart;
use clap::ValueEnum;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Part {
    Test,
    Validation,
}

impl From<Part> for EvaluatedPart {
    fn from(part: Part) -> Self {
        match part {
            Part::Test => Self::Test,
            Part::Validation => Self::Validation,
        }
    }
}

//! One row a figure, for spreadsheets.

use super::{PartMetrics, Report};
use std::fmt::Write;

/// `part,model,metric,value`, with a header; the model first, then the
/// baselines. Values have all their digits.
pub fn csv(report: &Report) -> String {
    let mut text = String::from("part,model,metric,value\n");
    append(&mut text, &report.model.name, &report.metrics);
    for baseline in &report.baselines {
        append(&mut text, &baseline.label, &baseline.metrics);
    }
    text
}

fn append(text: &mut String, model: &str, metrics: &PartMetrics) {
    for (part, values) in metrics {
        for (metric, value) in values.iter() {
            writeln!(text, "{part},{model},{metric},{value}")
                .expect("a string takes whatever is written to it");
        }
    }
}

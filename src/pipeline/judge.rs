//! Figures of a model, its baselines beside it, and what they come to.

use super::baselines::Baselines;
use super::{part_of, task};
use crate::config::Config;
use crate::data::split::EvalSet;
use crate::device::Resolved;
use crate::evaluation::{Evaluation, evaluate};
use crate::event::Observer;
use crate::metrics::MetricSpec;
use crate::model::Recommender;
use crate::report::{EvaluatedPart, ModelSummary, Protocol, Report, UserScores, Verdict};
use crate::run_dir::{RunData, RunDir, ScoredPart};
use anyhow::Result;

/// What a model is judged with.
#[derive(Clone, Copy)]
pub struct Judge<'a> {
    pub run: &'a RunDir,
    pub config: &'a Config,
    pub data: &'a RunData,
    pub device: &'a Resolved,
}

/// What came of it.
pub struct Judged {
    pub report: Report,
    /// The users' scores behind it, of the model and of the baselines.
    pub scores: Vec<ScoredPart>,
}

impl Judge<'_> {
    /// Evaluates a model, and the baselines of the config beside it, on those
    /// of the parts that there are.
    ///
    /// # Errors
    /// Those of [`evaluate`] for the model; a baseline that fails is reported
    /// as one that was not run.
    pub fn judge(
        &self,
        model: &dyn Recommender,
        parts: &[EvaluatedPart],
        metrics: &[MetricSpec],
        observer: &mut dyn Observer,
    ) -> Result<Judged> {
        let mut judged = Judged {
            report: self.empty_report(metrics),
            scores: Vec::new(),
        };
        let mut present = Vec::new();
        for &part in parts {
            let Some(set) = part_of(self.data, part) else {
                continue;
            };
            present.push(part);
            let done = self.evaluate(model, &self.config.model.name, set, metrics, observer)?;
            judged.report.add(part, &done);
            judged.scores.push(ScoredPart {
                part,
                baseline: None,
                scores: UserScores::new(&done.per_user, &self.data.users),
            });
        }
        let (baselines, scores) = Baselines::new(*self, &present, metrics).run(observer);
        judged.report.baselines = baselines;
        judged.scores.extend(scores);
        judged.report.verdict = judged.verdict(&self.config.training.validation_metric)?;
        Ok(judged)
    }

    fn empty_report(&self, metrics: &[MetricSpec]) -> Report {
        Report {
            model: ModelSummary {
                name: self.config.model.name.clone(),
                params: self.config.model.params.clone(),
            },
            protocol: Protocol::new(self.data.split.protocol.clone(), metrics),
            data: self.run.file.data.clone(),
            provenance: self.run.file.provenance.clone(),
            ..Report::default()
        }
    }

    pub(super) fn evaluate(
        &self,
        model: &dyn Recommender,
        name: &str,
        set: &EvalSet,
        metrics: &[MetricSpec],
        observer: &mut dyn Observer,
    ) -> Result<Evaluation> {
        let task = task(self.config, self.data, name, set, metrics);
        evaluate(model, &task, observer)
    }
}

impl Judged {
    fn verdict(&self, watched: &str) -> Result<Option<Verdict>> {
        let shown = self.report.main_part();
        let scores = self.scores.iter().filter(|s| Some(s.part) == shown);
        let scores: Vec<_> = scores.map(|s| (s.baseline.as_deref(), &s.scores)).collect();
        Verdict::new(&self.report, watched, &scores)
    }
}

//! Figures of a model, its baselines beside it, and what they come to.

use super::baselines::Baselines;
use super::{part_of, task};
use crate::config::Config;
use crate::data::split::EvalSet;
use crate::device::Resolved;
use crate::evaluation::{Evaluation, evaluate};
use crate::event::{Event, Observer};
use crate::ids::UserIdx;
use crate::metrics::MetricSpec;
use crate::model::Recommender;
use crate::report::analysis::{self, KEPT_LISTS, Material, Subject};
use crate::report::{Analysis, EvaluatedPart, ModelSummary, Protocol, Report, UserScores, Verdict};
use crate::run_dir::{RunData, RunDir, ScoredPart};
use crate::seed::Seed;
use anyhow::{Context, Result};

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
        observer.on(&Event::Stage("evaluating".into()));
        let mut present = Vec::new();
        let mut evaluated = Vec::new();
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
                lists: done.lists,
            });
            evaluated = done.per_user.users;
        }
        let (baselines, scores) = Baselines::new(*self, &present, metrics).run(observer);
        judged.report.baselines = baselines;
        judged.scores.extend(scores);
        observer.on(&Event::Stage("looking closer".into()));
        judged.report.verdict = judged.verdict(&self.config.training.validation_metric)?;
        if let Some(part) = present.last() {
            let analysis = self.analyze(&judged, *part, &evaluated, model, metrics)?;
            judged.report.analysis = Some(analysis);
        }
        Ok(judged)
    }

    /// A closer look at a part; `evaluated` are its users.
    fn analyze(
        &self,
        judged: &Judged,
        part: EvaluatedPart,
        evaluated: &[UserIdx],
        model: &dyn Recommender,
        metrics: &[MetricSpec],
    ) -> Result<Analysis> {
        let set = part_of(self.data, part).context("the part was evaluated")?;
        let material = Material {
            part,
            set,
            train: &self.data.split.train,
            mask_seen: self.config.evaluation.mask_seen,
            evaluated,
            users: &self.data.users,
            items: &self.data.items,
            user_features: self.data.user_features.as_ref(),
            item_features: self.data.item_features.as_ref(),
            epochs: &self.run.checkpoints().history()?,
            watched: &self.config.training.validation_metric,
            model,
            metrics,
            seed: Seed(self.config.seed),
        };
        let columns = judged.report.metrics_by_model(part);
        let subjects = columns.into_iter().filter_map(|(name, metrics)| {
            let label = (name != judged.report.model.name).then_some(name);
            let mut all = judged.scores.iter().filter(|s| s.part == part);
            let scored = all.find(|s| s.baseline.as_deref() == label)?;
            Some(Subject {
                name,
                metrics,
                scores: &scored.scores.metrics,
                lists: &scored.lists,
            })
        });
        analysis::analyze(&material, &subjects.collect::<Vec<_>>())
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
        let mut task = task(self.config, self.data, name, set, metrics);
        task.options.kept_lists = KEPT_LISTS;
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

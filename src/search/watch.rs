//! What ends a trial before its end.

use super::Search;
use crate::event::{Event, Observer};
use crate::tune::{Curve, Patience, Prune, hopeless};

/// Follows a trial's validations and ends one without hope.
pub(super) struct Watch<'a> {
    search: &'a Search<'a>,
    pub curve: Curve,
    others: &'a [(Curve, bool)],
    pub hopeless: bool,
    /// Epochs that this trial has at most.
    epochs: usize,
    stop: &'a (dyn Fn() -> bool + Sync),
}

impl<'a> Watch<'a> {
    pub fn new(
        search: &'a Search<'a>,
        others: &'a [(Curve, bool)],
        stop: &'a (dyn Fn() -> bool + Sync),
    ) -> Self {
        Self {
            search,
            curve: Curve::default(),
            others,
            hopeless: false,
            epochs: 0,
            stop,
        }
    }
}

impl Observer for Watch<'_> {
    fn on(&mut self, event: &Event) {
        let record = match event {
            Event::EpochStarted { epochs, .. } => {
                self.epochs = *epochs;
                return;
            }
            Event::EpochFinished(record) => record,
            _ => return,
        };
        let search = self.search;
        let metric = &search.config.training.validation_metric;
        let Some(value) = record.validation.get(metric) else {
            return;
        };
        self.curve.0.push((record.epoch, *value));
        self.hopeless = search.settings.prune == Prune::Median
            && hopeless(
                &self.curve,
                self.others,
                Patience {
                    after: search.settings.prune_after,
                    epochs: self.epochs,
                },
                search.direction,
            );
    }

    fn stop_requested(&self) -> bool {
        self.hopeless || (self.stop)()
    }
}

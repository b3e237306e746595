use super::*;
use crate::data::{Dataset, Log as DataLog};
use crate::device::{DeviceChoice, resolve};
use crate::event::Silent;
use crate::report::EvaluatedPart;
use std::sync::atomic::{AtomicUsize, Ordering};

/// 60 users, 24 items in two tastes, with some noise.
fn dataset() -> Dataset {
    let mut log = DataLog::default();
    for user in 0..60u32 {
        for step in 0..8 {
            let taste = if (user + step) % 7 == 0 {
                1 - user % 2
            } else {
                user % 2
            };
            log.users.push(user);
            log.items.push(2 * ((user * 5 + step * 7) % 12) + taste);
        }
    }
    Dataset::from_log(log, 60, 24)
}

const EASE: &str = "seed = 3\ndevice = 'cpu'\n[split]\nkind = 'ratio_per_user'\nratios = [0.6, 0.2, 0.2]\n\
                    [model]\nname = 'ease'\n[tune.space]\nmodel.regularization = { float = [0.01, 1e4], log = true }\n";

const MF: &str = "seed = 3\ndevice = 'cpu'\n[split]\nkind = 'ratio_per_user'\nratios = [0.6, 0.2, 0.2]\n\
                  [model]\nname = 'mf'\n[training]\nepochs = 12\nbatch_size = 64\n\
                  [tune]\nrandom_trials = 6\nprune_after = 2\n[tune.space]\n\
                  training.learning_rate = { float = [1e-6, 0.1], log = true }\n\
                  model.embedding_dim = { int = [2, 16] }\n";

fn config(text: &str) -> Config {
    Config::parse(text, "c.toml", &[]).unwrap()
}

fn budget(trials: usize) -> Budget {
    Budget {
        trials,
        seconds: None,
        jobs: 1,
    }
}

struct Room {
    config: Config,
    data: RunData,
    device: Resolved,
    folder: tempfile::TempDir,
}

impl Room {
    fn new(text: &str) -> Self {
        let config = config(text);
        Self {
            data: pipeline::divide(&config, dataset()).unwrap(),
            device: resolve(DeviceChoice::Cpu).unwrap(),
            folder: tempfile::tempdir().unwrap(),
            config,
        }
    }

    /// Runs a search whose log has this name, until `stop` says so.
    fn run(
        &self,
        name: &str,
        budget: Budget,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> (bool, Vec<Trial>) {
        let mut log = Log::open(&self.folder.path().join(name)).unwrap();
        let bench = Bench {
            data: &self.data,
            device: &self.device,
            given: &self.folder.path().join(format!("{name}-given")),
            stop,
        };
        let search = Search::new(&self.config, budget).unwrap();
        let ended = search.run(bench, &mut log, &mut Silent).unwrap();
        (ended, log.trials().to_vec())
    }
}

fn timeless(trials: &[Trial]) -> Vec<Trial> {
    let mut trials = trials.to_vec();
    trials.iter_mut().for_each(|t| t.seconds = 0.0);
    trials
}

#[test]
fn a_search_begins_with_the_config_and_ends_with_the_best() {
    let room = Room::new(EASE);
    let (ended, trials) = room.run("log", budget(15), &|| false);
    assert!(ended && trials.len() == 15);
    assert_eq!(
        trials[0].settings["model.regularization"].as_float(),
        Some(250.0)
    );
    let search = Search::new(&room.config, budget(15)).unwrap();
    let best = search.best(&trials).unwrap();
    let most = trials.iter().filter_map(|t| t.value).fold(0.0, f64::max);
    assert_eq!(best.value, Some(most));
    let tuned = search.config_of(&best.settings).unwrap();
    assert_eq!(tuned.tune, None);
    let again = pipeline::try_out(&tuned, &room.data, &room.device, &mut Silent).unwrap();
    assert_eq!(again.value, most);
    let page = html(&[Plotted {
        name: "ease",
        metric: "ndcg@10",
        search: &search,
        trials: &trials,
        gains: &[],
    }]);
    assert!(
        page.matches("<circle").count() == 30 && !page.contains("http"),
        "{page}"
    );
}

/// The first trial's figures are kept as the config's own training has them.
#[test]
fn the_config_as_it_stands_is_judged_on_both_parts_once() {
    let room = Room::new(MF);
    let (_, trials) = room.run("log", budget(2), &|| false);
    let folder = room.folder.path().join("log-given");
    let kept = AsGiven::read(&folder).unwrap().unwrap();
    let once = pipeline::try_out(&room.config, &room.data, &room.device, &mut Silent).unwrap();
    let again = AsGiven::judge(&room.config, &room.data, once.model.as_ref()).unwrap();
    // Figures are read back from text, which may cost the last bit.
    for part in PARTS {
        let (kept, again) = (kept.metrics(part).unwrap(), again.metrics(part).unwrap());
        for ((name, value), (same, other)) in kept.iter().zip(again.iter()) {
            assert!(name == same && (value - other).abs() < 1e-12, "{name}");
        }
    }
    assert!(kept.has_scores_of(&again));
    let validation = kept.metrics(EvaluatedPart::Validation).unwrap();
    let value = validation.get("ndcg@10").unwrap();
    assert!((value - trials[0].value.unwrap()).abs() < 1e-12);
    let test = kept.metrics(EvaluatedPart::Test).unwrap();
    assert!(test.get("ndcg@10").is_some() && test != validation);
    // What is there is not made again: the log has the first trial.
    std::fs::remove_dir_all(&folder).unwrap();
    room.run("log", budget(3), &|| false);
    assert_eq!(AsGiven::read(&folder).unwrap(), None);
}

#[test]
fn a_killed_search_goes_on_as_if_nothing_had_happened() {
    let room = Room::new(MF);
    let (_, whole) = room.run("whole", budget(14), &|| false);
    assert!(
        whole.iter().any(|t| t.state == TrialState::Pruned),
        "{whole:?}"
    );
    let asked = AtomicUsize::new(0);
    let soon = || asked.fetch_add(1, Ordering::SeqCst) > 400;
    let (ended, first) = room.run("parts", budget(14), &soon);
    assert!(
        !ended && !first.is_empty() && first.len() < 14,
        "{}",
        first.len()
    );
    let (ended, all) = room.run("parts", budget(14), &|| false);
    assert!(ended);
    assert_eq!(timeless(&all), timeless(&whole));
}

#[test]
fn several_at_a_time_are_tried_once_each_and_repeat() {
    let room = Room::new(EASE);
    let jobs = Budget {
        jobs: 3,
        ..budget(10)
    };
    let (_, trials) = room.run("a", jobs, &|| false);
    let (_, again) = room.run("b", jobs, &|| false);
    assert_eq!(timeless(&trials), timeless(&again));
    let mut settings: Vec<_> = trials
        .iter()
        .map(|t| t.settings["model.regularization"].to_string())
        .collect();
    settings.sort();
    settings.dedup();
    assert_eq!(settings.len(), 10);
}

#[test]
fn a_model_without_steps_is_stopped_between_trials() {
    let room = Room::new(EASE);
    let (ended, trials) = room.run("log", budget(10), &|| true);
    assert!(!ended && trials.len() == 1);
}

#[test]
fn seconds_end_a_search() {
    let room = Room::new(EASE);
    let none = Budget {
        seconds: Some(1e-9),
        ..budget(10)
    };
    assert_eq!(room.run("log", none, &|| false).1.len(), 1);
}

#[test]
fn mistakes_in_a_space_are_told_before_any_trial() {
    let error = |text: &str| {
        let config = config(text);
        format!("{:#}", Search::new(&config, budget(3)).err().unwrap())
    };
    let with = |space: &str| format!("[model]\nname = 'ease'\n[tune.space]\n{space}");
    let message = error(&with("model.regularisation = { float = [1.0, 2.0] }"));
    assert!(
        message.contains("did you mean `regularization`?"),
        "{message}"
    );
    let message = error(&with("split.fold = { int = [1, 2] }"));
    assert!(message.contains("share their data and split"), "{message}");
    let message = error("[model]\nname = 'popularity'");
    assert!(message.contains("[tune.space]"), "{message}");
}

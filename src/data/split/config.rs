//! `[split]`: the keys, and the plan that they make for a data set.

use crate::data::dataset::Log;
use crate::data::split::moment::parse_moment;
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// `[split]`. A key that the chosen kind does not use is an error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SplitConfig {
    /// How to divide. Absent: `given` where the files say which part a row
    /// belongs to, else `global_time` where there are timestamps, else
    /// `ratio_per_user` in random order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<SplitKind>,
    /// `leave_one_out`: which interactions of a user are held out, `last`
    /// (default) or `random` ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub select: Option<Select>,
    /// `ratio_per_user`: the order in which a user's interactions are cut,
    /// `random` (default) or `time`. `given` and `k_fold`: the same for
    /// carving out a validation part. `new_user`: the same for cutting a
    /// held-out user's interactions into fold-in and targets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// Shares of train, validation and test, `[0.8, 0.1, 0.1]` by default; of
    /// interactions, or of users (`new_user`) or items (`new_item`). A
    /// validation share of 0 makes no validation part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratios: Option<[f64; 3]>,
    /// `global_time`: interactions from this moment on are test, instead of
    /// `ratios`. A date, a date with time (UTC unless it has an offset), or
    /// unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_start: Option<toml::Value>,
    /// `global_time` with `test_start`: interactions from this moment until
    /// `test_start` are validation. Absent: no validation part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_start: Option<toml::Value>,
    /// `given` and `k_fold`: share of each user's training interactions that
    /// becomes the validation part, 0 (none) by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_ratio: Option<f64>,
    /// `k_fold`: the number of folds, 5 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folds: Option<usize>,
    /// `k_fold`: the fold that is tested on, from 1 (default) to `folds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<usize>,
    /// `new_user`: share of a held-out user's interactions that the model
    /// sees as history, 0.8 by default; the rest is held out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold_in: Option<f64>,
    /// Seed of the split alone, to keep it while the run's `seed` changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SplitKind {
    /// One moment for everybody: train is before it, test after it.
    GlobalTime,
    /// A user's last interaction is test, the one before validation.
    LeaveOneOut,
    /// Shares of each user's interactions.
    RatioPerUser,
    /// Shares of all interactions, at random.
    Ratio,
    /// The parts that the files give.
    Given,
    /// One of several random folds of all interactions is test.
    KFold,
    /// Strong generalization: held-out users are absent from train.
    NewUser,
    /// Held-out items are absent from train.
    NewItem,
}

/// Which interactions of a user are held out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Select {
    Last,
    Random,
}

/// The order in which a user's interactions are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    Random,
    Time,
}

/// A split with every default and check settled.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Plan {
    LeaveOneOut(Select),
    RatioPerUser(Order, [f64; 3]),
    Ratio([f64; 3]),
    TimeByRatio([f64; 3]),
    /// `validation` and `test` moments, unix seconds.
    TimeByDate(Option<i64>, i64),
    Given(Carve),
    KFold {
        folds: usize,
        fold: usize,
        carve: Carve,
    },
    NewUser {
        ratios: [f64; 3],
        fold_in: f64,
        order: Order,
    },
    NewItem([f64; 3]),
}

/// The validation part to take out of each user's training interactions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Carve {
    pub ratio: f64,
    pub order: Order,
}

impl SplitKind {
    /// As it is written in a config.
    pub fn name(self) -> &'static str {
        match self {
            Self::GlobalTime => "global_time",
            Self::LeaveOneOut => "leave_one_out",
            Self::RatioPerUser => "ratio_per_user",
            Self::Ratio => "ratio",
            Self::Given => "given",
            Self::KFold => "k_fold",
            Self::NewUser => "new_user",
            Self::NewItem => "new_item",
        }
    }

    /// The keys that it reads beside `kind` and `seed`.
    pub fn keys(self) -> &'static [&'static str] {
        match self {
            Self::GlobalTime => &["ratios", "test_start", "validation_start"],
            Self::LeaveOneOut => &["select"],
            Self::RatioPerUser => &["order", "ratios"],
            Self::Ratio | Self::NewItem => &["ratios"],
            Self::Given => &["validation_ratio", "order"],
            Self::KFold => &["folds", "fold", "validation_ratio", "order"],
            Self::NewUser => &["ratios", "fold_in", "order"],
        }
    }

    fn default_for(log: &Log) -> Self {
        if log.parts.is_some() {
            Self::Given
        } else if log.timestamps.is_some() {
            Self::GlobalTime
        } else {
            Self::RatioPerUser
        }
    }
}

impl SplitConfig {
    /// Settles kind and defaults for this data and checks every key.
    pub(super) fn plan(&self, log: &Log) -> Result<Plan> {
        let kind = self.kind.unwrap_or_else(|| SplitKind::default_for(log));
        self.check_keys(kind)?;
        Ok(match kind {
            SplitKind::LeaveOneOut => Plan::LeaveOneOut(self.select.unwrap_or(Select::Last)),
            SplitKind::RatioPerUser => Plan::RatioPerUser(self.order(log)?, self.ratios()?),
            SplitKind::Ratio => Plan::Ratio(self.ratios()?),
            SplitKind::GlobalTime => self.global_time(log)?,
            SplitKind::Given => Plan::Given(self.carve(log)?),
            SplitKind::KFold => self.k_fold(log)?,
            SplitKind::NewUser => Plan::NewUser {
                ratios: self.ratios()?,
                fold_in: open_share("fold_in", self.fold_in.unwrap_or(0.8))?,
                order: self.order(log)?,
            },
            SplitKind::NewItem => Plan::NewItem(self.ratios()?),
        })
    }

    fn check_keys(&self, kind: SplitKind) -> Result<()> {
        let present = [
            ("select", self.select.is_some()),
            ("order", self.order.is_some()),
            ("ratios", self.ratios.is_some()),
            ("test_start", self.test_start.is_some()),
            ("validation_start", self.validation_start.is_some()),
            ("validation_ratio", self.validation_ratio.is_some()),
            ("folds", self.folds.is_some()),
            ("fold", self.fold.is_some()),
            ("fold_in", self.fold_in.is_some()),
        ];
        for (key, _) in present.iter().filter(|(_, set)| *set) {
            ensure!(
                kind.keys().contains(key),
                "split.{key} has no meaning for split.kind = \"{}\" (its keys: {}); \
                 remove it or choose another kind",
                kind.name(),
                kind.keys().join(", ")
            );
        }
        Ok(())
    }

    fn order(&self, log: &Log) -> Result<Order> {
        let order = self.order.unwrap_or(Order::Random);
        if order == Order::Time {
            need_timestamps(log, "split.order = \"time\"", "use order = \"random\"")?;
        }
        Ok(order)
    }

    /// Normalized, so that `[8, 1, 1]` is an error and rounding is not.
    fn ratios(&self) -> Result<[f64; 3]> {
        let ratios = self.ratios.unwrap_or([0.8, 0.1, 0.1]);
        let sum: f64 = ratios.iter().sum();
        ensure!(
            ratios.iter().all(|r| (0.0..=1.0).contains(r)) && (sum - 1.0).abs() < 1e-6,
            "split.ratios = {ratios:?} must be three shares (train, validation, test) \
             between 0 and 1 whose sum is 1, not {sum}"
        );
        ensure!(
            ratios[0] > 0.0 && ratios[2] > 0.0,
            "split.ratios = {ratios:?} leaves nothing to {}; only the validation share may be 0",
            if ratios[0] > 0.0 {
                "test on"
            } else {
                "train on"
            }
        );
        Ok(ratios.map(|r| r / sum))
    }

    fn carve(&self, log: &Log) -> Result<Carve> {
        let ratio = self.validation_ratio.unwrap_or(0.0);
        ensure!(
            (0.0..1.0).contains(&ratio),
            "split.validation_ratio = {ratio} must be at least 0 and below 1"
        );
        ensure!(
            ratio > 0.0 || self.order.is_none(),
            "split.order without split.validation_ratio has no meaning here; \
             set validation_ratio or remove order"
        );
        let order = self.order(log)?;
        Ok(Carve { ratio, order })
    }

    fn global_time(&self, log: &Log) -> Result<Plan> {
        need_timestamps(
            log,
            "split.kind = \"global_time\"",
            "use kind = \"ratio_per_user\" or \"leave_one_out\"",
        )?;
        let Some(test) = &self.test_start else {
            ensure!(
                self.validation_start.is_none(),
                "split.validation_start needs split.test_start, where validation ends"
            );
            return Ok(Plan::TimeByRatio(self.ratios()?));
        };
        ensure!(
            self.ratios.is_none(),
            "split.ratios and split.test_start exclude each other: remove one"
        );
        let test = parse_moment(test).context("split.test_start")?;
        let validation = self
            .validation_start
            .as_ref()
            .map(parse_moment)
            .transpose()
            .context("split.validation_start")?;
        ensure!(
            validation.is_none_or(|v| v < test),
            "split.validation_start must be earlier than split.test_start"
        );
        Ok(Plan::TimeByDate(validation, test))
    }

    fn k_fold(&self, log: &Log) -> Result<Plan> {
        let folds = self.folds.unwrap_or(5);
        let fold = self.fold.unwrap_or(1);
        ensure!(folds >= 2, "split.folds = {folds} must be at least 2");
        ensure!(
            (1..=folds).contains(&fold),
            "split.fold = {fold} must be between 1 and split.folds = {folds}"
        );
        let carve = self.carve(log)?;
        Ok(Plan::KFold { folds, fold, carve })
    }
}

fn open_share(key: &str, value: f64) -> Result<f64> {
    ensure!(
        value > 0.0 && value < 1.0,
        "split.{key} = {value} must lie between 0 and 1, both excluded"
    );
    Ok(value)
}

fn need_timestamps(log: &Log, what: &str, instead: &str) -> Result<()> {
    if log.timestamps.is_none() {
        bail!("{what} needs timestamps, which this data does not have: {instead}");
    }
    Ok(())
}

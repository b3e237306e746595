//! Cleaning steps that keep or drop rows, or move ratings. Each returns the
//! name to count it by, or nothing when it was not asked for.

use super::config::{CleanConfig, Clip, TimePoint};
use super::retain;
use crate::data::dataset::Log;
use crate::data::read::parse_iso;
use anyhow::{Context, Result, ensure};

/// `after <= time < before`
pub(super) fn time_window(log: &mut Log, config: &CleanConfig) -> Result<Option<String>> {
    if config.after.is_none() && config.before.is_none() {
        return Ok(None);
    }
    let after = seconds("after", config.after.as_ref())?;
    let before = seconds("before", config.before.as_ref())?;
    let times = log
        .timestamps
        .as_deref()
        .context("data.clean.after and data.clean.before need timestamps, the data has none")?;
    let keep: Vec<bool> = times
        .iter()
        .map(|t| after.is_none_or(|a| *t >= a) && before.is_none_or(|b| *t < b))
        .collect();
    retain(log, &keep);
    let shown = |p: &Option<TimePoint>| match p {
        Some(TimePoint::Iso(text)) => text.clone(),
        Some(TimePoint::Seconds(s)) => s.to_string(),
        None => String::new(),
    };
    Ok(Some(
        match (config.after.is_some(), config.before.is_some()) {
            (true, true) => format!(
                "{} <= time < {}",
                shown(&config.after),
                shown(&config.before)
            ),
            (true, false) => format!("time >= {}", shown(&config.after)),
            _ => format!("time < {}", shown(&config.before)),
        },
    ))
}

fn seconds(key: &str, point: Option<&TimePoint>) -> Result<Option<i64>> {
    match point {
        None => Ok(None),
        Some(TimePoint::Seconds(s)) => Ok(Some(*s)),
        Some(TimePoint::Iso(text)) => parse_iso(text).map(Some).with_context(|| {
            format!("data.clean.{key}: `{text}` is not a date or time such as 2013-01-31")
        }),
    }
}

/// `rating >= min_rating`
pub(super) fn min_rating(log: &mut Log, config: &CleanConfig) -> Result<Option<String>> {
    let Some(min) = config.min_rating else {
        return Ok(None);
    };
    let weights = log
        .weights
        .as_deref()
        .context("data.clean.min_rating needs ratings, the data has none (set data.rating)")?;
    let keep: Vec<bool> = weights.iter().map(|w| *w >= min).collect();
    retain(log, &keep);
    Ok(Some(format!("rating >= {min}")))
}

/// Moves ratings beyond the bounds to the bounds.
pub(super) fn clip(log: &mut Log, config: &CleanConfig) -> Result<Option<String>> {
    let Some(clip) = config.clip else {
        return Ok(None);
    };
    let weights = log
        .weights
        .as_deref_mut()
        .context("data.clean.clip needs ratings, the data has none (set data.rating)")?;
    let (min, max) = bounds(clip, weights)?;
    let mut changed = 0;
    for w in weights {
        let inside = w.clamp(min, max);
        changed += usize::from(inside != *w);
        *w = inside;
    }
    Ok(Some(format!("clip to [{min}, {max}] ({changed} changed)")))
}

/// A label in place of each rating.
pub(super) fn click_threshold(log: &mut Log, config: &CleanConfig) -> Result<Option<String>> {
    let Some(threshold) = config.click_threshold else {
        return Ok(None);
    };
    let weights = log
        .weights
        .as_deref_mut()
        .context("data.clean.click_threshold needs ratings, the data has none (set data.rating)")?;
    let mut clicks = 0;
    for w in weights {
        let clicked = *w >= threshold;
        clicks += usize::from(clicked);
        *w = f32::from(u8::from(clicked));
    }
    Ok(Some(format!(
        "click: rating >= {threshold} ({clicks} clicks)"
    )))
}

fn bounds(clip: Clip, weights: &[f32]) -> Result<(f32, f32)> {
    ensure!(
        (clip.min.is_none() || clip.lower_quantile.is_none())
            && (clip.max.is_none() || clip.upper_quantile.is_none()),
        "data.clean.clip: give a bound as a number or as a quantile, not both"
    );
    let quantiles = [clip.lower_quantile, clip.upper_quantile];
    ensure!(
        quantiles.iter().flatten().all(|q| (0.0..=1.0).contains(q)),
        "data.clean.clip: a quantile must be between 0 and 1"
    );
    let mut sorted = Vec::new();
    if quantiles.iter().any(Option::is_some) {
        sorted = weights.to_vec();
        sorted.sort_unstable_by(f32::total_cmp);
    }
    let at = |q: f64| {
        let rank = (q * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.max(1) - 1).copied()
    };
    let min = clip.min.or_else(|| clip.lower_quantile.and_then(at));
    let max = clip.max.or_else(|| clip.upper_quantile.and_then(at));
    let (min, max) = (min.unwrap_or(f32::MIN), max.unwrap_or(f32::MAX));
    ensure!(
        min <= max,
        "data.clean.clip: the lower bound {min} is above the upper bound {max}"
    );
    Ok((min, max))
}

/// Drops users with too many interactions.
pub(super) fn max_user_interactions(log: &mut Log, config: &CleanConfig) -> Result<Option<String>> {
    let Some(max) = config.max_user_interactions else {
        return Ok(None);
    };
    let counts = counts(&log.users);
    let keep: Vec<bool> = log
        .users
        .iter()
        .map(|u| counts[*u as usize] <= max)
        .collect();
    retain(log, &keep);
    Ok(Some(format!("user interactions <= {max}")))
}

/// Drops users and items with too few interactions until none is left.
pub(super) fn k_core(log: &mut Log, config: &CleanConfig) -> Result<Option<String>> {
    let (user_min, item_min) = (config.min_user_interactions, config.min_item_interactions);
    if user_min <= 1 && item_min <= 1 {
        return Ok(None);
    }
    let mut rounds = 0;
    loop {
        let (users, items) = (counts(&log.users), counts(&log.items));
        let keep: Vec<bool> = log
            .users
            .iter()
            .zip(&log.items)
            .map(|(u, i)| users[*u as usize] >= user_min && items[*i as usize] >= item_min)
            .collect();
        if keep.iter().all(|k| *k) {
            break;
        }
        rounds += 1;
        retain(log, &keep);
    }
    let limits: Vec<String> = [("user", user_min), ("item", item_min)]
        .iter()
        .filter(|(_, min)| *min > 1)
        .map(|(what, min)| format!("{what} interactions >= {min}"))
        .collect();
    let rounds = match rounds {
        1 => "1 round".to_string(),
        n => format!("{n} rounds"),
    };
    Ok(Some(format!("{} ({rounds})", limits.join(", "))))
}

fn counts(codes: &[u32]) -> Vec<usize> {
    let len = codes.iter().max().map_or(0, |m| *m as usize + 1);
    let mut counts = vec![0; len];
    for &code in codes {
        counts[code as usize] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::super::tests::log;
    use super::*;

    #[test]
    fn the_window_takes_its_start_and_leaves_its_end() {
        let mut data = log(&[
            (0, 0, 1.0, 86_399),
            (0, 1, 1.0, 86_400),
            (0, 2, 1.0, 172_800),
        ]);
        let config = CleanConfig {
            after: Some(TimePoint::Iso("1970-01-02".into())),
            before: Some(TimePoint::Seconds(172_800)),
            ..CleanConfig::default()
        };
        let name = time_window(&mut data, &config).unwrap().unwrap();
        assert_eq!(name, "1970-01-02 <= time < 172800");
        assert_eq!(data.items, [1]);
        let bad = CleanConfig {
            after: Some(TimePoint::Iso("soon".into())),
            ..CleanConfig::default()
        };
        let error = time_window(&mut data, &bad).unwrap_err().to_string();
        assert!(error.contains("after") && error.contains("soon"), "{error}");
    }

    #[test]
    fn clipping_by_numbers_and_by_quantiles() {
        let rows: Vec<_> = (1..=100).map(|x| (0, x, x as f32, 0)).collect();
        let mut data = log(&rows);
        let clipped = |clip| CleanConfig {
            clip: Some(clip),
            ..CleanConfig::default()
        };
        let quantile = clipped(Clip {
            min: Some(2.0),
            upper_quantile: Some(0.99),
            ..Clip::default()
        });
        let name = clip(&mut data, &quantile).unwrap().unwrap();
        assert_eq!(name, "clip to [2, 99] (2 changed)");
        let weights = data.weights.as_deref().unwrap();
        assert_eq!((weights[0], weights[99]), (2.0, 99.0));
        let crossed = clipped(Clip {
            min: Some(5.0),
            max: Some(1.0),
            ..Clip::default()
        });
        assert!(clip(&mut data, &crossed).is_err());
    }

    #[test]
    fn ratings_become_labels() {
        let mut data = log(&[(0, 0, 3.5, 0), (0, 1, 4.0, 0), (1, 0, 5.0, 0)]);
        let config = CleanConfig {
            click_threshold: Some(4.0),
            ..CleanConfig::default()
        };
        let name = click_threshold(&mut data, &config).unwrap().unwrap();
        assert_eq!(name, "click: rating >= 4 (2 clicks)");
        assert_eq!(data.weights.as_deref(), Some(&[0.0, 1.0, 1.0][..]));
        data.weights = None;
        assert!(click_threshold(&mut data, &config).is_err());
    }

    #[test]
    fn a_core_is_found_in_rounds() {
        // Item 9 falls, which makes user 2 fall, which makes item 1 fall.
        let mut data = log(&[
            (0, 0, 1.0, 0),
            (1, 0, 1.0, 0),
            (0, 2, 1.0, 0),
            (1, 2, 1.0, 0),
            (2, 9, 1.0, 0),
            (2, 1, 1.0, 0),
            (0, 1, 1.0, 0),
        ]);
        let config = CleanConfig {
            min_user_interactions: 2,
            min_item_interactions: 2,
            ..CleanConfig::default()
        };
        let name = k_core(&mut data, &config).unwrap().unwrap();
        assert!(name.contains("3 rounds"), "{name}");
        assert_eq!(
            (data.users.as_slice(), data.items.as_slice()),
            (&[0, 1, 0, 1][..], &[0, 0, 2, 2][..])
        );
    }

    #[test]
    fn too_active_users_go_entirely() {
        let mut data = log(&[(0, 0, 1.0, 0), (0, 1, 1.0, 0), (1, 0, 1.0, 0)]);
        let config = CleanConfig {
            max_user_interactions: Some(1),
            ..CleanConfig::default()
        };
        max_user_interactions(&mut data, &config).unwrap();
        assert_eq!(data.users, [1]);
    }

    #[test]
    fn steps_that_need_a_missing_column_say_so() {
        let mut data = log(&[(0, 0, 1.0, 0)]);
        data.weights = None;
        data.timestamps = None;
        let config = CleanConfig {
            min_rating: Some(1.0),
            after: Some(TimePoint::Seconds(0)),
            ..CleanConfig::default()
        };
        let error = min_rating(&mut data, &config).unwrap_err().to_string();
        assert!(error.contains("data.rating"), "{error}");
        assert!(time_window(&mut data, &config).is_err());
    }
}

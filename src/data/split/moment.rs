//! Moments as people write them in a config.

use anyhow::{Context, Result, bail};
use chrono::{DateTime, NaiveDate, NaiveDateTime};

/// Unix seconds of a moment: an integer is taken as such, text and TOML dates
/// as ISO 8601, in UTC unless they carry an offset.
pub fn parse_moment(value: &toml::Value) -> Result<i64> {
    match value {
        toml::Value::Integer(seconds) => Ok(*seconds),
        toml::Value::String(text) => parse_text(text),
        toml::Value::Datetime(moment) => parse_text(&moment.to_string()),
        other => bail!("`{other}` is not a date, a date with time or unix seconds"),
    }
}

fn parse_text(text: &str) -> Result<i64> {
    let text = text.trim();
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Ok(moment.timestamp());
    }
    let local = text.replacen('T', " ", 1);
    let with_time = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(&local, format).ok());
    let moment = with_time.or_else(|| {
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        date.and_hms_opt(0, 0, 0)
    });
    let moment = moment.with_context(|| {
        format!("`{text}` is not a date like 2013-03-31, 2013-03-31T18:00:00 or unix seconds")
    })?;
    Ok(moment.and_utc().timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(toml: &str) -> Result<i64> {
        let table: toml::Table = format!("x = {toml}").parse().unwrap();
        parse_moment(&table["x"])
    }

    #[test]
    fn every_way_of_writing_the_same_second() {
        for text in [
            "86400",
            "\"1970-01-02\"",
            "1970-01-02",
            "1970-01-02T00:00:00",
            "1970-01-02T00:00:00Z",
            "\"1970-01-02 00:00\"",
            "\"1970-01-02T02:00:00+02:00\"",
        ] {
            assert_eq!(moment(text).unwrap(), 86400, "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_said_so() {
        assert!(
            moment("\"soon\"")
                .unwrap_err()
                .to_string()
                .contains("`soon`")
        );
        assert!(moment("true").unwrap_err().to_string().contains("`true`"));
    }
}

//! One value of the input, and what it means as an id, a number or a time.

use crate::data::config::TimestampUnit;
use chrono::NaiveDate;

/// A value as its file stores it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    Null,
    Int(i64),
    Float(f64),
    /// Unix seconds, from a column that is typed as a time.
    Seconds(i64),
    Str(&'a str),
}

/// An id: an integer where it is written like one, so that it can be kept in
/// eight bytes and written out again unchanged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Id<'a> {
    Int(i64),
    Str(&'a str),
}

/// What stands in files where there is no value.
const NULLS: [&str; 7] = ["", "NULL", "null", "NaN", "nan", "None", "\\N"];

impl<'a> Cell<'a> {
    /// Whether there is no value. Text is compared without outer blanks.
    pub fn is_null(&self) -> bool {
        match self {
            Cell::Null => true,
            Cell::Float(x) => x.is_nan(),
            Cell::Str(s) => s.len() <= 4 && NULLS.contains(&s.trim()),
            Cell::Int(_) | Cell::Seconds(_) => false,
        }
    }

    /// The value as an id; `scratch` holds the text of a number that is no
    /// integer. `None` where there is no value.
    pub fn id(self, scratch: &'a mut String) -> Option<Id<'a>> {
        if self.is_null() {
            return None;
        }
        match self {
            Cell::Null => None,
            Cell::Int(i) | Cell::Seconds(i) => Some(Id::Int(i)),
            Cell::Float(x) => {
                *scratch = x.to_string();
                Some(Id::parse(scratch))
            }
            Cell::Str(s) => Some(Id::parse(s.trim())),
        }
    }

    /// The value as a finite number; `None` where there is none.
    ///
    /// # Errors
    /// Says what stands there instead.
    pub fn number(self) -> Result<Option<f64>, String> {
        if self.is_null() {
            return Ok(None);
        }
        let number = match self {
            Cell::Null => return Ok(None),
            Cell::Int(i) | Cell::Seconds(i) => i as f64,
            Cell::Float(x) => x,
            Cell::Str(s) => s
                .trim()
                .parse()
                .map_err(|_| format!("`{s}` is not a number"))?,
        };
        if number.is_finite() {
            Ok(Some(number))
        } else {
            Err(format!("`{number}` is not a finite number"))
        }
    }
}

impl<'a> Id<'a> {
    /// An integer only where it would be written the same way: `007` is not.
    pub fn parse(text: &'a str) -> Self {
        canonical_int(text).map_or(Id::Str(text), Id::Int)
    }
}

impl std::fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Id::Int(i) => i.fmt(f),
            Id::Str(s) => s.fmt(f),
        }
    }
}

fn canonical_int(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = match digits.as_bytes() {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    plain.then(|| text.parse().ok()).flatten()
}

/// Reads the timestamps of one file, all in the same way.
#[derive(Clone, Copy, Debug)]
pub struct TimeReader {
    unit: TimestampUnit,
    /// Whether the first one that was read is a number, with `auto`.
    numeric: Option<bool>,
    largest: i64,
}

/// Numbers beyond this are milliseconds: in seconds it is the year 5138, in
/// milliseconds 1973.
const LARGEST_SECONDS: i64 = 100_000_000_000;

impl TimeReader {
    pub fn new(unit: TimestampUnit) -> Self {
        let numeric = match unit {
            TimestampUnit::Auto => None,
            TimestampUnit::Iso => Some(false),
            TimestampUnit::Seconds | TimestampUnit::Milliseconds => Some(true),
        };
        Self {
            unit,
            numeric,
            largest: 0,
        }
    }

    /// A raw time, to be divided by [`Self::divisor`] at the end of the
    /// file; `None` where there is none.
    ///
    /// # Errors
    /// Says what stands there instead.
    pub fn read(&mut self, cell: Cell<'_>) -> Result<Option<i64>, String> {
        if cell.is_null() {
            return Ok(None);
        }
        let raw = match cell {
            Cell::Seconds(s) => {
                self.numeric = Some(false);
                return Ok(Some(s));
            }
            Cell::Str(s) => match self.numeric {
                Some(true) => number(s).ok_or_else(|| format!("`{s}` is not a unix time")),
                Some(false) => parse_iso(s).ok_or_else(|| {
                    format!("`{s}` is not a date or time such as 2013-01-31T12:00:00")
                }),
                None => {
                    let found = number(s);
                    self.numeric = Some(found.is_some());
                    found.or_else(|| parse_iso(s)).ok_or_else(|| {
                        format!("`{s}` is neither a unix time nor an ISO date or time")
                    })
                }
            }?,
            Cell::Int(i) => i,
            Cell::Float(x) => whole(x).ok_or_else(|| format!("`{x}` is not a unix time"))?,
            Cell::Null => return Ok(None),
        };
        if self.numeric.is_none() {
            self.numeric = Some(true);
        }
        if self.numeric == Some(true) {
            self.largest = self.largest.max(raw.saturating_abs());
        }
        Ok(Some(raw))
    }

    /// Whether the times that follow are read like those so far.
    pub fn is_settled(&self) -> bool {
        self.numeric.is_some()
    }

    /// Takes note of what a reader of another part of the file saw.
    pub fn absorb(&mut self, other: &Self) {
        self.numeric = self.numeric.or(other.numeric);
        self.largest = self.largest.max(other.largest);
    }

    /// What makes seconds of the raw times.
    pub fn divisor(&self) -> i64 {
        let milliseconds = match self.unit {
            TimestampUnit::Milliseconds => self.numeric == Some(true),
            TimestampUnit::Auto => self.largest > LARGEST_SECONDS,
            TimestampUnit::Seconds | TimestampUnit::Iso => false,
        };
        if milliseconds { 1000 } else { 1 }
    }
}

fn number(text: &str) -> Option<i64> {
    let text = text.trim();
    text.parse()
        .ok()
        .or_else(|| text.parse().ok().and_then(whole))
}

fn whole(x: f64) -> Option<i64> {
    // Beyond this a double no longer holds every integer.
    (x.abs() < 9.0e15).then(|| x.floor() as i64)
}

/// Unix seconds of `2013-01-31`, `2013-01-31 12:00[:00[.5]]` or with `T`,
/// each with `Z`, ` UTC`, `+02:00` or nothing (UTC) behind it. Fractions of
/// a second are cut off.
pub fn parse_iso(text: &str) -> Option<i64> {
    let text = text.trim();
    let (date, rest) = text.split_at_checked(10)?;
    let (year, month, day) = (date.get(0..4)?, date.get(5..7)?, date.get(8..10)?);
    if date.as_bytes()[4] != b'-' || date.as_bytes()[7] != b'-' {
        return None;
    }
    let digits = |s: &str| -> Option<u32> {
        s.bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| s.parse().ok())?
    };
    let day = NaiveDate::from_ymd_opt(digits(year)? as i32, digits(month)?, digits(day)?)?;
    let midnight = day.and_hms_opt(0, 0, 0)?.and_utc().timestamp();
    if rest.is_empty() {
        return Some(midnight);
    }
    let time = rest.strip_prefix(['T', ' '])?;
    let zone = time
        .find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.'))
        .unwrap_or(time.len());
    let (clock, zone) = time.split_at(zone);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    digits(fraction).or(fraction.is_empty().then_some(0))?;
    let parts: Vec<u32> = clock
        .split(':')
        .map(|p| (p.len() == 2).then(|| digits(p))?)
        .collect::<Option<_>>()?;
    let seconds = match parts[..] {
        [h, m] if h < 24 && m < 60 => h * 3600 + m * 60,
        [h, m, s] if h < 24 && m < 60 && s <= 60 => h * 3600 + m * 60 + s,
        _ => return None,
    };
    Some(midnight + i64::from(seconds) - offset(zone.trim())?)
}

/// Seconds east of UTC.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "" | "Z" | "z" | "UTC") {
        return Some(0);
    }
    let sign = match zone.as_bytes()[0] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = zone[1..].chars().filter(|c| *c != ':').collect();
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = match digits.len() {
        2 => (digits.as_str(), "0"),
        4 => digits.split_at(2),
        _ => return None,
    };
    Some(sign * (hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_are_integers_only_when_nothing_is_lost() {
        assert_eq!(Id::parse("42"), Id::Int(42));
        assert_eq!(Id::parse("-7"), Id::Int(-7));
        assert_eq!(Id::parse("0"), Id::Int(0));
        for text in ["007", "-0", "+1", "1.0", "", "x", "99999999999999999999"] {
            assert_eq!(Id::parse(text), Id::Str(text));
        }
    }

    #[test]
    fn iso_times() {
        assert_eq!(parse_iso("1970-01-02"), Some(86_400));
        assert_eq!(parse_iso("2010-12-01 08:26:00"), Some(1_291_191_960));
        assert_eq!(parse_iso("2010-12-01T08:26:00.123Z"), Some(1_291_191_960));
        assert_eq!(parse_iso("2010-12-01T10:26+02:00"), Some(1_291_191_960));
        assert_eq!(
            parse_iso("2019-11-24 00:00:18.123456+00:00"),
            Some(1_574_553_618)
        );
        assert_eq!(parse_iso("2010-12-01 08:26:00 UTC"), Some(1_291_191_960));
        for bad in [
            "",
            "2010-13-01",
            "2010-12-01 25:00",
            "yesterday",
            "2010-12-01x",
            "2010-1-1 00:00",
            "é010-12-01 é",
        ] {
            assert_eq!(parse_iso(bad), None, "{bad}");
        }
    }

    #[test]
    fn milliseconds_are_recognized_from_the_largest() {
        let mut auto = TimeReader::new(TimestampUnit::Auto);
        assert_eq!(auto.read(Cell::Str("881250949")), Ok(Some(881_250_949)));
        assert_eq!(auto.divisor(), 1);
        assert_eq!(
            auto.read(Cell::Str("1574553618000")),
            Ok(Some(1_574_553_618_000))
        );
        assert_eq!(auto.divisor(), 1000);
        let mut seconds = TimeReader::new(TimestampUnit::Seconds);
        seconds.read(Cell::Int(1_574_553_618_000)).unwrap();
        assert_eq!(seconds.divisor(), 1);
    }

    #[test]
    fn one_file_has_one_kind_of_time() {
        let mut auto = TimeReader::new(TimestampUnit::Auto);
        auto.read(Cell::Str("5.7")).unwrap();
        assert!(
            auto.read(Cell::Str("2010-12-01"))
                .unwrap_err()
                .contains("unix time")
        );
        assert_eq!(auto.read(Cell::Str(" ")), Ok(None));
    }

    #[test]
    fn numbers_are_finite_or_missing() {
        assert_eq!(Cell::Str(" 4.5 ").number(), Ok(Some(4.5)));
        assert_eq!(Cell::Str("NaN").number(), Ok(None));
        assert!(Cell::Str("inf").number().is_err());
        assert!(Cell::Str("four").number().unwrap_err().contains("four"));
    }

    proptest! {
        #[test]
        fn iso_reads_back_what_chrono_writes(seconds in 0i64..253_402_300_799) {
            let text = chrono::DateTime::from_timestamp(seconds, 0).unwrap().naive_utc().to_string();
            prop_assert_eq!(parse_iso(&text), Some(seconds));
        }

        #[test]
        fn nothing_panics(text in "\\PC{0,24}") {
            let _ = parse_iso(&text);
            let _ = Cell::Str(&text).number();
        }
    }
}

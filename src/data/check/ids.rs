//! Ids that were numbers once, and ids that are two spellings of one.

use super::Data;
use super::finding::{Draft, Example, MOST_EXAMPLES, Severity, percent};
use crate::data::read::{Count, Scan};
use crate::ids::{ExternalIds, IdMap};
use std::collections::HashMap;

/// What systems write where there is nobody.
const PLACEHOLDERS: [&str; 16] = [
    "-1",
    "0",
    "unknown",
    "none",
    "null",
    "(null)",
    "nan",
    "n/a",
    "na",
    "?",
    "guest",
    "anonymous",
    "undefined",
    "(not set)",
    "00000000",
    "-",
];
/// A placeholder has more rows than that many usual ids together.
const OF_PLACEHOLDER: usize = 10;
/// The user 0 is one where it has more rows than that many of any other.
const OF_ZERO: usize = 3;
/// A share of numbers from which the others are intruders.
const NEARLY_ALL: f64 = 0.99;

pub fn check(data: &Data<'_>) -> Vec<Draft> {
    let log = &data.dataset.log;
    let sides = [
        ("user", &data.dataset.users, &log.users),
        ("item", &data.dataset.items, &log.items),
    ];
    let mut drafts = Vec::new();
    for (what, ids, rows) in sides {
        drafts.extend(placeholder(what, ids, rows));
        if let ExternalIds::Str(list) = ids.external_ids() {
            drafts.extend(numbers(what, list));
            drafts.extend(spellings(what, list));
        }
    }
    drafts
}

/// What [`crate::data::read`] takes away without a word.
pub fn padded(seen: &Scan) -> Vec<Draft> {
    let sides = ["user", "item"].iter().zip(&seen.padded);
    let found = sides.filter(|(_, count)| count.count > 0);
    let draft = |(what, count): (&&str, &Count)| {
        let examples = count.first.iter().map(|(place, text)| Example {
            file: Some(place.file.display().to_string()),
            line: Some(place.line),
            text: format!("`{text}`"),
        });
        Draft::new("blanks around ids", Severity::Info, count.count, seen.rows)
            .says(format!(
                "{} {what} ids have blanks around them, which are taken away when reading",
                count.count
            ))
            .examples(examples)
            .advice("nothing to do here; other programs may take `a` and `a ` for two")
    };
    found.map(draft).collect()
}

fn placeholder(what: &str, ids: &IdMap, rows: &[u32]) -> Vec<Draft> {
    let mut counts = vec![0usize; ids.len()];
    rows.iter().for_each(|&i| counts[i as usize] += 1);
    let mean = rows.len() / ids.len().max(1);
    let suspects = PLACEHOLDERS.iter().filter_map(|name| {
        let mut spellings = [name.to_string(), name.to_uppercase(), capital(name)].to_vec();
        spellings.dedup();
        spellings.iter().find_map(|n| ids.get(n))
    });
    let second = second(&counts);
    // Where ids count from 0, somebody is 0, and often the most active one.
    let stands_out = |i: u32| what == "user" && counts[i as usize] > OF_ZERO * second;
    let is_many = |i: &u32| {
        counts[*i as usize] > OF_PLACEHOLDER * mean.max(1)
            && (ids.external(*i) != "0" || stands_out(*i))
    };
    let draft = |i: u32| {
        let (id, count) = (ids.external(i), counts[i as usize]);
        Draft::new("placeholder ids", Severity::Error, count, rows.len()).says(format!(
            "{count} of {} rows ({}) have the {what} `{id}`, which is no {what} but stands \
                 for those without an id",
            rows.len(),
            percent(count, rows.len())
        ))
    };
    let mend = |draft: Draft| match what {
        // No user has as many, so a limit takes out this one alone.
        "user" => draft.mend("data.clean", format!("max_user_interactions = {second}")),
        _ => draft.advice("drop these rows from the file"),
    };
    suspects.filter(is_many).map(draft).map(mend).collect()
}

fn capital(name: &str) -> String {
    let mut chars = name.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

/// The second largest.
fn second(counts: &[usize]) -> usize {
    let mut sorted = counts.to_vec();
    sorted.sort_unstable();
    sorted.iter().rev().nth(1).copied().unwrap_or(1).max(1)
}

/// How an id is written.
#[derive(PartialEq, Eq)]
enum Spelling {
    /// `42`
    Integer,
    /// `042`
    LeadingZeros,
    /// `42.0`, `4.2e1`
    Float,
    Other,
}

fn spelling(id: &str) -> Spelling {
    let digits = id.strip_prefix('-').unwrap_or(id);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return match digits.len() > 1 && digits.starts_with('0') {
            true => Spelling::LeadingZeros,
            false => Spelling::Integer,
        };
    }
    let number = digits.bytes().next().is_some_and(|b| b.is_ascii_digit())
        && digits.contains(['.', 'e', 'E']);
    match digits.parse::<f64>() {
        Ok(x) if number && x.fract() == 0.0 && x.is_finite() => Spelling::Float,
        _ => Spelling::Other,
    }
}

/// The number that an id is, as it would be written without frills.
fn number(id: &str) -> Option<String> {
    match spelling(id) {
        Spelling::Integer => Some(id.to_string()),
        Spelling::LeadingZeros => Some(id.trim_start_matches('0').to_string()),
        Spelling::Float => id.parse::<f64>().ok().map(|x| format!("{x:.0}")),
        Spelling::Other => None,
    }
}

fn numbers(what: &'static str, ids: &[String]) -> Vec<Draft> {
    let of = ids.len();
    let with =
        |kind: Spelling| -> Vec<&String> { ids.iter().filter(|id| spelling(id) == kind).collect() };
    let floats = with(Spelling::Float);
    let zeros = with(Spelling::LeadingZeros);
    let others = with(Spelling::Other);
    let shown = |ids: &[&String]| -> Vec<Example> {
        let first = ids.iter().take(MOST_EXAMPLES);
        first
            .map(|id| Example::of(format!("{what} `{id}`")))
            .collect()
    };
    let mut drafts = Vec::new();
    let twice = collisions(ids, number);
    if !twice.is_empty() {
        drafts.push(
            Draft::new("ids written in two ways", Severity::Error, twice.len(), of)
                .says(format!(
                    "{} {what} ids are the same number as another id: one {what} counts as two",
                    twice.len()
                ))
                .examples(pairs(what, ids, &twice))
                .advice(format!("write the {what} column in one way in all files")),
        );
    }
    if !floats.is_empty() {
        drafts.push(
            Draft::new("ids that are floats", Severity::Warning, floats.len(), of)
                .says(format!(
                    "{} of {of} {what} ids ({}) are written like 42.0: the column went through a \
                     program that made numbers of it (one empty cell is enough), and ids beyond \
                     2^53 are ruined then",
                    floats.len(),
                    percent(floats.len(), of)
                ))
                .examples(shown(&floats))
                .advice(format!(
                    "write the {what} column as text or as integers (in pandas: dtype=\"Int64\")"
                )),
        );
    }
    if !zeros.is_empty() && twice.is_empty() {
        drafts.push(
            Draft::new("ids with leading zeros", Severity::Info, zeros.len(), of)
                .says(format!(
                    "{} of {of} {what} ids ({}) are numbers with leading zeros, kept as they are: \
                     a program that reads them as numbers loses the zeros",
                    zeros.len(),
                    percent(zeros.len(), of)
                ))
                .examples(shown(&zeros))
                .advice("nothing to do here; join other tables on text, not on numbers"),
        );
    }
    let plain = of - others.len();
    if !others.is_empty() && plain as f64 >= NEARLY_ALL * of as f64 {
        drafts.push(
            Draft::new(
                "ids that are no numbers",
                Severity::Warning,
                others.len(),
                of,
            )
            .says(format!(
                "{} of {of} {what} ids are no numbers, all others are: a header, a total or \
                     a shifted line in the middle of a file?",
                others.len()
            ))
            .examples(shown(&others))
            .advice("look at these lines; data.clean.malformed does not see them"),
        );
    }
    drafts
}

/// Ids that only case and blanks tell apart.
fn spellings(what: &'static str, ids: &[String]) -> Option<Draft> {
    let plain = |id: &str| {
        let words: Vec<String> = id.split_whitespace().map(str::to_lowercase).collect();
        Some(words.join(" "))
    };
    let twice = collisions(ids, plain);
    (!twice.is_empty()).then(|| {
        Draft::new(
            "ids that differ in case or blanks",
            Severity::Warning,
            twice.len(),
            ids.len(),
        )
        .says(format!(
            "{} of {} {what} ids differ from another one only in case or blanks: one {what} \
                 counts as two",
            twice.len(),
            ids.len()
        ))
        .examples(pairs(what, ids, &twice))
        .advice(format!("write the {what} column in one way in all files"))
    })
}

/// Indices of ids that come to the same as an earlier one, with that one.
fn collisions(ids: &[String], plain: impl Fn(&str) -> Option<String>) -> Vec<(usize, usize)> {
    let mut first = HashMap::with_capacity(ids.len());
    let mut twice = Vec::new();
    for (i, id) in ids.iter().enumerate() {
        let Some(plain) = plain(id) else {
            continue;
        };
        match first.get(&plain) {
            Some(&earlier) => twice.push((earlier, i)),
            None => {
                first.insert(plain, i);
            }
        }
    }
    twice
}

fn pairs<'a>(
    what: &'a str,
    ids: &'a [String],
    twice: &'a [(usize, usize)],
) -> impl Iterator<Item = Example> + 'a {
    let both = move |&(a, b): &(usize, usize)| {
        Example::of(format!("{what} `{}` and `{}`", ids[a], ids[b]))
    };
    twice.iter().map(both)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_every_spelling() {
        for (id, plain) in [("42", "42"), ("042", "42"), ("42.0", "42"), ("4.2e1", "42")] {
            assert_eq!(number(id).as_deref(), Some(plain), "{id}");
        }
        for id in ["", "x42", "4.2", "12a", "1-2", "inf", ".", "0x1"] {
            assert_eq!(number(id), None, "{id}");
        }
        assert!(spelling("0") == Spelling::Integer);
    }
}

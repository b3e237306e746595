//! Text that was decoded wrongly.

use super::Data;
use super::finding::{Draft, Example, MOST_EXAMPLES, Severity, percent};
use crate::data::config::{Encoding, FeaturesConfig};
use crate::data::features::{FeatureTable, FeatureValues};
use crate::ids::{ExternalIds, IdMap};
use std::collections::BTreeMap;

/// A share of the texts beyond ASCII from which it is the whole file that was
/// read wrongly.
const WHOLE_FILE: f64 = 0.9;

/// What can be wrong with a text; the worst is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    /// U+FFFD: what stood there is lost.
    Replaced,
    /// UTF-8 that was read as something else: `Ã©`.
    Mojibake,
    /// Control characters, among them those that Windows-1252 read as
    /// Latin-1 gives.
    Control,
    /// `&amp;`
    Entity,
}

pub fn check(data: &Data<'_>) -> Vec<Draft> {
    let (config, dataset) = (data.config, data.dataset);
    let mut drafts = Vec::new();
    for (what, ids) in [("user", &dataset.users), ("item", &dataset.items)] {
        if let ExternalIds::Str(list) = ids.external_ids() {
            let named = list.iter().map(|id| (format!("{what} id"), id.as_str()));
            drafts.extend(look("data", config.encoding, &format!("{what} ids"), named));
        }
    }
    let tables = [
        (
            "user",
            &dataset.user_features,
            &config.user_features,
            &dataset.users,
        ),
        (
            "item",
            &dataset.item_features,
            &config.item_features,
            &dataset.items,
        ),
    ];
    for (what, table, config, ids) in tables {
        if let (Some(table), Some(config)) = (table, config) {
            drafts.extend(look_at_table(what, table, config, ids));
        }
    }
    drafts
}

fn look_at_table(
    what: &'static str,
    table: &FeatureTable,
    config: &FeaturesConfig,
    ids: &IdMap,
) -> Vec<Draft> {
    let section = format!("data.{what}_features");
    let mut drafts = Vec::new();
    for column in &table.columns {
        let name = &column.name;
        let what = format!("values of the {what} column `{name}`");
        let look = |texts: &mut dyn Iterator<Item = (String, &str)>| {
            look(&section, config.encoding, &what, texts)
        };
        drafts.extend(match &column.values {
            FeatureValues::Text(values) => {
                let mut named = values.iter().enumerate().map(|(i, text)| {
                    (
                        format!("{name} of {}", ids.external(i as u32)),
                        text.as_str(),
                    )
                });
                look(&mut named)
            }
            FeatureValues::Categorical { labels, .. } | FeatureValues::List { labels, .. } => {
                let mut named = labels.iter().map(|l| (name.clone(), l.as_str()));
                look(&mut named)
            }
            FeatureValues::Numeric(_) => Vec::new(),
        });
    }
    drafts
}

/// Texts, each with what it is called; `section` is where their encoding is
/// set.
fn look<'a>(
    section: &str,
    encoding: Encoding,
    what: &str,
    texts: impl Iterator<Item = (String, &'a str)>,
) -> Vec<Draft> {
    let mut found: BTreeMap<Trouble, (usize, Vec<Example>)> = BTreeMap::new();
    let (mut of, mut beyond_ascii) = (0, 0);
    for (name, text) in texts {
        of += usize::from(!text.is_empty());
        beyond_ascii += usize::from(!text.is_ascii());
        if let Some(trouble) = trouble(text) {
            let (count, examples) = found.entry(trouble).or_default();
            *count += 1;
            if examples.len() < MOST_EXAMPLES {
                let short: String = text.chars().take(60).collect();
                examples.push(Example::of(format!("{name}: {short:?}")));
            }
        }
    }
    let draft = |(trouble, (count, examples)): (Trouble, (usize, Vec<Example>))| {
        // A file of another encoding shows it in all that is not ASCII.
        let all = count as f64 >= WHOLE_FILE * beyond_ascii as f64;
        let mend = (section, encoding, all);
        describe(trouble, count, of, what, mend).examples(examples)
    };
    found.into_iter().map(draft).collect()
}

fn describe(
    trouble: Trouble,
    count: usize,
    of: usize,
    what: &str,
    (section, encoding, all): (&str, Encoding, bool),
) -> Draft {
    let share = percent(count, of);
    match trouble {
        Trouble::Replaced => Draft::new("replacement characters", Severity::Error, count, of)
            .says(format!(
                "{count} of {of} {what} ({share}) hold the sign for an unreadable \
                 character, U+FFFD: what stood there was lost when the file was written"
            ))
            .advice("write the file again from its source, as UTF-8"),
        Trouble::Mojibake => {
            let draft = Draft::new("mojibake", Severity::Warning, count, of).says(format!(
                "{count} of {of} {what} ({share}) are UTF-8 that was read as Latin-1"
            ));
            match encoding {
                Encoding::Latin1 if all => draft.mend(section, "encoding = \"utf-8\""),
                _ => draft.advice("the file itself holds them so: write it again from its source"),
            }
        }
        Trouble::Control => Draft::new("control characters", Severity::Warning, count, of)
            .says(format!(
                "{count} of {of} {what} ({share}) hold control characters: binary \
                 rubbish, or Windows-1252 read as Latin-1"
            ))
            .advice("convert the file to UTF-8, e.g. with iconv -f windows-1252 -t utf-8"),
        Trouble::Entity => Draft::new("HTML entities", Severity::Info, count, of)
            .says(format!(
                "{count} of {of} {what} ({share}) hold HTML such as &amp;"
            ))
            .advice("unescape them before showing them to people"),
    }
}

fn trouble(text: &str) -> Option<Trouble> {
    // Nearly all text is of this kind.
    if text
        .bytes()
        .all(|b| (b' '..=b'~').contains(&b) && b != b'&')
    {
        return None;
    }
    if text.contains('\u{fffd}') {
        Some(Trouble::Replaced)
    } else if is_mojibake(text) {
        Some(Trouble::Mojibake)
    } else if text
        .chars()
        .any(|c| c.is_control() && !"\t\n\r".contains(c))
    {
        Some(Trouble::Control)
    } else if ["&amp;", "&quot;", "&lt;", "&gt;", "&#39;", "&nbsp;"]
        .iter()
        .any(|e| text.contains(e))
    {
        Some(Trouble::Entity)
    } else {
        None
    }
}

/// Whether a run of characters beyond ASCII, as bytes of Windows-1252 or
/// Latin-1, is UTF-8: by chance that is rare, since `é` alone is not.
fn is_mojibake(text: &str) -> bool {
    let runs = text.split(|c: char| c.is_ascii());
    runs.filter(|run| run.chars().nth(1).is_some()).any(|run| {
        let bytes: Option<Vec<u8>> = run.chars().map(single_byte).collect();
        bytes.is_some_and(|b| std::str::from_utf8(&b).is_ok())
    })
}

fn single_byte(c: char) -> Option<u8> {
    /// Windows-1252 from 0x80 to 0x9F.
    const WINDOWS: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž',
        '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}',
        'ž', 'Ÿ',
    ];
    match u8::try_from(u32::from(c)) {
        Ok(byte) => Some(byte),
        Err(_) => WINDOWS.iter().position(|w| *w == c).map(|i| 0x80 + i as u8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn troubles_are_told_apart_and_good_text_has_none() {
        for text in [
            "plain",
            "café",
            "Amélie (2001)",
            "東京",
            "Ångström – naïve",
            "A & B",
            "²³",
        ] {
            assert_eq!(trouble(text), None, "{text}");
        }
        assert_eq!(trouble("cafÃ©"), Some(Trouble::Mojibake));
        assert_eq!(trouble("donâ€™t"), Some(Trouble::Mojibake));
        assert_eq!(trouble("caf\u{fffd}"), Some(Trouble::Replaced));
        assert_eq!(trouble("don\u{92}t"), Some(Trouble::Control));
        assert_eq!(trouble("a\0b"), Some(Trouble::Control));
        assert_eq!(trouble("A &amp; B"), Some(Trouble::Entity));
    }
}

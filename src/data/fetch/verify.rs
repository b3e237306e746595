//! Whether files have the content that the catalog expects.

use super::{Check, FetchEntry, FetchEvent};
use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::Path;

/// Checks all files of a data set in `folder`.
///
/// # Errors
/// A required file that is missing, or one with other content.
pub fn folder(entry: &FetchEntry, folder: &Path, report: &mut dyn FnMut(FetchEvent)) -> Result<()> {
    for listed in entry.files {
        let path = folder.join(listed.name);
        if !path.exists() {
            ensure!(!listed.required, "{} is missing", listed.name);
            continue;
        }
        if matches!(listed.check, Check::Any) {
            continue;
        }
        file(&path, &listed.check)?;
        report(FetchEvent::Verified {
            file: listed.name.to_owned(),
        });
    }
    Ok(())
}

/// Checks one file.
///
/// # Errors
/// Other content than expected, with both checksums.
pub fn file(path: &Path, check: &Check) -> Result<()> {
    let content = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (expected, found) = match check {
        Check::Any => return Ok(()),
        Check::Sha256(expected) => (expected, sha256(&content)),
        Check::SortedLines(expected) => (expected, sha256(&sorted_lines(&content))),
        Check::SortedItems(expected) => {
            let text = sorted_items(&content)
                .with_context(|| format!("{} does not hold numbers", path.display()))?;
            (expected, sha256(text.as_bytes()))
        }
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    ensure!(
        found == **expected,
        "{name} has another checksum (sha256 {found}, expected {expected})"
    );
    Ok(())
}

/// Lowercase hexadecimal.
pub fn sha256(content: &[u8]) -> String {
    Sha256::digest(content)
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
            hex
        })
}

fn sorted_lines(content: &[u8]) -> Vec<u8> {
    let mut lines: Vec<_> = content
        .split(|&b| b == b'\n')
        .map(<[u8]>::trim_ascii_end)
        .filter(|l| !l.is_empty())
        .collect();
    lines.sort_unstable();
    lines.iter().fold(Vec::new(), |mut all, line| {
        all.extend_from_slice(line);
        all.push(b'\n');
        all
    })
}

/// `user item item ...` per line: lines by user, items ascending.
fn sorted_items(content: &[u8]) -> Result<String> {
    let mut users = Vec::new();
    for line in std::str::from_utf8(content)?.lines() {
        let numbers: Vec<u64> = line
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        if let Some((&user, items)) = numbers.split_first() {
            let mut items = items.to_vec();
            items.sort_unstable();
            users.push((user, items));
        }
    }
    users.sort_unstable();
    let mut text = String::new();
    for (user, items) in users {
        write!(text, "{user}")?;
        for item in items {
            write!(text, " {item}")?;
        }
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_of_nothing_and_of_abc_are_the_published_ones() {
        assert_eq!(
            sha256(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn the_order_of_rows_and_of_items_does_not_count_where_it_may_differ() {
        assert_eq!(sorted_lines(b"2 b\r\n1 a\n\n"), b"1 a\n2 b\n");
        assert_eq!(
            sorted_items(b"10 3 20\n2 9 \n\n").unwrap(),
            "2 9\n10 3 20\n"
        );
        assert!(sorted_items(b"1 x\n").is_err());
    }
}

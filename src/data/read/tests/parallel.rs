//! Files of several blocks: what is parsed side by side is what would have
//! been parsed in one go.

use super::*;
use polars::prelude::*;
use std::collections::HashMap;
use std::fmt::Write;

/// Enough for three blocks of text.
const ROWS: usize = 500_000;

fn user(row: usize) -> String {
    format!("u{}", row * 7_919 % 1_009)
}

/// Integers in the first blocks, text in the last.
fn item(row: usize) -> String {
    if row < ROWS - 1_000 {
        (row * 31 % 977).to_string()
    } else {
        format!("x{}", row % 10)
    }
}

fn csv(line: impl Fn(usize) -> String) -> String {
    let mut text = String::from("user,item,timestamp\n");
    for row in 0..ROWS {
        writeln!(text, "{}", line(row)).unwrap();
    }
    text
}

fn plain(row: usize) -> String {
    format!("{},{},{}", user(row), item(row), 1_500_000_000 + row)
}

/// Codes in order of first appearance.
fn codes(ids: impl Iterator<Item = String>) -> Vec<u32> {
    let mut known = HashMap::new();
    ids.map(|id| {
        let next = known.len() as u32;
        *known.entry(id).or_insert(next)
    })
    .collect()
}

#[test]
fn codes_and_times_are_those_of_the_whole_file() {
    // The last time of all says that they are milliseconds.
    let line = |row: usize| {
        let time = if row + 1 == ROWS {
            1_600_000_000_123
        } else {
            1_000 * row
        };
        format!("{},{},{time}", user(row), item(row))
    };
    let text = csv(line);
    let data = read_files(&[("a.csv", text.as_bytes())], "path = 'a.csv'");
    assert_eq!(data.log.users, codes((0..ROWS).map(user)));
    assert_eq!(data.log.items, codes((0..ROWS).map(item)));
    assert_eq!(data.items.external(1), "31");
    assert_eq!(data.items.external(data.items.len() as u32 - 1), "x9");
    let times = data.log.timestamps.unwrap();
    assert_eq!((times[7], times[ROWS - 1]), (7, 1_600_000_000));
}

#[test]
fn a_bad_line_in_a_late_block_is_named_and_counted() {
    let bad = [400_000, 450_000];
    let text = csv(|row| match bad.contains(&row) {
        true => "only".to_string(),
        false => plain(row),
    });
    let error = failure(&[("a.csv", text.as_bytes())], "path = 'a.csv'");
    assert!(error.contains("line 400002: 1 fields"), "{error}");
    assert!(error.contains("and 1 more"), "{error}");
    let config = "path = 'a.csv'\nclean = { malformed = 'drop' }";
    let data = read_files(&[("a.csv", text.as_bytes())], config);
    assert_eq!(data.log.len(), ROWS - 2);
}

#[test]
fn a_quoted_field_over_several_lines_ends_the_blocks() {
    let text = csv(|row| match row {
        300_000 => format!("\"two\nlines\",{},5", item(row)),
        _ => plain(row),
    });
    let data = read_files(&[("a.csv", text.as_bytes())], "path = 'a.csv'");
    assert_eq!(data.log.len(), ROWS);
    let name = data.users.external(data.log.users[300_000]);
    assert_eq!(name, "two\nlines");
    let expected = (0..ROWS).map(|row| {
        if row == 300_000 {
            String::new()
        } else {
            user(row)
        }
    });
    assert_eq!(data.log.users, codes(expected));
}

#[test]
fn platforms_and_ratings_of_parts_are_joined() {
    let mut text = String::from("user,item,rating,shop\n");
    for row in 0..ROWS {
        let shop = if row < ROWS / 2 { "old" } else { "new" };
        writeln!(text, "{},{},{},{shop}", user(row), item(row), row % 5).unwrap();
    }
    let data = read_files(
        &[("a.csv", text.as_bytes())],
        "path = 'a.csv'\nplatform = 'shop'",
    );
    assert_eq!(data.platforms, ["old", "new"]);
    let platforms = data.log.platforms.unwrap();
    assert_eq!(platforms.iter().filter(|p| **p == 1).count(), ROWS / 2);
    let weights = data.log.weights.unwrap();
    assert!((0..ROWS).all(|row| weights[row] == (row % 5) as f32));
}

#[test]
fn slices_of_a_parquet_file_are_joined_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let users: Vec<u32> = (0..ROWS as u32).map(|r| r * 7 % 1_009).collect();
    let items: Vec<String> = (0..ROWS).map(item).collect();
    let ratings: Vec<Option<f32>> = (0..ROWS).map(|r| (r != 450_000).then_some(1.5)).collect();
    let mut frame = DataFrame::new(
        ROWS,
        vec![
            Column::new("user_id".into(), users.clone()),
            Column::new("item_id".into(), items),
            Column::new("rating".into(), ratings),
        ],
    )
    .unwrap();
    let path = dir.path().join("a.parquet");
    let file = std::fs::File::create(&path).unwrap();
    ParquetWriter::new(file).finish(&mut frame).unwrap();
    let config: DataConfig = toml::from_str("path = 'a.parquet'").unwrap();
    let data = read(&config, dir.path(), &mut crate::event::Silent).unwrap();
    assert_eq!(data.log.len(), ROWS - 1);
    let users = users.iter().map(u32::to_string).enumerate();
    let users = users.filter(|(row, _)| *row != 450_000).map(|(_, u)| u);
    assert_eq!(data.log.users, codes(users));
    let kept = (0..ROWS).filter(|row| *row != 450_000);
    assert_eq!(data.log.items, codes(kept.map(item)));
}

//! Lists of recommendations as text and files.

use crate::cli::table::{Align, render};
use crate::recommend::Recommendation;
use anyhow::{Result, ensure};
use clap::ValueEnum;
use polars::prelude::*;
use serde_json::json;
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    /// A list of {user, items: [{rank, item, title, score}]}.
    Json,
    /// user,rank,item,title,score
    Csv,
    /// The columns of csv; needs --output.
    Parquet,
}

impl Format {
    /// # Errors
    /// A binary format without a file to go to.
    pub fn check(self, output: Option<&Path>) -> Result<()> {
        ensure!(
            self != Self::Parquet || output.is_some(),
            "parquet is not for a terminal; say where it goes with --output FILE"
        );
        Ok(())
    }
}

/// What one person is recommended.
pub struct List {
    /// Absent for a history that was typed in.
    pub user_id: Option<String>,
    pub items: Vec<Recommendation>,
}

pub fn write(lists: &[List], format: Format) -> Result<Vec<u8>> {
    match format {
        Format::Table => Ok(table(lists).into_bytes()),
        Format::Json => json(lists),
        Format::Csv => csv(lists),
        Format::Parquet => parquet(lists),
    }
}

fn has_titles(lists: &[List]) -> bool {
    let mut items = lists.iter().flat_map(|l| &l.items);
    items.any(|i| i.title.is_some())
}

fn table(lists: &[List]) -> String {
    let titled = has_titles(lists);
    let mut heads = vec![("rank", Align::Right), ("item", Align::Left)];
    if titled {
        heads.push(("title", Align::Left));
    }
    heads.push(("score", Align::Right));
    let row = |item: &Recommendation| {
        let mut cells = vec![item.rank.to_string(), item.item_id.clone()];
        if titled {
            cells.push(item.title.clone().unwrap_or_default());
        }
        cells.push(format!("{:.4}", item.score));
        cells
    };
    let texts = lists.iter().map(|list| {
        let rows: Vec<_> = list.items.iter().map(row).collect();
        let name = match &list.user_id {
            Some(id) => format!("user {id}\n"),
            None => String::new(),
        };
        if rows.is_empty() {
            return format!("{name}nothing left to recommend\n");
        }
        name + &render(&heads, &rows)
    });
    texts.collect::<Vec<_>>().join("\n")
}

fn json(lists: &[List]) -> Result<Vec<u8>> {
    let item = |i: &Recommendation| match &i.title {
        Some(title) => {
            json!({"rank": i.rank, "item": i.item_id, "title": title, "score": i.score})
        }
        None => json!({"rank": i.rank, "item": i.item_id, "score": i.score}),
    };
    let list = |l: &List| {
        let items: Vec<_> = l.items.iter().map(item).collect();
        match &l.user_id {
            Some(user) => json!({"user": user, "items": items}),
            None => json!({"items": items}),
        }
    };
    let lists: Vec<_> = lists.iter().map(list).collect();
    let mut bytes = serde_json::to_vec_pretty(&lists)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// One row for each recommendation; user and title only where there are any.
fn frame(lists: &[List]) -> Result<DataFrame> {
    let rows = || {
        lists
            .iter()
            .flat_map(|l| l.items.iter().map(move |i| (l, i)))
    };
    let mut columns = Vec::new();
    if lists.iter().any(|l| l.user_id.is_some()) {
        let users: Vec<_> = rows().map(|(l, _)| l.user_id.as_deref()).collect();
        columns.push(Column::new("user".into(), users));
    }
    let ranks: Vec<_> = rows().map(|(_, i)| i.rank as u32).collect();
    let items: Vec<_> = rows().map(|(_, i)| i.item_id.as_str()).collect();
    let scores: Vec<_> = rows().map(|(_, i)| i.score).collect();
    let height = ranks.len();
    columns.push(Column::new("rank".into(), ranks));
    columns.push(Column::new("item".into(), items));
    if has_titles(lists) {
        let titles: Vec<_> = rows().map(|(_, i)| i.title.as_deref()).collect();
        columns.push(Column::new("title".into(), titles));
    }
    columns.push(Column::new("score".into(), scores));
    Ok(DataFrame::new(height, columns)?)
}

fn csv(lists: &[List]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    CsvWriter::new(&mut bytes).finish(&mut frame(lists)?)?;
    Ok(bytes)
}

fn parquet(lists: &[List]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(&mut frame(lists)?)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists() -> Vec<List> {
        let item = |rank, id: &str, title: Option<&str>| Recommendation {
            rank,
            item_id: id.into(),
            title: title.map(str::to_string),
            score: 1.0 / rank as f32,
        };
        vec![
            List {
                user_id: Some("u1".into()),
                items: vec![item(1, "a", Some("Heat, \"1995\"")), item(2, "b", None)],
            },
            List {
                user_id: Some("u2".into()),
                items: vec![],
            },
        ]
    }

    fn text(format: Format) -> String {
        String::from_utf8(write(&lists(), format).unwrap()).unwrap()
    }

    #[test]
    fn a_table_names_each_user() {
        assert_eq!(
            text(Format::Table),
            "user u1\nrank  item  title          score\n   1  a     Heat, \"1995\"  1.0000\n   \
             2  b                   0.5000\n\nuser u2\nnothing left to recommend\n"
        );
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        assert_eq!(
            text(Format::Csv),
            "user,rank,item,title,score\nu1,1,a,\"Heat, \"\"1995\"\"\",1.0\nu1,2,b,,0.5\n"
        );
    }

    #[test]
    fn json_and_parquet_hold_the_same_rows() {
        let json: serde_json::Value = serde_json::from_str(&text(Format::Json)).unwrap();
        assert_eq!(json[0]["items"][0]["item"], "a");
        assert_eq!(json[1]["items"].as_array().map(Vec::len), Some(0));
        let bytes = write(&lists(), Format::Parquet).unwrap();
        let frame = ParquetReader::new(std::io::Cursor::new(bytes))
            .finish()
            .unwrap();
        assert_eq!(frame.shape(), (2, 5));
    }
}
